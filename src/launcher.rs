//! The Python, or another program, of an environment whose view is not mounted:
//! `live/<env>/bin/python` on disk leads to this executable, and `live/<env>/bin/TOOL` to `python`
//! beside it (`engine/skeleton.rs`). It has the daemon show the environment, goes to where that is
//! seen ([`namespace`]) and runs the same path again, which then leads to the interpreter or the program itself.
//!
//! The home is told from the path that was used, not from variables: what is found at
//! `H/live/demo/bin/python` belongs to home `H`. If the path still leads to ourselves after the
//! daemon said that the environment is shown, running it again would never end; that is an error.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use blast_types::{EnvName, Event};

use crate::engine::skeleton::PROGRAM_TARGET;
use crate::env_vars;
use crate::error::{Error, Kind};
use crate::exit_code::Exit;
use crate::ipc::client::Client;
use crate::ipc::paths::Places;
use crate::ipc::protocol::{Reply, Request};
use crate::namespace;
use crate::settings::Settings;
use crate::ui::{Level, Printer};

/// A link to a link to …: as deep as anybody would nest, and never round in circles.
const DEEPEST: usize = 8;

/// The name under which the command line is found; no program of an environment is looked for under
/// that name alone.
const OUR_NAME: &str = "blast";

/// Whether this process was started under the name of a Python, or as a program of an environment.
pub(crate) fn is_meant(name: Option<&OsString>) -> bool {
    let Some(name) = name else {
        return false;
    };
    is_python(name)
        || name != OUR_NAME
            && located(name, env::var_os(env_vars::PATH).as_deref())
                .is_some_and(|path| program(&path).is_some())
}

fn is_python(name: &OsStr) -> bool {
    let name = Path::new(name).file_name();
    name.is_some_and(|name| name.as_encoded_bytes().starts_with(b"python"))
}

/// The program of an environment that this path is or leads to, by links of the user's own.
fn program(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..DEEPEST {
        let target = fs::read_link(&path).ok()?;
        if target == Path::new(PROGRAM_TARGET) && owner(&path).is_some() {
            return Some(path);
        }
        path = path.parent()?.join(target);
    }
    None
}

/// Shows the environment and becomes its Python. Returns only if that fails.
pub(crate) fn run(words: &[OsString]) -> Result<Exit, Error> {
    let name = words.first().map_or_else(OsString::new, Clone::clone);
    let path = located(&name, env::var_os(env_vars::PATH).as_deref())
        .ok_or_else(|| not_ours(Path::new(&name)))?;
    let path = program(&path).unwrap_or(path);
    let (home, env) = owner(&path).ok_or_else(|| not_ours(&path))?;
    let mut places = Places::new(|variable| env::var_os(variable))?;
    places.home = home;
    let command: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let request = Request::Enter {
        env: env.clone(),
        pin: false,
    };
    let settings = Settings::load(|variable| env::var_os(variable))?;
    let printer = Printer::new(Level::Normal, None);
    let mut tell = |event: &Event| {
        if let Event::Warning { message } = event {
            printer.warn(message);
        }
    };
    let client = Client::new(places, settings.view, &command);
    let Reply::Entered { place } = client.ask(request, &mut tell)? else {
        return Err(Error::unexpected_reply());
    };
    namespace::follow(&place)?;
    if is_this_executable(&path) {
        return Err(Error::new(
            Kind::CommandNotExecutable,
            format!(
                "environment {env} is not shown, so {} cannot be run",
                path.display()
            ),
        )
        .hint("run `blast doctor`"));
    }
    let failed = Command::new(&path)
        .arg0(&name)
        .args(words.iter().skip(1))
        .exec();
    Err(Error::new(
        Kind::CommandNotExecutable,
        format!("cannot execute {}", path.display()),
    )
    .caused_by(&failed))
}

fn not_ours(path: &Path) -> Error {
    Error::new(
        Kind::CommandNotFound,
        format!(
            "{} is no Python or program of one: it belongs to no environment of blast",
            path.display()
        ),
    )
    .hint("list the environments with `blast envs`")
}

