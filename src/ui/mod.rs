//! All that is shown to people, and the only module that prints.
//!
//! stdout is data, stderr is talk. [`Printer`] knows how much of the talk is wanted ([`Level`])
//! and drops colour where it is not (`NO_COLOR`, `CLICOLOR`, no terminal, `--color never`); text
//! makes sense without it. What a thing looks like is in pure functions from values to text
//! ([`changes`], [`table`], [`units`]), so that it is tested without a terminal. [`progress`]
//! turns the daemon's events into bars on a terminal and lines elsewhere.

pub(crate) mod changes;
pub(crate) mod operations;
mod printer;
pub(crate) mod progress;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod units;

pub(crate) use printer::{Level, Printer};
