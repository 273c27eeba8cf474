//! Finding and asking, with interpreters that scripts play and with those of this machine.

mod fake;
mod real;

use std::fs;
use std::os::unix::fs::symlink;

use blast_types::{Hint as _, Interpreter, VersionSpecifiers};

use super::probe::ProbeError;
use super::*;
use fake::Machine;

fn request(text: &str) -> PythonRequest {
    text.parse().expect(text)
}

fn find_on(machine: &Machine, text: Option<&str>) -> Result<Interpreter, FindError> {
    find(
        text.map(request).as_ref(),
        None,
        &machine.search(),
        &machine.cache(),
    )
}

fn version_of(result: Result<Interpreter, FindError>) -> String {
    result.expect("an interpreter").markers.python_full_version
}

#[test]
fn without_a_request_the_first_supported_on_path_is_taken() {
    let machine = Machine::new();
    machine.python("first/python3", "3.7.16");
    machine.python("second/python", "3.10.4");
    machine.python("second/python3.13", "3.13.1");
    machine.python("root/usr/bin/python3", "3.14.0");
    let machine = machine.path(&["missing", "first", "second"]);
    assert_eq!(version_of(find_on(&machine, None)), "3.10.4");
}

#[test]
fn with_nothing_on_path_the_newest_release_elsewhere_is_taken() {
    let machine = Machine::new();
    machine.python("root/usr/bin/python3", "3.9.2");
    machine.python("root/usr/local/bin/python3.14", "3.14.0rc1");
    machine.python("root/opt/python3.11/bin/python3", "3.11.8");
    machine.python("home/.pyenv/versions/3.12.1/bin/python3", "3.12.1");
    machine.python("home/.pyenv/versions/3.7.9/bin/python3", "3.7.9");
    machine.python(
        "home/.local/share/uv/python/cpython-3.10/bin/python3",
        "3.10.9",
    );
    machine.python("home/miniforge3/bin/python3", "3.12.0");
    assert_eq!(version_of(find_on(&machine, None)), "3.12.1");
    assert_eq!(version_of(find_on(&machine, Some("3.9"))), "3.9.2");
    assert_eq!(version_of(find_on(&machine, Some("3.10"))), "3.10.9");
    assert_eq!(version_of(find_on(&machine, Some("3.11"))), "3.11.8");
    assert_eq!(version_of(find_on(&machine, Some("3.12.0"))), "3.12.0");
    assert_eq!(version_of(find_on(&machine, Some("3.14"))), "3.14.0rc1");
    assert_eq!(
        version_of(find_on(&machine, Some(">=3.10,<3.12"))),
        "3.11.8"
    );
}

#[test]
fn a_version_is_looked_for_on_path_first() {
    let machine = Machine::new();
    machine.python("bin/python3", "3.12.3");
    machine.python("bin/python3.9", "3.9.1");
    machine.python("home/.pyenv/versions/3.9.18/bin/python3", "3.9.18");
    let machine = machine.path(&["bin"]);
    assert_eq!(version_of(find_on(&machine, Some("3.9"))), "3.9.1");
    assert_eq!(version_of(find_on(&machine, Some("3.9.18"))), "3.9.18");
    assert_eq!(
        version_of(find_on(&machine, Some("cpython@3.12"))),
        "3.12.3"
    );
}

#[test]
fn requires_python_narrows_the_choice() {
    let machine = Machine::new();
    machine.python("bin/python3", "3.12.3");
    machine.python("root/usr/bin/python3", "3.9.2");
    let machine = machine.path(&["bin"]);
    let old: VersionSpecifiers = "<3.10".parse().expect("a range");
    let found = |text: Option<&str>| {
        let request = text.map(request);
        find(
            request.as_ref(),
            Some(&old),
            &machine.search(),
            &machine.cache(),
        )
    };
    assert_eq!(version_of(found(None)), "3.9.2");
    assert_eq!(version_of(found(Some("3"))), "3.9.2");
    let error = found(Some("3.12")).expect_err("none fits both");
    assert_eq!(
        error.to_string(),
        "found no Python 3.12 that satisfies requires-python `<3.10`"
    );
    let chosen = machine.at("bin/python3");
    let error = found(Some(chosen.to_str().expect("text"))).expect_err("it does not fit");
    assert_eq!(
        error.to_string(),
        format!(
            "{} is Python 3.12.3, and the project requires <3.10",
            chosen.display()
        )
    );
}

