//! The store by its public API, over both indexes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod check;
mod clean;
mod crash;
mod disk_full;
mod environments;
mod failpoints;
mod fixture;
mod images;
mod links;
mod model;
mod open;
mod power_cut;
mod power_cuts;
mod repair;
mod staging;
