//! From what is allowed to what is done: [`plan`] is a function of a policy, of facts about the
//! environment, the caller and the host, and of what paths are. It changes nothing, so what a sandbox
//! is made of is tested without privilege; the helper carries it out.

mod limits;
mod mounts;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use limits::{GroupLimits, Layer, ProcessLimits, UnknownLayer, WatchedLimits};
pub use mounts::{Access, Mount, Owner, Scratch, Writes};
pub use variables::INSIDE;

use crate::cgroups::Cgroups;
use crate::net::Setup;
use crate::places::{FileId, Look};
use crate::{Level, Policy};

/// The environment whose code runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// Where its user finds it: a prefix, or a link to one. `None` for code of no environment.
    pub prefix: Option<PathBuf>,
    /// Its base interpreter.
    pub interpreter: Option<PathBuf>,
    /// What becomes of what is written into it.
    pub writes: Writes,
    /// Root of its project.
    pub project: Option<PathBuf>,
    /// What nobody inside may see, whatever the policy says: the store, the cache, the daemon's socket.
    pub secret: Vec<PathBuf>,
    /// Files that no program inside may change though they lie in what it may write, unless the policy gives the very
    /// file: those that say what the next program may do.
    pub frozen: Vec<PathBuf>,
    /// Directories that are the program's own: given even where the place is secret. Their paths have no link, or
    /// somebody has moved them.
    pub own: Vec<(PathBuf, Access)>,
    /// The directory that lasts for what its programs keep to be faster the next time: their `~/.cache`, at level standard.
    /// Its path has no link, either.
    pub cache: Option<PathBuf>,
    /// Variables that belong to it.
    pub variables: BTreeMap<OsString, OsString>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// The working directory.
    pub directory: PathBuf,
    /// The home directory.
    pub home: Option<PathBuf>,
    /// All environment variables.
    pub variables: BTreeMap<OsString, OsString>,
    /// What may be kept less well than was asked for.
    pub allow_degraded: BTreeSet<Layer>,
}

/// What matters of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// Who runs this, as the system calls it.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// All memory, in bytes; 0 if unknown.
    pub memory_bytes: u64,
    /// Whether each pid namespace has a highest process number of its own, which can be set (Linux 6.14).
    pub has_own_numbers: bool,
    /// The cgroups that can be made.
    pub cgroups: Cgroups,
    /// Who the policy's user is here, if there is one of that name or number ([`Machine::with_user_of`]).
    pub user: Option<User>,
}

/// Somebody without privilege, as the system calls them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The name, if there is one.
    pub name: Option<String>,
}

/// User and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// What a program may reach of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// Nothing: a network namespace with nothing but a loopback of its own.
    Nothing,
    /// What a filter outside lets through.
    Filtered(Setup),
    /// What the host reaches.
    Host,
}

/// Which attempts of a program are looked at from outside, where no wall of ours would tell of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Observed {
    /// To open files.
    pub files: bool,
    /// To talk to somebody.
    pub network: bool,
}

