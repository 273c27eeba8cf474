//! `blast run --sandbox LEVEL`: the flags, and the command inside.

mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use blast_sandbox::audit::log::Log;
use blast_sandbox::audit::{self, Decision, Entry, Listener as _, Who};
use blast_sandbox::net::{Config, Publish};
use blast_sandbox::plan::{Layer as Enforced, WatchedLimits};
use blast_sandbox::policy::merge::{Layer, Merged};
use blast_sandbox::policy::origin::Origin;
use blast_sandbox::policy::schema;
use blast_sandbox::policy::target::Target;
use blast_sandbox::policy::verdict::{Rule, Rules};
use blast_sandbox::policy::{Files, Limits, Network};
use blast_sandbox::{
    Attempt, Caller, End, Environment, Excess, Failure, Level, Machine, PlanError, Policy, Program,
    Stage, UnknownLevel, Used, Watch, places,
};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, raise};
use nix::unistd::Uid;

use super::context::Context;
use crate::env_vars;
use crate::error::{Error, Kind};
use crate::exit_code::Exit;
use crate::filter::{self, Running, Teacher};
use crate::ipc::paths::Places;
use crate::ipc::protocol::Place;
use crate::sandbox::{self, Order};
use crate::ui::{Printer, units};

/// What a command may touch.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Sandbox options")]
pub(super) struct SandboxOptions {
    /// Keep the command in a sandbox: none, standard (the project and private files are written, the
    /// system is read, no home, no network) or strict (less of the system) [default: what the settings say, else standard]
    #[arg(long, value_name = "LEVEL")]
    sandbox: Option<Level>,
    /// Let the command read this path
    #[arg(long, value_name = "PATH")]
    read_only: Vec<PathBuf>,
    /// Let the command read and change this path
    #[arg(long, value_name = "PATH")]
    read_write: Vec<PathBuf>,
    /// Hide this path from the command
    #[arg(long, value_name = "PATH")]
    hide: Vec<PathBuf>,
    /// Give the command this variable, with its value here or another
    #[arg(long = "variable", value_name = "NAME[=VALUE]")]
    #[arg(value_parser = variable)]
    variables: Vec<(String, Option<String>)>,
    #[arg(
        long,
        value_name = "HOST",
        help = "Let the command connect to this host: HOST[:PORT], *.DOMAIN[:PORT] or ADDRESS[/BITS][:PORT]"
    )]
    allow_net: Vec<Target>,
    /// Let this host reach a port of the command's, on the loopback: PORT, or OURS:ITS
    #[arg(long, value_name = "PORT", value_parser = publish)]
    publish: Vec<Publish>,
    /// Limit the memory of all its processes together (bytes, or with K, M, G)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_max: Option<u64>,
    /// Limit the time of processors: 1.5 is one and a half of them
    #[arg(long, value_name = "PROCESSORS", value_parser = processors)]
    cpu_max: Option<u32>,
    /// Limit the number of processes and threads
    #[arg(long, value_name = "NUMBER")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pids_max: Option<u64>,
    /// Limit the size of each file that is written
    #[arg(long, value_name = "SIZE", value_parser = size)]
    file_size_max: Option<u64>,
    /// Limit the size of all that is written, private files included
    #[arg(long, value_name = "SIZE", value_parser = size)]
    total_size_max: Option<u64>,
    /// Limit the size of its private files (/tmp, the home directory inside) together
    #[arg(long, value_name = "SIZE", value_parser = size)]
    tmp_size: Option<u64>,
    /// Go on where this limit cannot be enforced on this machine: memory, cpu, pids or io
    #[arg(long, value_name = "LAYER")]
    allow_degraded: Vec<Enforced>,
}

impl SandboxOptions {
    /// Whether anything is said that makes sense in a sandbox only.
    fn says_something(&self, flags: &Policy) -> bool {
        let silent = Policy {
            level: flags.level,
            ..Policy::default()
        };
        *flags != silent || !self.allow_degraded.is_empty()
    }

