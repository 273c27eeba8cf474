//! What the tests of the `blast` program stand on.
//!
//! - [`Sandbox`]: a home of its own for one test. Nothing of the user's environment reaches the
//!   program, and nothing of the test stays behind: dropping a sandbox ends its daemon and fails
//!   the test if a mount or a process was left.
//! - [`Run`]: what a command answered; its `Display` is the redacted block that snapshots pin.
//! - [`WheelSpec`], [`Hostile`]: wheels made on the spot, good ones and bad ones.
//! - [`SdistSpec`]: source distributions with a build backend of their own.
//! - [`LocalIndex`]: a package index on loopback that counts requests and fails on demand.
//! - [`require`]: the gate of tests that need something of the host. A skip is printed, and
//!   `BLAST_TEST_REQUIRE=fuse,zsh` turns a skip into a failure.
//!
//! Everything here may panic: a harness that cannot do its part must fail the test.

#![expect(
    clippy::print_stderr,
    reason = "skips and left-overs are told on the terminal"
)]

mod gate;
mod hostile;
mod index;
mod process;
mod python;
mod random;
mod redact;
mod run;
mod sandbox;
mod sdist;
mod user;
mod wheel;
mod zipfile;

pub use gate::{Means, require};
pub use hostile::Hostile;
pub use index::{Fault, Format, Hit, LocalIndex, Release};
pub use process::Background;
pub use python::HostPython;
pub use random::Random;
pub use redact::Redactions;
pub use run::Run;
pub use sandbox::Sandbox;
pub use sdist::SdistSpec;
pub use user::TestUser;
pub use wheel::WheelSpec;
pub use zipfile::{Member, ZipFile};