/// A sandbox as data: all that the helper does. As JSON it is what programs share whose sandbox may be the same one;
/// what belongs to one program alone is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How strict it was meant.
    pub level: Level,
    /// Who runs inside, and is the same there and outside.
    pub ids: Ids,
    /// Root, who makes the sandbox, where that is not who runs inside.
    pub maker: Option<Ids>,
    /// What is seen, in the order of mounting: what holds a place comes before it.
    pub mounts: Vec<Mount>,
    /// Which files they freeze: one that is put in the place of such a file is another, and has no mount.
    pub frozen: Vec<FileId>,
    /// What else of the host they show or hide, but the system: the same holds for that.
    pub places: Vec<FileId>,
    /// Size of all private files together, in bytes; `None` leaves it to the kernel (half of all memory).
    pub scratch_bytes: Option<u64>,
    /// What is reached.
    pub network: Network,
    /// What is written down of what it does not get.
    #[serde(skip)]
    pub observed: Observed,
    /// Limits of each process.
    #[serde(skip)]
    pub process: ProcessLimits,
    /// Limits of all processes together, by a cgroup.
    pub group: GroupLimits,
    /// The highest number of a process inside, which bounds how many there are at once.
    pub highest_process: Option<u64>,
    /// Limits of all processes together, by looking at them: who has any shares its sandbox with nobody.
    #[serde(skip)]
    pub watched: WatchedLimits,
    /// Where the limits of the group are set.
    pub cgroups: Cgroups,
    /// All environment variables.
    #[serde(skip)]
    pub variables: BTreeMap<OsString, OsString>,
    /// The working directory inside.
    #[serde(skip)]
    pub directory: PathBuf,
    /// What is kept less well than the policy says, and why.
    #[serde(skip)]
    pub degraded: Vec<Degraded>,
    /// What the user should know beside.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// Something that this host cannot keep wholly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Degraded {
    /// What.
    pub layer: Layer,
    /// Why, and what is done instead.
    pub reason: String,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing is to be kept away.
    #[error("level none is no sandbox, so nothing can be kept or given")]
    NoSandbox,
    /// The host cannot do it, and nobody said that less will do.
    #[error("the limit of {} cannot be enforced here: {}", .0.layer, .0.reason)]
    NotEnforceable(Degraded),
    /// A path that the policy gives is not there.
    #[error("{} is to be given to the sandbox, but there is no such path", .0.display())]
    Missing(PathBuf),
    /// A directory of the program's own is a link, or lies behind one, where it did not when it was made.
    #[error("{} is not the directory that was made for it", .0.display())]
    Moved(PathBuf),
    /// Nobody has the name that programs shall run under.
    #[error("programs shall run as user `{0}`, and there is no such user")]
    NoUser(String),
    /// The part of the project that is worked in is no part of it.
    #[error("`root-dir` names a directory of the project, and {} is none", .0.display())]
    NotInProject(PathBuf),
    /// A path is given that a program in the sandbox could lead to wherever it likes.
    #[error(
        "{} leads to {} by the link {}, which programs in the sandbox can change: what they make of it would be given to \
         the next",
        .path.display(), .to.display(), .link.display()
    )]
    Led {
        /// As it is given.
        path: PathBuf,
        /// What it leads to.
        to: PathBuf,
        /// By what.
        link: PathBuf,
    },
    /// Something cannot be shown at a path.
    #[error("nothing can be mounted at {}: {}", .0.display(), .1)]
    NoPlace(PathBuf, &'static str),
    /// The environment cannot be found.
    #[error("the environment is not shown at {}", .0.display())]
    NoEnvironment(PathBuf),
}

/// Plans a sandbox.
///
/// # Errors
/// See [`PlanError`]: what cannot be kept is refused, never left open.
pub fn plan(
    policy: &Policy,
    environment: &Environment,
    caller: &Caller,
    machine: &Machine,
    look: &dyn Look,
) -> Result<Plan, PlanError> {
    if policy.level == Level::None {
        return Err(PlanError::NoSandbox);
    }
    let asker = Ids {
        uid: machine.uid,
        gid: machine.gid,
    };
    // Who is not root has no other user to become, and needs none.
    let wanted = policy.user.as_ref().filter(|_| machine.uid == 0);
    let user = match (wanted, &machine.user) {
        (Some(name), None) => return Err(PlanError::NoUser(name.clone())),
        (Some(_), user) => user.as_ref(),
        (None, _) => None,
    };
    let limits = limits::of(policy, machine, machine.uid == 0 && user.is_none());
    for degraded in &limits.degraded {
        if !caller.allow_degraded.contains(&degraded.layer) {
            return Err(PlanError::NotEnforceable(degraded.clone()));
        }
    }
    let who = match (machine.uid, user) {
        (_, Some(_)) => mounts::Who::Another,
        (0, None) => mounts::Who::Root,
        (_, None) => mounts::Who::Themselves,
    };
    let seen = mounts::of(policy, environment, caller, who, look)?;
    let variables = variables::of(policy, environment, caller, user, &seen.directory);
    Ok(Plan {
        level: policy.level,
        ids: user.map_or(asker, |User { uid, gid, .. }| Ids {
            uid: *uid,
            gid: *gid,
        }),
        maker: user.map(|_| asker),
        mounts: seen.mounts,
        frozen: seen.frozen,
        places: seen.places,
        scratch_bytes: match policy.files.temporary_bytes {
            Some(bytes) => Some(bytes.min(policy.limits.written_bytes.unwrap_or(bytes))),
            None => limits.scratch_bytes,
        },
        network: if policy.network.is_nothing() {
            Network::Nothing
        } else {
            Network::Filtered(policy.network.setup())
        },
        observed: Observed {
            // Each open(2) waits for it: a price for code that nobody trusts.
            files: policy.level == Level::Strict,
            // A filter tells of its own what it denies.
            network: policy.network.is_nothing(),
        },
        process: limits.process,
        group: limits.group,
        highest_process: limits.highest_process,
        watched: limits.watched,
        cgroups: machine.cgroups.clone(),
        variables,
        directory: seen.directory,
        degraded: limits.degraded,
        notes: seen.notes,
    })
}

#[cfg(test)]
mod tests;
