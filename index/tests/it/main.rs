//! The index client against servers on loopback that answer what each test wants.

#![allow(clippy::unwrap_used, reason = "tests")]

mod download;
mod fixtures;
mod metadata;
mod pages;
mod routes;
mod server;
