//! `blast kill`: stop showing environments, or end the daemon.

use blast_types::EnvName;

use super::context::Context;
use super::options::{DryRunOption, EnvOption};
use crate::error::{Error, Kind};
use crate::exit_code::Exit;
use crate::ipc::paths::Places;
use crate::ipc::protocol::{Reply, Request};
use crate::sandbox::{self, Of};

/// Stop showing an environment, or end everything of blast
///
/// Nothing is deleted: the next command that needs an environment shows it again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The environment (default: the active one, else that of the project here)
    #[arg(conflicts_with_all = ["all", "env"])]
    name: Option<EnvName>,
    /// Unmount everything and end the daemon
    #[arg(long, conflicts_with = "env")]
    all: bool,
    /// Even while programs use it; with `--all`, even if the daemon does not answer
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    dry_run: DryRunOption,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    if args.all && args.dry_run.dry_run {
        return would_end(context);
    }
    if args.all {
        return end(args.force, context);
    }
    let env = match &args.name {
        Some(name) => name.clone(),
        None => context.env(&args.env)?,
    };
    if args.dry_run.dry_run {
        return would_hide(&env, context);
    }
    let client = context.client_despite_settings()?;
    let of = Of::Environment(&client.places().home, &env);
    clear(client.places(), of, args.force)?;
    let request = Request::Hide {
        env: Some(env.clone()),
        force: args.force,
    };
    match context.client_despite_settings()?.ask_running(request)? {
        Some(Reply::Done) => context
            .printer
            .say(format!("environment {env} is no longer shown")),
        Some(_) => return Err(Error::unexpected_reply()),
        None => context
            .printer
            .say("nothing is shown: the daemon is not running"),
    }
    Ok(Exit::Ok)
}

fn would_hide(env: &EnvName, context: &Context) -> Result<Exit, Error> {
    let request = Request::Status {
        env: Some(env.clone()),
    };
    match context.client_despite_settings()?.ask_running(request)? {
        Some(_) => context
            .printer
            .data(&format!("would stop showing environment {env}\n"))?,
        None => context
            .printer
            .say("nothing is shown: the daemon is not running"),
    }
    Ok(Exit::Ok)
}

fn would_end(context: &Context) -> Result<Exit, Error> {
    let daemon = context
        .client_despite_settings()?
        .ask_running(Request::Ping)?;
    let live = context.places()?.live();
    let mounted = blast_fs::mount_state(&live) != blast_fs::MountState::NotMounted;
    if let Some(Reply::Pong { pid, .. }) = daemon {
        context
            .printer
            .data(&format!("would end the daemon (process {pid})\n"))?;
    } else if !mounted {
        context
            .printer
            .say("nothing to end: the daemon is not running");
    }
    if mounted {
        context
            .printer
            .data(&format!("would unmount {}\n", live.display()))?;
    }
    Ok(Exit::Ok)
}

/// Ends sandboxes, if nothing runs in them or force is meant.
fn clear(places: &Places, of: Of<'_>, force: bool) -> Result<(), Error> {
    if force {
        sandbox::end(places, of);
        return Ok(());
    }
    match sandbox::retire(places, of) {
        0 => Ok(()),
        count => Err(Error::new(
            Kind::No,
            format!("programs run in {count} of its sandboxes"),
        )
        .hint("`--force` ends them")),
    }
}

fn end(force: bool, context: &Context) -> Result<Exit, Error> {
    clear(context.client_despite_settings()?.places(), Of::User, force)?;
    let ended = context.client_despite_settings()?.shut_down(force)?;
    // A daemon that was killed could not unmount.
    let live = context.places()?.live();
    let reaped = blast_fs::reap(&live).map_err(|error| {
        Error::internal(format!("cannot unmount {}", live.display())).caused_by(&error)
    })?;
    context.printer.say(match (ended, reaped) {
        (true, _) => "the daemon has ended; nothing of blast is running or mounted",
        (false, true) => "a view that a daemon had left behind is unmounted",
        (false, false) => "nothing to end: the daemon is not running",
    });
    Ok(Exit::Ok)
}
