//! `blast start`: make an environment and activate it.
//!
//! Nobody can change the shell that called them, so the command prints a script for `eval` (or for
//! the function that `blast hook` defines). In a project the environment is made of
//! `pyproject.toml` and linked as `.venv`; nothing else is written there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use blast_store::failpoint::{self, Point};
use blast_types::EnvName;
use nix::unistd::getppid;

use super::bytecode::{Bytecode, BytecodeOptions};
use super::context::Context;
use super::intent::{self, Meant, Recorded};
use super::options::{DryRunOption, SourceOptions};
use super::project::{Parts, Project};
use super::resolution::ResolverOptions;
use super::sync::{Outdated, OwnOptions};
use super::venv_link::{self, Linked};
use super::{change, naming, run as running, sync};
use crate::activation::{self, Activation, Shell};
use crate::env_vars;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Changed, Place, Reply, Request, Start};
use crate::ui::{Printer, changes, style};

/// Make an environment, unless there is one, and print what activates it
///
/// Use it as `eval "$(blast start demo)"`, or put `eval "$(blast hook bash)"` into the start-up
/// file of your shell and simply say `blast start demo`.
///
/// Without a name, in a project: the environment is named after the project, gets what
/// `pylock.toml` or else `pyproject.toml` asks for, and is linked as `.venv`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the environment (default: that of the project here)
    name: Option<EnvName>,
    /// Python to use: a version (`3.12`), a range, `cpython`, or a path
    #[arg(short, long, value_name = "PYTHON")]
    python: Option<String>,
    /// The project that it is for (default without a name: the one here); linked as `.venv`
    #[arg(long, value_name = "DIRECTORY")]
    path: Option<PathBuf>,
    /// Set a variable whenever the environment is active
    #[arg(long = "env", value_name = "KEY=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// Print the script for this shell (default: the one that called)
    #[arg(long)]
    shell: Option<Shell>,
    #[command(flatten)]
    dry_run: DryRunOption,
    #[command(flatten)]
    own: OwnOptions,
    #[command(flatten)]
    resolver: ResolverOptions,
    #[command(flatten)]
    sources: SourceOptions,
    #[command(flatten)]
    bytecode: BytecodeOptions,
}

/// What is to be started.
struct Plan {
    name: EnvName,
    root: Option<PathBuf>,
    project: Option<Project>,
    /// Whether the environment has never been filled.
    is_fresh: bool,
}

/// Runs the command.
pub(super) fn run(mut args: Args, context: &Context) -> Result<Exit, Error> {
    let plan = plan(&args, context)?;
    let cwd = context.cwd()?;
    let bytecode = args.bytecode.choose(context)?;
    let request = Request::Start(Start {
        name: plan.name.clone(),
        python: args.python.clone(),
        requires_python: plan
            .project
            .as_ref()
            .and_then(|p| p.requires_python())
            .map(Into::into),
        project: plan.root.clone(),
        variables: std::mem::take(&mut args.variables).into_iter().collect(),
        search: Context::python_search(plan.root.as_deref().unwrap_or(cwd)),
        dry_run: args.dry_run.dry_run,
    });
    if args.dry_run.dry_run {
        return would_start(&plan, context.ask(request)?, &args, context);
    }
    let meant = plan.root.as_ref().map(|root| intent::Link {
        project: root.clone(),
        env: plan.name.clone(),
    });
    let meant = meant
        .map(|link| Recorded::new(Meant::links(vec![link]), context))
        .transpose()?;
    let reply = match context.ask(request) {
        Ok(reply) => reply,
        Err(error) => return Err(intent::given_up(meant, error)),
    };
    let Reply::Started { created, place } = reply else {
        return Err(Error::unexpected_reply());
    };
    let verb = if created {
        "made environment"
    } else {
        "environment"
    };
    context.printer.say(format!(
        "{verb} {} (Python {}, {})",
        style::strong(place.env.as_str()),
        place.python,
        place.interpreter.display()
    ));
    if let Some(root) = &plan.root {
        link(root, &place, context)?;
    }
    meant.map_or(Ok(()), Recorded::done)?;
    if let Some(project) = &plan.project
        && (created || plan.is_fresh)
    {
        fill(project, &place, &args, bytecode, context)?;
    } else if !args.resolver.is_empty() {
        context.printer.warn(
            "nothing is installed by this, so resolver options have no effect; `blast sync` and \
             `blast install` take them",
        );
    }
    bytecode.await_for(place.env.clone(), context)?;
    activate(&place, args.shell, context)?;
    Ok(Exit::Ok)
}

