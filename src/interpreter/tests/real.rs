//! The interpreters of this machine, compared with what their own tools say.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use blast_harness::HostPython;
use serde_json::Value;

use crate::interpreter::probe::{Answer, PROBE, ask_default_index, probe};
use crate::interpreter::{Interpreter, ProbeCache, is_supported};

/// Every interpreter that the harness knows, at least one, with blast's idea of it.
fn each(test: impl Fn(&HostPython, Interpreter)) {
    let pythons = HostPython::all();
    assert!(!pythons.is_empty(), "the tests need an interpreter");
    for python in pythons {
        let Answer::Known(interpreter) = probe(&python.executable).expect("an answer") else {
            panic!("{} is not known", python.version);
        };
        test(&python, *interpreter);
    }
}

fn ask(executable: &Path, code: &str) -> Value {
    let output = Command::new(executable)
        .args(["-I", "-c", code])
        .output()
        .expect("it runs");
    assert!(
        output.status.success(),
        "{}: {output:?}",
        executable.display()
    );
    serde_json::from_slice(&output.stdout).expect("an answer")
}

#[test]
fn real_interpreters_tell_what_they_are() {
    each(|python, interpreter| {
        assert!(is_supported(&interpreter));
        assert_eq!(interpreter.executable, python.executable);
        let full = &interpreter.markers.python_full_version;
        assert!(
            full.starts_with(&python.version),
            "{full} {}",
            python.version
        );
        let minor = python.minor().replace('.', "");
        assert_eq!(interpreter.cache_tag, format!("cpython-{minor}"));
        interpreter.target().expect("tags");
    });
}

/// The scheme is what a virtual environment of that interpreter has, whatever the distribution did
/// to the interpreter itself.
#[test]
fn install_paths_are_those_of_a_virtual_environment() {
    const PATHS: &str = "import json, sysconfig, os, sys\n\
        paths = {key: os.path.relpath(sysconfig.get_path(key), sys.prefix) \
        for key in ('purelib', 'platlib', 'scripts', 'data')}\n\
        print(json.dumps(paths))";
    each(|python, interpreter| {
        let root = tempfile::tempdir().expect("a temporary directory");
        let made = Command::new(&python.executable)
            .args(["-m", "venv", "--without-pip", "venv"])
            .current_dir(root.path())
            .output()
            .expect("it runs");
        assert!(made.status.success(), "{}: {made:?}", python.version);
        let theirs = ask(&root.path().join("venv/bin/python"), PATHS);
        let scheme = &interpreter.scheme;
        assert_eq!(theirs["purelib"], *scheme.purelib, "{}", python.version);
        assert_eq!(theirs["platlib"], *scheme.platlib, "{}", python.version);
        assert_eq!(theirs["scripts"], *scheme.scripts, "{}", python.version);
        assert_eq!(theirs["data"], ".", "{}", python.version);
        assert_eq!(scheme.data, "", "{}", python.version);

        // And the environment leads back to its base.
        let cache = ProbeCache::new(root.path());
        let answer = cache
            .inspect(&root.path().join("venv/bin/python"))
            .expect("an answer");
        let Answer::Known(base) = answer else {
            panic!("{} is not known", python.version)
        };
        assert_eq!(
            base.executable.parent(),
            python.executable.parent(),
            "{}",
            python.version
        );
        assert_eq!(base.markers, interpreter.markers, "{}", python.version);
    });
}