/// Where a program of this name was found, links kept.
fn located(name: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    let given = Path::new(name);
    if name.as_encoded_bytes().contains(&b'/') {
        return std::path::absolute(given).ok();
    }
    env::split_paths(path?)
        .map(|folder| folder.join(given))
        .find(|candidate| is_this_executable(candidate))
        .and_then(|found| std::path::absolute(found).ok())
}

/// The home and environment that `…/live/<env>/bin/python` belongs to.
fn owner(python: &Path) -> Option<(PathBuf, EnvName)> {
    owner_of(python.parent()?.parent()?)
}

/// The home and environment of the prefix `…/live/<env>`, which may be a link, as a project's `.venv`
/// is.
pub(crate) fn owner_of(prefix: &Path) -> Option<(PathBuf, EnvName)> {
    let mut prefix = prefix.to_owned();
    for _ in 0..DEEPEST {
        if let Some(live) = prefix.parent()
            && live.file_name() == Some(OsStr::new("live"))
            && let Some(env) = prefix.file_name().and_then(OsStr::to_str)
        {
            return Some((live.parent()?.to_owned(), env.parse().ok()?));
        }
        let target = fs::read_link(&prefix).ok()?;
        prefix = prefix.parent()?.join(target);
    }
    None
}

fn is_this_executable(path: &Path) -> bool {
    let of = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    matches!((of(path), of(Path::new("/proc/self/exe"))), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_the_name_of_a_python_is_meant() {
        for (name, meant) in [
            ("python", true),
            ("/a/live/demo/bin/python3.12", true),
            ("blast", false),
            ("/python/blast", false),
        ] {
            assert_eq!(is_meant(Some(&name.into())), meant, "{name}");
        }
        assert!(!is_meant(None));
    }

    #[test]
    fn the_environment_is_told_from_the_path() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let root = folder.path();
        let demo = "demo".parse().expect("valid");
        let direct = root.join("home/live/demo/bin/python");
        assert_eq!(owner(&direct), Some((root.join("home"), demo)));
        let demo = "demo".parse().expect("valid");
        symlink(root.join("home/live/demo"), root.join(".venv")).expect("linked");
        assert_eq!(
            owner(&root.join(".venv/bin/python")),
            Some((root.join("home"), demo))
        );
        assert_eq!(owner(&root.join("other/bin/python")), None);
        symlink(root.join("loop"), root.join("loop")).expect("linked");
        assert_eq!(owner(&root.join("loop/bin/python")), None);
    }

    #[test]
    fn a_program_is_meant_by_its_link_to_python_in_an_environment() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let root = folder.path();
        let bin = root.join("home/live/demo/bin");
        fs::create_dir_all(&bin).expect("made");
        symlink("python", bin.join("tool")).expect("linked");
        symlink("elsewhere", bin.join("other")).expect("linked");
        symlink(root.join("home/live/demo"), root.join(".venv")).expect("linked");
        symlink(root.join(".venv/bin/tool"), root.join("mine")).expect("linked");
        symlink("python", root.join("stray")).expect("linked");
        let through = root.join(".venv/bin/tool");
        assert_eq!(program(&bin.join("tool")), Some(bin.join("tool")));
        assert_eq!(program(&root.join("mine")), Some(through.clone()));
        assert!(is_meant(Some(&through.into())));
        for path in [
            bin.join("other"),
            root.join("stray"),
            bin,
            root.join("none"),
        ] {
            assert!(!is_meant(Some(&path.clone().into())), "{}", path.display());
        }
    }

    #[test]
    fn a_bare_name_is_found_only_where_it_leads_to_us() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let [other, ours] = ["other", "ours"].map(|name| folder.path().join(name));
        for bin in [&other, &ours] {
            fs::create_dir(bin).expect("made");
        }
        fs::write(other.join("python"), "").expect("written");
        symlink(env::current_exe().expect("known"), ours.join("python")).expect("linked");
        let path = env::join_paths([&other, &ours]).expect("plain");
        assert_eq!(
            located(OsStr::new("python"), Some(&path)),
            Some(ours.join("python"))
        );
        assert_eq!(located(OsStr::new("python"), None), None);
    }
}
