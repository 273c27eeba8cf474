//! `blast save`: snapshots.

use blast_types::{EnvName, SnapshotName};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::context::Context;
use super::options::{DryRunOption, EnvOption, JsonOption};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Reply, Request, SnapshotView};
use crate::ui::{table::Table, units};

/// Give the present state of an environment a name to return to
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the snapshot (default: made from the time)
    #[arg(conflicts_with_all = ["delete", "list"])]
    name: Option<SnapshotName>,
    /// Forget this snapshot; the state itself stays in the history
    #[arg(long, value_name = "NAME", conflicts_with = "list")]
    delete: Option<SnapshotName>,
    /// List the snapshots
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    dry_run: DryRunOption,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    environment: &'a EnvName,
    snapshots: &'a [SnapshotView],
}

/// Runs the command.
pub(super) fn run(args: Args, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&args.env)?;
    let dry_run = args.dry_run.dry_run;
    let (request, done, would) = match (args.delete, args.list) {
        (Some(name), _) => (
            Request::DeleteSnapshot {
                env: env.clone(),
                name,
                dry_run,
            },
            "forgot",
            "would forget",
        ),
        (None, true) => (Request::Snapshots { env: env.clone() }, "", ""),
        (None, false) => (
            Request::Save {
                env: env.clone(),
                name: args.name,
                dry_run,
            },
            "saved",
            "would save",
        ),
    };
    let Reply::Snapshots { snapshots } = context.ask(request)? else {
        return Err(Error::unexpected_reply());
    };
    if args.json.json {
        context.printer.json(&Document {
            environment: &env,
            snapshots: &snapshots,
        })?;
    } else if args.list {
        context
            .printer
            .data(&render(&snapshots, &TimeZone::system()))?;
        if snapshots.is_empty() {
            context
                .printer
                .say("no snapshots; `blast save NAME` makes one");
        }
    } else {
        let verb = if dry_run { would } else { done };
        let to_env = args
            .env
            .env
            .map(|env| format!(" --env {env}"))
            .unwrap_or_default();
        for snapshot in &snapshots {
            let name = &snapshot.name;
            let packages = units::count(snapshot.packages, "package");
            context
                .printer
                .say(format!("{verb} snapshot {name} ({packages})"));
            if let Some(before) = &snapshot.replaced {
                let before = before.to_string();
                let before = units::short(&before);
                context.printer.say(format!(
                    "the name stood for {before}: `blast revert {before}{to_env}` goes there while the history has it"
                ));
            }
            if !dry_run && done == "saved" {
                context
                    .printer
                    .say(format!("return to it with `blast load {name}{to_env}`"));
            }
        }
    }
    Ok(Exit::Ok)
}

fn render(snapshots: &[SnapshotView], zone: &TimeZone) -> String {
    let mut table = Table::new(&["Snapshot", "Saved", "Packages", "Generation"]);
    for snapshot in snapshots {
        table.row([
            snapshot.name.to_string(),
            units::time(snapshot.at_ms, zone),
            snapshot.packages.to_string(),
            units::short(&snapshot.generation.to_string()).to_owned(),
        ]);
    }
    table.render()
}
