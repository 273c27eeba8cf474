//! How many kernel requests of each kind were served.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! ops {
    ($($variant:ident => $name:literal),+ $(,)?) => {
        /// A kind of request or notification.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Op {
            $(#[doc = $name] $variant),+
        }

        impl Op {
            /// All kinds, in the order of the counters.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stable name under which it is reported.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }
    };
}

ops! {
    Lookup => "lookup",
    Forget => "forget",
    Getattr => "getattr",
    Readlink => "readlink",
    Open => "open",
    Read => "read",
    Readdir => "readdir",
    Readdirplus => "readdirplus",
    Opendir => "opendir",
    Statfs => "statfs",
    Flush => "flush",
    Fsync => "fsync",
    Xattr => "xattr",
    Access => "access",
    Ioctl => "ioctl",
    Lseek => "lseek",
    Write => "write",
    Other => "other",
    InvalidateEntry => "invalidate-entry",
    InvalidateInode => "invalidate-inode",
}

/// One counter per kind.
#[derive(Debug, Default)]
pub(crate) struct Counters([AtomicU64; Op::ALL.len()]);

impl Counters {
    /// Counts one.
    pub(crate) fn count(&self, op: Op) {
        // The numbers are for people and tests; nothing is ordered by them.
        self.0[op as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// All counters by name, also those at nought.
    pub(crate) fn all(&self) -> BTreeMap<&'static str, u64> {
        let value = |op: Op| self.0[op as usize].load(Ordering::Relaxed);
        Op::ALL.iter().map(|&op| (op.name(), value(op))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_counter_and_a_name_of_its_own() {
        let counters = Counters::default();
        for (times, &op) in Op::ALL.iter().enumerate() {
            for _ in 0..times {
                counters.count(op);
            }
        }
        let all = counters.all();
        assert_eq!(all.len(), Op::ALL.len());
        for (times, op) in Op::ALL.iter().enumerate() {
            assert_eq!(all[op.name()], times as u64, "{}", op.name());
        }
    }
}
