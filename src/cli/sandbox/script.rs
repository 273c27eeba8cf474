//! The script that a command line names: who starts it by its path lets it be read.
//!
//! An editor runs helpers of its own by the Python of a project, from wherever it keeps them. They
//! find their modules beside themselves (`sys.path[0]`), so the script's directory is given, unless
//! that would give away more than a directory of scripts.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::interpreter::without_dots;

/// Directories that belong to everybody: of these, the script alone.
const SHARED: [&str; 8] = [
    "/", "/home", "/root", "/tmp", "/var", "/var/tmp", "/opt", "/srv",
];

/// What a Python is to read because it is told to run it: a directory, a file, or nothing. A link in what is worked in
/// gives nothing that it leads to: whoever ran before may have made it.
pub(super) fn given(
    command: &[OsString],
    directory: &Path,
    workplace: Option<&Path>,
) -> Option<PathBuf> {
    let [program, arguments @ ..] = command else {
        return None;
    };
    let name = Path::new(program).file_name()?.as_encoded_bytes();
    if !name.starts_with(b"python") {
        return None;
    }
    let named = directory.canonicalize().ok()?.join(script(arguments)?);
    let script = named.canonicalize().ok()?;
    let workplace = workplace.and_then(|path| path.canonicalize().ok());
    if workplace.is_some_and(|path| without_dots(&named).starts_with(path)) {
        return None;
    }
    if script.is_dir() {
        return Some(script);
    }
    let folder = script.parent()?;
    let home = env::home_dir().and_then(|home| home.canonicalize().ok());
    let is_shared = SHARED.iter().any(|shared| folder == Path::new(shared))
        || home.is_some_and(|home| home.starts_with(folder));
    Some(if is_shared { script } else { folder.to_owned() })
}

/// The first argument that is no option of Python's (its manual page, SYNOPSIS).
fn script(arguments: &[OsString]) -> Option<&OsStr> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let bytes = argument.as_encoded_bytes();
        if bytes == b"--" {
            return arguments.next().map(OsString::as_os_str);
        }
        if bytes == b"--check-hash-based-pycs" {
            arguments.next();
            continue;
        }
        if bytes.starts_with(b"--") {
            continue;
        }
        let Some(letters) = bytes
            .strip_prefix(b"-")
            .filter(|letters| !letters.is_empty())
        else {
            // `-` is standard input.
            return (bytes != b"-").then_some(argument);
        };
        for (index, letter) in letters.iter().enumerate() {
            match letter {
                // The rest is code, or the name of a module.
                b'c' | b'm' => return None,
                b'W' | b'X' => {
                    if index + 1 == letters.len() {
                        arguments.next();
                    }
                    break;
                }
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_script_is_the_first_argument_that_is_no_option() {
        for (arguments, found) in [
            ("a.py -c x", Some("a.py")),
            ("-I -B a.py", Some("a.py")),
            ("-IB -X dev -Wd a.py", Some("a.py")),
            ("-W ignore -Xutf8 a.py", Some("a.py")),
            ("-- -a.py", Some("-a.py")),
            ("--check-hash-based-pycs never a.py", Some("a.py")),
            ("-c pass a.py", None),
            ("-Ic pass a.py", None),
            ("-m module a.py", None),
            ("-", None),
            ("-V", None),
        ] {
            let words = words(arguments);
            assert_eq!(script(&words), found.map(OsStr::new), "{arguments}");
        }
    }

    #[test]
    fn a_script_is_given_with_its_directory_and_no_more() {
        let root = tempfile::tempdir().expect("temporary directory");
        let root = root.path().canonicalize().expect("there");
        let folder = root.join("helpers");
        fs::create_dir(&folder).expect("possible");
        fs::write(folder.join("a.py"), "").expect("possible");
        let of = |program: &str, script: &Path| {
            given(&[program.into(), script.into()], Path::new("/"), None)
        };
        assert_eq!(of("/x/python3", &folder.join("a.py")), Some(folder.clone()));
        assert_eq!(of("python", &folder), Some(folder.clone()));
        assert_eq!(of("python", &folder.join("none.py")), None);
        assert_eq!(of("sh", &folder.join("a.py")), None);
        let work = root.join("work");
        fs::create_dir(&work).expect("possible");
        std::os::unix::fs::symlink(&folder, work.join("led")).expect("linked");
        let from_work = |script: &str| given(&["python".into(), script.into()], &work, Some(&work));
        assert_eq!(from_work("led/a.py"), None);
        assert_eq!(from_work("../work/led/a.py"), None);
        assert_eq!(from_work("../helpers/a.py"), Some(folder));
    }
}