#[test]
fn a_path_may_name_an_executable_or_an_environment() {
    let machine = Machine::new();
    machine.python("somewhere/custom-name", "3.11.1");
    machine.python("project/venv/bin/python", "3.10.1");
    machine.python("home/py/bin/python3", "3.9.1");
    let absolute = machine.at("somewhere/custom-name");
    for (text, version) in [
        (absolute.to_str().expect("text"), "3.11.1"),
        ("../somewhere/custom-name", "3.11.1"),
        ("./venv", "3.10.1"),
        ("venv/bin/python", "3.10.1"),
        ("venv", "3.10.1"),
        ("~/py", "3.9.1"),
    ] {
        assert_eq!(version_of(find_on(&machine, Some(text))), version, "{text}");
    }
    let error = find_on(&machine, Some("./nothing")).expect_err("nothing is there");
    assert!(matches!(error, FindError::NoSuchPath { .. }), "{error:?}");
}

#[test]
fn a_name_is_an_executable_on_path_or_a_version_of_pyenv() {
    let machine = Machine::new();
    machine.python("bin/mypython", "3.11.1");
    machine.python("home/.pyenv/versions/my-env/bin/python", "3.9.9");
    let machine = machine.path(&["bin"]);
    assert_eq!(version_of(find_on(&machine, Some("mypython"))), "3.11.1");
    assert_eq!(version_of(find_on(&machine, Some("my-env"))), "3.9.9");
    let error = find_on(&machine, Some("nobody")).expect_err("no such name");
    assert_eq!(error.to_string(), "found no `nobody`");
}

#[test]
fn a_version_that_is_not_supported_is_refused_with_version_and_range() {
    let machine = Machine::new();
    machine.python("bin/python3", "3.6.15");
    machine.python("bin/python3.12", "3.12.1");
    let machine = machine.path(&["bin"]);
    let old = machine.at("bin/python3");
    let error = find_on(&machine, Some(old.to_str().expect("text"))).expect_err("too old");
    assert_eq!(
        error.to_string(),
        format!(
            "{} is cpython 3.6.15, and environments are made for CPython 3.8 to 3.14",
            old.display()
        )
    );
    let error = find_on(&machine, Some("3.6")).expect_err("too old");
    assert_eq!(error.to_string(), "found no Python 3.6");
    let hints = error.hints().join("\n");
    assert!(
        hints.contains(&format!("cpython 3.6.15 ({})", old.display())),
        "{hints}"
    );
    assert!(hints.contains("3.12.1 ("), "{hints}");
    assert!(hints.contains("CPython 3.8 to 3.14"), "{hints}");
}

#[test]
fn with_no_python_at_all_the_error_says_so() {
    let error = find_on(&Machine::new(), None).expect_err("nothing is there");
    assert_eq!(error.to_string(), "found no CPython");
    assert!(error.hints()[0].contains("--python /path/to/python"));
}

#[test]
fn free_threaded_builds_are_taken_only_when_asked_for() {
    let machine = Machine::new();
    machine.free_threaded("bin/python3", "3.13.2");
    machine.python("root/usr/bin/python3", "3.9.2");
    let machine = machine.path(&["bin"]);
    assert_eq!(version_of(find_on(&machine, None)), "3.9.2");
    assert!(matches!(
        find_on(&machine, Some("3.13")),
        Err(FindError::NotFound { .. })
    ));
    assert_eq!(version_of(find_on(&machine, Some("3.13t"))), "3.13.2");
    let path = machine.at("bin/python3");
    assert_eq!(version_of(find_on(&machine, path.to_str())), "3.13.2");
}

