//! The sandbox: what the code of an environment may touch, and the walls that keep it there.
//!
//! Three steps, and only the last one changes anything:
//!
//! ```text
//! policy     what somebody allows, as data: a level, files, resources, variables, network
//! plan       policy + environment + caller + machine → Plan, a pure function
//! helper     carries the plan out in processes with one thread, which become the program; keeps what was made for the
//!            next program
//! ```
//!
//! [`net`] filters what goes in and out of the empty network of a sandbox, and [`audit`] keeps what was decided.
//!
//! What cannot be kept is an error or, if somebody said that less will do, told; never silently open.
//! Needs Linux 5.12 with user namespaces. `unsafe` is in `sys` alone.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod audit;
mod cgroups;
mod filter;
mod helper;
mod level;
mod machine;
pub mod net;
mod observe;
pub mod places;
pub mod plan;
pub mod policy;
mod probe;
mod sys;

pub use cgroups::Cgroups;
pub use helper::{
    DOOR_DESCRIPTORS, Door, End, Excess, Failure, Held, NAMESPACES, Nobody, Program, Stage, Used,
    Watch, enter, run, unmapped,
};
pub use level::{Level, UnknownLevel};
pub use observe::Attempt;
pub use plan::{Caller, Environment, Machine, Plan, PlanError, plan};
pub use policy::Policy;
pub use probe::probe;
