//! What is told, on the terminal and in the audit log, of a command in a sandbox.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use blast_sandbox::audit::log::Log;
use blast_sandbox::audit::{self, Decision, Entry, Listener as _, Who};
use blast_sandbox::net::Config;
use blast_sandbox::plan::Degraded;
use blast_sandbox::policy::Network;
use blast_sandbox::policy::merge::Merged;
use blast_sandbox::{Attempt, Excess, Used, Watch};

use crate::filter::{self, Running, Teacher};
use crate::ui::{Printer, units};

/// Writes into the audit log which paths and variables a command is given, and which it is not though somebody asked for
/// it. Connections are written down by the filter, each for itself.
pub(super) fn write_down(merged: &Merged, who: &Who, home: &Path, printer: Printer) {
    let log = Log::new(home);
    for line in &merged.lines {
        let kind = match line.key.as_str() {
            "filesystem.read-only" | "filesystem.mounts" => audit::Kind::Read,
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
pub(super) struct Teller {
    printer: Printer,
    teacher: Teacher,
    log: Log,
    who: Who,
    exceeded: u32,
    network: Network,
    home: PathBuf,
    running: Option<Running>,
}

impl Teller {
    /// For a command of this environment and this store, which may reach what is said of the network.
    pub(super) fn new(printer: Printer, who: Who, network: Network, home: PathBuf) -> Self {
        Self {
            printer,
            teacher: Teacher::new(printer),
            log: Log::new(&home),
            who,
            exceeded: 0,
            network,
            home,
            running: None,
        }
    }

    /// What is kept less well than it was asked for.
    pub(super) fn degraded(&mut self, degraded: &Degraded) {
        let (layer, reason) = (degraded.layer, &degraded.reason);
        self.printer.warn(format!(
            "the limit of {layer} is not wholly enforced: {reason}"
        ));
        let rule = format!("it is not wholly enforced: {reason}");
        let entry = of_sandbox(&self.who, layer.as_str(), Decision::Failed, rule);
        self.log.heard(&entry);
    }
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