#[test]
fn a_version_file_decides_where_nothing_is_asked_for() {
    let machine = Machine::new();
    machine.python("bin/python3", "3.12.3");
    machine.python("root/usr/bin/python3", "3.9.2");
    let machine = machine.path(&["bin"]);
    let file = machine.at("project/.python-version");
    for (text, version) in [
        ("3.9\n", "3.9.2"),
        ("# chosen with care\n\n  3.9 # really\n", "3.9.2"),
        ("3.8.1\n3.9\n3.12\n", "3.9.2"),
        ("system\n", "3.12.3"),
        ("\n", "3.12.3"),
        ("../root/usr/bin/python3\n", "3.9.2"),
    ] {
        fs::write(&file, text).expect("a file");
        assert_eq!(version_of(find_on(&machine, None)), version, "{text:?}");
        assert_eq!(
            version_of(find_on(&machine, Some("3.12"))),
            "3.12.3",
            "{text:?}"
        );
    }
    fs::write(&file, "3.8\n3.7\n").expect("a file");
    let error = find_on(&machine, None).expect_err("neither is there");
    assert_eq!(
        error.to_string(),
        format!("found no Python 3.8, which {} asks for", file.display())
    );
    fs::write(&file, "pypy3.10\n").expect("a file");
    let error = find_on(&machine, None).expect_err("not supported");
    assert!(matches!(error, FindError::VersionLine { .. }), "{error:?}");
    fs::write(&file, b"\xff\xfe").expect("a file");
    let error = find_on(&machine, None).expect_err("no text");
    assert!(matches!(error, FindError::VersionFile { .. }), "{error:?}");
}

#[test]
fn a_version_file_names_no_program_of_the_project() {
    let machine = Machine::new();
    machine.python("bin/python3", "3.12.3");
    machine.python("project/bin/python3", "3.11.2");
    machine.python("elsewhere/bin/python3", "3.10.1");
    let machine = machine.path(&["bin"]);
    symlink(machine.at("project"), machine.at("other-name")).expect("linked");
    symlink(machine.at("elsewhere"), machine.at("project/led")).expect("linked");
    let file = machine.at("project/.python-version");
    for text in [
        "./bin/python3",
        ".",
        "../project/bin/python3",
        "../elsewhere/../project/bin/python3",
        "../other-name/bin/python3",
        // A link that a program could have made lead elsewhere a moment ago.
        "led/bin/python3",
        "led",
    ] {
        fs::write(&file, text).expect("a file");
        let error = find_on(&machine, None).expect_err("of the project");
        assert!(matches!(error, FindError::Inside { .. }), "{text}: {error}");
    }
    // Who says it is heard.
    let path = machine.at("project/bin/python3");
    assert_eq!(version_of(find_on(&machine, path.to_str())), "3.11.2");
    fs::write(&file, "../elsewhere").expect("a file");
    assert_eq!(version_of(find_on(&machine, None)), "3.10.1");
}

#[test]
fn shims_of_pyenv_are_answered_from_its_files() {
    let machine = Machine::new();
    machine.script("home/.pyenv/shims/python3", "echo never run >&2; exit 1");
    for version in ["3.9.18", "3.11.2", "3.11.10", "3.12.1"] {
        machine.python(
            &format!("home/.pyenv/versions/{version}/bin/python3"),
            version,
        );
    }
    machine.python("bin/python3", "3.10.1");
    let machine = machine.path(&["home/.pyenv/shims", "bin"]);
    let global = machine.at("home/.pyenv/version");
    for (text, version) in [
        ("3.9.18\n", "3.9.18"),
        ("3.11\n3.9.18\n", "3.11.10"),
        ("system\n", "3.10.1"),
        ("nonsense\n", "3.10.1"),
        ("../../../bin\n", "3.10.1"),
    ] {
        fs::write(&global, text).expect("a file");
        assert_eq!(version_of(find_on(&machine, None)), version, "{text:?}");
    }
    let mut search = machine.search();
    search.pyenv_version = Some("3.12.1:3.9.18".to_owned());
    let found = find(None, None, &search, &machine.cache());
    assert_eq!(version_of(found), "3.12.1");
}

#[test]
fn an_environment_on_path_stands_for_its_base() {
    let machine = Machine::new();
    machine.python("base/python3.11", "3.11.4");
    for (name, config) in [
        ("venv", "home = BASE\nversion = 3.11.4\n"),
        (
            "virtualenv",
            "base-executable = BASE/python3.11\nhome = /gone\n",
        ),
        ("nested", "HOME=VENV/bin\nversion_info = 3.11.4.final.0\n"),
    ] {
        machine.script(&format!("{name}/bin/python3"), "echo never run >&2; exit 1");
        let base = machine.at("base").display().to_string();
        let venv = machine.at("venv").display().to_string();
        machine.write(
            &format!("{name}/pyvenv.cfg"),
            &config.replace("BASE", &base).replace("VENV", &venv),
        );
        let machine = machine.path(&[&format!("{name}/bin")]);
        let found = find_on(&machine, None).expect("the base");
        assert_eq!(found.executable, machine.at("base/python3.11"), "{name}");
    }
}

