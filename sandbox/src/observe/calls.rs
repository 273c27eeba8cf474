//! Which system calls are told of, and what they say: a filter of the kind that asks (`seccomp_unotify(2)`).
//!
//! The kernel holds a call back until somebody outside has looked at it and lets it go on as it is. What it names is read from
//! the program's memory, which the program may change meanwhile. That is good enough to write down what was tried and
//! to nothing else: nothing is decided here.

use std::ffi::OsString;
use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use hickory_resolver::proto::op::Message;
use nix::libc;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use seccompiler::sock_filter;

use crate::plan::Observed;
use crate::sys::Call;

/// Memory is read up to the end of a page at a time: what comes after may not be there.
const PAGE: u64 = 4096;
/// The longest path (`PATH_MAX`).
const LONGEST_PATH: usize = 4096;
/// The largest question by UDP.
const LONGEST_QUESTION: usize = 512;
/// Where questions about names go.
const DNS: u16 = 53;

/// What a call names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// A file, and what for.
    File(Opened),
    /// Somebody to talk to.
    Address(SocketAddr),
    /// A host, by its name.
    Host(String),
    /// Who knows names of hosts.
    Names,
}

/// What a program wants of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) path: PathBuf,
    /// Change it, too.
    pub(super) write: bool,
    /// Make it, where there is none.
    pub(super) make: bool,
    /// The directory that a relative path begins at; without one the working directory.
    pub(super) from: Option<i32>,
}

// `struct seccomp_data`: number, architecture, address of the call, arguments.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIFTH_ARGUMENT: u32 = 16 + 4 * 8;

#[cfg(target_arch = "x86_64")]
const OURS: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const OURS: u32 = 0xc000_00b7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const OURS: u32 = 0;

#[cfg(target_arch = "x86_64")]
const OPENS: &[libc::c_long] = &[libc::SYS_openat, libc::SYS_openat2, libc::SYS_open];
#[cfg(not(target_arch = "x86_64"))]
const OPENS: &[libc::c_long] = &[libc::SYS_openat, libc::SYS_openat2];

/// The filter: asks about the calls to be observed, and lets all others pass.
pub(super) fn filter(observed: Observed) -> Vec<sock_filter> {
    let statement = |code: u32, k| sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
    let answer = |k| statement(libc::BPF_RET | libc::BPF_K, k);
    let allow = answer(libc::SECCOMP_RET_ALLOW);
    let ask = answer(libc::SECCOMP_RET_USER_NOTIF);
    // Jumps over `then` statements if it is equal, else over `otherwise`.
    let equal = |k: u32, then, otherwise| sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: then,
        jf: otherwise,
        k,
    };
    let mut program = vec![
        load(ARCHITECTURE),
        equal(OURS, 1, 0),
        allow.clone(),
        load(NUMBER),
    ];
    let mut asked: Vec<libc::c_long> = Vec::new();
    if observed.network {
        asked.extend([libc::SYS_connect, libc::SYS_sendmmsg]);
    }
    if observed.files {
        asked.extend(OPENS);
    }
    for number in asked {
        program.extend([equal(word(number), 0, 1), ask.clone()]);
    }
    if observed.network {
        // With an address only: what is sent on a connection was looked at when that was made.
        program.extend([
            equal(word(libc::SYS_sendto), 0, 4),
            load(FIFTH_ARGUMENT),
            equal(0, 0, 3),
            load(FIFTH_ARGUMENT + 4),
            equal(0, 0, 1),
            allow.clone(),
            ask.clone(),
        ]);
        // The jump over the whole of it ends at the question: the call is another one.
        let last = program.len() - 7;
        if let Some(jump) = program.get_mut(last) {
            jump.jf = 6;
        }
    }
    program.push(allow);
    program
}

