//! `blast lock`: resolve once, and write down the answer with hashes (PEP 751).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blast_types::{EnvName, NamedPlatform};
use serde::Serialize;

use super::context::Context;
use super::options::{DryRunOption, EnvOption, JsonOption, RequirementOptions, SourceOptions};
use super::project::Project;
use super::requirements::{self, Gathered};
use super::resolution::{self, ResolverOptions};
use super::sync::{LOCK, PartOptions};
use super::whole_file;
use super::{export, json_errors, sources};
use crate::error::{Error, Kind};
use crate::exit_code::Exit;
use crate::ipc::protocol::{
    Effort, ForkView, LockChoices, LockRequest, PackageChangeView, Reply, Request, RequirementSet,
};
use crate::ui::{changes, units};

/// Resolve requirements and write the exact versions and hashes to a lock (PEP 751)
///
/// Locks what is named here; else, in a project, what pyproject.toml asks for with all its extras
/// and groups; else what the environment was asked for. Versions that an existing lock has are
/// kept where they still fit.
///
/// The lock of a project is universal: it holds on every system and machine and for all Pythons
/// that the project is for, and `blast sync` chooses extras and groups from it. With extras or groups
/// named it holds those parts and no others. Other locks are for the one environment unless
/// `--universal` is given.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    wanted: RequirementOptions,
    /// Where to write it; `-`: the standard output (default: pylock.toml of the project or here)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Lock for every environment, also what is no project; `--python` is the oldest Python then
    #[arg(long, conflicts_with = "python_platform")]
    universal: bool,
    /// Python to lock for: a version or a path (default: that of the environment)
    #[arg(short, long, value_name = "PYTHON")]
    python: Option<String>,
    /// Platform to lock for: `linux`, `macos`, `windows`, `x86_64-manylinux_2_28` and so on
    /// (default: this one)
    #[arg(long, value_name = "PLATFORM")]
    python_platform: Option<NamedPlatform>,
    /// Take the newest versions, whatever the existing lock or the environment has
    #[arg(short = 'U', long)]
    upgrade: bool,
    /// Lock nothing, but write the lock that is there for other tools, to the standard output or
    /// `--output`; `--extra` and `--group` choose what a requirements file holds
    #[arg(
        long,
        value_name = "FORMAT",
        conflicts_with_all = [
            "RequirementOptions", "EnvOption", "DryRunOption", "JsonOption", "ResolverOptions",
            "BuildFlags", "SourceOptions", "universal", "python", "python_platform", "upgrade"
        ]
    )]
    export: Option<export::Format>,
    #[command(flatten)]
    parts: PartOptions,
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    dry_run: DryRunOption,
    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    resolver: ResolverOptions,
    #[command(flatten)]
    sources: SourceOptions,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    output: &'a Path,
    dry_run: bool,
    unchanged: bool,
    packages: usize,
    changes: &'a [PackageChangeView],
    forks: &'a [ForkView],
    effort: Effort,
}

/// What is to be locked.
struct Wanted {
    gathered: Gathered,
    project: Option<Project>,
    /// For every environment.
    universal: bool,
    /// What the project lets be chosen, if all of it is locked.
    choices: Option<LockChoices>,
}

/// What was locked.
pub(super) struct Locked {
    /// The text of the lock.
    pub(super) text: String,
    packages: usize,
    /// What differs from the lock before.
    pub(super) changes: Vec<PackageChangeView>,
    forks: Vec<ForkView>,
    effort: Effort,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    json_errors::shown(lock(args, context), args.json, context)
}

