//! Where the view is mounted when `fusermount3` is missing: in namespaces of blast's own, which the
//! daemon enters before it has a second thread, and which everything of blast then finds by its process.
//!
//! The holder is started by that daemon, and so inside; daemons that follow go where the holder is. What
//! is run in an environment (`blast run`, the launcher) enters there and is then executed by the same
//! path. Other programs see the skeletons only. When the last process inside ends, nothing is left.

use std::process::{Command, Stdio};

use blast_fs::{MountError, namespace};

use crate::error::Error;
use crate::exit_code::Exit;
use crate::holder;
use crate::ipc::launch;
use crate::ipc::paths::Places;
use crate::ipc::protocol::{Place, ViewChoice};
use crate::ui::{Level, Printer};

/// Whether a process that shall serve does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serve {
    /// It is where it can.
    Here,
    /// It is inside and cannot get the right to mount: the holder starts one that has it.
    Not,
}

/// Brings a daemon, which must have one thread, to where it can mount. `choice` is what was asked for
/// when it was started.
pub(crate) fn settle(places: &Places, choice: ViewChoice) -> Result<Serve, Error> {
    if nix::unistd::geteuid().is_root() {
        return Ok(Serve::Here);
    }
    namespace::keep_lent()
        .map_err(|error| Error::internal("cannot keep the right to mount").caused_by(&error))?;
    if let Some(holder) = holder::process(places) {
        return Ok(follow_holder(holder));
    }
    let is_helper_missing = matches!(blast_fs::host_support().reason, Some(MountError::NoHelper));
    if choice != ViewChoice::Files && is_helper_missing && try_apart().is_ok() {
        namespace::enter().map_err(|error| Error::internal(error.to_string()).caused_by(&error))?;
    }
    Ok(Serve::Here)
}

fn follow_holder(holder: u32) -> Serve {
    if namespace::is_shared_with(holder).unwrap_or(true) {
        let lacks = namespace::is_mounter(holder) && !namespace::is_inside();
        return if lacks { Serve::Not } else { Serve::Here };
    }
    if let Err(error) = namespace::join_to_mount(holder) {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the mounts of the holder are out of reach");
    }
    Serve::Here
}

/// Whether a view can be mounted in a namespace; tried by a process that ends with it.
///
/// # Errors
///
/// Why not, in words.
pub(crate) fn try_apart() -> Result<(), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let program = launch::executable().map_err(|error| error.message)?;
    let output = Command::new(program)
        .args(launch::NAMESPACE)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|error| words(&error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Err(if said.is_empty() {
        words(&output.status)
    } else {
        said
    })
}

/// The process that [`try_apart`] starts.
pub(crate) fn attempt() -> Result<Exit, Error> {
    let Err(error) = namespace::attempt() else {
        return Ok(Exit::Ok);
    };
    let source = std::error::Error::source(&error);
    let behind = source.map(|source| format!(": {source}"));
    let printer = Printer::new(Level::Normal, None);
    printer.data(&format!("{error}{}\n", behind.unwrap_or_default()))?;
    Ok(Exit::No)
}

/// Brings this process, which is about to become a program, to where an environment is seen.
pub(crate) fn follow(place: &Place) -> Result<(), Error> {
    let Some(process) = place.namespace else {
        return Ok(());
    };
    // A program that was started there starts another; a skeleton has no packages.
    if place.prefix.join(&place.site_packages).is_dir() {
        return Ok(());
    }
    namespace::join(process).map_err(|error| {
        Error::internal(error.to_string())
            .caused_by(&error)
            .hint("run the command again: the daemon may just have been replaced")
            .hint("run `blast doctor`")
    })
}
