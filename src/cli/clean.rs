//! `blast clean`: free what nothing refers to.

use serde::Serialize;

use super::context::Context;
use super::options::{DryRunOption, JsonOption};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Reply, Request};
use crate::ui::units;

/// Free disk space that no environment, kept operation, snapshot or running program needs
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Forget older operations than the last so many of each environment, so that more can be
    /// freed (they can no longer be returned to)
    #[arg(long, value_name = "NUMBER")]
    keep: Option<usize>,
    #[command(flatten)]
    dry_run: DryRunOption,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Debug, Serialize)]
struct Document {
    dry_run: bool,
    objects: u64,
    bytes: u64,
    operations: u64,
    trees: u64,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let dry_run = args.dry_run.dry_run;
    let request = Request::Clean {
        dry_run,
        keep_operations: args.keep,
    };
    let Reply::Cleaned {
        objects,
        bytes,
        operations,
        trees,
    } = context.ask(request)?
    else {
        return Err(Error::unexpected_reply());
    };
    let document = Document {
        dry_run,
        objects,
        bytes,
        operations,
        trees,
    };
    if args.json.json {
        context.printer.json(&document)?;
    } else if dry_run {
        context.printer.data(&(document.sentence() + "\n"))?;
    } else {
        context.printer.say(document.sentence());
    }
    Ok(Exit::Ok)
}

impl Document {
    fn sentence(&self) -> String {
        if self.objects == 0 && self.operations == 0 && self.trees == 0 {
            return "nothing to free: all that is stored is in use".to_owned();
        }
        let count =
            |number, noun| units::count(usize::try_from(number).unwrap_or(usize::MAX), noun);
        let freed = if self.dry_run { "would free" } else { "freed" };
        let objects = count(self.objects, "object");
        let mut parts = vec![format!("{freed} {} ({objects})", units::bytes(self.bytes))];
        if self.operations > 0 {
            let operations = count(self.operations, "operation");
            let forgot = if self.dry_run {
                "would forget"
            } else {
                "forgot"
            };
            parts.push(format!("{forgot} {operations}"));
        }
        if self.trees > 0 {
            let trees = count(self.trees, "tree");
            let removed = if self.dry_run {
                "would remove"
            } else {
                "removed"
            };
            parts.push(format!("{removed} {trees} of plain files"));
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_is_told_with_its_tense() {
        let said = |dry_run, objects, operations, trees| {
            Document {
                dry_run,
                objects,
                bytes: 2_500_000,
                operations,
                trees,
            }
            .sentence()
        };
        assert_eq!(said(false, 1, 0, 0), "freed 2.5 MB (1 object)");
        assert_eq!(
            said(true, 7, 2, 1),
            "would free 2.5 MB (7 objects), would forget 2 operations, would remove 1 tree of plain \
             files"
        );
        assert!(said(false, 0, 0, 0).starts_with("nothing to free"));
    }
}