    fn policy(&self, directory: &Path) -> Policy {
        let absolute = |paths: &[PathBuf]| paths.iter().map(|path| directory.join(path)).collect();
        Policy {
            level: self.sandbox.unwrap_or_default(),
            files: Files {
                read_only: absolute(&self.read_only),
                read_write: absolute(&self.read_write),
                hidden: absolute(&self.hide),
                temporary_bytes: self.tmp_size,
            },
            limits: Limits {
                memory_bytes: self.memory_max,
                cpu_percent: self.cpu_max,
                processes: self.pids_max,
                file_bytes: self.file_size_max,
                written_bytes: self.total_size_max,
                ..Limits::default()
            },
            variables: self.variables.iter().cloned().collect(),
            network: Network {
                rules: Rules {
                    allowed: self.allow_net.iter().cloned().map(rule).collect(),
                    ..Rules::default()
                },
                publish: self.publish.clone(),
                ..Network::default()
            },
        }
    }
}

fn rule(target: Target) -> Rule {
    Rule {
        target,
        origin: Origin::Flag,
    }
}

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
    /// It ran, and ended so.
    Ended(Exit),
    /// It could not be started.
    NotStarted(io::Error),
    /// There can be none on this machine, and nobody asked for one by name: it did not run.
    NoSandbox,
}

/// Runs the command inside.
pub(super) fn run(
    options: &SandboxOptions,
    merged: &Merged,
    context: &Context,
    place: &Place,
    variables: BTreeMap<OsString, OsString>,
    command: &[OsString],
) -> Result<Outcome, Error> {
    let directory = context.cwd()?;
    let mut policy = merged.policy.clone();
    let sources = place.sources.iter().cloned();
    let given = script::given(command, directory).into_iter().chain(sources);
    // What can be written anyway stays so; what is gone is not missed here.
    let workplace = place.project.as_deref().unwrap_or(directory);
    let given = given.filter(|path| !path.starts_with(workplace) && path.exists());
    policy.files.read_only.extend(given);
    let policy = &policy;
    let environment = environment(context, place, variables)?;
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
    let machine = Machine::here();
    let plan = blast_sandbox::plan(policy, &environment, &caller, &machine, &places::Host)
        .map_err(|error| unplanned(&error))?;
    for degraded in &plan.degraded {
        let (layer, reason) = (degraded.layer, &degraded.reason);
        context.printer.warn(format!(
            "the limit of {layer} is not wholly enforced: {reason}"
        ));
    }
    for note in &plan.notes {
        context.printer.warn(note);
    }
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
    for degraded in &plan.degraded {
        let rule = format!("it is not wholly enforced: {}", degraded.reason);
        let layer = degraded.layer.as_str();
        Log::new(&home).heard(&of_sandbox(&who, layer, Decision::Failed, rule));
    }
    let mut teller = Teller {
        printer: context.printer,
        teacher: Teacher::new(context.printer),
        log: Log::new(&home),
        who: who.clone(),
        exceeded: 0,
        network: policy.network.clone(),
        home: home.clone(),
        running: None,
    };
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
    let outcome = if order.plan.watched == WatchedLimits::default() {
        sandbox::run(&place.env, &order, &program, places, printer, &mut teller)
    } else {
        // What is summed up is this program's alone.
        blast_sandbox::run(&order.plan, &program, &mut teller)
    };
    // The filter, if it is ours, ends before we do, or we could end before its last line.
    drop(teller);
    match outcome {
        Ok(end) => Ok(Outcome::Ended(exit(end))),
        Err(Failure {
            stage: Stage::Program,
            errno: Some(errno),
            ..
        }) => Ok(Outcome::NotStarted(io::Error::from_raw_os_error(errno))),
        // Nobody asked for it by name, so it is told and does not stop anybody; a limit or a rule is asked for.
        Err(failure) if merged.lines.is_empty() && is_of_the_machine(failure.stage) => {
            tell_missing(&failure, places, context.printer);
            Ok(Outcome::NoSandbox)
        }
        Err(failure) => Err(unmade(&failure)),
    }
}

