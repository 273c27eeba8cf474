//! A command in a sandbox: what holds for it, and how it is run.

mod options;
mod script;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blast_sandbox::audit::Who;
use blast_sandbox::net::Config;
use blast_sandbox::plan::{Layer as Enforced, WatchedLimits, Writes};
use blast_sandbox::policy::merge::{Layer, Merged};
use blast_sandbox::{
    Caller, End, Environment, Failure, Level, Machine, Plan, PlanError, Policy, Program, Stage,
    UnknownLevel, places,
};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, raise};
use nix::unistd::Uid;

use super::context::Context;
use super::venv_link;
use crate::env_vars;
use crate::error::{Error, Kind};
use crate::exit_code::Exit;
use crate::ipc::paths::Places;
use crate::ipc::protocol::Place;
use crate::sandbox::cache::Caches;
use crate::sandbox::scope::Manager;
use crate::sandbox::{self, Order};
use crate::ui::Printer;

pub(super) use self::options::SandboxOptions;
use self::telling::{Teller, write_down};

/// What holds for a command in an environment, which is given these variables; none where nothing is kept from it.
pub(super) fn policy(
    options: &SandboxOptions,
    given: &BTreeMap<String, String>,
    context: &Context,
    place: &Place,
) -> Result<Option<Merged>, Error> {
    let flags = options.policy(context.cwd()?);
    let mut with_given = flags.clone();
    for (name, value) in given {
        let value = Some(value.clone());
        with_given.variables.insert(name.clone(), value);
    }
    let level = match options.sandbox {
        Some(level) => Some(level),
        None => variable_level()?,
    };
    let layer = Layer::of_flags(level, &with_given);
    let merged = super::policy::merged(place.project.as_deref(), Some(layer))?;
    if merged.policy.level > Level::None {
        return Ok(Some(merged));
    }
    if options.says_something(&flags) {
        return Err(
            Error::usage("there is no sandbox that this could hold for").hint(
                "say `--sandbox standard`, or `level = \"standard\"` in `[tool.blast.sandbox]`",
            ),
        );
    }
    Ok(None)
}

/// Whether somebody said a level.
pub(super) fn is_asked_for(merged: &Merged) -> bool {
    merged.lines.iter().any(|line| line.key == "level")
}

/// Whether the variable says that there is no sandbox, and the system does not say otherwise.
pub(super) fn is_none_for_all() -> Result<bool, Error> {
    Ok(variable_level()? == Some(Level::None) && level(None)? == Level::None)
}

/// The level of what runs next without a word about it.
pub(super) fn level(project: Option<&Path>) -> Result<Level, Error> {
    let said = Layer::of_flags(variable_level()?, &Policy::default());
    Ok(super::policy::merged(project, Some(said))?.policy.level)
}

/// The level that the variable says.
fn variable_level() -> Result<Option<Level>, Error> {
    let said = env::var_os(env_vars::BLAST_SANDBOX).filter(|value| !value.is_empty());
    let Some(said) = said else {
        return Ok(None);
    };
    let said = said.to_string_lossy();
    said.parse().map(Some).map_err(|error: UnknownLevel| {
        Error::usage(format!("`{said}` is no level of a sandbox"))
            .caused_by(&error)
            .hint(format!(
                "`{}` is none, standard or strict",
                env_vars::BLAST_SANDBOX
            ))
    })
}

/// What became of a command that was to run in a sandbox.
pub(super) enum Outcome {
    /// It ran, and ended so ([`exit`]).
    Ended(End),
    /// It could not be started.
    NotStarted(io::Error),
    /// There can be none on this machine, and nobody asked for one by name: it did not run.
    NoSandbox,
}

/// What runs inside, and where.
pub(super) struct Inside<'a> {
    /// The environment.
    pub(super) place: &'a Place,
    /// Variables that belong to it.
    pub(super) variables: BTreeMap<OsString, OsString>,
    /// What becomes of what is written into it.
    pub(super) writes: Writes,
    /// The program and its arguments.
    pub(super) command: &'a [OsString],
}

