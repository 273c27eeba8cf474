//! The system calls that are refused, whatever the policy: those that reach past what namespaces
//! cover, and those that a program has no use for but to attack the kernel.
//!
//! A list of what is refused, not of what is allowed: Python programs bring libraries of every kind.
//! What is refused fails with `EPERM`, or as if the kernel did not have it where programs then take
//! another way (clone3(2), `io_uring`). Calls of a foreign architecture end the process.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, sock_filter,
};

/// Refused with `EPERM`.
const FORBIDDEN: &[libc::c_long] = &[
    // Namespaces, mounts and roots.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    OPEN_TREE_ATTR,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // Files by number, past every path.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Keys.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The kernel itself.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
];

/// The same, where only this architecture has them.
#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[libc::c_long] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[libc::c_long] = &[];

/// Refused with `ENOSYS`: who meets that does without.
const UNKNOWN: &[libc::c_long] = &[
    libc::SYS_clone3, // its flags are in memory, where a filter cannot look
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_openat2,  // the mode of a new file is in memory
    libc::SYS_io_setup, // the requests of all programs of the machine come out of one number
    libc::SYS_mq_open,  // a queue outlives who made it; where there is Landlock it fails anyway
];

/// `open_tree_attr(2)`, Linux 6.15; all architectures have it at this number.
const OPEN_TREE_ATTR: libc::c_long = 467;

/// Bit 30 of a call's number: the x32 variant, which the architecture alone does not tell.
const X32: u32 = 0x4000_0000;

/// Both programs, to be loaded in this order.
///
/// # Errors
/// If they cannot be compiled, which the tests rule out.
pub(crate) fn programs() -> Result<[BpfProgram; 3], BackendError> {
    Ok([
        variants(),
        compiled(
            UNKNOWN.iter().map(|number| (*number, Vec::new())).collect(),
            libc::ENOSYS,
        )?,
        compiled(forbidden()?, libc::EPERM)?,
    ])
}

fn compiled(
    rules: BTreeMap<libc::c_long, Vec<SeccompRule>>,
    errno: libc::c_int,
) -> Result<BpfProgram, BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    let refuse = SeccompAction::Errno(errno.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
}

fn forbidden() -> Result<BTreeMap<libc::c_long, Vec<SeccompRule>>, BackendError> {
    let mut rules: BTreeMap<libc::c_long, Vec<SeccompRule>> = FORBIDDEN
        .iter()
        .chain(FORBIDDEN_HERE)
        .map(|number| (*number, Vec::new()))
        .collect();
    rules.insert(libc::SYS_clone, new_namespaces()?);
    rules.insert(libc::SYS_ioctl, terminals()?);
    rules.insert(libc::SYS_socket, sockets()?);
    let unix = u64::from(libc::AF_UNIX.cast_unsigned());
    let other = word(0, SeccompCmpOp::Ne, unix)?;
    rules.insert(libc::SYS_socketpair, vec![one(vec![other])?]);
    rules.insert(libc::SYS_personality, personalities()?);
    rules.insert(libc::SYS_setsockopt, protocols_above()?);
    for (number, mode) in MODES {
        let set = word(*mode, SeccompCmpOp::MaskedEq(SET_USER_ID), SET_USER_ID)?;
        rules.insert(*number, vec![one(vec![set])?]);
    }
    for (number, flags) in OPENS {
        rules.insert(*number, set_user_id_files(*flags)?);
    }
    Ok(rules)
}

/// `S_ISUID`: a program that is who owns it, whoever runs it. Inside it gives nothing; on the host it would.
const SET_USER_ID: u64 = 0o4000;

/// Calls that give a file its mode, and which of their arguments that is.
const MODES: &[(libc::c_long, u8)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mknod, 1),
    (libc::SYS_fchmod, 1),
    (libc::SYS_fchmodat, 2),
    (FCHMODAT2, 2),
    (libc::SYS_mknodat, 2),
];

/// Calls that give a file that they make its mode, in the argument after that of the flags, which is told here.
const OPENS: &[(libc::c_long, u8)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1),
    (libc::SYS_openat, 2),
];

