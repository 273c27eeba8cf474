//! What a program sees: a list of mounts on an empty root, each after what holds its place.
//!
//! What is not in the list is not there. A more exact path beats one above it, so the project is seen
//! in a hidden home; but what the policy hides is hidden from everything that the policy gives, and
//! what is secret (the store, the daemon's socket) from everything. Paths are followed to where they
//! lead, and links on the way are made anew, so that a link can widen nothing.

mod cache;
mod elsewhere;
mod kept;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Caller, Environment, PlanError};
use crate::places::{FileId, Kind, Look, resolve};
use crate::{Level, Policy};

/// What may be done with a place of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Access {
    /// Read, and run.
    Read,
    /// Changed as well.
    Write,
    /// Opened as the device it is.
    Device,
}

/// Who owns the files of a place, as a program sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Owner {
    /// Who owns them on the host.
    Same,
    /// The program, where the file system can show that: who made the sandbox, and owns them, is somebody else.
    Program,
    /// Of root's nobody, so that a program that runs as root reads of them what everybody may. Where the file system cannot
    /// show that, what not everybody may read stays away of `/etc`.
    Nobody,
}

/// A part of the private files, which all live and end with the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scratch {
    /// `/tmp`.
    Temporary,
    /// `/var/tmp`.
    VarTemporary,
    /// The home directory.
    Home,
    /// `/dev/shm`.
    SharedMemory,
}

/// What becomes of what a program writes into its environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Writes {
    /// It ends with the sandbox.
    #[default]
    Private,
    /// It is left below this directory of the host, in `upper`, as overlayfs has it; `work` beside that is the overlay's own.
    Area(PathBuf),
    /// There is none: it fails.
    Denied,
}

/// One step on the way to what a program sees. Paths are absolute, as they are seen inside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mount {
    /// A place of the host, at the same path.
    Bind {
        /// The path, outside and inside, without links.
        at: PathBuf,
        /// What may be done there.
        access: Access,
        /// Whether it is a directory.
        directory: bool,
        /// Whether it stays away if it cannot be opened.
        optional: bool,
        /// Whose its files are inside.
        owner: Owner,
    },
    /// A place of the host, at another path.
    Elsewhere {
        /// The path inside.
        at: PathBuf,
        /// The path outside, without links.
        source: PathBuf,
        /// What may be done there.
        access: Access,
        /// Whether it is a directory.
        directory: bool,
        /// As of [`Self::Bind`].
        owner: Owner,
    },
    /// A link, as on the host.
    Link {
        /// Where.
        at: PathBuf,
        /// What it holds.
        target: PathBuf,
    },
    /// Private files.
    Scratch {
        /// Where.
        at: PathBuf,
        /// Which.
        part: Scratch,
    },
    /// A tree of an environment with private files above it.
    View {
        /// The path, outside and inside, without links.
        at: PathBuf,
        /// A link that is there inside, from the tree's root: its path below that, and what it holds.
        python: Option<(PathBuf, PathBuf)>,
        /// What becomes of what is written there.
        writes: Writes,
    },
    /// Processes of this sandbox; of the kernel's own files a few, or all but the dangerous ones.
    Processes {
        /// Where.
        at: PathBuf,
        /// Nothing but processes.
        only: bool,
    },
    /// Terminals of this sandbox.
    Terminals {
        /// Where.
        at: PathBuf,
    },
    /// What is there already, now read only.
    Frozen {
        /// Where.
        at: PathBuf,
    },
    /// A link that is there already and can be neither replaced nor removed now.
    Pinned {
        /// Where.
        at: PathBuf,
    },
    /// Nothing, over what is there.
    Hidden {
        /// Where.
        at: PathBuf,
        /// Whether it is a directory: an empty one; else a file that cannot be opened.
        directory: bool,
    },
}