fn lock(args: &Args, context: &Context) -> Result<Exit, Error> {
    if let Some(format) = args.export {
        return export::run(format, &args.parts.parts(), args.output.as_deref(), context);
    }
    let cwd = context.cwd()?;
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    if args.json.json && to_stdout {
        let message = "`--json` and `--output -` both want the standard output";
        return Err(Error::usage(message));
    }
    let mut wanted = wanted(args, context)?;
    wanted.gathered = wanted.gathered.limited_by(&args.resolver, context)?;
    let env = env(args, context)?;
    if wanted.gathered.set.requirements.is_empty() && wanted.project.is_none() && env.is_none() {
        return Err(
            Error::usage("nothing to lock: no requirements, no project, no environment")
                .hint("name some: `blast lock flask`, or `blast lock -r requirements.txt`"),
        );
    }
    let root = wanted.project.as_ref().map_or(cwd, |project| &project.root);
    let output = match &args.output {
        Some(_) if to_stdout => None,
        Some(path) => Some(cwd.join(path)),
        None => Some(root.join(LOCK)),
    };
    if let Some(output) = output.as_deref().filter(|output| !is_lock_name(output)) {
        context.printer.warn(format!(
            "other tools do not know {} as a lock: they look for `pylock.toml` and `pylock.NAME.toml` (PEP 751)",
            output.display()
        ));
    }
    let previous = output.as_deref().map(read_previous).transpose()?.flatten();
    let requires_python = wanted
        .project
        .as_ref()
        .and_then(Project::requires_python)
        .map(ToOwned::to_owned);
    let locked = ask(
        context,
        LockRequest {
            env,
            python: args.python.clone(),
            platform: args.python_platform.clone(),
            requires_python,
            search: Context::python_search(root),
            of_env: wanted.project.is_none() && wanted.gathered.set.requirements.is_empty(),
            universal: wanted.universal,
            choices: wanted.choices,
            previous: previous.clone(),
            output: output.clone(),
            upgrade: args.upgrade,
            options: resolution::compute(context, &args.resolver, &wanted.gathered.options)?,
            sources: sources::compute(context, &args.sources, &wanted.gathered.sources)?,
            requirements: wanted.gathered.set,
        },
    )?;
    let text = &locked.text;
    let Some(output) = output else {
        context.printer.data(text)?;
        return Ok(Exit::Ok);
    };
    let unchanged = previous.as_deref() == Some(text.as_str());
    let dry_run = args.dry_run.dry_run;
    if !dry_run && !unchanged {
        whole_file::replace(&output, text, context)?;
    }
    if args.json.json {
        context.printer.json(&Document {
            output: &output,
            dry_run,
            unchanged,
            packages: locked.packages,
            changes: &locked.changes,
            forks: &locked.forks,
            effort: locked.effort,
        })?;
        return Ok(Exit::Ok);
    }
    // Without a lock before, every package is new, and the file says so itself.
    let changes = if previous.is_some() {
        locked.changes.as_slice()
    } else {
        &[]
    };
    report(changes, dry_run, context)?;
    let verb = match (dry_run, unchanged) {
        (true, _) => "would lock",
        (false, true) => "nothing to do: locked are",
        (false, false) => "locked",
    };
    let packages = units::count(locked.packages, "package");
    context
        .printer
        .say(format!("{verb} {packages} in {}", output.display()));
    Ok(Exit::Ok)
}

/// `pylock.toml` or `pylock.NAME.toml`, as PEP 751 has it.
pub(super) fn is_lock_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(rest) = name.strip_prefix("pylock.") else {
        return false;
    };
    match rest.strip_suffix("toml") {
        None => false,
        Some("") => true,
        Some(middle) => middle
            .strip_suffix('.')
            .is_some_and(|middle| !middle.is_empty() && !middle.contains('.')),
    }
}

/// Has the daemon lock, and says what `-v` wants to know.
pub(super) fn ask(context: &Context, request: LockRequest) -> Result<Locked, Error> {
    let Reply::Locked {
        text,
        packages,
        changes,
        forks,
        effort,
    } = context.ask(Request::Lock(Box::new(request)))?
    else {
        return Err(Error::unexpected_reply());
    };
    let printer = context.printer;
    printer.detail(format!(
        "looked at {} of {}",
        units::count(effort.versions, "version"),
        units::count(effort.projects, "project")
    ));
    for fork in &forks {
        let environments = fork.environments.as_deref().unwrap_or("all environments");
        if fork.because.is_empty() && forks.len() > 1 {
            printer.detail(format!("fork {environments}: as in the present lock"));
        }
        for why in &fork.because {
            printer.detail(format!("fork {environments}: {why}"));
        }
    }
    Ok(Locked {
        text,
        packages,
        changes,
        forks,
        effort,
    })
}

/// Renews the lock of a project that asks for something else by now, keeping what can be kept,
/// and answers with its text. A dry run leaves the file as it is.
pub(super) fn renew(
    project: &Project,
    (path, previous): (&Path, String),
    (resolver, options): (&ResolverOptions, &SourceOptions),
    dry_run: bool,
    context: &Context,
) -> Result<String, Error> {
    let locked = renewed(project, (path, &previous), (resolver, options), context)?;
    if !dry_run && locked.text != previous {
        whole_file::replace(path, &locked.text, context)?;
    }
    let file = super::project::FILE;
    context.printer.say(if dry_run {
        format!("{file} asks for something else than {LOCK} holds: it would be renewed")
    } else {
        format!("{file} asks for something else than {LOCK} held: it was renewed")
    });
    report(&locked.changes, dry_run, context)?;
    Ok(locked.text)
}