/// `fchmodat2(2)`, Linux 6.6; all architectures have it at this number.
const FCHMODAT2: libc::c_long = 452;

/// The mode counts only where a file is made: else nobody knows what is there.
fn set_user_id_files(flags: u8) -> Result<Vec<SeccompRule>, BackendError> {
    // `__O_TMPFILE` alone: `O_TMPFILE` has the bit of `O_DIRECTORY` too.
    [libc::O_CREAT, libc::O_TMPFILE & !libc::O_DIRECTORY]
        .into_iter()
        .map(|flag| {
            let flag = u64::from(flag.cast_unsigned());
            one(vec![
                word(flags, SeccompCmpOp::MaskedEq(flag), flag)?,
                word(flags + 1, SeccompCmpOp::MaskedEq(SET_USER_ID), SET_USER_ID)?,
            ])
        })
        .collect()
}

/// One more, where a file can be truncated by a name that leads to a descriptor which only reads it: truncate(2) fails with
/// `EACCES` whatever it is given, and so does an open that truncates and does not write.
///
/// # Errors
/// If it cannot be compiled, which the tests rule out.
pub(crate) fn truncation() -> Result<BpfProgram, BackendError> {
    let asked = u64::from((libc::O_ACCMODE | libc::O_TRUNC).cast_unsigned());
    let refused = u64::from((libc::O_RDONLY | libc::O_TRUNC).cast_unsigned());
    let mut rules = BTreeMap::from([(libc::SYS_truncate, Vec::new())]);
    for (number, flags) in OPENS {
        let truncates = word(*flags, SeccompCmpOp::MaskedEq(asked), refused)?;
        rules.insert(*number, vec![one(vec![truncates])?]);
    }
    compiled(rules, libc::EACCES)
}

fn one(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions)
}

fn word(argument: u8, how: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value)
}

/// clone(2) with any flag that asks for a namespace.
fn new_namespaces() -> Result<Vec<SeccompRule>, BackendError> {
    [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ]
    .into_iter()
    .map(|flag| {
        let flag = u64::from(flag.cast_unsigned());
        one(vec![word(0, SeccompCmpOp::MaskedEq(flag), flag)?])
    })
    .collect()
}

/// Typing into a terminal that others read: ioctl(2) `TIOCSTI`, and `TIOCLINUX`, which pastes. `TIOCSETD` has the kernel load
/// drivers that hardly anybody uses.
fn terminals() -> Result<Vec<SeccompRule>, BackendError> {
    [libc::TIOCSTI, libc::TIOCLINUX, libc::TIOCSETD]
        .into_iter()
        .map(|request| one(vec![word(1, SeccompCmpOp::Eq, request)?]))
        .collect()
}

/// A protocol on top of TCP (`TCP_ULP`), by which the kernel loads code that hardly anybody uses; who wants TLS in the kernel
/// does it without.
fn protocols_above() -> Result<Vec<SeccompRule>, BackendError> {
    let tcp = u64::from(libc::IPPROTO_TCP.cast_unsigned());
    let above = u64::from(libc::TCP_ULP.cast_unsigned());
    Ok(vec![one(vec![
        word(1, SeccompCmpOp::Eq, tcp)?,
        word(2, SeccompCmpOp::Eq, above)?,
    ])?])
}

/// Of the protocols of IPv4 and IPv6 those that programs speak; of the others each is code that the kernel would load. Raw
/// sockets need a privilege.
const PROTOCOLS: &[libc::c_int] = &[
    0,
    libc::IPPROTO_ICMP,
    libc::IPPROTO_TCP,
    libc::IPPROTO_UDP,
    libc::IPPROTO_ICMPV6,
    libc::IPPROTO_UDPLITE,
    libc::IPPROTO_RAW,
    libc::IPPROTO_MPTCP,
];

