//! What the Python of an environment is, seen from outside: this executable, which puts the interpreter into the sandbox of
//! the environment.
//!
//! In the view, `live/<env>/bin/python` is a file whose first line names `HOME/enter`, which leads to this executable
//! (`engine/generated.rs`): so it is started as `enter PROGRAM ARGUMENT…`, by whoever runs that Python or a script of it. It
//! does what `blast run` does, and where the policy's level is `none` becomes the interpreter, which is given
//! the program's path as its name, from which it finds its `pyvenv.cfg` (PEP 405). Inside a sandbox the same path is the
//! interpreter itself.
//!
//! While the view is not mounted, `live/<env>/bin/python` on disk leads to this executable, and `live/<env>/bin/TOOL` to
//! `python` beside it (`engine/skeleton.rs`). It has the daemon show the environment, goes to where that is
//! seen ([`namespace`]) and runs the same path again, which is then what it is in the view.
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
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use crate::engine::skeleton::PROGRAM_TARGET;
use crate::engine::{ENTER, VENV_FILE};
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

/// The program that is to be run in a sandbox, and its arguments, where this process was started as a home's `enter`.
pub(crate) fn entered(words: &[OsString]) -> Option<(&Path, &[OsString])> {
    let [name, program, arguments @ ..] = words else {
        return None;
    };
    let is_enter = Path::new(name).file_name() == Some(OsStr::new(ENTER));
    is_enter.then_some((Path::new(program), arguments))
}

/// What a program of an environment belongs to.
pub(crate) enum Owner {
    /// An environment of a home; the program's path without links of the user's own.
    Environment(PathBuf, EnvName, PathBuf),
    /// A prefix that is somebody's own view of one: a kept state, or one that is written to. Nothing more
    /// is kept from its programs; this is the interpreter.
    Interpreter(PathBuf),
}

/// Whose program this is.
pub(crate) fn owner_of_program(path: &Path) -> Result<Owner, Error> {
    let mut path = std::path::absolute(path).map_err(|error| not_ours(path).caused_by(&error))?;
    for _ in 0..DEEPEST {
        let prefix = path.parent().and_then(Path::parent);
        let prefix = prefix.filter(|prefix| prefix.join(VENV_FILE).is_file());
        if let Some(prefix) = prefix {
            return match owner_of(prefix) {
                Some((home, env)) if !is_covered(prefix) => Ok(Owner::Environment(home, env, path)),
                _ => interpreter(prefix).map(Owner::Interpreter),
            };
        }
        let target = fs::read_link(&path).map_err(|_| not_ours(&path))?;
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    Err(not_ours(&path))
}

/// Whether something of ours is mounted over the tree itself (statx(2), Linux 5.8), by who runs the program.
fn is_covered(prefix: &Path) -> bool {
    let flags = AtFlags::empty();
    statx(CWD, prefix, flags, StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// The interpreter of the environment that a program belongs to.
pub(crate) fn interpreter_of(program: &Path) -> Result<PathBuf, Error> {
    let prefix = program.parent().and_then(Path::parent);
    interpreter(prefix.ok_or_else(|| not_ours(program))?)
}

/// The interpreter of a prefix, which its `pyvenv.cfg` names.
fn interpreter(prefix: &Path) -> Result<PathBuf, Error> {
    let path = prefix.join(VENV_FILE);
    let text = fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
    text.lines()
        .find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "executable").then(|| value.trim().into())
        })
        .ok_or_else(|| {
            Error::internal(format!("{} names no interpreter", path.display()))
                .hint("run `blast check`")
        })
}

/// Becomes the interpreter, under the name of an environment's program. Returns only if that fails.
pub(crate) fn become_interpreter(
    interpreter: &Path,
    program: &Path,
    arguments: &[OsString],
) -> Error {
    let failed = Command::new(interpreter)
        .arg0(program)
        .args(arguments)
        .exec();
    let kind = Kind::CommandNotExecutable;
    Error::new(kind, format!("cannot execute {}", interpreter.display()))
        .caused_by(&failed)
        .hint("the interpreter of an environment must stay where it is: `blast doctor` says more")
}

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
    let client = Client::new(places, settings.view, &command).with_writes(settings.writes);
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