/// Runs the command inside.
pub(super) fn run(
    options: &SandboxOptions,
    merged: &Merged,
    context: &Context,
    inside: Inside<'_>,
) -> Result<Outcome, Error> {
    let Inside {
        place,
        variables,
        writes,
        command,
    } = inside;
    let is_private = writes == Writes::Private;
    let directory = context.cwd()?;
    let mut policy = merged.policy.clone();
    let sources = place.sources.iter().cloned();
    // Whoever works in the home directory, or above, works in no part of it.
    let outside_home = || !env::home_dir().is_some_and(|home| home.starts_with(directory));
    let project = place.project.as_deref();
    let workplace = project.or_else(|| outside_home().then_some(directory));
    let script = script::given(command, directory, workplace);
    let is_written = |path: &Path| workplace.is_some_and(|workplace| path.starts_with(workplace));
    // What can be written anyway stays so; what is gone is not missed here.
    let given =
        (script.into_iter().chain(sources)).filter(|path| !is_written(path) && path.exists());
    policy.files.read_only.extend(given);
    let policy = &policy;
    let cache = (policy.level == Level::Standard)
        .then(|| own_cache(context, place))
        .transpose()?;
    let environment = Environment {
        writes,
        cache: cache.flatten(),
        ..environment(context, place, variables)?
    };
    let caller = Caller {
        directory: directory.to_owned(),
        home: env::home_dir(),
        variables: env::vars_os().collect(),
        allow_degraded: options
            .allow_degraded
            .iter()
            .copied()
            .collect::<BTreeSet<_>>(),
    };
    let machine = Machine::here().with_user_of(policy);
    let plan = blast_sandbox::plan(policy, &environment, &caller, &machine, &places::Host)
        .map_err(|error| in_a_scope(&error, context).unwrap_or_else(|| unplanned(&error)))?;
    for note in &plan.notes {
        context.printer.warn(note);
    }
    tell_unmapped(&plan, context.printer);
    let [name, arguments @ ..] = command else {
        return Err(Error::usage("no command to run"));
    };
    let program = Program {
        name: name.clone(),
        arguments: arguments.to_vec(),
    };
    let who = Who {
        environment: place.env.to_string(),
        command: command
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        uid: Uid::current().as_raw(),
    };
    let home = context.places()?.home.clone();
    write_down(merged, &who, &home, context.printer);
    let network = policy.network.clone();
    let mut teller = Teller::new(context.printer, who.clone(), network, home.clone());
    for degraded in &plan.degraded {
        teller.degraded(degraded);
    }
    let order = Order {
        plan,
        config: Config {
            who: Who {
                // Each program says for itself what it is.
                command: Vec::new(),
                ..who
            },
            network: policy.network.clone(),
        },
        home,
    };
    let places = context.places()?;
    let printer = context.printer;
    let outcome = if is_private && order.plan.watched == WatchedLimits::default() {
        sandbox::run(&place.env, &order, &program, places, printer, &mut teller)
    } else {
        // What is summed up, or written for good, is this program's alone.
        blast_sandbox::run(&order.plan, &program, &mut teller)
    };
    // The filter, if it is ours, ends before we do, or we could end before its last line.
    drop(teller);
    match outcome {
        Ok(end) => Ok(Outcome::Ended(end)),
        Err(Failure {
            stage: Stage::Program,
            errno: Some(errno),
            ..
        }) => Ok(Outcome::NotStarted(io::Error::from_raw_os_error(errno))),
        // Nobody asked for it by name, so it is told and does not stop anybody; a limit or a rule is asked for.
        Err(failure) if merged.lines.is_empty() && failure.is_of_the_machine() => {
            tell_missing(&failure, places, context.printer);
            Ok(Outcome::NoSandbox)
        }
        Err(failure) => Err(unmade(&failure)),
    }
}

/// Says which files keep their owner for a program that runs as somebody else.
fn tell_unmapped(plan: &Plan, printer: Printer) {
    if plan.maker.is_none() {
        return;
    }
    // What fails here fails again when the sandbox is made, and is said there.
    for path in blast_sandbox::unmapped(plan).unwrap_or_default() {
        printer.warn(format!(
            "the file system of {} cannot show its files as another user's, so the command can change there what everybody may",
            path.display()
        ));
    }
}