/// Sockets but Unix, IPv4, IPv6 and the routing part of netlink: a network namespace covers neither
/// `AF_VSOCK` nor what drivers bring.
fn sockets() -> Result<Vec<SeccompRule>, BackendError> {
    let known = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ];
    let others = known
        .into_iter()
        .map(|family| word(0, SeccompCmpOp::Ne, u64::from(family.cast_unsigned())))
        .collect::<Result<_, _>>()?;
    let netlink = u64::from(libc::AF_NETLINK.cast_unsigned());
    let route = u64::from(libc::NETLINK_ROUTE.cast_unsigned());
    let mut rules = vec![
        one(others)?,
        one(vec![
            word(0, SeccompCmpOp::Eq, netlink)?,
            word(2, SeccompCmpOp::Ne, route)?,
        ])?,
    ];
    for family in [libc::AF_INET, libc::AF_INET6] {
        let family = word(0, SeccompCmpOp::Eq, u64::from(family.cast_unsigned()))?;
        let other = PROTOCOLS
            .iter()
            .map(|protocol| word(2, SeccompCmpOp::Ne, u64::from(protocol.cast_unsigned())));
        let conditions = std::iter::once(Ok(family)).chain(other);
        rules.push(one(conditions.collect::<Result<_, _>>()?)?);
    }
    Ok(rules)
}

/// personality(2) but asking for the present one, Linux itself, and 32 bits of address.
fn personalities() -> Result<Vec<SeccompRule>, BackendError> {
    let usual = [0, 0x0008, 0x0002_0000, 0x0002_0008, 0xffff_ffff];
    let others = usual
        .into_iter()
        .map(|value| word(0, SeccompCmpOp::Ne, value))
        .collect::<Result<_, _>>()?;
    Ok(vec![one(others)?])
}

/// Refuses all calls of the x32 variant: the numbers above know it not.
fn variants() -> BpfProgram {
    let load_number = u16::try_from(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS);
    let at_least = u16::try_from(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K);
    let answer = u16::try_from(libc::BPF_RET | libc::BPF_K);
    let line = |code: Result<u16, _>, jt, jf, k| sock_filter {
        code: code.unwrap_or_default(),
        jt,
        jf,
        k,
    };
    let refuse = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    vec![
        line(load_number, 0, 0, 0),
        line(at_least, 0, 1, X32),
        line(answer, 0, 0, refuse),
        line(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;
    use nix::fcntl::{OFlag, open};
    use nix::sys::stat::Mode;
    use nix::unistd::truncate;

    use super::*;

    #[test]
    fn the_programs_compile_for_this_machine() {
        for program in programs().expect("compiles") {
            assert!(!program.is_empty() && program.len() < 4096);
        }
    }

    #[test]
    fn what_is_not_opened_to_be_written_is_not_truncated() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, "kept").expect("written");
        let path = file.path().to_owned();
        // A filter is its thread's.
        let filtered = std::thread::spawn(move || {
            nix::sys::prctl::set_no_new_privs().expect("always");
            let program = truncation().expect("compiles");
            seccompiler::apply_filter(&program).expect("a filter");
            let open = |flags| open(&path, flags, Mode::empty()).map(drop);
            let tried = [
                truncate(&path, 0),
                open(OFlag::O_RDONLY | OFlag::O_TRUNC),
                open(OFlag::O_RDONLY),
            ];
            let text = std::fs::read_to_string(&path).expect("there");
            (tried, text, open(OFlag::O_WRONLY | OFlag::O_TRUNC))
        });
        let (tried, text, written) = filtered.join().expect("no panic");
        assert_eq!(tried, [Err(Errno::EACCES), Err(Errno::EACCES), Ok(())]);
        assert_eq!((text.as_str(), written), ("kept", Ok(())));
        assert_eq!(std::fs::read(file.path()).expect("there"), b"");
    }

    #[test]
    fn calls_of_the_x32_variant_fail_and_others_pass() {
        let program = variants();
        assert_eq!(program[1].k, X32);
        assert_eq!(program[2].k & 0xffff, libc::ENOSYS.cast_unsigned());
        assert_eq!(program[3].k, libc::SECCOMP_RET_ALLOW);
    }
}