fn plan(args: &Args, context: &Context) -> Result<Plan, Error> {
    let root = match (&args.path, &args.name) {
        (Some(path), _) => {
            Some(fs::canonicalize(path).map_err(|error| Error::io("use", path, &error))?)
        }
        (None, None) => Some(Project::root_of(context.cwd()?).ok_or_else(|| {
            Error::usage(
                "there is no pyproject.toml here or above, so the environment needs a name",
            )
            .hint("name it: `blast start demo`")
            .hint("or make one for this directory: `blast start --path .`")
        })?),
        (None, Some(_)) => None,
    };
    let Some(root) = root else {
        let name = args
            .name
            .clone()
            .ok_or_else(|| Error::usage("the environment needs a name"))?;
        return Ok(Plan {
            name,
            root: None,
            project: None,
            is_fresh: false,
        });
    };
    let project = Project::load(&root)?;
    let environments = context.environments()?;
    let live = context.places()?.live();
    let name = if let Some(name) = &args.name {
        name.clone()
    } else {
        let title = project.as_ref().and_then(Project::name);
        naming::choose(title, &root, &live, &environments)?
    };
    // The first operation makes it, the second fills it. Where it is not there yet, another command may make it meanwhile.
    let is_fresh = environments
        .iter()
        .find(|env| env.name == name)
        .is_none_or(|env| env.operation <= 1);
    Ok(Plan {
        name,
        root: Some(root),
        project,
        is_fresh,
    })
}

/// Says what `start` would do. Nothing goes to stdout, which shells evaluate.
fn would_start(plan: &Plan, reply: Reply, args: &Args, context: &Context) -> Result<Exit, Error> {
    let printer = context.printer;
    let name = style::strong(plan.name.as_str());
    let (prefix, existing) = match reply {
        Reply::WouldStart {
            python,
            interpreter,
            prefix,
        } => {
            let interpreter = interpreter.display();
            printer.say(format!(
                "would make environment {name} (Python {python}, {interpreter})"
            ));
            (prefix, None)
        }
        Reply::Started { place, .. } => {
            printer.say(format!(
                "environment {name} is there (Python {})",
                place.python
            ));
            (place.prefix.clone(), Some(place))
        }
        _ => return Err(Error::unexpected_reply()),
    };
    if let Some(root) = &plan.root
        && fs::read_link(venv_link::path(root)).ok().as_ref() != Some(&prefix)
    {
        let link = venv_link::path(root);
        printer.say(match fs::symlink_metadata(&link) {
            Err(_) => format!("would link {} -> {}", link.display(), prefix.display()),
            Ok(_) => format!("{} is there and may be left alone", link.display()),
        });
    }
    let Some(project) = &plan.project else {
        return Ok(Exit::Ok);
    };
    match existing {
        Some(place) if plan.is_fresh => {
            if let Some(changed) = filled(project, &place, args, Bytecode::Off, context)? {
                for line in changes::lines(&changed.changes) {
                    printer.say(line);
                }
            }
        }
        Some(_) => {}
        None => {
            let lock = project.path().with_file_name(sync::LOCK);
            let from = if lock.is_file() { lock } else { project.path() };
            printer.say(format!("would install what {} asks for", from.display()));
        }
    }
    Ok(Exit::Ok)
}

