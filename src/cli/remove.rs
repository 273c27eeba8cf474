//! `blast remove`: take packages out of an environment.

use blast_types::{EnvName, PackageName};
use serde::Serialize;

use super::context::Context;
use super::options::{DryRunOption, EnvOption, JsonOption, SourceOptions};
use super::project_files::{Files, Text};
use super::{change, json_errors, project, select, sources};
use crate::convert::edit::Place;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Action, Change, Request, ResolveOptions};

/// Remove packages and what only they needed
///
/// In a project, from its own environment, what `pyproject.toml` names, among its dependencies, extras
/// and groups, is taken out there too, and `pylock.toml` renewed if there is one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Packages to remove
    #[arg(value_name = "PACKAGE", required = true)]
    packages: Vec<String>,
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    dry_run: DryRunOption,
    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    sources: SourceOptions,
}

/// What was taken out of the file, as JSON.
#[derive(Debug, Serialize)]
struct Removed<'a> {
    removed: &'a [String],
}

/// Packages, and the lists that each was taken out of.
type Taken = Vec<(PackageName, Vec<Place>)>;

/// Runs the command.
pub(super) fn run(args: Args, context: &Context) -> Result<Exit, Error> {
    let json = args.json;
    json_errors::shown(remove(args, context), json, context)
}

fn remove(args: Args, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&args.env)?;
    let of_project = of_project(&args.packages, &env, &args.sources, context)?;
    let change = Change {
        env,
        action: Action::Remove {
            packages: args.packages,
        },
        options: ResolveOptions::default(),
        sources: sources::compute(context, &args.sources, &sources::FromFiles::default())?,
        no_bytecode: false,
        origins: false,
        dry_run: args.dry_run.dry_run,
    };
    let Some((files, after, taken)) = of_project else {
        return change::ask(
            context,
            Request::Change(Box::new(change)),
            (&args.env, &args.json),
            "blast revert",
        );
    };
    let dry_run = change.dry_run;
    let done = files.replaced_by(&after, Some(change), dry_run, context)?;
    if args.json.json {
        let removed: Vec<_> = taken.iter().map(|(name, _)| name.to_string()).collect();
        done.json(&files, &Removed { removed: &removed }, dry_run, context)?;
        return Ok(Exit::Ok);
    }
    done.report(&after, (dry_run, args.env.env.as_ref()), context)?;
    for (name, places) in &taken {
        context.printer.say(said(name, places, dry_run));
    }
    Ok(Exit::Ok)
}

/// What was done to the file for a package, and how to undo it.
fn said(name: &PackageName, places: &[Place], dry_run: bool) -> String {
    let file = project::FILE;
    let texts: Vec<_> = places.iter().map(ToString::to_string).collect();
    let texts = texts.join(", ");
    if dry_run {
        return format!("would take {name} out of {file}, {texts}");
    }
    let back = places.iter().map(|place| match place {
        Place::Dependencies => format!("`blast add {name}`"),
        Place::Extra(extra) => format!("`blast add --optional {extra} {name}`"),
        Place::Group(group) => format!("`blast add --group {group} {name}`"),
    });
    let back = back.collect::<Vec<_>>().join(", ");
    let puts = if places.len() == 1 { "puts" } else { "put" };
    format!("took {name} out of {file}, {texts}; {back} {puts} it back there")
}

/// What is taken out of the project here, if the environment is that of the project
/// and the project names one of the packages: its files as they were, and as they will be.
fn of_project(
    packages: &[String],
    env: &EnvName,
    sources: &SourceOptions,
    context: &Context,
) -> Result<Option<(Files, Text, Taken)>, Error> {
    let Some(root) = project::Project::root_of(context.cwd()?) else {
        return Ok(None);
    };
    let environments = context.environments()?;
    let its = select::of_project(&environments, &root);
    if its.is_none_or(|its| its.name != *env) {
        return Ok(None);
    }
    let files = Files::read(root)?;
    let mut edit = files.edit()?;
    let mut taken = Vec::new();
    for text in packages {
        let Ok(name) = text.parse::<PackageName>() else {
            continue;
        };
        let places = edit.remove(&name).map_err(|error| files.unfit(&error))?;
        if !places.is_empty() {
            taken.push((name, places));
        }
    }
    if taken.is_empty() {
        return Ok(None);
    }
    let options = (&super::resolution::ResolverOptions::default(), sources);
    let after = files.after(edit.to_string(), options, context)?;
    Ok(Some((files, after, taken)))
}
