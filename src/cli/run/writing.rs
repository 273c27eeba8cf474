//! `blast run --writes …`: what becomes of what the command writes into the environment.
//!
//! The command sees the environment through an overlay (`src/overlay.rs`) of an area that the daemon made
//! (`engine/capture`). This process waits for it, holding the area's lock, and then has the daemon take
//! what is there. Signals that would end this process are for the command: those that a terminal sends
//! reach it anyway, and the others are passed on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};

use blast_sandbox::Level;
use blast_types::EnvName;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::{variables, visible_prefix};
use crate::cli::change;
use crate::cli::context::Context;
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

/// Runs a command whose writes are captured, discarded or denied; the history shows it as `shown`. Its exit
/// status is the command's. It is given these variables beside those of the environment.
pub(in crate::cli) fn run(
    env: &EnvName,
    command: &[OsString],
    shown: Vec<String>,
    writes: Writes,
    given: &BTreeMap<String, String>,
    context: &Context,
) -> Result<Exit, Error> {
    let Reply::Area(area) = context.ask(Request::Area { env: env.clone() })? else {
        return Err(Error::unexpected_reply());
    };
    let lock = area.folder.join("lock");
    let held = File::open(&lock).map_err(|error| Error::io("open", &lock, &error))?;
    held.try_lock()
        .map_err(|error| Error::internal("the area for writes is not ours").caused_by(&error))?;
    let status = wait(start(&area, command, writes, given, context)?)?;
    let request = Capture {
        env: env.clone(),
        folder: area.folder,
        generation: area.generation,
        command: shown,
        discard: writes != Writes::Capture,
    };
    let Reply::Changed(changed) = capture(&request, context)? else {
        return Err(Error::unexpected_reply());
    };
    if changed.operation.is_some() {
        change::report(context, &changed, Some(env), "blast revert")?;
    } else if let Some(summary) = &changed.summary {
        context.printer.say(summary);
    }
    Ok(exit_of(status))
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

/// Where a policy wants a sandbox, which the overlay is none of.
pub(in crate::cli) fn no_sandbox() -> Error {
    Error::usage("a policy keeps programs in a sandbox, where their writes cannot be looked after")
        .hint("run it without `--writes`, or without the sandbox")
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
