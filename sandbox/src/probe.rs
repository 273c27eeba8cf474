//! Whether sandboxes work here: by making one, since settings alone do not tell.

use std::io;

use crate::helper::{End, Failure, Nobody, Program, Stage, run};
use crate::places::Host;
use crate::plan::{Caller, Environment, Machine, plan};
use crate::{Cgroups, Level, Policy};

/// Runs `true` at level strict. This process must have one thread.
///
/// # Errors
/// At which stage it failed, and why.
pub fn probe() -> Result<(), Failure> {
    let policy = Policy {
        level: Level::Strict,
        ..Policy::default()
    };
    let caller = Caller {
        directory: "/".into(),
        variables: [("PATH".into(), "/usr/bin:/bin".into())].into(),
        ..Caller::default()
    };
    let other = |reason: String| Failure::new(Stage::Mounts, io::Error::other(reason));
    // Limits of all processes together are another matter, and slow to make.
    let machine = Machine {
        cgroups: Cgroups::None,
        ..Machine::here()
    };
    let plan = plan(&policy, &Environment::default(), &caller, &machine, &Host)
        .map_err(|error| other(error.to_string()))?;
    let program = Program {
        name: "true".into(),
        arguments: Vec::new(),
    };
    match run(&plan, &program, &mut Nobody)? {
        End::Exited(0) => Ok(()),
        end => Err(other(format!("`true` ended as {end:?}"))),
    }
}
