//! The sandbox: what the code of an environment may touch, and the walls that keep it there.
//!
//! [`policy`] is what somebody allows, as data: a level, files, resources, variables, network. It knows
//! nothing of the host and nothing of how it is kept.

mod level;
pub mod policy;

pub use level::{Level, UnknownLevel};
pub use policy::Policy;
