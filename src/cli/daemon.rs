//! The hidden command `daemon`, which the client starts in the background (see
//! `ipc::launch`): detaches, sets up the log, serves.

use std::env;
use std::error::Error as _;
use std::io;

use nix::errno::Errno;
use nix::unistd::setsid;
use tracing_subscriber::EnvFilter;

use crate::daemon;
use crate::env_vars;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::paths::Places;

/// Serves until told to end.
pub(crate) fn run() -> Result<Exit, Error> {
    close_inherited()
        .map_err(|error| Error::internal("cannot see our open files").caused_by(&error))?;
    match setsid() {
        // EPERM: we lead a process group, so a session of our own is not to be had (started by
        // hand from a shell); serving works all the same.
        Ok(_) | Err(Errno::EPERM) => {}
        Err(error) => {
            return Err(Error::internal("cannot leave the terminal").caused_by(&error));
        }
    }
    let filter = EnvFilter::try_from_env(env_vars::BLAST_LOG)
        .unwrap_or_else(|_| EnvFilter::new("warn,blast=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
    let places = Places::new(|name| env::var_os(name))?;
    daemon::run(&places).map_err(|error| {
        let shown = Error::internal(error.to_string());
        match error.source() {
            Some(source) => shown.caused_by(source),
            None => shown,
        }
    })?;
    Ok(Exit::Ok)
}

/// Closes what the shell that started the first command had open: the daemon outlives it, and a
/// pipe that it holds would never end for whoever reads it.
fn close_inherited() -> io::Result<()> {
    let listed = std::fs::read_dir("/proc/self/fd")?;
    let open: Vec<i32> = listed
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&descriptor| descriptor > 2)
        .collect();
    for descriptor in open {
        // The one that listed the directory is closed already.
        nix::unistd::close(descriptor).ok();
    }
    Ok(())
}
