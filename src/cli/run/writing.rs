//! `blast run --writes …`: what becomes of what the command writes into the environment.
//!
//! The command sees the environment through an overlay (`src/overlay.rs`, or its sandbox's own where somebody wants one by
//! name) of an area that the daemon made (`engine/capture`). This process waits for it, holding the area's lock, and then has the daemon take
//! what is there. Signals that would end this process are for the command: those that a terminal sends
//! reach it anyway, and the others are passed on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};

use blast_sandbox::policy::merge::Merged;
use blast_sandbox::{Level, plan};
use blast_types::EnvName;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::{not_run, variables, visible_prefix};
use crate::cli::change;
use crate::cli::context::Context;
use crate::cli::sandbox::{self, Inside, Outcome, SandboxOptions};
use crate::env_vars;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Area, Capture, Reply, Request, Writes};
use crate::namespace;
use crate::overlay;

/// The file that marks an area as kept.
const KEPT: &str = "kept";

/// Signals that ask this process to end.
const ENDING: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGHUP,
];

/// A command whose writes are captured, discarded or denied.
pub(in crate::cli) struct Writer<'a> {
    /// Its environment.
    pub(in crate::cli) env: &'a EnvName,
    /// What runs.
    pub(in crate::cli) command: &'a [OsString],
    /// As what the history shows it.
    pub(in crate::cli) shown: Vec<String>,
    /// What becomes of its writes.
    pub(in crate::cli) writes: Writes,
    /// Variables beside those of the environment.
    pub(in crate::cli) given: &'a BTreeMap<String, String>,
    /// What somebody keeps it in.
    pub(in crate::cli) kept: Option<(&'a SandboxOptions, &'a Merged)>,
}

/// How a command ended, or that it did not start.
enum End {
    /// As whatever started it tells.
    Status(ExitStatus),
    /// In a sandbox.
    Inside(blast_sandbox::End),
    /// There was none: why.
    NotStarted(Error),
}

impl Writer<'_> {
    /// Runs it. Its exit status is the command's.
    pub(in crate::cli) fn run(self, context: &Context) -> Result<Exit, Error> {
        let Reply::Area(area) = context.ask(Request::Area {
            env: self.env.clone(),
        })?
        else {
            return Err(Error::unexpected_reply());
        };
        let lock = area.folder.join("lock");
        let held = File::open(&lock).map_err(|error| Error::io("open", &lock, &error))?;
        held.try_lock().map_err(|error| {
            Error::internal("the area for writes is not ours").caused_by(&error)
        })?;
        let end = match self.kept {
            Some((options, merged)) => self
                .inside(options, merged, &area, context)
                .unwrap_or_else(End::NotStarted),
            None => End::Status(wait(start(
                &area,
                self.command,
                self.writes,
                self.given,
                context,
            )?)?),
        };
        let did_start = !matches!(end, End::NotStarted(_));
        let request = Capture {
            env: self.env.clone(),
            folder: area.folder,
            generation: area.generation,
            command: self.shown,
            discard: self.writes != Writes::Capture || !did_start,
        };
        let Reply::Changed(changed) = capture(&request, context)? else {
            return Err(Error::unexpected_reply());
        };
        if changed.operation.is_some() {
            change::report(context, &changed, Some(self.env), "blast revert")?;
        } else if let Some(summary) = changed.summary.as_ref().filter(|_| did_start) {
            context.printer.say(summary);
        }
        match end {
            End::Status(status) => Ok(exit_of(status)),
            End::Inside(end) => Ok(sandbox::exit(end)),
            End::NotStarted(error) => Err(error),
        }
    }

    /// Runs it in a sandbox whose environment is written into the area.
    fn inside(
        &self,
        options: &SandboxOptions,
        merged: &Merged,
        area: &Area,
        context: &Context,
    ) -> Result<End, Error> {
        namespace::follow(&area.place)?;
        let prefix = visible_prefix(context, &area.place)?;
        // Else the program would see, and write over, another state than the area is for.
        if area.place.prefix.canonicalize().ok() != area.tree.canonicalize().ok() {
            return Err(
                Error::internal("the environment changed meanwhile").hint("run the command again")
            );
        }
        let inside = Inside {
            place: &area.place,
            variables: variables(&area.place, &prefix)?,
            writes: match self.writes {
                Writes::Deny => plan::Writes::Denied,
                Writes::Capture | Writes::Discard => plan::Writes::Area(area.folder.clone()),
            },
            command: self.command,
        };
        match sandbox::run(options, merged, context, inside)? {
            Outcome::Ended(end) => Ok(End::Inside(end)),
            Outcome::NotStarted(failed) => {
                let name = self
                    .command
                    .first()
                    .map_or_else(Default::default, Clone::clone);
                Err(not_run(&name, &failed, &area.place))
            }
            Outcome::NoSandbox => Err(no_sandbox()),
        }
    }
}

