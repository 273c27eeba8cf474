//! Calls of the shim of pip, told from the words of a command: they are blast's own, which no sandbox is for, and from
//! which inside there would be no way to the daemon.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::activation::TOOLS;

/// What pip is to do, if the command is a call of the shim of the environment at this prefix.
pub(super) fn call(prefix: &Path, command: &[OsString]) -> Option<Vec<OsString>> {
    let [program, arguments @ ..] = command else {
        return None;
    };
    let tools = prefix.join(TOOLS);
    // The real pip takes its place where it is installed.
    if !tools.join("pip").is_file() {
        return None;
    }
    let name = Path::new(program);
    if is_pip(name.file_name()?) {
        let is_shim = name.components().count() == 1 || is_in(name, &tools);
        return is_shim.then(|| arguments.to_vec());
    }
    let is_python = name.file_name()?.as_encoded_bytes().starts_with(b"python");
    let is_ours = name.components().count() == 1 || is_in(name, &prefix.join("bin"));
    if !(is_python && is_ours) {
        return None;
    }
    let (first, rest) = arguments.split_first()?;
    if first == "-m" {
        let (module, rest) = rest.split_first()?;
        return (module == "pip").then(|| rest.to_vec());
    }
    let script = Path::new(first);
    (is_pip(script.file_name()?) && is_in(script, &tools)).then(|| rest.to_vec())
}

/// `pip`, `pip3`, `pip3.12`.
fn is_pip(name: &OsStr) -> bool {
    let rest = name.to_str().and_then(|name| name.strip_prefix("pip"));
    rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

fn is_in(script: &Path, folder: &Path) -> bool {
    let of = |path: &Path| path.canonicalize().ok();
    script
        .parent()
        .and_then(of)
        .is_some_and(|there| Some(there) == of(folder))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn said(prefix: &Path, words: &str) -> Option<String> {
        let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
        let rest = call(prefix, &words)?;
        Some(rest.join(OsStr::new(" ")).into_string().expect("text"))
    }

    #[test]
    fn calls_of_the_shim_are_told_from_those_of_another_pip() {
        let prefix = tempfile::tempdir().expect("temporary directory");
        let prefix = prefix.path();
        assert_eq!(said(prefix, "pip install six"), None, "there is no shim");
        let tools = prefix.join(TOOLS);
        fs::create_dir_all(&tools).expect("possible");
        fs::write(tools.join("pip"), "").expect("possible");
        let (tools, bin) = (tools.display(), prefix.join("bin"));
        fs::create_dir(&bin).expect("possible");
        let bin = bin.display();
        for command in [
            "pip install six".to_owned(),
            "pip3.12 install six".to_owned(),
            "python -m pip install six".to_owned(),
            format!("{bin}/python3 -m pip install six"),
            format!("{bin}/python {tools}/pip install six"),
            format!("{tools}/pip3 install six"),
        ] {
            assert_eq!(
                said(prefix, &command).as_deref(),
                Some("install six"),
                "{command}"
            );
        }
        for other in [
            "/usr/bin/pip install six",
            "pipx install six",
            "/x/bin/python -m pip install six",
            "python -m pipx install six",
            "python /usr/bin/pip install six",
            "python",
        ] {
            assert_eq!(said(prefix, other), None, "{other}");
        }
    }
}