/// The lock of a project as it would be now, keeping what can be kept of the previous one.
pub(super) fn renewed(
    project: &Project,
    (path, previous): (&Path, &str),
    (resolver, options): (&ResolverOptions, &SourceOptions),
    context: &Context,
) -> Result<Locked, Error> {
    let everything = project.everything()?;
    let set = RequirementSet {
        requirements: everything.lines,
    };
    let gathered = Gathered::of(set).limited_by(resolver, context)?;
    ask(
        context,
        LockRequest {
            env: None,
            python: None,
            platform: None,
            requires_python: project.requires_python().map(ToOwned::to_owned),
            search: Context::python_search(&project.root),
            of_env: false,
            universal: true,
            choices: Some(everything.choices),
            previous: Some(previous.to_owned()),
            output: Some(path.to_owned()),
            upgrade: false,
            options: resolution::compute(context, resolver, &gathered.options)?,
            sources: sources::compute(context, options, &gathered.sources)?,
            requirements: gathered.set,
        },
    )
}

/// What a dry run would change is the answer and goes to stdout, what was changed is talk.
pub(super) fn report(
    changes: &[PackageChangeView],
    dry_run: bool,
    context: &Context,
) -> Result<(), Error> {
    for line in changes::lines(changes) {
        if dry_run {
            context.printer.data(&(line + "\n"))?;
        } else {
            context.printer.say(line);
        }
    }
    Ok(())
}

fn wanted(args: &Args, context: &Context) -> Result<Wanted, Error> {
    let cwd = context.cwd()?;
    if !args.wanted.is_empty() {
        if !args.parts.is_empty() {
            return Err(
                Error::usage("extras and groups belong to a project, and none is locked")
                    .hint("name no requirements to lock the project here"),
            );
        }
        return Ok(Wanted {
            gathered: requirements::gather(&args.wanted, cwd)?,
            project: None,
            universal: args.universal,
            choices: None,
        });
    }
    let mut gathered = Gathered::default();
    let project = if args.env.env.is_none() {
        Project::here(cwd)?
    } else {
        None
    };
    let Some(project) = project else {
        return Ok(Wanted {
            gathered,
            project: None,
            universal: args.universal,
            choices: None,
        });
    };
    if let Some(platform) = &args.python_platform {
        let message =
            format!("the lock of a project is for all platforms, not for {platform} alone");
        return Err(Error::usage(message)
            .hint("leave out `--python-platform`")
            .hint("or name what to lock for it: `blast lock REQUIREMENT --python-platform …`"));
    }
    if let Some(why) = project.unknown_dependencies() {
        return Err(Error::usage(format!(
            "{} cannot be locked: {why}",
            project.path().display()
        ))
        .hint("name what to lock: `blast lock flask`, or `blast lock -r requirements.txt`"));
    }
    let choices = if args.parts.is_empty() {
        let everything = project.everything()?;
        gathered.set.requirements = everything.lines;
        Some(everything.choices)
    } else {
        gathered.set.requirements = project.requirements(&args.parts.parts())?;
        None
    };
    Ok(Wanted {
        gathered,
        project: Some(project),
        universal: true,
        choices,
    })
}

/// The environment whose interpreter and versions count: the one named; else, unless a Python is
/// named, the one here, if there is one.
fn env(args: &Args, context: &Context) -> Result<Option<EnvName>, Error> {
    if let Some(name) = &args.env.env {
        return Ok(Some(name.clone()));
    }
    if args.python.is_some() {
        return Ok(None);
    }
    match context.default_env() {
        Ok(env) => Ok(env),
        // A project without an environment can be locked all the same.
        Err(error) if error.kind == Kind::Usage => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_previous(path: &Path) -> Result<Option<String>, Error> {
    match fs::metadata(path) {
        // Reading from a device or a pipe would take what is not ours, or never end.
        Ok(meta) if !meta.is_file() => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            if folder.is_dir() {
                return Ok(None);
            }
            return Err(Error::usage(format!(
                "there is no directory {}",
                folder.display()
            )));
        }
        Err(error) => return Err(Error::io("read", path, &error)),
    }
    let text = fs::read_to_string(path).map_err(|error| Error::io("read", path, &error))?;
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_is_told_before_anything_is_resolved() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().join("none/pylock.toml");
        assert!(
            read_previous(&path)
                .expect_err("no directory")
                .message
                .contains("none")
        );
        assert_eq!(
            read_previous(&folder.path().join("pylock.toml")).expect("none yet"),
            None
        );
    }

    #[test]
    fn only_two_forms_of_names_are_those_of_locks() {
        for name in ["pylock.toml", "a/pylock.dev.toml"] {
            assert!(is_lock_name(Path::new(name)), "{name}");
        }
        for name in [
            "lock.toml",
            "pylock.a.b.toml",
            "pylock..toml",
            "pylock.json",
        ] {
            assert!(!is_lock_name(Path::new(name)), "{name}");
        }
    }
}
