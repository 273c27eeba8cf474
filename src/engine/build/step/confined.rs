//! The sandbox round a program that builds.
//!
//! It sees the system, its build environment, its sources and the directory that was made for it, has a home of its own
//! that is empty, and talks to nobody, unless the policy of builds gives more.
//!
//! Where a sandbox cannot be made because this machine has no namespaces for us, the program runs without one, which is
//! told and written down, unless somebody demands it. Any other reason is an error: a build must not be able to take
//! its sandbox away from the next.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use blast_sandbox::audit::log::Log;
use blast_sandbox::audit::{Decision, Entry, Kind, Listener as _, now_ms};
use blast_sandbox::net::Config;
use blast_sandbox::plan::{Access, Writes};
use blast_sandbox::{
    Attempt, Caller, End, Environment, Failure, Machine, Plan, Program, Stage, Watch, places,
};

use super::{Confinement, Report, Step};
use crate::filter::{self, Order, Running};

/// The most denials that are told with the end of a step; the log has all.
const MOST_DENIED: usize = 100;

impl Step {
    /// The status of the program, run in a sandbox; none where there is none and it may run without.
    pub(super) fn confined(
        &self,
        confinement: &Confinement,
        control: &OwnedFd,
        report: &mut Report,
    ) -> io::Result<Option<i32>> {
        let plan = self
            .plan(confinement)
            .map_err(|reason| report.refuse(reason))?;
        let program = Program {
            name: self.program.clone().into(),
            arguments: self.arguments.iter().map(OsString::from).collect(),
        };
        let mut keeper = Keeper {
            confinement,
            control,
            running: None,
            log: Log::new(&confinement.home),
            denied: Vec::new(),
        };
        let outcome = blast_sandbox::run(&plan, &program, &mut keeper);
        report.denied = std::mem::take(&mut keeper.denied);
        drop(keeper);
        match outcome {
            Ok(End::Exited(status)) => Ok(Some(status)),
            Ok(End::Killed(signal)) => Ok(Some(128 + signal)),
            Err(failure) if failure.stage == Stage::Program => {
                Err(io::Error::other(failure.reason))
            }
            Err(failure) if confinement.demanded || !failure.is_of_the_machine() => {
                Err(report.refuse(failure.to_string()))
            }
            Err(failure) => {
                confinement.write_down(&failure);
                report.unconfined = Some(failure.to_string());
                Ok(None)
            }
        }
    }

    fn plan(&self, confinement: &Confinement) -> Result<Plan, String> {
        let mut policy = confinement.policy.clone();
        policy.files.read_write.extend(confinement.writes.clone());
        let variables: BTreeMap<OsString, OsString> = self
            .variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let reads = confinement.reads.iter().map(|path| (path, Access::Read));
        let environment = Environment {
            prefix: Some(confinement.prefix.clone()),
            interpreter: Some(confinement.interpreter.clone()),
            // Not the directory that it starts in: an earlier hook may have put a link there.
            project: Some(confinement.workshop.clone()),
            secret: confinement.secret.clone(),
            frozen: confinement.frozen.clone(),
            writes: Writes::Private,
            own: reads
                .chain([(&confinement.workshop, Access::Write)])
                .map(|(path, access)| (path.clone(), access))
                .collect(),
            // What a build leaves, no other finds.
            cache: None,
            variables: variables.clone(),
        };
        let caller = Caller {
            directory: self.directory.clone(),
            home: self.variables.get("HOME").map(PathBuf::from),
            variables,
            ..Caller::default()
        };
        let machine = Machine::here().with_user_of(&policy);
        let plan = blast_sandbox::plan(&policy, &environment, &caller, &machine, &places::Host)
            .map_err(|error| error.to_string())?;
        if plan.maker.is_some() {
            // A build that cannot write what it makes would fail without saying why.
            let unmapped = blast_sandbox::unmapped(&plan).map_err(|error| error.to_string())?;
            if let Some(path) = unmapped.first() {
                return Err(format!(
                    "builds shall run as another user than root, and the file system of {} cannot show them its files \
                     as their own",
                    path.display()
                ));
            }
        }
        Ok(plan)
    }
}

impl Report {
    fn refuse(&mut self, reason: String) -> io::Error {
        self.refused = Some(reason.clone());
        io::Error::other(reason)
    }
}

impl Confinement {
    fn write_down(&self, failure: &Failure) {
        let log = Log::new(&self.home);
        let written = log.append(&Entry {
            at_ms: now_ms(),
            who: self.who.clone(),
            kind: Kind::Sandbox,
            target: self.policy.level.to_string(),
            address: None,
            decision: Decision::Failed,
            rule: format!("it ran without a sandbox: {failure}"),
            allow: None,
            traffic: None,
        });
        if let Err(error) = written {
            let path = log.path();
            let mut output = io::stderr();
            writeln!(output, "cannot write {}: {error}", path.display()).unwrap_or_default();
        }
    }
}

/// Ends the sandbox when nobody wants it any more, and starts the filter of its network.
struct Keeper<'a> {
    confinement: &'a Confinement,
    control: &'a OwnedFd,
    running: Option<Running>,
    log: Log,
    denied: Vec<String>,
}

impl Watch for Keeper<'_> {
    fn filter(&mut self, channel: OwnedFd) -> io::Result<()> {
        let order = Order {
            config: Config {
                who: self.confinement.who.clone(),
                network: self.confinement.policy.network.clone(),
            },
            home: self.confinement.home.clone(),
        };
        self.running = Some(filter::start(
            &order,
            channel,
            io::stderr().as_fd().try_clone_to_owned()?,
        )?);
        Ok(())
    }

    fn denied(&mut self, attempt: &Attempt) {
        let mut attempt = attempt.clone();
        attempt.allow = attempt.allow.map(|what| format!("--build {what}"));
        let entry = Entry::denied(&self.confinement.who, &attempt);
        self.log.heard(&entry);
        if self.denied.len() < MOST_DENIED
            && let Some(lesson) = entry.lesson()
        {
            self.denied.push(lesson);
        }
    }

    fn until(&self) -> Option<BorrowedFd<'_>> {
        Some(self.control.as_fd())
    }
}
