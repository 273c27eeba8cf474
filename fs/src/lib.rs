//! The view: every environment as a directory tree composed of layers, served over FUSE.
//!
//! One mount serves all environments of a user:
//!
//! ```text
//! live/demo                  symlink to .generation/7; a swap replaces this one node
//! live/.generation/7/        the prefix of one generation: bin/ lib/ pyvenv.cfg …, never changed
//! ```
//!
//! Invariants, on which the kernel's caching rests (each reply is valid without end):
//!
//! - A node number means the same bytes for ever: numbers are computed from (layer, entry) for
//!   files and (tree, layer, entry) for directories
//!   (`node.rs`), never handed out in order.
//! - Nothing below `.generation/<n>` changes, except that `__pycache__` directories appear once their
//!   layer has been compiled; until then their absence is told with no permission to cache it.
//! - No request walks files: a directory is composed when first asked for, from the directories
//!   of the same path in the layers that have it.
//!
//! The server (`server.rs`) knows nothing of FUSE and is tested without a mount; `fuse.rs`
//! translates; `mount.rs` knows the host, [`namespace`] the way round a missing helper, `handover.rs`
//! how a mount changes hands; [`View`] joins them. Where nothing can be mounted, [`plain`] writes the same trees as files. Where the layers and
//! blobs come from
//! is behind the [`Content`] trait. Several kernel requests are served at once: all handlers take
//! `&self`, and no lock is held across a call into [`Content`] or a notification to the kernel.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod bytecode;
mod connection;
mod content;
mod counters;
mod error;
mod fuse;
mod handover;
pub mod memory;
mod mount;
mod mountinfo;
pub mod namespace;
mod node;
pub mod plain;
mod recent;
mod server;
mod sys;
mod tree;
mod view;

pub use content::{Bytecode, Content, ContentError, TreeSpec};
pub use error::FsError;
pub use handover::{Handover, MountRecord, Offer};
pub use mount::{HostSupport, MountError, MountState, host_support, mount_state, reap};
pub use node::{MAX_DIRECTORY_ENTRY, MAX_DIRECTORY_LAYER, MAX_FILE_ENTRY, MAX_TREE};
pub use server::{Attr, Entry, Kind, Lookup, Observer, Server, Time, tree_path};
pub use view::{Aside, Inheritance, MountOptions, View};
