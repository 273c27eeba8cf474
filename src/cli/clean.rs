//! `blast clean`: free what nothing refers to.

use std::collections::BTreeMap;

use blast_types::EnvName;
use serde::Deserialize;

use super::context::Context;
use super::options::{DryRunOption, JsonOption};
use super::project::Project;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Cleaned, Keep, Reply, Request};
use crate::ui::units;

/// Free disk space that no environment, kept operation, snapshot or running program needs
///
/// Histories stay whole unless `keep = { operations = NUMBER, days = NUMBER }` says otherwise, in
/// your settings or in `[tool.blast]` of a project, or these flags do. What either of the two lets
/// stay stays; what is forgotten can no longer be returned to.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Forget operations but for the last so many of each environment
    #[arg(long, value_name = "NUMBER")]
    keep: Option<usize>,
    /// Forget operations that are older than so many days
    #[arg(long, value_name = "NUMBER")]
    keep_days: Option<u32>,
    #[command(flatten)]
    dry_run: DryRunOption,
    #[command(flatten)]
    json: JsonOption,
}

/// What `[tool.blast]` says of histories.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Settings {
    keep: Option<Keep>,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let flags = Keep {
        operations: args.keep,
        days: args.keep_days,
    };
    let (keep, keep_of) = if flags == Keep::default() {
        (context.settings()?.keep, of_projects(context)?)
    } else {
        (flags, BTreeMap::new())
    };
    let dry_run = args.dry_run.dry_run;
    let request = Request::Clean {
        dry_run,
        keep,
        keep_of,
    };
    let Reply::Cleaned(cleaned) = context.ask(request)? else {
        return Err(Error::unexpected_reply());
    };
    if args.json.json {
        context.printer.json(&cleaned)?;
    } else if dry_run {
        context.printer.data(&(sentence(&cleaned) + "\n"))?;
    } else {
        context.printer.say(sentence(&cleaned));
    }
    Ok(Exit::Ok)
}

/// What projects say of the histories of their environments. All stays of one whose project cannot be
/// read.
fn of_projects(context: &Context) -> Result<BTreeMap<EnvName, Keep>, Error> {
    let mut keep_of = BTreeMap::new();
    for env in context.environments()? {
        let Some(root) = &env.project else { continue };
        let settings = match Project::load(root) {
            Ok(Some(project)) => project.settings_as::<Settings>(),
            Ok(None) => continue,
            Err(error) => Err(error),
        };
        let settings = settings.unwrap_or_else(|error| {
            let name = &env.name;
            context
                .printer
                .warn(format!("all of the history of {name} is kept: {error}"));
            Settings {
                keep: Some(Keep::default()),
            }
        });
        keep_of.extend(settings.keep.map(|keep| (env.name.clone(), keep)));
    }
    Ok(keep_of)
}

fn sentence(cleaned: &Cleaned) -> String {
    let Cleaned {
        dry_run,
        objects,
        bytes,
        operations,
        trees,
    } = *cleaned;
    if objects == 0 && operations == 0 && trees == 0 {
        return "nothing to free: all that is stored is in use".to_owned();
    }
    let count = |number, noun| units::count(usize::try_from(number).unwrap_or(usize::MAX), noun);
    let tense = |did: &'static str, would| if dry_run { would } else { did };
    let freed = tense("freed", "would free");
    let objects = count(objects, "object");
    let mut parts = vec![format!("{freed} {} ({objects})", units::bytes(bytes))];
    if operations > 0 {
        let operations = count(operations, "operation");
        parts.push(format!("{} {operations}", tense("forgot", "would forget")));
    }
    if trees > 0 {
        let trees = count(trees, "tree");
        let removed = tense("removed", "would remove");
        parts.push(format!("{removed} {trees} of plain files"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_is_told_with_its_tense() {
        let said = |dry_run, objects, operations, trees| {
            sentence(&Cleaned {
                dry_run,
                objects,
                bytes: 2_500_000,
                operations,
                trees,
            })
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
