//! `blast view`: make sure that an environment is visible. Activation scripts call it first, so
//! that they work after a reboot; it is not meant for people.

use blast_types::EnvName;

use super::context::Context;
use super::options::EnvOption;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Reply, Request};

/// Make sure that an environment is visible and print its prefix
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The environment (default: the active one, else that of the project here)
    #[arg(conflicts_with = "env")]
    name: Option<EnvName>,
    #[command(flatten)]
    env: EnvOption,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let env = match &args.name {
        Some(name) => name.clone(),
        None => context.env(&args.env)?,
    };
    let Reply::Entered { place } = context.ask(Request::Enter { env, pin: false })? else {
        return Err(Error::unexpected_reply());
    };
    context
        .printer
        .data(&format!("{}\n", place.prefix.display()))?;
    Ok(Exit::Ok)
}