/// Says that there is no sandbox: aloud the first time after the machine began, then only to who asks for details.
fn tell_missing(failure: &Failure, at: &Places, printer: Printer) {
    let said = format!(
        "this machine cannot make a sandbox ({failure}), so programs run WITHOUT one: they can do all that you can"
    );
    let mark = at.runtime.join("no-sandbox");
    if fs::read_to_string(&mark).is_ok_and(|before| before == said) {
        printer.detail(said);
        return;
    }
    printer.warn(&said);
    printer.warn(
        "`blast doctor` says what is missing; `--sandbox standard` refuses to go on without it",
    );
    // Told again next time where it cannot be written.
    fs::write(mark, said).unwrap_or_default();
}

/// What the programs of an environment keep to be faster the next time; nothing where it cannot be kept.
fn own_cache(context: &Context, place: &Place) -> Result<Option<PathBuf>, Error> {
    let places = context.places()?;
    let made = Caches::of(&places.home, &places.cache).made(&place.env);
    if let Err(error) = &made {
        context.printer.detail(format!(
            "what programs keep in ~/.cache ends with their sandbox: no directory for it can be made in {}: {error}",
            places.cache.display()
        ));
    }
    Ok(made.ok())
}

/// What a sandbox must know of an environment.
fn environment(
    context: &Context,
    place: &Place,
    variables: BTreeMap<OsString, OsString>,
) -> Result<Environment, Error> {
    let places = context.places()?;
    let project = place.project.as_deref();
    // By it people, and their editors, start the environment's Python outside.
    let link = project
        .filter(|project| venv_link::leads_to(project, &place.env, &places.live()))
        .map(venv_link::path);
    Ok(Environment {
        prefix: Some(place.prefix.clone()),
        interpreter: Some(place.interpreter.clone()),
        project: place.project.clone(),
        writes: Writes::Private,
        frozen: super::policy::paths(project)
            .into_iter()
            .chain(link)
            .collect(),
        own: Vec::new(),
        cache: None,
        secret: [&places.home, &places.cache, &places.runtime]
            .map(Clone::clone)
            .into(),
        variables,
    })
}

/// Ends as the command did, where that is possible by its signal.
pub(super) fn exit(end: End) -> Exit {
    let status = match end {
        End::Exited(status) => status,
        End::Killed(number) => {
            if let Ok(signal) = Signal::try_from(number) {
                // The core, if there was one, was not ours.
                setrlimit(Resource::RLIMIT_CORE, 0, 0).unwrap_or_default();
                raise(signal).unwrap_or_default();
            }
            128 + number
        }
    };
    Exit::Own(u8::try_from(status).unwrap_or(u8::MAX))
}

/// Begins again where a cgroup can be made for a limit that needs one. Comes back if there is nobody to ask, or with why that
/// failed.
fn in_a_scope(error: &PlanError, context: &Context) -> Option<Error> {
    // A user's manager gives no disks on.
    let needs_one =
        matches!(error, PlanError::NotEnforceable(lacks) if lacks.layer != Enforced::Io);
    let places = context.places().ok().filter(|_| needs_one)?;
    Some(Manager::here(places)?.begin_again())
}

fn unplanned(error: &PlanError) -> Error {
    let shown = Error::new(Kind::Usage, error.to_string());
    match error {
        PlanError::NotEnforceable(degraded) => shown
            .hint(format!(
                "`--allow-degraded {}` goes on with what can be done",
                degraded.layer
            ))
            .hint("`blast doctor` says which cgroups there are"),
        PlanError::Led { to, .. } => shown.hint(format!("name {} itself", to.display())),
        PlanError::NoUser(_) => shown.hint("say one without privilege, as `user = \"nobody\"`"),
        PlanError::NoEnvironment(_) => shown.hint("run `blast doctor`"),
        _ => shown,
    }
}

fn unmade(failure: &Failure) -> Error {
    let error = Error::internal("the sandbox cannot be made, so the command was not run")
        .caused_by(failure);
    match failure.stage {
        Stage::Network => {
            error.hint("nothing passes without a filter; a port of `--publish` may be taken")
        }
        _ if failure.is_of_the_machine() => {
            error.hint("`blast doctor` says what this machine lacks")
        }
        _ => error,
    }
}
