//! From what system, user, project and command line say to one policy: a pure function.
//!
//! A denial or a limit holds whoever says it, and of two the stricter: the higher level, the smaller number, `false`. What is
//! allowed adds up, within that. A flag gives the level instead of user and project, never below the system's. Paths that the user or the
//! system lets be read only are not written because a project says so. Every line is kept with where it is written and, if
//! it does not hold, what holds instead.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::Spanned;

use super::origin::{Origin, Speaker};
use super::schema::{self, Port, Processors, Size, Table};
use super::target::Target;
use super::verdict::Rule;
use super::{Network, Policy};
use crate::Level;
use crate::net::Publish;

/// What somebody says.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    items: Vec<Said>,
}

/// One thing that is said.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    key: &'static str,
    value: Value,
    origin: Origin,
}

/// What is said.
#[derive(Debug, Clone, PartialEq)]
enum Value {
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
    Name(String),
    Variable(String, String),
}

/// A line of the merged policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it is about: `network.allowed-domains`.
    pub key: &'static str,
    /// What it says.
    pub value: String,
    /// Where it is written.
    pub origin: Origin,
    /// Where what holds instead is written; none where this holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overruled_by: Option<Origin>,
}

/// What follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// The policy.
    pub policy: Policy,
    /// All lines, in the order in which they were said.
    pub lines: Vec<Line>,
}

impl Layer {
    /// What a table says. `text` is the whole of its file, `home` what `~` means.
    pub fn read(table: &Table, text: &str, speaker: Speaker, path: &Path, home: &Path) -> Self {
        let at = Place {
            text,
            speaker,
            path,
        };
        let mut layer = Self::default();
        at.one(&mut layer, "level", table.level.as_ref(), |level| {
            Value::Level(*level)
        });
        at.network(&mut layer, &table.network);
        at.others(&mut layer, table, home);
        layer
    }

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
        for rule in &policy.network.rules.allowed {
            let key = match rule.target.host {
                super::target::Host::Range(_) => "network.allowed-ips",
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

/// Where a table is written.
struct Place<'a> {
    text: &'a str,
    speaker: Speaker,
    path: &'a Path,
}

impl Place<'_> {
    fn network(&self, layer: &mut Layer, network: &schema::Network) {
        self.one(
            layer,
            "network.allow-outbound",
            network.allow_outbound.as_ref(),
            |flag| Value::Flag(*flag),
        );
        self.one(
            layer,
            "network.allow-inbound",
            network.allow_inbound.as_ref(),
            |flag| Value::Flag(*flag),
        );
        self.one(
            layer,
            "network.allowed-outbound-ports",
            network.allowed_outbound_ports.as_ref(),
            |ports| Value::Ports(ports.iter().map(|Port(port)| *port).collect()),
        );
        self.all(
            layer,
            "network.allowed-inbound-ports",
            &network.allowed_inbound_ports,
            |Port(port)| {
                Value::Publish(Publish {
                    outside: *port,
                    inside: *port,
                })
            },
        );
        for (key, domains) in [
            ("network.allowed-domains", &network.allowed_domains),
            ("network.denied-domains", &network.denied_domains),
        ] {
            self.all(layer, key, domains, |domain| {
                Value::Target(domain.0.clone())
            });
        }
        for (key, ranges) in [
            ("network.allowed-ips", &network.allowed_ips),
            ("network.denied-ips", &network.denied_ips),
        ] {
            self.all(layer, key, ranges, |range| Value::Target(range.0.clone()));
        }
        self.one(
            layer,
            "network.dns-servers",
            network.dns_servers.as_ref(),
            |servers| Value::Servers(servers.iter().map(|server| server.0).collect()),
        );
    }

    fn others(&self, layer: &mut Layer, table: &Table, home: &Path) {
        let folder = self.path.parent().unwrap_or(self.path);
        let sizes = [
            ("network.bandwidth-limit", &table.network.bandwidth_limit),
            ("filesystem.tmp-size", &table.filesystem.tmp_size),
            ("filesystem.max-file-size", &table.filesystem.max_file_size),
            ("resources.memory-max", &table.resources.memory_max),
        ];
        for (key, size) in sizes {
            self.one(layer, key, size.as_ref(), |size| Value::Size(*size));
        }
        self.one(
            layer,
            "network.max-connections",
            table.network.max_connections.as_ref(),
            |number| Value::Number(u64::from(*number)),
        );
        self.one(
            layer,
            "resources.cpu-max",
            table.resources.cpu_max.as_ref(),
            |processors| Value::Processors(*processors),
        );
        for (key, number) in [
            ("resources.pids-max", &table.resources.pids_max),
            ("resources.open-files-max", &table.resources.open_files_max),
        ] {
            self.one(layer, key, number.as_ref(), |number| Value::Number(*number));
        }
        for (key, paths) in [
            ("filesystem.read-only", &table.filesystem.read_only),
            ("filesystem.read-write", &table.filesystem.read_write),
            ("filesystem.hidden", &table.filesystem.hidden),
        ] {
            self.all(layer, key, paths, |path| {
                Value::Path(absolute(path, folder, home))
            });
        }
        for (key, names) in [
            ("environment.allowed", &table.environment.allowed),
            ("environment.denied", &table.environment.denied),
        ] {
            self.all(layer, key, names, |name| Value::Name(name.clone()));
        }
        for (name, value) in &table.environment.set {
            self.one(layer, "environment.set", Some(value), |value| {
                Value::Variable(name.clone(), value.clone())
            });
        }
    }

    fn one<T>(
        &self,
        layer: &mut Layer,
        key: &'static str,
        said: Option<&Spanned<T>>,
        value: impl Fn(&T) -> Value,
    ) {
        if let Some(said) = said {
            let before = self.text.get(..said.span().start).unwrap_or(self.text);
            layer.items.push(Said {
                key,
                value: value(said.get_ref()),
                origin: Origin::File {
                    speaker: self.speaker,
                    path: self.path.to_owned(),
                    line: before.matches('\n').count() + 1,
                },
            });
        }
    }

    fn all<T>(
        &self,
        layer: &mut Layer,
        key: &'static str,
        said: &[Spanned<T>],
        value: impl Fn(&T) -> Value,
    ) {
        for each in said {
            self.one(layer, key, Some(each), &value);
        }
    }
}

fn absolute(path: &Path, folder: &Path, home: &Path) -> PathBuf {
    match path.strip_prefix("~") {
        Ok(rest) => home.join(rest),
        Err(_) => folder.join(path),
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
            Self::Name(name) => f.write_str(name),
            Self::Variable(name, value) => write!(f, "{name}={value}"),
        }
    }
}

