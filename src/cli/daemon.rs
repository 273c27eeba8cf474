//! `blast daemon`: the background process itself. Two of its commands are hidden: `serve` and `hold`
//! are what blast starts in the background (see `ipc::launch`) and are no part of the command line.

use std::env;
use std::error::Error as StdError;
use std::ffi::OsString;
use std::io;

use nix::errno::Errno;
use nix::unistd::setsid;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use super::context::Context;
use super::options::JsonOption;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::launch;
use crate::ipc::paths::Places;
use crate::ipc::protocol::{Reply, Request, ViewChoice};
use crate::namespace::Serve;
use crate::{daemon, env_vars, holder, namespace};

/// What a process in the background is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The daemon.
    Serve,
    /// The holder.
    Hold,
    /// One that tries what a daemon could do.
    Try,
}

/// The role that these words, the first being our own name, give to this process.
pub(crate) fn role(words: &[OsString]) -> Option<Role> {
    match words {
        [_, words @ ..] if words == launch::DAEMON => Some(Role::Serve),
        [_, words @ ..] if words == launch::HOLDER => Some(Role::Hold),
        [_, words @ ..] if words == launch::NAMESPACE => Some(Role::Try),
        _ => None,
    }
}

/// Detaches from whoever started us, sets up the log, and plays the role to its end.
pub(crate) fn play(role: Role) -> Result<Exit, Error> {
    if role == Role::Try {
        return namespace::attempt();
    }
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
        // Where the log cannot be written, nor can what would be said of that: on a full disk it would end the thread.
        .log_internal_errors(false)
        .init();
    let places = Places::new(|name| env::var_os(name))?;
    match role {
        Role::Serve => serve(&places)?,
        Role::Hold => holder::run(&places).map_err(|error| shown(&error))?,
        Role::Try => {}
    }
    Ok(Exit::Ok)
}

fn serve(places: &Places) -> Result<(), Error> {
    // No other setting: a file that is broken meanwhile must not keep a daemon from coming back.
    let choice = env::var_os(env_vars::BLAST_VIEW).and_then(|word| ViewChoice::of(&word));
    if namespace::settle(places, choice.unwrap_or_default())? == Serve::Here {
        daemon::run(places).map_err(|error| shown(&error))?;
    }
    Ok(())
}

fn shown(error: &dyn StdError) -> Error {
    let shown = Error::internal(error.to_string());
    match error.source() {
        Some(source) => shown.caused_by(source),
        None => shown,
    }
}

/// Closes what the shell that started the first command had open: the process outlives it, and a
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

/// Look after the process in the background
///
/// It starts by itself with the first command that needs it, and ends by itself or by
/// `blast kill --all`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Restart(RestartArgs),
    Status(StatusArgs),
}

/// Put a new daemon in its place, as after an upgrade; environments stay mounted and usable
///
/// Programs that run in environments notice nothing where the kernel is Linux 6.9 or newer. Commands
/// under way are waited for.
#[derive(Debug, clap::Args)]
struct RestartArgs {
    /// Do not wait for commands under way, and not for a daemon that does not answer
    #[arg(long)]
    force: bool,
}

/// Say whether it runs; starts nothing. The exit status is 1 if it does not
#[derive(Debug, clap::Args)]
struct StatusArgs {
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Debug, Serialize)]
struct Document {
    running: bool,
    build: Option<String>,
    pid: Option<u32>,
    holder: Option<u32>,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    match &args.command {
        Command::Restart(args) => restart(args.force, context),
        Command::Status(args) => status(args.json, context),
    }
}

fn restart(force: bool, context: &Context) -> Result<Exit, Error> {
    context.printer.say(match context.client()?.restart(force)? {
        Some((old, new)) => format!(
            "the daemon was restarted: process {new} took over from {old}; nothing was unmounted"
        ),
        None => "the daemon is not running; it starts with the next command".to_owned(),
    });
    Ok(Exit::Ok)
}

fn status(json: JsonOption, context: &Context) -> Result<Exit, Error> {
    let (build, pid) = match context.client()?.ask_running(Request::Ping)? {
        Some(Reply::Pong { build, pid }) => (Some(build), Some(pid)),
        Some(_) => return Err(Error::unexpected_reply()),
        None => (None, None),
    };
    let document = Document {
        running: pid.is_some(),
        build,
        pid,
        holder: holder::process(context.places()?),
    };
    if json.json {
        context.printer.json(&document)?;
    } else {
        context.printer.data(&render(&document))?;
    }
    Ok(if document.running { Exit::Ok } else { Exit::No })
}

fn render(document: &Document) -> String {
    let daemon = match (&document.build, document.pid) {
        (Some(build), Some(pid)) => format!("daemon  blast {build}, process {pid}\n"),
        _ => "daemon  not running; it starts with the next command\n".to_owned(),
    };
    let holder = match document.holder {
        Some(pid) => format!("holder  process {pid}\n"),
        None => "holder  not running; it comes with the first mount\n".to_owned(),
    };
    daemon + &holder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_words_give_a_role() {
        let role_of = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(Into::into).collect();
            role(&words)
        };
        assert_eq!(role_of(&["blast", "daemon", "serve"]), Some(Role::Serve));
        assert_eq!(role_of(&["blast", "daemon", "hold"]), Some(Role::Hold));
        for words in [
            &["blast", "daemon"][..],
            &["blast", "daemon", "restart"],
            &["blast", "daemon", "serve", "--help"],
            &["daemon", "serve"],
        ] {
            assert_eq!(role_of(words), None, "{words:?}");
        }
    }

    #[test]
    fn status_says_what_is_not_there_too() {
        let mut document = Document {
            running: false,
            build: None,
            pid: None,
            holder: None,
        };
        insta::assert_snapshot!(render(&document), @r"
        daemon  not running; it starts with the next command
        holder  not running; it comes with the first mount
        ");
        document.build = Some("0.1.0".into());
        document.pid = Some(42);
        document.holder = Some(43);
        insta::assert_snapshot!(render(&document), @r"
        daemon  blast 0.1.0, process 42
        holder  process 43
        ");
    }
}
