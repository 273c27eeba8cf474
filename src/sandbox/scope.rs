//! A place where cgroups can be made, for who has none: a scope of the user's service manager.
//!
//! Where systemd starts everything, what a login runs is in a group of root's. The user's own manager (`user@.service`) has
//! a group that is the user's, and puts a process into a scope below it when `systemd-run --user --scope` asks for that
//! (systemd.resource-control(5), `Delegate=`); then it becomes the command that it was given. So this process, where a limit needs
//! a cgroup, begins again in such a scope. That takes some milliseconds, and nobody else waits for it.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use blast_sandbox::Cgroups;
use nix::unistd::Uid;

use crate::env_vars;
use crate::error::Error;
use crate::ipc::paths::Places;

/// Where systems have it. Not `PATH`, on which the programs of an environment are too.
const PROGRAM: [&str; 3] = [
    "/usr/bin/systemd-run",
    "/bin/systemd-run",
    "/run/current-system/sw/bin/systemd-run",
];

/// How a scope can be had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Manager {
    program: PathBuf,
    /// Where it listens: the user's runtime directory.
    runtime: PathBuf,
}

impl Manager {
    /// The manager, where this process can make no cgroups of version 2 and there is one.
    pub(crate) fn here(places: &Places) -> Option<Self> {
        let is_tried = env::var_os(env_vars::BLAST_SCOPE).is_some();
        // Root has the groups themselves.
        if is_tried || Uid::effective().is_root() || Cgroups::find() != Cgroups::None {
            return None;
        }
        Self::of(Path::new("/"), places.runtime.parent()?)
    }

    /// The same of a system whose root is here.
    fn of(root: &Path, runtime: &Path) -> Option<Self> {
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        let is_unified = below("/sys/fs/cgroup/cgroup.controllers").exists();
        let listens = runtime.join("systemd/private").metadata();
        let program = PROGRAM.map(below).into_iter().find(|path| path.is_file())?;
        (is_unified && listens.is_ok_and(|found| found.file_type().is_socket())).then(|| Self {
            program,
            runtime: runtime.to_owned(),
        })
    }

    /// Begins this command again in a scope; comes back only if that fails.
    pub(crate) fn begin_again(&self) -> Error {
        let words: Vec<OsString> = env::args_os().collect();
        let [name, arguments @ ..] = words.as_slice() else {
            return Error::internal("this process was started without a name");
        };
        // As it was called: a path says which role is played; without one it was found on `PATH`.
        let program = if Path::new(name).components().count() > 1 {
            Ok(PathBuf::from(name))
        } else {
            env::current_exe()
        };
        let failed = match program {
            Ok(program) => Command::new(&self.program)
                .args(["--user", "--scope", "--quiet", "--collect"])
                .args(["--property=Delegate=yes", "--"])
                .arg(program)
                .args(arguments)
                .env(env_vars::BLAST_SCOPE, "1")
                .env(env_vars::XDG_RUNTIME_DIR, &self.runtime)
                .exec(),
            Err(error) => error,
        };
        Error::internal("the user's service manager cannot be asked for a cgroup")
            .caused_by(&failed)
            .hint("`--allow-degraded` goes on with what can be done without")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_manager_is_asked_where_it_listens_and_has_groups_to_give() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let (root, runtime) = (folder.path(), folder.path().join("run"));
        let found = || Manager::of(root, &runtime);
        let make = |path: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, "").expect("written");
        };
        make("sys/fs/cgroup/cgroup.controllers");
        make("bin/systemd-run");
        assert_eq!(found(), None, "nobody listens");
        make("run/systemd/notify");
        let _listener = UnixListener::bind(runtime.join("systemd/private")).expect("bound");
        let program = root.join("bin/systemd-run");
        assert_eq!(found().map(|manager| manager.program), Some(program));
        fs::remove_file(root.join("sys/fs/cgroup/cgroup.controllers")).expect("there");
        assert_eq!(found(), None, "version 1");
    }
}
