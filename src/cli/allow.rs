//! `blast allow`: write a permission into a policy file.

use std::fs;
use std::path::{Path, PathBuf};

use blast_sandbox::audit::Kind;
use blast_sandbox::policy::edit::{EditError, allow};
use clap::ValueEnum;

use super::context::Context;
use super::policy::{self, PolicyFile};
use super::project::Project;
use super::whole_file;
use crate::error::Error;
use crate::exit_code::Exit;

/// Allow something in the sandbox, by a line in the policy of the project or of the user
///
/// The rest of the file stays as it is. `blast config` shows what holds, `blast audit --denied` what was
/// denied.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What kind of thing
    kind: What,
    #[arg(
        help = "The thing: HOST[:PORT], *.DOMAIN[:PORT] or ADDRESS[/BITS][:PORT] for net; a path for read and write; the name of a variable for env"
    )]
    target: String,
    /// Write it into `[tool.blast.sandbox]` of the project's `pyproject.toml` (the default in a project)
    #[arg(long, conflicts_with = "user")]
    project: bool,
    /// Write it into `[sandbox]` of your `blast/config.toml` (the default elsewhere)
    #[arg(long)]
    user: bool,
    /// Allow it to builds of packages from their sources, and not to programs
    #[arg(long)]
    build: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Connect to a host
    Net,
    /// Read a path
    Read,
    /// Read and change a path
    Write,
    /// See an environment variable
    Env,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let root = Project::root_of(context.cwd()?);
    let file = file(args, root.as_deref())?;
    let (kind, target) = match args.kind {
        What::Net => (Kind::Net, args.target.clone()),
        What::Read => (Kind::Read, path(&args.target, &file, context)?),
        What::Write => (Kind::Write, path(&args.target, &file, context)?),
        What::Env => (Kind::Env, variable(&args.target)?),
    };
    let before = file.text()?.unwrap_or_default();
    // A file that cannot be understood stays as it is.
    file.layer_of(&before)?;
    let mut above = file.above().to_vec();
    above.extend(args.build.then_some("build"));
    let edited = allow(&before, &above, kind, &target).map_err(|error| {
        let whole = Error::usage(format!("{kind} {} cannot be allowed", args.target));
        match &error {
            EditError::Target(_) => whole.caused_by(&error),
            _ => {
                Error::usage(format!("{} cannot be changed", file.path.display())).caused_by(&error)
            }
        }
    })?;
    file.layer_of(&edited.text)?;
    if !edited.was_there {
        if let Some(folder) = file.path.parent() {
            fs::create_dir_all(folder).map_err(|error| Error::io("make", folder, &error))?;
        }
        whole_file::replace(&file.path, &edited.text, context)?;
    }
    let place = file.path.display();
    let verb = if edited.was_there {
        "allows it already"
    } else {
        "allows it now"
    };
    let project = root.as_deref();
    let (merged, key) = if args.build {
        (policy::of_builds(project)?, format!("build.{}", edited.key))
    } else {
        (policy::merged(project, None)?, edited.key.clone())
    };
    context
        .printer
        .say(format!("{place} {verb}: {key} = {}", edited.value));
    let overruled = merged.lines.iter().find_map(|line| {
        let this = line.key == key && line.value.ends_with(&edited.value);
        line.overruled_by.as_ref().filter(|_| this)
    });
    match overruled {
        Some(by) => context
            .printer
            .warn(format!("it does not hold: {by} says otherwise")),
        None if !edited.was_there => {
            context
                .printer
                .say("it holds for what is started from now on; to undo it, take the line out");
        }
        None => {}
    }
    Ok(Exit::Ok)
}

fn file(args: &Args, project: Option<&Path>) -> Result<PolicyFile, Error> {
    match project.filter(|_| !args.user) {
        Some(root) => Ok(PolicyFile::project(root)),
        None if args.project => Err(Error::usage("there is no project here")
            .hint("`--user` allows it for all projects, `blast init` begins a project")),
        None => PolicyFile::user().ok_or_else(|| {
            Error::usage("there is no place for settings of yours").hint("set `HOME`")
        }),
    }
}

/// A path as the file means it: relative to a project inside it, else absolute.
fn path(text: &str, file: &PolicyFile, context: &Context) -> Result<String, Error> {
    let given = Path::new(text);
    if given.starts_with("~") {
        return Ok(text.to_owned());
    }
    let absolute = std::path::absolute(context.cwd()?.join(given))
        .map_err(|error| Error::io("look at", given, &error))?;
    let root = file.path.parent().unwrap_or(&file.path);
    let short: Option<PathBuf> = absolute.strip_prefix(root).ok().map(Path::to_owned);
    let shown = match short {
        Some(short) if file.above().len() > 1 && !short.as_os_str().is_empty() => short,
        _ => absolute,
    };
    shown.into_os_string().into_string().map_err(|path| {
        Error::usage(format!(
            "{} cannot be written into a policy",
            path.to_string_lossy()
        ))
        .hint("a policy is text in UTF-8")
    })
}

fn variable(name: &str) -> Result<String, Error> {
    if name.is_empty() || name.contains('=') {
        return Err(Error::usage(format!("`{name}` is no name of a variable")));
    }
    Ok(name.to_owned())
}