/// Merges what was said. The order of the layers decides nothing but the order of the lines.
pub fn merge(layers: &[Layer]) -> Merged {
    let said: Vec<&Said> = layers.iter().flat_map(|layer| &layer.items).collect();
    let mut lines: Vec<Line> = said
        .iter()
        .map(|said| Line {
            key: said.key,
            value: said.value.to_string(),
            origin: said.origin.clone(),
            overruled_by: None,
        })
        .collect();
    let mut judged = Judged {
        said: &said,
        lines: &mut lines,
    };
    let mut policy = Policy {
        level: judged.level(),
        ..Policy::default()
    };
    policy.files.temporary_bytes = judged.least("filesystem.tmp-size");
    policy.limits.file_bytes = judged.least("filesystem.max-file-size");
    policy.limits.memory_bytes = judged.least("resources.memory-max");
    let percent = judged.least("resources.cpu-max");
    policy.limits.cpu_percent = percent.and_then(|percent| u32::try_from(percent).ok());
    policy.limits.processes = judged.least("resources.pids-max");
    policy.limits.open_files = judged.least("resources.open-files-max");
    judged.files(&mut policy);
    judged.variables(&mut policy);
    policy.network = judged.network();
    Merged { policy, lines }
}

struct Judged<'a> {
    said: &'a [&'a Said],
    lines: &'a mut Vec<Line>,
}

impl<'a> Judged<'a> {
    fn about(&self, key: &'static str) -> Vec<(usize, &'a Said)> {
        let all = self.said.iter().copied().enumerate();
        all.filter(|(_, said)| said.key == key).collect()
    }

    fn overrule(&mut self, index: usize, by: &Origin) {
        if let Some(line) = self.lines.get_mut(index) {
            line.overruled_by.get_or_insert_with(|| by.clone());
        }
    }

    fn level(&mut self) -> Level {
        let said = self.about("level");
        let by_flag = said.iter().any(|(_, said)| said.origin == Origin::Flag);
        // A flag is heard instead of user and project.
        let heard = |said: &Said| match &said.origin {
            Origin::File { speaker, .. } => *speaker == Speaker::System || !by_flag,
            _ => true,
        };
        let of = |said: &Said| match said.value {
            Value::Level(level) if heard(said) => Some(level),
            _ => None,
        };
        let Some(highest) = said.iter().filter_map(|(_, said)| of(said)).max() else {
            return Level::default();
        };
        let winner = said.iter().find(|(_, said)| of(said) == Some(highest));
        if let Some((_, winner)) = winner {
            for (index, each) in &said {
                if of(each) != Some(highest) {
                    self.overrule(*index, &winner.origin);
                }
            }
        }
        highest
    }

    /// The smallest number of those that are said.
    fn least(&mut self, key: &'static str) -> Option<u64> {
        let said = self.about(key);
        let number = |said: &Said| match said.value {
            Value::Number(number) => Some(number),
            Value::Size(Size(bytes)) => Some(bytes),
            Value::Processors(Processors(percent)) => Some(u64::from(percent)),
            _ => None,
        };
        let (_, winner) = *said.iter().min_by_key(|(_, said)| number(said))?;
        for (index, each) in &said {
            if number(each) != number(winner) {
                self.overrule(*index, &winner.origin);
            }
        }
        number(winner)
    }

