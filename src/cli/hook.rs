//! `blast hook`: lets `blast start` change the calling shell.

use super::context::Context;
use crate::activation::{self, Shell};
use crate::error::Error;
use crate::exit_code::Exit;

/// Print what lets `blast start` activate environments itself, for a shell's start-up file
///
/// For bash: put `eval "$(blast hook bash)"` into ~/.bashrc. For zsh: likewise into ~/.zshrc. For
/// fish: put `blast hook fish | source` into ~/.config/fish/config.fish.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let script = activation::hook(args.shell).ok_or_else(|| {
        Error::usage("this shell has no way to let a command change it")
            .hint("evaluate what `blast start NAME` prints yourself")
    })?;
    context.printer.data(script)?;
    Ok(Exit::Ok)
}