#[test]
fn an_environment_without_its_base_is_passed_over() {
    let machine = Machine::new();
    machine.script("venv/bin/python3", "exit 1");
    machine.write("venv/pyvenv.cfg", "home = /gone/bin\n");
    machine.script("self/bin/python3", "exit 1");
    let own = machine.at("self/bin").display().to_string();
    machine.write("self/pyvenv.cfg", &format!("home = {own}\n"));
    machine.python("bin/python3", "3.10.1");
    let machine = machine.path(&["venv/bin", "self/bin", "bin"]);
    assert_eq!(version_of(find_on(&machine, None)), "3.10.1");
    let error = find_on(&machine, Some("../venv")).expect_err("it was asked for");
    assert!(
        matches!(error, FindError::Probe(ProbeError::Base { .. })),
        "{error:?}"
    );
}

#[test]
fn programs_that_only_look_like_python_are_passed_over_and_told_when_asked_for() {
    let machine = Machine::new();
    machine.script("failing/python3", "echo 'boom' >&2; exit 7");
    machine.script("garbage/python3", "echo hello; echo oops >&2");
    machine.script(
        "partial/python3",
        r#"echo '{"implementation":"cpython","version":"3.12.1","interpreter":{}}'"#,
    );
    machine.script("silent/python3", "exit 0");
    machine.write("text/python3", "not executable");
    machine.script("binary/python3", "");
    machine.write("binary/python3", "\u{1}\u{2}");
    machine.python("bin/python3", "3.10.1");
    let folders = ["failing", "garbage", "partial", "silent", "text", "binary"];
    let machine = machine.path(&[&folders[..], &["bin"]].concat());
    assert_eq!(version_of(find_on(&machine, None)), "3.10.1");
    let error = |folder: &str| {
        find_on(&machine, Some(&format!("../{folder}/python3")))
            .expect_err(folder)
            .to_string()
    };
    assert!(error("failing").ends_with("is no working Python (exit status: 7): boom"));
    assert!(error("garbage").ends_with("did not answer as a Python does: oops"));
    assert!(error("partial").ends_with("did not answer as a Python does"));
    assert!(error("silent").ends_with("did not answer as a Python does"));
    assert!(error("binary").starts_with("cannot run "));
}

#[test]
fn answers_that_would_lead_out_of_an_environment_are_refused() {
    let machine = Machine::new();
    for (number, purelib) in ["/etc", "../x", "lib/../../x", ""].into_iter().enumerate() {
        let name = format!("bad{number}/python3");
        machine.edited(&name, "3.12.1", |answer| {
            answer["scheme"]["purelib"] = purelib.into();
        });
        let error = find_on(&machine, Some(&format!("../{name}"))).expect_err(purelib);
        assert!(
            matches!(error, FindError::Probe(ProbeError::Scheme { .. })),
            "{error:?}"
        );
    }
    machine.edited("bad/python3", "3.12.1", |answer| {
        answer["markers"]["python_full_version"] = "new".into();
    });
    let error = find_on(&machine, Some("../bad/python3")).expect_err("no version");
    assert!(
        matches!(error, FindError::Probe(ProbeError::Senseless { .. })),
        "{error:?}"
    );
}

#[test]
fn an_interpreter_is_asked_once_until_it_changes() {
    let machine = Machine::new();
    machine.python("bin/python3", "3.12.1");
    let machine = machine.path(&["bin"]);
    assert_eq!(version_of(find_on(&machine, None)), "3.12.1");
    assert_eq!(version_of(find_on(&machine, None)), "3.12.1");
    assert_eq!(machine.runs("bin/python3"), 1);

    machine.python("bin/python3", "3.12.10");
    assert_eq!(version_of(find_on(&machine, None)), "3.12.10");
    assert_eq!(machine.runs("bin/python3"), 2);

    for entry in fs::read_dir(machine.at("cache/interpreters-v2")).expect("entries") {
        fs::write(entry.expect("an entry").path(), "{ damaged").expect("a file");
    }
    assert_eq!(version_of(find_on(&machine, None)), "3.12.10");
    assert_eq!(version_of(find_on(&machine, None)), "3.12.10");
    assert_eq!(machine.runs("bin/python3"), 3);
}