    /// Who says `false`.
    fn refusal(&mut self, key: &'static str) -> Option<Origin> {
        let said = self.about(key);
        let (_, refused) = *said
            .iter()
            .find(|(_, said)| said.value == Value::Flag(false))?;
        for (index, each) in &said {
            if each.value != refused.value {
                self.overrule(*index, &refused.origin);
            }
        }
        Some(refused.origin.clone())
    }

    fn paths(&self, key: &'static str) -> Vec<(usize, &'a Said, &'a PathBuf)> {
        let path = |(index, said): (usize, &'a Said)| match &said.value {
            Value::Path(path) => Some((index, said, path)),
            _ => None,
        };
        self.about(key).into_iter().filter_map(path).collect()
    }

    fn files(&mut self, policy: &mut Policy) {
        let given = |paths: Vec<(usize, &Said, &PathBuf)>| {
            paths
                .into_iter()
                .map(|(_, _, path)| path.clone())
                .collect::<Vec<_>>()
        };
        let read_only = self.paths("filesystem.read-only");
        policy.files.hidden = given(self.paths("filesystem.hidden"));
        policy.files.read_only = given(self.paths("filesystem.read-only"));
        for (index, said, path) in self.paths("filesystem.read-write") {
            let stronger = read_only.iter().find(|(_, other, above)| {
                path.starts_with(above) && speaker(&other.origin) < speaker(&said.origin)
            });
            if let Some((_, other, _)) = stronger.filter(|_| said.origin != Origin::Flag) {
                self.overrule(index, &other.origin);
                policy.files.read_only.push(path.clone());
            } else {
                policy.files.read_write.push(path.clone());
            }
        }
    }

    fn variables(&mut self, policy: &mut Policy) {
        let denied = self.about("environment.denied");
        let allowed = self.about("environment.allowed");
        for (index, said) in allowed.into_iter().chain(self.about("environment.set")) {
            let (name, value) = match &said.value {
                Value::Name(name) => (name, None),
                Value::Variable(name, value) => (name, Some(value.clone())),
                _ => continue,
            };
            let refused = denied
                .iter()
                .find(|(_, said)| said.value == Value::Name(name.clone()));
            if let Some((_, refused)) = refused {
                self.overrule(index, &refused.origin);
            } else {
                policy.variables.insert(name.clone(), value);
            }
        }
    }

    fn rules(&self, keys: [&'static str; 2]) -> Vec<(usize, Rule)> {
        let rule = |(index, said): (usize, &Said)| match &said.value {
            Value::Target(target) => Some((
                index,
                Rule {
                    target: target.clone(),
                    origin: said.origin.clone(),
                },
            )),
            _ => None,
        };
        keys.into_iter()
            .flat_map(|key| self.about(key))
            .filter_map(rule)
            .collect()
    }

    fn network(&mut self) -> Network {
        let mut network = Network::default();
        let rules = |rules: Vec<(usize, Rule)>| rules.into_iter().map(|(_, rule)| rule).collect();
        let allowed = self.rules(["network.allowed-domains", "network.allowed-ips"]);
        match self.refusal("network.allow-outbound") {
            Some(by) => {
                for (index, _) in allowed {
                    self.overrule(index, &by);
                }
            }
            None => network.rules.allowed = rules(allowed),
        }
        network.rules.denied = rules(self.rules(["network.denied-domains", "network.denied-ips"]));
        for (_, said) in self.about("network.allowed-outbound-ports") {
            if let Value::Ports(ports) = &said.value {
                network.rules.ports = Some(match network.rules.ports.take() {
                    Some(before) => before
                        .into_iter()
                        .filter(|port| ports.contains(port))
                        .collect(),
                    None => ports.clone(),
                });
            }
        }
        let refused = self.refusal("network.allow-inbound");
        for (index, said) in self.about("network.allowed-inbound-ports") {
            match (&refused, &said.value) {
                (Some(by), _) => self.overrule(index, by),
                (None, Value::Publish(publish)) if !network.publish.contains(publish) => {
                    network.publish.push(*publish);
                }
                _ => {}
            }
        }
        // The first who is heard decides: the system, the user, the project.
        let servers = self.about("network.dns-servers");
        if let Some((_, first)) = servers.iter().min_by_key(|(_, said)| speaker(&said.origin)) {
            for (index, each) in &servers {
                if speaker(&each.origin) != speaker(&first.origin) {
                    self.overrule(*index, &first.origin);
                }
            }
            if let Value::Servers(servers) = &first.value {
                network.dns_servers.clone_from(servers);
            }
        }
        network.limits.bandwidth = self.least("network.bandwidth-limit");
        let connections = self.least("network.max-connections");
        network.limits.connections = connections.and_then(|number| u32::try_from(number).ok());
        network
    }
}

/// Who is heard first; flags after all files.
fn speaker(origin: &Origin) -> Option<Speaker> {
    match origin {
        Origin::File { speaker, .. } => Some(*speaker),
        _ => None,
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