impl Mount {
    /// Where it is.
    pub fn at(&self) -> &Path {
        match self {
            Self::Bind { at, .. }
            | Self::Elsewhere { at, .. }
            | Self::Link { at, .. }
            | Self::Scratch { at, .. }
            | Self::View { at, .. }
            | Self::Processes { at, .. }
            | Self::Terminals { at }
            | Self::Frozen { at }
            | Self::Pinned { at }
            | Self::Hidden { at, .. } => at,
        }
    }
}

/// The system, at both levels; what of it is not there is left out.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
];
/// More of it at level standard.
const SYSTEM_STANDARD: &[&str] = &["/etc", "/opt", "/sys/devices/system/cpu"];
/// Of `/etc` at level strict: how names, users, libraries, certificates and time are found.
const ETC_STRICT: &[&str] = &[
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/debian_version",
    "/etc/group",
    "/etc/host.conf",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/tls/certs",
    "/etc/profile",
    "/etc/protocols",
    "/etc/python3",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];
/// Of `/etc`, what holds secrets: a user who is root could read them.
const ETC_SECRET: &[&str] = &[
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssh",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/etc/krb5.keytab",
    "/etc/machine-id",
    "/etc/NetworkManager",
    "/etc/wireguard",
    "/etc/openvpn",
    "/etc/docker",
    "/etc/kubernetes",
];
/// Devices that only are what they are called.
const DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
];
/// Links of `/dev` (the kernel's `Documentation/admin-guide/devices.rst`).
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];
/// Of `/proc`, what tells about the host or steers it.
const PROC_SECRET: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/config.gz",
    "/proc/iomem",
    "/proc/ioports",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/modules",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
];
/// Of `/proc`, what is read and never changed: its owner could, being root.
const PROC_READ: &[&str] = &[
    "/proc/bus",
    "/proc/dynamic_debug",
    "/proc/fs",
    "/proc/irq",
    "/proc/mtrr",
    "/proc/pressure",
    "/proc/sys",
];
/// Where an environment's Python is, below its prefix (PEP 405).
const PYTHON: &str = "bin/python";

/// What is seen.
pub(super) struct Seen {
    pub(super) mounts: Vec<Mount>,
    pub(super) frozen: Vec<FileId>,
    pub(super) places: Vec<FileId>,
    pub(super) directory: PathBuf,
    pub(super) notes: Vec<String>,
}