#[test]
fn a_cache_that_cannot_be_written_only_costs_time() {
    let machine = Machine::new();
    machine.python("bin/python3", "3.12.1");
    machine.write("cache", "a file where the folder should be");
    let machine = machine.path(&["bin"]);
    assert_eq!(version_of(find_on(&machine, None)), "3.12.1");
    assert_eq!(version_of(find_on(&machine, None)), "3.12.1");
    assert_eq!(machine.runs("bin/python3"), 2);
}

#[test]
fn the_choice_of_a_wrapper_is_not_remembered() {
    let machine = Machine::new();
    machine.python("one/python3", "3.11.1");
    machine.python("two/python3", "3.12.2");
    let root = machine.at("").display().to_string();
    machine.script(
        "bin/python3",
        &format!("cd {root}; exec \"$PWD/$(cat bin/choice)/python3\" \"$@\""),
    );
    let machine = machine.path(&["bin"]);
    for (choice, version) in [("one", "3.11.1"), ("two", "3.12.2"), ("one", "3.11.1")] {
        machine.write("bin/choice", choice);
        let found = find_on(&machine, None).expect("the choice");
        assert_eq!(found.markers.python_full_version, version);
        assert_eq!(found.executable, machine.at(&format!("{choice}/python3")));
    }
}

#[test]
fn links_are_kept_in_the_path_of_the_executable() {
    let machine = Machine::new();
    machine.python("real/python3.12", "3.12.1");
    fs::create_dir(machine.at("bin")).expect("a folder");
    symlink(machine.at("real/python3.12"), machine.at("bin/python3")).expect("a link");
    let machine = machine.path(&["bin"]);
    let found = find_on(&machine, None).expect("the linked one");
    assert_eq!(found.executable, machine.at("bin/python3"));
}

#[test]
fn all_are_listed_once_with_what_is_wrong_with_them() {
    let machine = Machine::new();
    machine.python("bin/python3", "3.12.3");
    symlink("python3", machine.at("bin/python3.12")).expect("a link");
    machine.python("bin/python", "3.6.1");
    machine.script("broken/python3", "exit 1");
    machine.python("home/.pyenv/versions/3.9.18/bin/python3", "3.9.18");
    machine.python("root/usr/bin/python3.8", "3.8.1");
    let machine = machine.path(&["bin", "broken"]);
    let lines: Vec<String> = find_all(&machine.search(), &machine.cache())
        .iter()
        .map(|found| {
            let state = match &found.state {
                FoundState::Usable(python) => python.markers.python_full_version.clone(),
                FoundState::Unsupported { version, .. } => format!("unsupported {version}"),
                FoundState::Broken(_) => "broken".to_owned(),
            };
            let path = found
                .path
                .strip_prefix(machine.at(""))
                .expect("inside")
                .display();
            format!("{path} {} {state}", found.source)
        })
        .collect();
    assert_eq!(
        lines,
        [
            "bin/python3 PATH 3.12.3",
            "bin/python PATH unsupported 3.6.1",
            "broken/python3 PATH broken",
            "home/.pyenv/versions/3.9.18/bin/python3 pyenv 3.9.18",
            "root/usr/bin/python3.8 system 3.8.1",
        ]
    );
}

#[test]
fn the_default_index_is_asked_for_once_and_must_be_a_url() {
    let machine = Machine::new();
    machine.python("bin/python3", "3.12.1");
    let machine = machine.path(&["bin"]);
    let python = find_on(&machine, None).expect("the fake");
    let cache = machine.cache();
    assert_eq!(
        cache.default_index(&python),
        None,
        "the fake says nothing yet"
    );
    for nonsense in ["file:///etc/passwd", "hello", "javascript:x"] {
        machine.write("bin/index", nonsense);
        assert_eq!(cache.default_index(&python), None, "{nonsense}");
    }
    machine.write("bin/index", "https://index.example/simple/");
    let index = Some("https://index.example/simple/".to_owned());
    assert_eq!(cache.default_index(&python), index);
    machine.write("bin/index", "https://other.example/simple/");
    assert_eq!(cache.default_index(&python), index, "remembered");
}
