//! Standard input, output and error, which are the caller's: the only descriptors that lead out of a sandbox.
//!
//! A program may use them as they were opened, and reach nothing else through them. A directory leads to all that is below
//! and above it (openat(2), fchdir(2)), so `/dev/null` takes its place. A socket is in the network of who made it: one that is
//! not tied to its peer could be led to every other host (connect(2), `AF_UNSPEC`), so no program gets it. A file could be opened anew by `/proc/self/fd/0`, to be
//! written where it was given to be read, since permissions are the user's own; so a Landlock domain (landlock(7)) lets
//! only files be opened that are below the sandbox's root, and those of the three as they are open already.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use landlock::{
    AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError,
};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, OpenHow, ResolveFlag, fcntl, openat2};
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike as _, SockaddrStorage, getpeername, getsockname,
    getsockopt, sockopt,
};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::plan::{Mount, Plan};

/// How a place is opened to be named.
const PLACE: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// What the domain decides about. `Refer`, to move and link files between directories, is refused in every domain to
/// who does not allow it.
fn decided() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::Refer
}

/// Takes away those of the three that are directories.
///
/// # Errors
/// If one is a socket that leads elsewhere.
pub(super) fn drop_what_leads_out() -> io::Result<()> {
    type Put = fn(&File) -> Result<(), Errno>;
    let (input, output, errors) = (io::stdin(), io::stdout(), io::stderr());
    let three: [(&str, BorrowedFd<'_>, Put); 3] = [
        ("input", input.as_fd(), |null| dup2_stdin(null)),
        ("output", output.as_fd(), |null| dup2_stdout(null)),
        ("error", errors.as_fd(), |null| dup2_stderr(null)),
    ];
    for (name, descriptor, put) in three {
        let kind = SFlag::from_bits_truncate(fstat(descriptor)?.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFDIR {
            put(&OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")?)?;
        } else if kind == SFlag::S_IFSOCK && !is_tied(descriptor)? {
            return Err(io::Error::other(format!(
                "standard {name} is a socket, which a program could connect to any host: put a pipe between"
            )));
        }
    }
    Ok(())
}

/// Whether a socket speaks to its peer alone, for ever: one of a stream of the Unix family that is connected (unix(7)).
fn is_tied(socket: BorrowedFd<'_>) -> Result<bool, Errno> {
    let address: SockaddrStorage = getsockname(socket.as_raw_fd())?;
    let is_stream = matches!(
        getsockopt(&socket, sockopt::SockType)?,
        SockType::Stream | SockType::SeqPacket
    );
    let has_peer = || getpeername::<SockaddrStorage>(socket.as_raw_fd()).is_ok();
    Ok(address.family() == Some(AddressFamily::Unix) && is_stream && has_peer())
}

/// What the filter of system calls has to refuse, as the kernel's domain does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unkept {
    /// Nothing.
    Nothing,
    /// One of the three is a file that is only read, and can be truncated by a name that leads to it.
    Truncation,
}

/// Where modules are imported from. The kernel goes up from a file that is opened until it meets a rule, and most that are
/// opened are here: a rule that says of them what the root's says saves it the rest of the way, some 2 microseconds of 10.
fn modules(plan: &Plan) -> impl Iterator<Item = PathBuf> + '_ {
    let of = |prefix: &Path, below: &'static str| {
        let found = fs::read_dir(prefix.join("lib")).into_iter().flatten();
        let named = found
            .flatten()
            .filter(|entry| entry.file_name().as_bytes().starts_with(b"python"));
        named.map(move |entry| entry.path().join(below))
    };
    plan.mounts.iter().flat_map(move |step| {
        let (view, python) = match step {
            Mount::View { at, python, .. } => (Some(at), python.as_ref()),
            _ => (None, None),
        };
        let prefix = python.and_then(|(_, program)| program.parent()?.parent());
        let own = view.into_iter().flat_map(move |at| of(at, "site-packages"));
        own.chain(prefix.into_iter().flat_map(move |at| of(at, "")))
    })
}

/// Lets nothing be opened anew but what is below the root, and the three as they are. The filter of system calls, which
/// refuses programs these calls, comes later. Kernels before Linux 5.19 keep nothing of this; those before 6.2 let what is
/// only read be truncated, which is told.
pub(super) fn open_nothing_else(plan: &Plan) -> io::Result<Unkept> {
    let failed = |error: RulesetError| io::Error::other(error);
    let required = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let keeps_whole = required().handle_access(AccessFs::Truncate).is_ok();
    let mut unkept = Unkept::Nothing;
    // The first kernels with Landlock refuse `Refer` to everybody.
    let Ok(required) = required().handle_access(AccessFs::Refer) else {
        return Ok(Unkept::Nothing);
    };
    let rules = required
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(decided())
        .map_err(failed)?;
    let root = PathBeneath::new(File::open("/")?, decided());
    let mut rules = rules
        .create()
        .and_then(|rules| rules.add_rule(root))
        .map_err(failed)?;
    for place in modules(plan) {
        let how = OpenHow::new()
            .flags(PLACE)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        if let Ok(place) = openat2(AT_FDCWD, &place, how) {
            let all = PathBeneath::new(place, decided());
            rules = rules.add_rule(all).map_err(failed)?;
        }
    }
    let (input, output, errors) = (io::stdin(), io::stdout(), io::stderr());
    for descriptor in [input.as_fd(), output.as_fd(), errors.as_fd()] {
        let open = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
        let as_it_is = match open & OFlag::O_ACCMODE {
            OFlag::O_RDONLY => BitFlags::from(AccessFs::ReadFile),
            OFlag::O_WRONLY => AccessFs::WriteFile | AccessFs::Truncate,
            OFlag::O_RDWR => AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate,
            _ => continue,
        };
        let kind = SFlag::from_bits_truncate(fstat(descriptor)?.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFREG && open & OFlag::O_ACCMODE == OFlag::O_RDONLY && !keeps_whole {
            unkept = Unkept::Truncation;
        }
        // What has no place in any tree, as pipes and sockets, needs no rule and takes none.
        if matches!(kind, SFlag::S_IFREG | SFlag::S_IFCHR | SFlag::S_IFBLK) {
            rules = rules
                .add_rule(PathBeneath::new(descriptor, as_it_is))
                .map_err(failed)?;
        }
    }
    rules.restrict_self().map_err(failed)?;
    Ok(unkept)
}
