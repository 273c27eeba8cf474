//! A machine of one's own: directories where interpreters are looked for, and scripts that answer
//! as interpreters do.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::interpreter::{ProbeCache, Search};

/// The machine; clones share its directories and differ in their `PATH`.
pub(super) struct Machine {
    root: Rc<tempfile::TempDir>,
    path: OsString,
}

impl Machine {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        for folder in ["project", "home", "root"] {
            fs::create_dir(root.path().join(folder)).expect("a folder");
        }
        Self {
            root: Rc::new(root),
            path: OsString::new(),
        }
    }

    /// The same machine with these directories on `PATH`.
    pub(super) fn path(&self, folders: &[&str]) -> Self {
        let folders = folders.iter().map(|folder| self.at(folder));
        let path = std::env::join_paths(folders).expect("no colons");
        Self {
            root: Rc::clone(&self.root),
            path,
        }
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(super) fn cache(&self) -> ProbeCache {
        ProbeCache::new(&self.at("cache"))
    }

    pub(super) fn search(&self) -> Search {
        let home = Some(self.at("home"));
        let search = Search::new(self.path.clone(), self.at("project"), home, None);
        Search {
            root: self.at("root"),
            ..search
        }
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, text).expect("a file");
    }

    /// An executable shell script.
    pub(super) fn script(&self, path: &str, body: &str) {
        self.write(path, &format!("#!/bin/sh\n{body}\n"));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.at(path), mode).expect("a mode");
    }

    /// A fake `CPython`. It counts how often it runs; asked for the index of its pip it prints the
    /// file `index` beside it.
    pub(super) fn python(&self, path: &str, version: &str) {
        self.edited(path, version, |_| {});
    }

    /// One that was built without the global lock.
    pub(super) fn free_threaded(&self, path: &str, version: &str) {
        self.edited(path, version, |answer| {
            answer["platform"]["gil_disabled"] = true.into();
        });
    }

    /// One with an answer of its own.
    pub(super) fn edited(&self, path: &str, version: &str, edit: impl FnOnce(&mut Value)) {
        let mut printed = json!({ "implementation": "cpython", "version": version });
        let minor: u32 = version
            .split('.')
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("a minor");
        if minor >= 8 {
            let mut interpreter = answer(version, minor);
            // Filled in by the script, which knows by which name it was called.
            interpreter["executable"] = "EXECUTABLE".into();
            edit(&mut interpreter);
            printed["interpreter"] = interpreter;
        }
        let answer = printed.to_string().replace("EXECUTABLE", "'\"$0\"'");
        let folder = "folder=$(dirname \"$0\")";
        self.script(
            path,
            &format!(
                "{folder}\n\
                 case \"$*\" in *simple_url*) cat \"$folder/index\"; exit;; esac\n\
                 echo run >> \"$0.runs\"\n\
                 printf '%s' '{answer}'"
            ),
        );
    }

    /// How often a fake was asked what it is.
    pub(super) fn runs(&self, path: &str) -> usize {
        fs::read_to_string(self.at(&format!("{path}.runs"))).map_or(0, |runs| runs.lines().count())
    }
}

fn answer(version: &str, minor: u32) -> Value {
    let site = format!("lib/python3.{minor}/site-packages");
    json!({
        "markers": {
            "implementation_name": "cpython",
            "implementation_version": version,
            "os_name": "posix",
            "platform_machine": "x86_64",
            "platform_python_implementation": "CPython",
            "platform_release": "6.1",
            "platform_system": "Linux",
            "platform_version": "#1",
            "python_full_version": version,
            "python_version": format!("3.{minor}"),
            "sys_platform": "linux",
        },
        "platform": {
            "os": { "name": "manylinux", "major": 2, "minor": 36 },
            "arch": "x86_64",
            "gil_disabled": false,
            "debug": false,
        },
        "scheme": {
            "purelib": site,
            "platlib": site,
            "scripts": "bin",
            "data": "",
            "headers": format!("include/site/python3.{minor}"),
        },
        "cache_tag": format!("cpython-3{minor}"),
        "bytecode_magic": "cb0d0d0a",
        "externally_managed": false,
    })
}