/// Has the writes taken. A daemon that dies over it is asked once more: the next one finds what the
/// program wrote, or that it was taken.
fn capture(request: &Capture, context: &Context) -> Result<Reply, Error> {
    let ask = || context.ask(Request::Capture(request.clone()));
    // A daemon that answers has taken the area, or says that it keeps it.
    let is_open = || request.folder.is_dir() && !request.folder.join(KEPT).exists();
    match ask() {
        Err(_) if is_open() => ask().inspect_err(|_| keep(&request.folder, context)),
        answered => answered,
    }
}

/// Nobody removes an area unasked that was not taken.
fn keep(folder: &Path, context: &Context) {
    let kept = folder.join(KEPT);
    if folder.is_dir() && !kept.exists() && File::create(&kept).is_ok() {
        context
            .printer
            .say(format!("what was written is kept in {}", folder.display()));
    }
}

/// Where a policy wants a sandbox, and what runs cannot be in one.
pub(in crate::cli) fn no_sandbox() -> Error {
    Error::usage("a policy keeps programs in a sandbox, where this cannot run")
        .hint("run it without the sandbox: `BLAST_SANDBOX=none`")
}

fn start(
    area: &Area,
    command: &[OsString],
    writes: Writes,
    given: &BTreeMap<String, String>,
    context: &Context,
) -> Result<Child, Error> {
    let ours = std::env::current_exe()
        .map_err(|error| Error::io("find", Path::new("/proc/self/exe"), &error))?;
    namespace::follow(&area.place)?;
    let prefix = visible_prefix(context, &area.place)?;
    let mut step = Command::new(&ours);
    step.env(env_vars::BLAST_SANDBOX, Level::None.as_str());
    step.arg(overlay::COMMAND).arg(&area.tree);
    match writes {
        Writes::Deny => step.arg("-"),
        Writes::Capture | Writes::Discard => step.arg(&area.folder),
    };
    step.args(command);
    let mut signals = SigSet::empty();
    for signal in ENDING {
        signals.add(signal);
    }
    signals
        .thread_block()
        .map_err(|error| Error::internal("signals cannot be held back").caused_by(&error))?;
    let child = step
        .envs(variables(&area.place, &prefix)?)
        .env_remove(env_vars::PYTHONHOME)
        .envs(given)
        .spawn()
        .map_err(|error| Error::io("run", &ours, &error))?;
    if let Ok(id) = i32::try_from(child.id()) {
        std::thread::spawn(move || pass_on(signals, Pid::from_raw(id)));
    }
    Ok(child)
}

/// Passes signals on for as long as this process lives; a terminal's own reach the command as well.
fn pass_on(signals: SigSet, to: Pid) {
    while let Ok(signal) = signals.wait() {
        if matches!(signal, Signal::SIGTERM | Signal::SIGHUP) && kill(to, signal).is_err() {
            return;
        }
    }
}

fn wait(mut child: Child) -> Result<ExitStatus, Error> {
    child
        .wait()
        .map_err(|error| Error::internal("cannot wait for the command").caused_by(&error))
}

/// As a shell tells it: 128 and the signal's number for what a signal ended.
fn exit_of(status: ExitStatus) -> Exit {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    let code = code.and_then(|code| u8::try_from(code).ok());
    code.map_or(Exit::Error, Exit::Own)
}
