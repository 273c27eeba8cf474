//! `blast run --sandbox LEVEL`: the flags, and the command inside.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use blast_sandbox::plan::Layer;
use blast_sandbox::policy::{Files, Limits, Network};
use blast_sandbox::{
    Caller, End, Environment, Failure, Level, Machine, PlanError, Policy, Program, Stage, Watch,
    places,
};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, raise};

use super::context::Context;
use crate::error::{Error, Kind};
use crate::exit_code::Exit;
use crate::ipc::protocol::Place;
use crate::ui::Printer;

/// What a command may touch.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sandbox options")]
pub(super) struct SandboxOptions {
    /// Keep the command in a sandbox: none, standard (the project and private files are written, the
    /// system is read, no home, no network) or strict (less of the system)
    #[arg(long, value_name = "LEVEL")]
    sandbox: Option<Level>,
    /// Let the command read this path
    #[arg(long, value_name = "PATH", requires = "sandbox")]
    read_only: Vec<PathBuf>,
    /// Let the command read and change this path
    #[arg(long, value_name = "PATH", requires = "sandbox")]
    read_write: Vec<PathBuf>,
    /// Hide this path from the command
    #[arg(long, value_name = "PATH", requires = "sandbox")]
    hide: Vec<PathBuf>,
    /// Give the command this variable, with its value here or another
    #[arg(long = "variable", value_name = "NAME[=VALUE]", requires = "sandbox")]
    #[arg(value_parser = variable)]
    variables: Vec<(String, Option<String>)>,
    /// Limit the memory of all its processes together (bytes, or with K, M, G)
    #[arg(long, value_name = "SIZE", requires = "sandbox", value_parser = size)]
    memory_max: Option<u64>,
    /// Limit the time of processors: 1.5 is one and a half of them
    #[arg(long, value_name = "PROCESSORS", requires = "sandbox", value_parser = processors)]
    cpu_max: Option<u32>,
    /// Limit the number of processes and threads
    #[arg(long, value_name = "NUMBER", requires = "sandbox")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pids_max: Option<u64>,
    /// Limit the size of each file that is written
    #[arg(long, value_name = "SIZE", requires = "sandbox", value_parser = size)]
    file_size_max: Option<u64>,
    /// Limit the size of its private files (/tmp, the home directory inside) together
    #[arg(long, value_name = "SIZE", requires = "sandbox", value_parser = size)]
    tmp_size: Option<u64>,
    /// Go on where this limit cannot be enforced on this machine: memory, cpu or pids
    #[arg(long, value_name = "LAYER", requires = "sandbox")]
    allow_degraded: Vec<Layer>,
}

impl SandboxOptions {
    /// Whether there is to be a sandbox.
    pub(super) fn is_wanted(&self) -> bool {
        self.sandbox.is_some_and(|level| level > Level::None)
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
                ..Limits::default()
            },
            variables: self.variables.iter().cloned().collect(),
            network: Network::default(),
        }
    }
}

/// Runs the command inside and ends as it does. The inner error: it could not be started.
pub(super) fn run(
    options: &SandboxOptions,
    context: &Context,
    place: &Place,
    variables: BTreeMap<OsString, OsString>,
    command: &[OsString],
) -> Result<Result<Exit, io::Error>, Error> {
    let directory = context.cwd()?;
    let policy = options.policy(directory);
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
    let plan = blast_sandbox::plan(&policy, &environment, &caller, &machine, &places::Host)
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
    match blast_sandbox::run(&plan, &program, &mut Teller(context.printer)) {
        Ok(end) => Ok(Ok(exit(end))),
        Err(Failure {
            stage: Stage::Program,
            errno: Some(errno),
            ..
        }) => Ok(Err(io::Error::from_raw_os_error(errno))),
        Err(failure) => Err(unmade(&failure)),
    }
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
        secret: [&places.home, &places.cache, &places.runtime]
            .map(Clone::clone)
            .into(),
        variables,
    })
}

/// Says what a sandbox could not do wholly.
struct Teller(Printer);

impl Watch for Teller {
    fn read_only_view(&mut self, reason: &str) {
        self.0.detail(format!(
            "the environment is read only in the sandbox: overlayfs: {reason}"
        ));
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

/// `4096`, `512K`, `200M`, `2G`: powers of 1024, as limits are counted.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = match text
        .get(digits.len()..)
        .unwrap_or_default()
        .to_ascii_uppercase()
        .as_str()
    {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        _ => return Err("a size is a number of bytes, or one with K, M or G".to_owned()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "a size is a number of bytes, or one with K, M or G".to_owned())?;
    number
        .checked_mul(unit)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "a size is neither nothing nor more than can be counted".to_owned())
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
    fn a_variable_comes_with_a_value_or_brings_its_own() {
        assert_eq!(variable("A=b=c"), Ok(("A".into(), Some("b=c".into()))));
        assert_eq!(variable("A"), Ok(("A".into(), None)));
        assert!(variable("=b").is_err());
    }
}
