//! `blast init`: the `pyproject.toml` of a new project, or of one that another tool kept so far.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use blast_resolver::requirements::RequirementsError;
use blast_types::{PackageName, versions};
use serde::Serialize;

use super::context::Context;
use super::json_errors;
use super::options::JsonOption;
use super::project::FILE;
use super::whole_file;
use crate::convert::{self, ConvertError, NotCarried, Plan, pyproject};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ui::units;

/// Write a pyproject.toml, of its own or from the files of another tool
///
/// `--from` takes requirements.txt, Pipfile, Pipfile.lock, poetry.lock (with its pyproject.toml), a
/// pyproject.toml of Poetry, uv.lock, environment.yml or setup.cfg. The versions of a lock become
/// `constraints` of `[tool.blast]`. What finds no place is listed, with the reason.
///
/// A pyproject.toml that is there already is amended if it says nothing of dependencies, and else
/// left as it is.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File of another tool to take over
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Name of the project (default: that of the file, else that of the directory)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Oldest Python that the project is for, such as `3.10` (default: what the file says)
    #[arg(long, value_name = "X.Y")]
    python: Option<String>,
    #[command(flatten)]
    json: JsonOption,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    output: &'a Path,
    amended: bool,
    from: Option<&'a Path>,
    name: Option<&'a str>,
    dependencies: usize,
    constraints: usize,
    not_carried: &'a [NotCarried],
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    json_errors::shown(init(args, context), args.json, context)
}

fn init(args: &Args, context: &Context) -> Result<Exit, Error> {
    let cwd = context.cwd()?;
    let path = cwd.join(FILE);
    let existing = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::io("read", &path, &error)),
    };
    let is_of_poetry = |text: &String| text.lines().any(|line| line.starts_with("[tool.poetry"));
    if args.from.is_none() && existing.as_ref().is_some_and(is_of_poetry) {
        let message = format!("{} is that of a project of Poetry", path.display());
        return Err(Error::usage(message).hint(
            "take over what it says: `blast init --from pyproject.toml`, or `--from poetry.lock`",
        ));
    }
    let mut plan = match &args.from {
        Some(from) => convert::read(from).map_err(|error| unusable(&error))?,
        None => Plan::default(),
    };
    decide(args, cwd, &mut plan)?;
    let text = pyproject::text(&plan, existing.as_deref()).map_err(|error| {
        Error::usage(format!("{} is left as it is: {error}", path.display())).hint(
            "`blast lock` reads it as it is; to have it written anew, move it away first, or add to \
             it with `blast install`",
        )
    })?;
    if existing.is_some() {
        whole_file::replace(&path, &text, context)?;
    } else {
        whole_file::create(&path, &text, context)?;
    }
    if existing.as_deref().is_some_and(pyproject::is_complete) {
        // It says itself what it needs, and got versions and no more.
        plan.dependencies.clear();
    }
    if args.json.json {
        context.printer.json(&Document {
            output: &path,
            amended: existing.is_some(),
            from: args.from.as_deref(),
            name: plan.name.as_deref(),
            dependencies: plan.dependencies.len(),
            constraints: plan.blast.constraints.len(),
            not_carried: &plan.not_carried,
        })?;
        return Ok(Exit::Ok);
    }
    report(&plan, &path, existing.is_some(), context);
    Ok(Exit::Ok)
}

/// Settles what flags and surroundings say, and checks what a file said.
fn decide(args: &Args, cwd: &Path, plan: &mut Plan) -> Result<(), Error> {
    if let Some(name) = &args.name {
        PackageName::from_str(name).map_err(|error| Error::usage(error.to_string()))?;
        plan.name = Some(name.clone());
    }
    let name = plan.name.take();
    let name = name.filter(|name| PackageName::from_str(name).is_ok());
    plan.name = Some(name.unwrap_or_else(|| pyproject::name_of(cwd)));
    if let Some(python) = &args.python {
        let specifiers = format!(">={python}");
        let is_version = python.split('.').all(|part| part.parse::<u32>().is_ok());
        if !is_version || versions::specifiers(&specifiers).is_err() {
            return Err(Error::usage(format!("`{python}` is no version of Python"))
                .hint("name one like `3.12`"));
        }
        plan.requires_python = Some(specifiers);
    }
    if let Some(text) = &plan.requires_python {
        versions::specifiers(text).map_err(|error| {
            Error::usage("the file says something of the Python that PEP 440 does not know")
                .caused_by(&error)
                .hint("say yourself which Python: `--python 3.12`")
        })?;
    }
    if let Some(version) = &plan.version {
        versions::version(version).map_err(|error| {
            Error::usage("the file gives the project a version that is none").caused_by(&error)
        })?;
    } else {
        plan.version = Some("0.1.0".to_owned());
    }
    Ok(())
}

fn report(plan: &Plan, path: &Path, amended: bool, context: &Context) {
    let printer = context.printer;
    for left in &plan.not_carried {
        let NotCarried {
            place,
            what,
            reason,
        } = left;
        printer.say(format!("not carried: {what} ({place}): {reason}"));
    }
    let verb = if amended { "amended" } else { "wrote" };
    let dependencies = match plan.dependencies.len() {
        0 => String::new(),
        1 => " with 1 dependency".to_owned(),
        count => format!(" with {count} dependencies"),
    };
    printer.say(format!("{verb} {}{dependencies}", path.display()));
    let constraints = plan.blast.constraints.len();
    if constraints > 0 {
        printer.say(format!(
            "the locked versions are {} of [tool.blast]; take them out to go on to newer ones",
            units::count(constraints, "constraint")
        ));
    }
    printer.say("`blast lock` locks it, `blast start` makes its environment");
}

fn unusable(error: &ConvertError) -> Error {
    match error {
        ConvertError::Read { path, source }
        | ConvertError::Requirements(RequirementsError::Read { path, source }) => {
            Error::usage(format!("cannot read {}", path.display())).caused_by(source)
        }
        ConvertError::Unknown(_) => Error::usage(error.to_string()).hint(
            "known are requirements.txt, Pipfile, Pipfile.lock, poetry.lock, uv.lock, \
             environment.yml and setup.cfg, by name or content",
        ),
        _ => Error::usage(error.to_string()),
    }
}
