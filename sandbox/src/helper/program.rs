//! The last steps of a process that becomes the program: everything it could use is given up, in the
//! order in which giving up one thing still needs another.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use caps::CapSet;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{chdir, setsid};

use super::init::{be_oneself, end};
use super::message::{Failure, Message, Speaker, Stage};
use super::observed;
use super::standard::Unkept;
use super::{Program, identity, standard};
use crate::filter;
use crate::net::Way;
use crate::plan::{Network, Plan};
use crate::sys::{close_others, drop_keyring};

/// What a shell says of a program that cannot be started.
const NOT_STARTED: i32 = 127;

/// Becomes the program, or says why not and ends.
pub(super) fn become_it(
    plan: &Plan,
    (program, way): (&Program, Way),
    speaker: &mut Speaker,
    armed: OwnedFd,
    shows: Option<OwnedFd>,
    signals: SigSet,
) -> ! {
    let failure = prepare(plan, speaker, armed, shows, signals)
        .err()
        .unwrap_or_else(|| {
            let error = Command::new(&program.name)
                .args(&program.arguments)
                .env_clear()
                .envs(proxy(plan, way))
                .envs(&plan.variables)
                .exec();
            Failure::new(Stage::Program, error)
        });
    speaker.say(&Message::Failed(failure));
    end(NOT_STARTED)
}

/// The variables by which the program finds the proxy of its filter, where it needs it.
fn proxy(plan: &Plan, way: Way) -> Vec<(&'static str, String)> {
    match &plan.network {
        Network::Filtered(setup) => way.variables(setup),
        Network::Nothing | Network::Host => Vec::new(),
    }
}

fn prepare(
    plan: &Plan,
    speaker: &Speaker,
    armed: OwnedFd,
    shows: Option<OwnedFd>,
    signals: SigSet,
) -> Result<(), Failure> {
    let at = |stage| move |error: Errno| Failure::new(stage, error);
    // What started it ends with the caller, and it ends with that.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(at(Stage::Lock))?;
    // The byte says that what started it can no longer be looked into; without one it is gone.
    let read = File::from(armed).read_exact(&mut [0]);
    read.map_err(|error| Failure::new(Stage::Lock, error))?;
    identity::own_oneself()?;
    be_oneself(plan.ids)?;
    setsid().map_err(at(Stage::Privileges))?;
    match drop_keyring() {
        // Without keys there is no keyring.
        Err(error) if error.raw_os_error() != Some(Errno::ENOSYS as i32) => {
            return Err(Failure::new(Stage::Privileges, error));
        }
        _ => {}
    }
    limit(plan).map_err(at(Stage::Limits))?;
    chdir(&plan.directory).map_err(|error| Failure::at(Stage::Program, &plan.directory, error))?;
    let mut kept = vec![speaker.number()];
    kept.extend(shows.as_ref().map(AsRawFd::as_raw_fd));
    close_others(&kept).map_err(|error| Failure::new(Stage::Privileges, error))?;
    let led_out = |error| Failure::new(Stage::Privileges, error);
    standard::drop_what_leads_out().map_err(led_out)?;
    give_up_capabilities()?;
    prctl::set_no_new_privs().map_err(at(Stage::Privileges))?;
    let unkept = standard::open_nothing_else(plan).map_err(led_out)?;
    signals.thread_set_mask().map_err(at(Stage::Program))?;
    let refused = |error: String| Failure::new(Stage::Filter, io::Error::other(error));
    let compiled = |error: seccompiler::BackendError| refused(error.to_string());
    let mut parts = filter::programs().map_err(compiled)?.to_vec();
    if unkept == Unkept::Truncation {
        parts.push(filter::truncation().map_err(compiled)?);
    }
    for part in parts {
        seccompiler::apply_filter(&part).map_err(|error| refused(error.to_string()))?;
    }
    if let Some(shows) = shows {
        observed::show(plan, &shows);
    }
    Ok(())
}

/// Leaves no capability in any set, so that no program gets one by being started as root.
pub(super) fn give_up_capabilities() -> Result<(), Failure> {
    for set in [
        CapSet::Ambient,
        CapSet::Bounding,
        CapSet::Inheritable,
        CapSet::Effective,
        CapSet::Permitted,
    ] {
        caps::clear(None, set).map_err(|error| {
            Failure::new(Stage::Privileges, io::Error::other(error.to_string()))
        })?;
    }
    Ok(())
}

fn limit(plan: &Plan) -> Result<(), Errno> {
    let limits = &plan.process;
    for (resource, most) in [
        (Resource::RLIMIT_CORE, Some(0)),
        (Resource::RLIMIT_DATA, limits.memory_bytes),
        (Resource::RLIMIT_NPROC, limits.processes),
        (Resource::RLIMIT_NOFILE, limits.open_files),
        (Resource::RLIMIT_FSIZE, limits.file_bytes),
    ] {
        let Some(most) = most else { continue };
        let (_, hard) = getrlimit(resource)?;
        let most = most.min(hard);
        setrlimit(resource, most, most)?;
    }
    Ok(())
}