/// Marker values and wheel tags are those that the interpreter's pip computes.
#[test]
fn markers_and_tags_are_those_of_pip() {
    const ORACLE: &str = "import json\n\
        from pip._vendor.packaging import markers, tags\n\
        print(json.dumps({'markers': markers.default_environment(), \
        'tags': [str(tag) for tag in tags.sys_tags()]}))";
    each(|python, interpreter| {
        if ask(
            &python.executable,
            "import importlib.util as u; print(int(bool(u.find_spec('pip'))))",
        ) == 0
        {
            return;
        }
        let theirs = ask(&python.executable, ORACLE);
        let ours = serde_json::to_value(&interpreter.markers).expect("json");
        for (name, value) in ours.as_object().expect("an object") {
            assert_eq!(
                theirs["markers"][name], *value,
                "{}: {name}",
                python.version
            );
        }
        let theirs: BTreeSet<String> =
            serde_json::from_value(theirs["tags"].clone()).expect("tags");
        let target = interpreter.target().expect("tags");
        let ours: BTreeSet<String> = target.tags.to_string().lines().map(str::to_owned).collect();
        let missing: Vec<_> = theirs.difference(&ours).collect();
        assert!(missing.is_empty(), "{}: {missing:?}", python.version);
        // Older releases of pip leave this one out.
        let newer = format!("cp{}-none-any", python.minor().replace('.', ""));
        let extra: Vec<_> = ours
            .difference(&theirs)
            .filter(|tag| **tag != newer)
            .collect();
        assert!(extra.is_empty(), "{}: {extra:?}", python.version);
    });
}

/// A distribution's `_manylinux` (PEP 600, and the older attributes) is asked as pip asks it.
#[test]
fn a_distribution_refuses_platform_tags_as_it_does_for_pip() {
    const ORACLE: &str = "import json\n\
        from pip._vendor.packaging import tags\n\
        print(json.dumps([str(tag) for tag in tags.sys_tags() if 'linux' in str(tag)]))";
    let modules = [
        "module.manylinux_compatible = lambda *asked: None if asked[1] % 3 else asked[1] == 12",
        "module.manylinux1_compatible = module.manylinux2014_compatible = False",
        "module.manylinux2010_compatible, module.manylinux2014_compatible = 1, ''",
    ];
    each(|python, usual| {
        let asked = "import importlib.util as u; print(int(bool(u.find_spec('pip'))))";
        if ask(&python.executable, asked) == 0 {
            return;
        }
        for module in modules {
            let distribution = format!(
                "import sys, types\nmodule = types.ModuleType('_manylinux')\n{module}\n\
                sys.modules['_manylinux'] = module\n"
            );
            let theirs: Vec<String> =
                serde_json::from_value(ask(&python.executable, &format!("{distribution}{ORACLE}")))
                    .expect("tags");
            let answer = ask(&python.executable, &format!("{distribution}{PROBE}"));
            let interpreter: Interpreter =
                serde_json::from_value(answer["interpreter"].clone()).expect("an interpreter");
            let target = interpreter.target().expect("tags");
            let fit = |target: &blast_types::Target, tag: &str| {
                let wheel = format!("a-1-{tag}.whl").parse().expect(tag);
                target.fit(&wheel).is_some()
            };
            let mut refused = 0;
            let all = usual.target().expect("tags");
            for tag in all
                .tags
                .to_string()
                .lines()
                .filter(|tag| tag.contains("linux"))
            {
                assert!(fit(&all, tag), "{tag}");
                let here = theirs.iter().any(|their| their == tag);
                assert_eq!(
                    fit(&target, tag),
                    here,
                    "{}: {tag}, {module}",
                    python.version
                );
                refused += usize::from(!here);
            }
            assert!(refused > 0, "{}: {module}", python.version);
        }
    });
}

#[test]
fn the_default_index_is_that_of_the_interpreters_pip() {
    const ORACLE: &str = "import json\n\
        from pip._internal.models.index import PyPI\n\
        print(json.dumps(PyPI.simple_url))";
    each(|python, interpreter| {
        if ask(
            &python.executable,
            "import importlib.util as u; print(int(bool(u.find_spec('pip'))))",
        ) == 0
        {
            return;
        }
        let theirs = ask(&python.executable, ORACLE);
        let ours = ask_default_index(&interpreter);
        assert_eq!(ours.as_deref(), theirs.as_str(), "{}", python.version);
    });
}
