//! Facts about the machine, as far as plans depend on them.

use nix::unistd::{Gid, Uid};

use crate::cgroups::Cgroups;
use crate::plan::Machine;

impl Machine {
    /// This one, for the user who asks.
    pub fn here() -> Self {
        let memory = nix::sys::sysinfo::sysinfo().map_or(0, |info| info.ram_total());
        Self {
            uid: Uid::effective().as_raw(),
            gid: Gid::effective().as_raw(),
            memory_bytes: memory,
            cgroups: Cgroups::find(),
        }
    }
}