pub(super) fn of(
    policy: &Policy,
    environment: &Environment,
    caller: &Caller,
    who: Who,
    look: &dyn Look,
) -> Result<Seen, PlanError> {
    let mut list = List::new(look, who);
    list.system(policy.level);
    let home = caller.home.clone().unwrap_or_else(|| "/".into());
    list.private(&home);
    list.environment(environment)?;
    let hidden: Vec<PathBuf> = policy
        .files
        .hidden
        .iter()
        .filter_map(|path| Some(resolve(look, path)?.path))
        .collect();
    let mut workplace = workplace(environment, caller, &home, look);
    if let Some(root) = &policy.files.root {
        workplace = Some(elsewhere::part(root, workplace.as_deref(), look)?);
    }
    let given = (policy
        .files
        .read_only
        .iter()
        .map(|path| (path, Access::Read)))
    .chain(
        policy
            .files
            .read_write
            .iter()
            .map(|path| (path, Access::Write)),
    );
    if let Some(path) = &workplace {
        list.bind(path, Access::Write, Place::Given);
    }
    elsewhere::none_is_led(&policy.files, workplace.as_deref(), look)?;
    let mut kept = environment.frozen.clone();
    if let Some(workplace) = &workplace {
        kept.extend(kept::obeyed(workplace, policy, look));
    }
    for (path, access) in given {
        let access = if list.is_kept_read_only(policy, path, false) {
            Access::Read
        } else {
            access
        };
        if !list.bind(path, access, Place::Given) {
            return Err(PlanError::Missing(path.clone()));
        }
    }
    list.show_elsewhere(policy, &kept)?;
    let frozen = list.freeze(&kept, &environment.secret, policy);
    list.hide(&hidden);
    if policy.network.is_nothing() {
        // Then names are asked for on the loopback, which fails at once and can be seen (resolv.conf(5)).
        list.hidden(Path::new("/etc/resolv.conf"));
    }
    list.keep_secret(&environment.secret);
    list.give_cache(environment.cache.as_ref(), policy, &home, &hidden)?;
    for (path, access) in &environment.own {
        let real = resolve(look, path).filter(|found| found.path == *path);
        if real.is_none_or(|found| found.kind != Kind::Directory) {
            return Err(PlanError::Moved(path.clone()));
        }
        list.bind(path, *access, Place::Given);
    }
    let directory = resolve(look, &caller.directory)
        .map(|found| found.path)
        .filter(|path| list.shows(path));
    let mut notes: Vec<String> = (environment.frozen.iter())
        .filter(|path| list.can_be_replaced(path))
        .map(|path| {
            format!(
                "{} is not there, or leads through a link that is given to be written, so a program in the sandbox can \
                 put another in its place, and with it the policy of the next one",
                path.display()
            )
        })
        .collect();
    let root = workplace.filter(|_| policy.files.root.is_some());
    let directory = directory.or(root).unwrap_or_else(|| {
        notes.push(format!(
            "{} is not seen in the sandbox, so the command starts in {}: give it with `--read-write {}`",
            caller.directory.display(),
            home.display(),
            caller.directory.display(),
        ));
        home
    });
    Ok(Seen {
        frozen: (frozen.iter())
            .filter(|path| {
                let mount = list.mounts.get(*path);
                matches!(mount, Some(Mount::Bind { .. } | Mount::Pinned { .. }))
            })
            .filter_map(|path| look.identity(path))
            .collect(),
        places: (list.mounts.values())
            .filter_map(|mount| look.identity(list.place_of(mount)?.as_path()))
            .collect(),
        mounts: list.in_order(),
        directory,
        notes,
    })
}

/// The directory that is worked in: the project's, else the caller's, if giving that gives away
/// neither the home directory nor a part of the system.
fn workplace(
    environment: &Environment,
    caller: &Caller,
    home: &Path,
    look: &dyn Look,
) -> Option<PathBuf> {
    if let Some(project) = &environment.project {
        return Some(project.clone());
    }
    let directory = resolve(look, &caller.directory)?.path;
    let home = resolve(look, home).map_or_else(|| home.to_owned(), |found| found.path);
    let secret = |path: &PathBuf| {
        resolve(look, path).is_some_and(|found| found.path.starts_with(&directory))
    };
    let system = (SYSTEM.iter().chain(SYSTEM_STANDARD))
        .chain(&["/dev", "/proc", "/sys", "/run", "/boot"])
        .any(|path| directory.starts_with(path) && Path::new(path) != "/opt");
    let shared = ["/tmp", "/var/tmp", "/var", "/opt", "/mnt", "/srv", "/home"];
    let too_much = home.starts_with(&directory)
        || shared.iter().any(|path| directory == Path::new(path))
        || environment.secret.iter().any(secret);
    (!system && !too_much).then_some(directory)
}

/// Why a place of the host is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is of the system; it stays away if it cannot be opened.
    System,
    /// It is the interpreter's.
    Interpreter,
    /// It is worked on: the project, or what a policy gives.
    Given,
}

/// Who runs inside, as far as owners of files matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Who makes the sandbox, and is not root.
    Themselves,
    /// Root.
    Root,
    /// Somebody else than root, who makes it.
    Another,
}

/// The list while it grows: one entry per path, the last one said.
struct List<'a> {
    look: &'a dyn Look,
    who: Who,
    mounts: BTreeMap<PathBuf, Mount>,
    /// Directories that are mounts of their own whatever is above them.
    fixed: BTreeSet<PathBuf>,
}