fn word(number: libc::c_long) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What a call names, as far as anybody wants to know.
pub(super) fn named(call: &Call) -> Vec<Named> {
    let memory = Memory(Pid::from_raw(call.process.cast_signed()));
    let number = libc::c_long::from(call.number);
    let argument = |index: usize| call.arguments.get(index).copied().unwrap_or_default();
    match number {
        libc::SYS_openat => memory.file(argument(1), argument(2), Some(argument(0))),
        libc::SYS_openat2 => {
            // `struct open_how` begins with the flags.
            let flags = memory.number(argument(2));
            memory.file(argument(1), flags, Some(argument(0)))
        }
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => memory.file(argument(0), argument(1), None),
        libc::SYS_connect => memory.peer(argument(1), argument(2)),
        libc::SYS_sendto => {
            let to = memory.address(argument(4), argument(5));
            match to.filter(|to| to.port() == DNS) {
                Some(_) => memory.question(argument(1), argument(2)),
                None => to.map(Named::Address).into_iter().collect(),
            }
        }
        libc::SYS_sendmmsg => memory.messages(argument(1), argument(2)),
        _ => Vec::new(),
    }
}

/// The memory of a process.
struct Memory(Pid);

impl Memory {
    /// At most so many bytes; what is not there ends them.
    fn read(&self, at: u64, most: usize) -> Vec<u8> {
        let mut found = Vec::new();
        while found.len() < most {
            let from = at + found.len() as u64;
            let left = (PAGE - from % PAGE) as usize;
            let mut part = vec![0; left.min(most - found.len())];
            let there = RemoteIoVec {
                base: from as usize,
                len: part.len(),
            };
            let read = process_vm_readv(self.0, &mut [IoSliceMut::new(&mut part)], &[there]);
            match read {
                Ok(length) if length == part.len() => found.append(&mut part),
                Ok(length) => {
                    part.truncate(length);
                    found.append(&mut part);
                    break;
                }
                Err(_) => break,
            }
        }
        found
    }

    fn number(&self, at: u64) -> u64 {
        let bytes = self.read(at, 8).try_into();
        bytes.map(u64::from_ne_bytes).unwrap_or_default()
    }

    fn file(&self, at: u64, flags: u64, from: Option<u64>) -> Vec<Named> {
        let mut path = Vec::new();
        while path.len() < LONGEST_PATH {
            let from = at + path.len() as u64;
            let mut part = self.read(from, (PAGE - from % PAGE) as usize);
            let end = part.iter().position(|byte| *byte == 0);
            let whole = part.is_empty() || end.is_some();
            part.truncate(end.unwrap_or(part.len()));
            path.append(&mut part);
            if whole {
                break;
            }
        }
        if path.is_empty() {
            return Vec::new();
        }
        let written = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
        let from = from.map(|from| (from as u32).cast_signed());
        let has = |flag: libc::c_int| flags & u64::from(flag.cast_unsigned()) != 0;
        vec![Named::File(Opened {
            path: OsString::from_vec(path).into(),
            write: has(written),
            make: has(libc::O_CREAT),
            from: from.filter(|from| *from != libc::AT_FDCWD),
        })]
    }

    fn peer(&self, at: u64, length: u64) -> Vec<Named> {
        let to = self.address(at, length);
        to.map(|to| match to.port() {
            DNS => Named::Names,
            _ => Named::Address(to),
        })
        .into_iter()
        .collect()
    }

    /// `struct sockaddr_in`, `struct sockaddr_in6`; none for other families.
    fn address(&self, at: u64, length: u64) -> Option<SocketAddr> {
        let bytes = self.read(at, usize::try_from(length.min(28)).ok()?);
        address(&bytes)
    }

