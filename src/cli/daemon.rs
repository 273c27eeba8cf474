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
