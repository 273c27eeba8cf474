//! The filter of a sandbox's network, as a process of its own: started by the holder of one sandbox, gone with it.
//!
//! ```text
//! standard input    one line of JSON: Order; then, for each program that comes, one with its words; it ends when the
//!                   sandbox does
//! standard output   the channel through which the sockets of the namespace come, and goes whether it runs
//! standard error    for the program's user: one line for each denial, with the command that would allow it
//! ```

use std::collections::HashSet;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use blast_sandbox::audit::log::Log;
use blast_sandbox::audit::{Decision, Entry, Listener};
use blast_sandbox::net::{Config, Filter, PROXY_PORT, Sockets, answer};
use serde::{Deserialize, Serialize};

use crate::exit_code::Exit;
use crate::ui::Printer;

/// The hidden command of this role.
pub(crate) const COMMAND: &str = "filter-network";

/// The most denials that are told on the terminal; the log has all.
const TOLD: usize = 100;

/// What a filter shall do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// What it lets through.
    pub(crate) config: Config,
    /// Where the audit log is: the home of the store.
    pub(crate) home: PathBuf,
}

/// A filter that runs; it ends when this is dropped, after its last line in the log.
#[derive(Debug)]
pub(crate) struct Running(Child);

/// Starts a filter that takes its sockets from `channel` and says on `speaks` what users should know.
pub(crate) fn start(order: &Order, channel: OwnedFd, speaks: OwnedFd) -> io::Result<Running> {
    let mut child = Command::new("/proc/self/exe")
        .arg0("blast")
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(channel)
        .stderr(speaks)
        .spawn()?;
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    if let Some(input) = &mut child.stdin {
        input.write_all(&line)?;
    }
    Ok(Running(child))
}

impl Running {
    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.0.id()
    }

    /// What is asked for from now on is asked for by this command.
    pub(crate) fn speaks_for(&mut self, command: &[String]) {
        let line = serde_json::to_vec(command).map(|mut line| {
            line.push(b'\n');
            line
        });
        if let (Some(input), Ok(line)) = (&mut self.0.stdin, line) {
            // One that is gone asks for nothing more.
            input.write_all(&line).unwrap_or_default();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // One that is gone already has said what it had to say.
        drop(self.0.wait());
    }
}

/// Plays the role to its end.
pub(crate) fn run(printer: Printer) -> ExitCode {
    match serve(printer) {
        Ok(()) => Exit::Ok.into(),
        // Whoever started it was told, or is gone.
        Err(_) => Exit::Error.into(),
    }
}

fn serve(printer: Printer) -> io::Result<()> {
    let mut input = BufReader::new(io::stdin());
    let mut line = String::new();
    input.read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    let channel = io::stdout().as_fd().try_clone_to_owned()?;
    let sockets = Sockets::receive(&channel)?;
    if let Err(reason) = &sockets.transparent {
        printer.warn(format!(
            "only programs that know a proxy reach the network from this sandbox \
             (http://127.0.0.1:{PROXY_PORT}): {reason}"
        ));
    }
    let log = Arc::new(Log::new(&order.home));
    let teacher = Arc::new(Teacher::new(printer));
    let listeners: Vec<Arc<dyn Listener>> = vec![log, teacher.clone()];
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let started = runtime.block_on(Filter::start(order.config, sockets, listeners));
    let outcome = started.as_ref().map(|_| ()).map_err(ToString::to_string);
    answer(&channel, &outcome)?;
    let filter = started?;
    let asker = filter.asker();
    let running = runtime.spawn(filter.run());
    // The end of the input is the end of the sandbox.
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            break;
        }
        if let Ok(command) = serde_json::from_str(&line) {
            teacher.forget();
            asker.is(command);
        }
    }
    running.abort();
    // Connections that are open get their lines as they are dropped.
    drop(runtime);
    Ok(())
}

/// Says on the terminal what is denied, each thing once.
#[derive(Debug)]
pub(crate) struct Teacher {
    printer: Printer,
    told: Mutex<HashSet<String>>,
}

impl Teacher {
    /// One who has said nothing yet.
    pub(crate) fn new(printer: Printer) -> Self {
        Self {
            printer,
            told: Mutex::default(),
        }
    }

    /// Somebody else listens now.
    fn forget(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.clear();
    }
}

impl Listener for Teacher {
    fn heard(&self, entry: &Entry) {
        if entry.decision != Decision::Denied {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD && told.insert(entry.target.clone()) {
            self.printer.say(denial(entry));
        }
    }
}

/// One line for a denial.
fn denial(entry: &Entry) -> String {
    // What a program asks for is its own words: none of them shall steer the terminal.
    let plain = |text: &str| text.replace(char::is_control, "?");
    let Entry {
        kind, target, rule, ..
    } = entry;
    let way_out = match entry.lesson() {
        Some(command) => format!("; allow it: {}", plain(&command)),
        None => String::new(),
    };
    format!(
        "blast: denied {kind} {}: {}{way_out}",
        plain(target),
        plain(rule)
    )
}

#[cfg(test)]
mod tests {
    use blast_sandbox::audit::{Kind, Who};

    use super::*;

    #[test]
    fn a_denial_is_one_line_whatever_was_asked_for() {
        let entry = Entry {
            at_ms: 0,
            who: Who {
                environment: "demo".into(),
                command: Vec::new(),
                uid: 0,
            },
            kind: Kind::Net,
            target: "evil.org\n\u{1b}[2J:443".into(),
            address: None,
            decision: Decision::Denied,
            rule: "nothing allows it".into(),
            allow: Some("net evil.org:443".into()),
            traffic: None,
        };
        assert_eq!(
            denial(&entry),
            "blast: denied net evil.org??[2J:443: nothing allows it; allow it: blast allow net evil.org:443"
        );
    }
}
