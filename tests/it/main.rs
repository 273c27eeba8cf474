//! The commands of `blast`, run as people run them: one module per command or concern.
//!
//! Every test has a home and an index of its own (see `blast_harness`), so all may run at once.
//! Names that start with `root_`, `user_` or `real_` need root, an unprivileged user, a registry;
//! `.config/nextest.toml` groups them.

mod world;

mod activate;
mod add;
mod build;
mod build_sandbox;
mod bytecode;
mod cache;
mod capture;
mod clean;
mod concurrency;
mod crashes;
mod denials;
mod doctor;
mod envs;
mod errors;
mod failpoints;
mod files;
mod graph;
mod help;
mod history;
mod host;
mod hostile_wheels;
mod image;
mod index_trouble;
mod indexes;
mod init;
mod install;
mod kill;
mod list;
mod lock;
mod looking_back;
mod materialise;
mod namespace;
mod network;
mod operations;
mod options;
mod oracle;
mod pip;
mod project;
mod real;
mod remove;
mod repair;
mod requests;
mod resilience;
mod run;
mod sandbox;
mod sandbox_escapes;
mod scale;
mod skeleton;
mod snapshots;
mod start;
mod status;
mod store;
mod succession;
mod succession_kills;
mod swap;
mod sync;
mod trees;
mod universal;
mod unprivileged;
mod vectors;
mod view;