    fn question(&self, at: u64, length: u64) -> Vec<Named> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = self.read(at, length.min(LONGEST_QUESTION));
        host(&bytes).into_iter().collect()
    }

    /// What sendmmsg(2) sends: an array of `struct mmsghdr`, of which resolvers use one for each family.
    fn messages(&self, at: u64, count: u64) -> Vec<Named> {
        const MESSAGE: u64 = 64;
        let mut found = Vec::new();
        for index in 0..count.min(4) {
            let header = at + index * MESSAGE;
            // `struct msghdr`: name, its length, parts, their number.
            let (name, parts) = (self.number(header), self.number(header + 16));
            let length = self.number(header + 8) & 0xffff_ffff;
            let to = self.address(name, length);
            if let Some(to) = to.filter(|to| to.port() != DNS) {
                found.push(Named::Address(to));
                continue;
            }
            // `struct iovec`: where, and how long.
            found.extend(self.question(self.number(parts), self.number(parts + 8)));
        }
        found.dedup();
        found
    }
}

fn address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    let ip: IpAddr = match i32::from(family) {
        libc::AF_INET => {
            let octets: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Ipv4Addr::from(octets).into()
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            Ipv6Addr::from(octets).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The name that a question of DNS is about (RFC 1035 4.1).
fn host(bytes: &[u8]) -> Option<Named> {
    let question = Message::from_vec(bytes).ok()?;
    let name = question.queries.first()?.name().to_utf8();
    let name = name.trim_end_matches('.');
    (!name.is_empty()).then(|| Named::Host(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a filter answers to a call: BPF as the kernel runs it, as far as the filter uses it.
    fn run(program: &[sock_filter], number: libc::c_long, fifth: u64) -> u32 {
        let mut data = [0_u8; 64];
        data[..4].copy_from_slice(&word(number).to_ne_bytes());
        data[4..8].copy_from_slice(&OURS.to_ne_bytes());
        data[48..56].copy_from_slice(&fifth.to_le_bytes());
        let (mut at, mut held) = (0, 0);
        loop {
            let step = &program[at];
            at += 1;
            match u32::from(step.code) & 7 {
                libc::BPF_LD => {
                    let from = step.k as usize;
                    held = u32::from_le_bytes(data[from..from + 4].try_into().expect("a word"));
                }
                libc::BPF_JMP => {
                    at += usize::from(if held == step.k { step.jt } else { step.jf });
                }
                _ => return step.k,
            }
        }
    }

    #[test]
    fn nothing_is_asked_about_but_what_is_observed() {
        let (ask, allow) = (libc::SECCOMP_RET_USER_NOTIF, libc::SECCOMP_RET_ALLOW);
        let observed = |files, network| Observed { files, network };
        for (number, fifth, files, network) in [
            (libc::SYS_openat, 0, true, false),
            (libc::SYS_openat2, 0, true, false),
            (libc::SYS_connect, 0, false, true),
            (libc::SYS_sendmmsg, 0, false, true),
            (libc::SYS_sendto, 1, false, true),
            (libc::SYS_sendto, 1 << 32, false, true),
            (libc::SYS_sendto, 0, false, false),
            (libc::SYS_read, 1, false, false),
            (libc::SYS_sendmsg, 1, false, false),
        ] {
            for (which, asked) in [
                (observed(true, false), files),
                (observed(false, true), network),
                (observed(true, true), files || network),
            ] {
                let expected = if asked { ask } else { allow };
                let answer = run(&filter(which), number, fifth);
                assert_eq!(answer, expected, "{number} {fifth} {which:?}");
            }
        }
    }

    #[test]
    fn addresses_are_read_as_the_kernel_lays_them_out() {
        let family = |family: i32| u16::try_from(family).expect("small").to_ne_bytes();
        let mut bytes = [family(libc::AF_INET), [0x01, 0xbb]].concat();
        bytes.extend([192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(address(&bytes), "192.0.2.7:443".parse().ok());
        let mut bytes = [family(libc::AF_INET6), [0, 80]].concat();
        bytes.extend([0; 4]);
        bytes.extend(Ipv6Addr::LOCALHOST.octets());
        assert_eq!(address(&bytes), "[::1]:80".parse().ok());
        for length in 0..24 {
            assert_eq!(address(&bytes[..length]), None, "{length}");
        }
        assert_eq!(address(&family(libc::AF_UNIX)), None);
    }
}
