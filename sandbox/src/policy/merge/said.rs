//! What somebody says, one thing after the other, each with where it is written.

use std::fmt::Display;
use std::path::PathBuf;

use super::super::origin::Origin;
use super::super::schema::{Processors, Size};
use super::super::target::{Host, Target};
use super::super::{Policy, Shown};
use crate::Level;
use crate::net::Publish;

/// What somebody says.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// Of programs.
    pub(super) items: Vec<Said>,
    /// Of builds, beside those.
    pub(super) build: Vec<Said>,
}

/// One thing that is said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) key: &'static str,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What is said.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Level(Level),
    Flag(bool),
    Number(u64),
    Size(Size),
    Processors(Processors),
    Ports(Vec<u16>),
    Servers(Vec<std::net::SocketAddr>),
    Target(Target),
    Publish(Publish),
    Path(PathBuf),
    Shown(Shown),
    Name(String),
    Variable(String, String),
}

impl Layer {
    /// What the command line says: a policy whose level, if any, is `level`.
    pub fn of_flags(level: Option<Level>, policy: &Policy) -> Self {
        let mut layer = Self::default();
        let mut say = |key, value| {
            layer.items.push(Said {
                key,
                value,
                origin: Origin::Flag,
            });
        };
        if let Some(level) = level {
            say("level", Value::Level(level));
        }
        if let Some(user) = &policy.user {
            say("user", Value::Name(user.clone()));
        }
        for rule in &policy.network.rules.allowed {
            let key = match rule.target.host {
                Host::Range(_) => "network.allowed-ips",
                _ => "network.allowed-domains",
            };
            say(key, Value::Target(rule.target.clone()));
        }
        for publish in &policy.network.publish {
            say("network.allowed-inbound-ports", Value::Publish(*publish));
        }
        for (key, paths) in [
            ("filesystem.read-only", &policy.files.read_only),
            ("filesystem.read-write", &policy.files.read_write),
            ("filesystem.hidden", &policy.files.hidden),
        ] {
            for path in paths {
                say(key, Value::Path(path.clone()));
            }
        }
        for (key, size) in [
            ("filesystem.tmp-size", policy.files.temporary_bytes),
            ("filesystem.max-file-size", policy.limits.file_bytes),
            ("filesystem.max-total-size", policy.limits.written_bytes),
            ("resources.memory-max", policy.limits.memory_bytes),
        ] {
            if let Some(bytes) = size {
                say(key, Value::Size(Size(bytes)));
            }
        }
        if let Some(percent) = policy.limits.cpu_percent {
            say("resources.cpu-max", Value::Processors(Processors(percent)));
        }
        for (key, number) in [
            ("resources.pids-max", policy.limits.processes),
            ("resources.open-files-max", policy.limits.open_files),
        ] {
            if let Some(number) = number {
                say(key, Value::Number(number));
            }
        }
        for (name, value) in &policy.variables {
            match value {
                Some(value) => say(
                    "environment.set",
                    Value::Variable(name.clone(), value.clone()),
                ),
                None => say("environment.allowed", Value::Name(name.clone())),
            }
        }
        layer
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let listed = |all: Vec<String>| all.join(", ");
        match self {
            Self::Level(level) => level.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Size(size) => size.fmt(f),
            Self::Processors(processors) => processors.fmt(f),
            Self::Ports(ports) => f.write_str(&listed(ports.iter().map(u16::to_string).collect())),
            Self::Servers(servers) => {
                f.write_str(&listed(servers.iter().map(ToString::to_string).collect()))
            }
            Self::Target(target) => target.fmt(f),
            Self::Publish(Publish { outside, inside }) if outside == inside => outside.fmt(f),
            Self::Publish(Publish { outside, inside }) => write!(f, "{outside}:{inside}"),
            Self::Path(path) => path.display().fmt(f),
            Self::Shown(Shown {
                source,
                target,
                write,
            }) => {
                let how = if *write { ", read and written" } else { "" };
                write!(f, "{} at {}{how}", source.display(), target.display())
            }
            Self::Name(name) => f.write_str(name),
            Self::Variable(name, value) => write!(f, "{name}={value}"),
        }
    }
}