/// Whether a stage fails because of what the machine lacks.
fn is_of_the_machine(stage: Stage) -> bool {
    matches!(
        stage,
        Stage::Namespaces | Stage::Identity | Stage::Lock | Stage::Mounts | Stage::Processes
    )
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

/// What a sandbox must know of an environment.
fn environment(
    context: &Context,
    place: &Place,
    variables: BTreeMap<OsString, OsString>,
) -> Result<Environment, Error> {
    let places = context.places()?;
    Ok(Environment {
        prefix: Some(place.prefix.clone()),
        interpreter: Some(place.interpreter.clone()),
        project: place.project.clone(),
        frozen: super::policy::paths(place.project.as_deref()),
        own: Vec::new(),
        secret: [&places.home, &places.cache, &places.runtime]
            .map(Clone::clone)
            .into(),
        variables,
    })
}

/// Writes into the audit log which paths and variables a command is given, and which it is not though somebody asked for
/// it. Connections are written down by the filter, each for itself.
fn write_down(merged: &Merged, who: &Who, home: &Path, printer: Printer) {
    let log = Log::new(home);
    for line in &merged.lines {
        let kind = match line.key.as_str() {
            "filesystem.read-only" => audit::Kind::Read,
            "filesystem.read-write" => audit::Kind::Write,
            "environment.allowed" | "environment.set" => audit::Kind::Env,
            _ => continue,
        };
        let (decision, rule) = match &line.overruled_by {
            Some(by) => (Decision::Denied, format!("{by} overrules {}", line.origin)),
            None => (Decision::Allowed, format!("{} gives it", line.origin)),
        };
        // The value of a variable may be a secret.
        let target = match kind {
            audit::Kind::Env => line.value.split('=').next().unwrap_or_default().to_owned(),
            _ => line.value.clone(),
        };
        let written = log.append(&Entry {
            at_ms: audit::now_ms(),
            who: who.clone(),
            kind,
            target,
            address: None,
            decision,
            rule,
            allow: None,
            traffic: None,
        });
        if let Err(error) = written {
            printer.warn(format!(
                "the audit log cannot be written: {}: {error}",
                log.path().display()
            ));
            return;
        }
    }
}

/// How often it is told on the terminal that a process was ended.
const MOST_EXCESSES: u32 = 10;

/// Tells and writes down what the program did not get, and starts the filter of a sandbox that is made for it.
struct Teller {
    printer: Printer,
    teacher: Teacher,
    log: Log,
    who: Who,
    exceeded: u32,
    network: Network,
    home: PathBuf,
    running: Option<Running>,
}

impl Watch for Teller {
    fn filter(&mut self, channel: OwnedFd) -> io::Result<()> {
        let order = filter::Order {
            config: Config {
                who: self.who.clone(),
                network: self.network.clone(),
            },
            home: self.home.clone(),
        };
        let speaks = io::stderr().as_fd().try_clone_to_owned()?;
        self.running = Some(filter::start(&order, channel, speaks)?);
        Ok(())
    }

    fn exceeded(&mut self, excess: Excess) {
        let rule = over(excess);
        // The log has all of them.
        self.exceeded += 1;
        if self.exceeded <= MOST_EXCESSES {
            let who = match excess.victim {
                Some(_) => "the largest process of the sandbox",
                None => "the sandbox",
            };
            self.printer.warn(format!("{who} was ended: {rule}"));
        }
        let target = match excess.what {
            Used::Memory => "memory",
            Used::Processes => "pids",
            Used::Written => "total-size",
        };
        self.log
            .heard(&of_sandbox(&self.who, target, Decision::Denied, rule));
    }

    fn denied(&mut self, attempt: &Attempt) {
        let entry = Entry::denied(&self.who, attempt);
        self.log.heard(&entry);
        self.teacher.heard(&entry);
    }
}

/// In words, what was passed.
fn over(excess: Excess) -> String {
    let Excess {
        what, used, most, ..
    } = excess;
    match what {
        Used::Memory => format!(
            "its processes used {} of memory, and may use {}",
            units::bytes(used),
            units::bytes(most)
        ),
        Used::Processes => {
            format!("it had {used} processes and threads, and may have {most}")
        }
        Used::Written => format!(
            "it wrote {}, and may write {}",
            units::bytes(used),
            units::bytes(most)
        ),
    }
}

/// A line of the audit log about the sandbox itself.
fn of_sandbox(who: &Who, target: &str, decision: Decision, rule: String) -> Entry {
    Entry {
        at_ms: audit::now_ms(),
        who: who.clone(),
        kind: audit::Kind::Sandbox,
        target: target.to_owned(),
        address: None,
        decision,
        rule,
        allow: None,
        traffic: None,
    }
}

/// Ends as the command did, where that is possible by its signal.
fn exit(end: End) -> Exit {
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

fn unplanned(error: &PlanError) -> Error {
    let shown = Error::new(Kind::Usage, error.to_string());
    match error {
        PlanError::NotEnforceable(degraded) => shown
            .hint(format!(
                "`--allow-degraded {}` goes on with what can be done",
                degraded.layer
            ))
            .hint("`blast doctor` says which cgroups there are"),
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
        Stage::Namespaces | Stage::Identity | Stage::Lock | Stage::Processes => {
            error.hint("`blast doctor` says what this machine lacks")
        }
        _ => error,
    }
}

fn variable(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("a variable has a name".to_owned());
    }
    Ok((name.to_owned(), value))
}

fn size(text: &str) -> Result<u64, String> {
    schema::size(text)
        .ok_or_else(|| "a size is a number of bytes, or one with K, M or G".to_owned())
}

/// `5000`, or `8080:80`: ours, then its.
fn publish(text: &str) -> Result<Publish, String> {
    let (outside, inside) = text.split_once(':').unwrap_or((text, text));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match (port(outside), port(inside)) {
        (Some(outside), Some(inside)) => Ok(Publish { outside, inside }),
        _ => Err("a port is a number from 1 to 65535".to_owned()),
    }
}

/// `2`, `0.5`: in hundredths.
fn processors(text: &str) -> Result<u32, String> {
    let wrong = || "a number of processors is like 2 or 0.5".to_owned();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = match part.len() {
        0 => 0,
        1 => part.parse::<u32>().map_err(|_| wrong())? * 10,
        2 => part.parse().map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    let percent = whole
        .checked_mul(100)
        .and_then(|hundreds| hundreds.checked_add(part));
    percent.filter(|percent| *percent > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_processors_are_read_as_people_write_them() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("2g"), Ok(2 << 30));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        for wrong in ["", "0", "M", "1.5G", "-1", "12T", "99999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(processors("1.5"), Ok(150));
        assert_eq!(processors("2"), Ok(200));
        assert_eq!(processors("0.05"), Ok(5));
        for wrong in ["", "0", "x", "1.234", "-1"] {
            assert!(processors(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_port_is_published_under_its_own_number_or_another() {
        let both = |outside, inside| Ok(Publish { outside, inside });
        assert_eq!(publish("5000"), both(5000, 5000));
        assert_eq!(publish("8080:80"), both(8080, 80));
        for wrong in ["", "0", "1:0", "x", "1:2:3", "70000", "127.0.0.1:80"] {
            assert!(publish(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_variable_comes_with_a_value_or_brings_its_own() {
        assert_eq!(variable("A=b=c"), Ok(("A".into(), Some("b=c".into()))));
        assert_eq!(variable("A"), Ok(("A".into(), None)));
        assert!(variable("=b").is_err());
    }
}