impl<'a> List<'a> {
    fn new(look: &'a dyn Look, who: Who) -> Self {
        Self {
            look,
            who,
            mounts: BTreeMap::new(),
            fixed: BTreeSet::new(),
        }
    }

    fn add(&mut self, mount: Mount) {
        self.mounts.insert(mount.at().to_owned(), mount);
    }

    /// A place of the host by any path that leads there. Whether there is one.
    fn bind(&mut self, path: &Path, access: Access, place: Place) -> bool {
        let Some(found) = resolve(self.look, path) else {
            return false;
        };
        for (at, target) in found.links {
            self.add(Mount::Link { at, target });
        }
        // An interpreter of root's own may be root's alone.
        let is_system = place == Place::System
            || place == Place::Interpreter
                && SYSTEM.iter().any(|system| Path::new(system) == found.path);
        self.add(Mount::Bind {
            at: found.path,
            access,
            directory: found.kind == Kind::Directory,
            optional: place == Place::System,
            owner: match self.who {
                Who::Another if place == Place::Given => Owner::Program,
                Who::Root if is_system && access == Access::Read => Owner::Nobody,
                _ => Owner::Same,
            },
        });
        true
    }

    fn hidden(&mut self, path: &Path) {
        let kind = self.look.look(path);
        if let Some(kind) = kind.filter(|kind| !matches!(kind, Kind::Link(_))) {
            self.add(Mount::Hidden {
                at: path.to_owned(),
                directory: kind == Kind::Directory,
            });
        }
    }

    fn system(&mut self, level: Level) {
        let strict = level == Level::Strict;
        let more = if strict { ETC_STRICT } else { SYSTEM_STANDARD };
        for path in SYSTEM.iter().chain(more) {
            self.bind(Path::new(path), Access::Read, Place::System);
        }
        if !strict {
            for path in ETC_SECRET {
                self.hidden(Path::new(path));
            }
        }
        self.add(Mount::Processes {
            at: "/proc".into(),
            only: strict,
        });
        if !strict {
            for path in PROC_READ.iter().map(Path::new) {
                if self.look.look(path).is_some() {
                    self.add(Mount::Frozen { at: path.into() });
                }
            }
            for path in PROC_SECRET {
                self.hidden(Path::new(path));
            }
        }
        for path in DEVICES {
            self.bind(Path::new(path), Access::Device, Place::System);
        }
        for (at, target) in DEVICE_LINKS {
            self.add(Mount::Link {
                at: at.into(),
                target: target.into(),
            });
        }
        self.add(Mount::Terminals {
            at: "/dev/pts".into(),
        });
    }

    fn private(&mut self, home: &Path) {
        for (at, part) in [
            (Path::new("/tmp"), Scratch::Temporary),
            (Path::new("/var/tmp"), Scratch::VarTemporary),
            (Path::new("/dev/shm"), Scratch::SharedMemory),
            (home, Scratch::Home),
        ] {
            let found = resolve(self.look, at);
            let links = found.iter().flat_map(|found| found.links.clone());
            for (at, target) in links.collect::<Vec<_>>() {
                self.add(Mount::Link { at, target });
            }
            let at = found.map_or_else(|| at.to_owned(), |found| found.path);
            if at != Path::new("/") {
                self.add(Mount::Scratch { at, part });
            }
        }
    }

    fn environment(&mut self, environment: &Environment) -> Result<(), PlanError> {
        if let Some(prefix) = &environment.prefix {
            let Some(found) = resolve(self.look, prefix) else {
                return Err(PlanError::NoEnvironment(prefix.clone()));
            };
            for (at, target) in found.links {
                self.add(Mount::Link { at, target });
            }
            let python = environment.interpreter.clone();
            self.add(Mount::View {
                at: found.path,
                python: python.map(|python| (PYTHON.into(), python)),
                writes: environment.writes.clone(),
            });
        }
        if let Some(interpreter) = &environment.interpreter
            && let Some(found) = resolve(self.look, interpreter)
        {
            for (at, target) in found.links {
                self.add(Mount::Link { at, target });
            }
            // `PREFIX/bin/python`: the library of an interpreter is beside its programs.
            let prefix = found.path.parent().and_then(Path::parent);
            if let Some(prefix) = prefix.filter(|prefix| *prefix != Path::new("/")) {
                self.bind(prefix, Access::Read, Place::Interpreter);
            }
        }
        Ok(())
    }

