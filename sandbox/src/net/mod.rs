//! The filter of the network: who a program in an empty network namespace may talk to.
//!
//! ```text
//! inside the namespace (no device but its own loopback)         outside, in the filter
//!   any TCP connection ── led by netfilter ──▶ listener ┐
//!   a client of a proxy ─────────────────────▶ listener ├─ handed out ─▶ verdict ─▶ dial ─▶ relay ─▶ log
//!   DNS to whomever ──── led by netfilter ──▶ port 53   ┘                 (names, address, port)
//!   a server on a port ◀───────────── sockets made inside ◀───────── 127.0.0.1:PORT of this host
//! ```
//!
//! The namespace is what keeps programs in; the filter only lets out. Where no filter runs nothing answers, and
//! nothing passes. [`set_up`] is called inside, by a process with one thread; its sockets are handed to [`Filter`],
//! which runs outside without any privilege.

mod dns;
mod filter;
mod inside;
mod inward;
mod limits;
mod names;
mod netlink;
mod proxy;
mod relay;
mod resolve;
mod steer;
mod watch;
mod way;
mod wire;

pub use filter::{Asker, Config, Filter};
pub use inside::{PROXY_PORT, Setup, SetupError, Sockets, set_up};
pub use inward::Publish;
pub use limits::Limits;
pub use way::Way;
pub(crate) use wire::{INWARD, packet_pair, receive_descriptor, send_descriptor};
pub use wire::{answer, lead_out};