fn link(root: &Path, place: &Place, context: &Context) -> Result<(), Error> {
    let link = venv_link::path(root);
    failpoint::hit(Point::ClientLink).map_err(|error| Error::io("link", &link, &error))?;
    match venv_link::link(root, &place.prefix, &context.places()?.live())? {
        Linked::Yes => {
            let shown = format!("{} -> {}", link.display(), place.prefix.display());
            context.printer.detail(shown);
        }
        Linked::Taken(what) => context.printer.warn(format!(
            "{} is {what} that blast did not make, so it is left alone; remove it and say `blast \
             start` again to have it link to the environment",
            link.display()
        )),
    }
    Ok(())
}

fn fill(
    project: &Project,
    place: &Place,
    args: &Args,
    bytecode: Bytecode,
    context: &Context,
) -> Result<(), Error> {
    if let Some(changed) = filled(project, place, args, bytecode, context)? {
        change::report(context, &changed, Some(&place.env), "blast revert")?;
    }
    Ok(())
}

/// Installs what the project asks for, where that is known.
fn filled(
    project: &Project,
    place: &Place,
    args: &Args,
    bytecode: Bytecode,
    context: &Context,
) -> Result<Option<Changed>, Error> {
    let options = (&args.resolver, &args.sources);
    let outdated = if args.dry_run.dry_run {
        Outdated::RenewedDry
    } else {
        Outdated::Renewed
    };
    let wanted = sync::of_project(
        project,
        &Parts::default(),
        args.own,
        options,
        outdated,
        context,
    );
    let wanted = match wanted? {
        sync::Wanted::Unknown(why) => {
            let file = project.path();
            context
                .printer
                .warn(format!("{}: {why}; nothing was installed", file.display()));
            return Ok(None);
        }
        known => known,
    };
    let (resolver, sources) = (&args.resolver, &args.sources);
    let mut change = wanted.change(place.env.clone(), resolver, sources, false, context)?;
    change.no_bytecode = bytecode == Bytecode::Off;
    change.dry_run = args.dry_run.dry_run;
    match context.ask(Request::Change(Box::new(change)))? {
        Reply::Changed(changed) => Ok(Some(changed)),
        _ => Err(Error::unexpected_reply()),
    }
}

/// Prints the script, or on a terminal how to get at it.
fn activate(place: &Place, shell: Option<Shell>, context: &Context) -> Result<(), Error> {
    if shell.is_none() && Printer::stdout_is_terminal() {
        if calling_shell() == Some(Shell::Csh) {
            let file = place.prefix.join("bin/activate.csh");
            context.printer.say(format!(
                "activate it: {}",
                style::strong(&format!("source {}", file.display()))
            ));
            return Ok(());
        }
        let name = &place.env;
        context.printer.say(format!(
            "activate it: {}",
            style::strong(&format!("eval \"$(blast start {name})\""))
        ));
        context.printer.say(
            "or let `blast start` do so itself: put `eval \"$(blast hook bash)\"` (zsh, fish \
             likewise) into your shell's start-up file",
        );
        return Ok(());
    }
    let shell = shell.or_else(calling_shell).unwrap_or(Shell::Posix);
    let blast = env::current_exe().map_err(|error| {
        Error::internal("cannot tell where the executable of blast is").caused_by(&error)
    })?;
    let activation = Activation {
        name: place.env.clone(),
        prefix: running::visible_prefix(context, place)?,
        variables: place.variables.clone(),
        blast: Some(blast),
    };
    let script = match shell {
        Shell::Csh => activation.sourcing_in_csh(),
        shell => activation.script(shell),
    };
    let script = script.map_err(|error| {
        Error::usage(format!("environment {} cannot be activated", place.env)).caused_by(&error)
    })?;
    context.printer.data(&script)
}

/// The shell that called us, else the login shell.
fn calling_shell() -> Option<Shell> {
    let parent = fs::read_to_string(format!("/proc/{}/comm", getppid())).unwrap_or_default();
    let login = env::var_os(env_vars::SHELL).unwrap_or_default();
    Shell::detect([parent.trim(), &login.to_string_lossy()])
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    activation::check_variable(key, value).map_err(|error| error.to_string())?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_needs_a_name_that_shells_take() {
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        for bad in ["A", "=x", "1A=x", "A B=x", "PATH=/x"] {
            assert!(variable(bad).is_err(), "{bad}");
        }
    }
}