    /// Takes away what is at or below these, and hides what is above.
    fn hide(&mut self, hidden: &[PathBuf]) {
        for path in hidden {
            self.mounts.retain(|at, mount| {
                !at.starts_with(path) || matches!(mount, Mount::View { .. } | Mount::Link { .. })
            });
            self.hidden(path);
            self.hide_elsewhere(path);
        }
    }

    /// Hides the secrets that something given would show; the environment itself stays.
    fn keep_secret(&mut self, secret: &[PathBuf]) {
        for path in secret {
            let Some(found) = resolve(self.look, path) else {
                continue;
            };
            let path = found.path;
            self.mounts.retain(|at, mount| {
                !at.starts_with(&path) || matches!(mount, Mount::View { .. } | Mount::Link { .. })
            });
            if matches!(self.holder(&path), Some(Mount::Bind { .. })) {
                self.hidden(&path);
            }
            self.hide_elsewhere(&path);
        }
    }

    /// The mount that a path is on.
    fn holder(&self, path: &Path) -> Option<&Mount> {
        path.ancestors().find_map(|at| match self.mounts.get(at) {
            None | Some(Mount::Link { .. } | Mount::Pinned { .. }) => None,
            found => found,
        })
    }

    /// The path on the host of what a mount shows or hides there, where it may be replaced by who is not root.
    fn place_of(&self, mount: &Mount) -> Option<PathBuf> {
        match mount {
            Mount::Bind {
                at,
                optional: false,
                ..
            } => Some(at.clone()),
            Mount::Elsewhere { source, .. } => Some(source.clone()),
            Mount::Hidden { at, .. } => match self.holder(at.parent()?) {
                Some(Mount::Bind { .. }) => Some(at.clone()),
                Some(Mount::Elsewhere {
                    at: above, source, ..
                }) => Some(source.join(at.strip_prefix(above).ok()?)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the host's path is what a program sees there.
    fn shows(&self, path: &Path) -> bool {
        match self.holder(path) {
            Some(Mount::Bind { .. } | Mount::View { .. }) => true,
            Some(mount) => mount.at() == path && !matches!(mount, Mount::Hidden { .. }),
            None => false,
        }
    }

    /// All mounts, what is above first, without links and hidden places that something above makes
    /// needless.
    fn in_order(self) -> Vec<Mount> {
        let needed: Vec<bool> = self
            .mounts
            .iter()
            .map(|(at, mount)| {
                let above = at.parent().and_then(|parent| self.holder(parent));
                match mount {
                    Mount::Link { .. } => !matches!(above, Some(Mount::Bind { .. })),
                    Mount::Bind { access, owner, .. } => {
                        self.fixed.contains(at)
                            || !matches!(above,
                                Some(Mount::Bind { access: held, owner: above, .. })
                                    if held == access && above == owner)
                    }
                    Mount::Hidden { .. } => matches!(
                        above,
                        Some(
                            Mount::Bind { .. }
                                | Mount::Elsewhere { .. }
                                | Mount::Processes { only: false, .. }
                        )
                    ),
                    _ => true,
                }
            })
            .collect();
        let mut needed = needed.into_iter();
        let mut mounts: Vec<Mount> = self
            .mounts
            .into_values()
            .filter(|_| needed.next().unwrap_or(true))
            .collect();
        mounts.sort_by_key(|mount| mount.at().components().count());
        mounts
    }
}
