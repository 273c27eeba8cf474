//! From what system, user, project and command line say to one policy: a pure function.
//!
//! A denial or a limit holds whoever says it, and of two the stricter: the higher level, the smaller number, `false`. What is
//! allowed adds up, within that. A flag gives the level instead of user and project, never below the system's. Paths that the user or the
//! system lets be read only are not written because a project says so. Every line is kept with where it is written and, if
//! it does not hold, what holds instead.

mod read;
mod said;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::origin::{Origin, Speaker};
use super::schema::{Processors, Size};
use super::verdict::Rule;
use super::{Io, Network, Policy, Shown};
use crate::Level;
pub use said::Layer;
use said::{Said, Value};

/// A line of the merged policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it is about: `network.allowed-domains`.
    pub key: String,
    /// What it says.
    pub value: String,
    /// Where it is written.
    pub origin: Origin,
    /// Where what holds instead is written; none where this holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overruled_by: Option<Origin>,
}

/// The level where nobody says one.
const UNSAID: Level = Level::Standard;

/// What follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// The policy.
    pub policy: Policy,
    /// All lines, in the order in which they were said.
    pub lines: Vec<Line>,
}

/// Merges what was said. The order of the layers decides nothing but the order of the lines.
pub fn merge(layers: &[Layer]) -> Merged {
    let said: Vec<&Said> = layers.iter().flat_map(|layer| &layer.items).collect();
    let mut lines = lines(&said, "");
    let policy = judge(&said, &mut lines);
    Merged { policy, lines }
}

/// The same for builds: what is said of them, and what is denied to programs. Nothing that programs are allowed
/// is allowed to builds by that. Where nobody says a level, it is strict.
pub fn merge_build(layers: &[Layer]) -> Merged {
    let own: Vec<&Said> = layers.iter().flat_map(|layer| &layer.build).collect();
    let denied = layers.iter().flat_map(|layer| &layer.items);
    let mut said = own.clone();
    said.extend(denied.filter(|said| is_denial(said)));
    let mut lines = lines(&said, "build.");
    let mut policy = judge(&said, &mut lines);
    if !own.iter().any(|said| said.key == "level") {
        policy.level = Level::Strict;
    }
    // The others are shown where they are said.
    lines.truncate(own.len());
    Merged { policy, lines }
}

fn is_denial(said: &Said) -> bool {
    match said.key {
        "network.denied-domains"
        | "network.denied-ips"
        | "filesystem.hidden"
        | "filesystem.denied"
        | "environment.denied"
        // Root's privilege is denied.
        | "user" => true,
        "network.allow-outbound" | "network.allow-inbound" => said.value == Value::Flag(false),
        _ => false,
    }
}

fn lines(said: &[&Said], before: &str) -> Vec<Line> {
    let line = |said: &&Said| Line {
        key: format!("{before}{}", said.key),
        value: said.value.to_string(),
        origin: said.origin.clone(),
        overruled_by: None,
    };
    said.iter().map(line).collect()
}

fn judge(said: &[&Said], lines: &mut [Line]) -> Policy {
    let mut judged = Judged { said, lines };
    let mut policy = Policy {
        level: judged.level(),
        user: judged.user(),
        ..Policy::default()
    };
    policy.files.temporary_bytes = judged.least("filesystem.tmp-size");
    policy.limits.file_bytes = judged.least("filesystem.max-file-size");
    policy.limits.memory_bytes = judged.least("resources.memory-max");
    let percent = judged.least("resources.cpu-max");
    policy.limits.cpu_percent = percent.and_then(|percent| u32::try_from(percent).ok());
    policy.limits.processes = judged.least("resources.pids-max");
    policy.limits.open_files = judged.least("resources.open-files-max");
    policy.limits.written_bytes = judged.least("filesystem.max-total-size");
    policy.limits.memory_high_bytes = judged.least("resources.memory-high");
    policy.limits.swap_bytes = judged.least("resources.swap-max");
    policy.limits.cpu_weight = judged.least("resources.cpu-weight");
    policy.limits.io = Io {
        read_bytes: judged.least("resources.io-read-bandwidth"),
        write_bytes: judged.least("resources.io-write-bandwidth"),
        read_operations: judged.least("resources.io-read-operations"),
        write_operations: judged.least("resources.io-write-operations"),
    };
    judged.files(&mut policy);
    judged.variables(&mut policy);
    policy.network = judged.network();
    policy
}

struct Judged<'a> {
    said: &'a [&'a Said],
    lines: &'a mut [Line],
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
            return UNSAID;
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

    /// Who is heard first decides: the system, then a flag, the user, the project.
    fn user(&mut self) -> Option<String> {
        let said = self.about("user");
        let turn = |said: &Said| match speaker(&said.origin) {
            Some(Speaker::System) => 0,
            None => 1,
            Some(Speaker::User) => 2,
            Some(Speaker::Project) => 3,
        };
        let (_, first) = *said.iter().min_by_key(|(_, said)| turn(said))?;
        for (index, each) in &said {
            if each.value != first.value {
                self.overrule(*index, &first.origin);
            }
        }
        match &first.value {
            Value::Name(name) => Some(name.clone()),
            _ => None,
        }
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
        let denied = self.paths("filesystem.denied");
        policy.files.hidden = given(self.paths("filesystem.hidden"));
        policy.files.hidden.extend(given(denied.clone()));
        let who_denies = |path: &PathBuf| {
            let (_, said, _) = denied
                .iter()
                .find(|(_, _, above)| path.starts_with(above))?;
            Some(said.origin.clone())
        };
        let mut read_only = self.paths("filesystem.read-only");
        read_only.retain(|(index, _, path)| match who_denies(path) {
            Some(by) => {
                self.overrule(*index, &by);
                false
            }
            None => true,
        });
        policy.files.read_only = given(read_only.clone());
        for (index, said, path) in self.paths("filesystem.read-write") {
            if let Some(by) = who_denies(path) {
                self.overrule(index, &by);
                continue;
            }
            let stronger = read_only.iter().find(|(_, other, above)| {
                path.starts_with(above) && speaker(&other.origin) < speaker(&said.origin)
            });
            if let Some((_, other, _)) = stronger.filter(|_| said.origin != Origin::Flag) {
                self.overrule(index, &other.origin);
                policy.files.read_only.push(path.clone());
            } else {
                policy.files.read_write.push(path.clone());
                let above = stronger_than(said, &read_only);
                if said.origin != Origin::Flag && !above.is_empty() {
                    policy.files.stronger.insert(path.clone(), above);
                }
            }
        }
        policy.files.root = self.root();
        policy.files.mounts = self.mounts(&denied, &read_only, &mut policy.files.stronger);
    }

    /// The first who is heard decides; who follows may only name a part of that.
    fn root(&mut self) -> Option<PathBuf> {
        let mut said = self.paths("filesystem.root-dir");
        said.sort_by_key(|(_, said, _)| speaker(&said.origin));
        let mut said = said.into_iter();
        let (_, first, root) = said.next()?;
        let (mut holds, mut root) = (first, root);
        for (index, next, path) in said {
            if path.starts_with(root) {
                (holds, root) = (next, path);
            } else {
                self.overrule(index, &holds.origin);
            }
        }
        Some(root.clone())
    }

    /// What is seen elsewhere: nothing that is denied, nothing to be written that somebody stronger lets be read only,
    /// and one thing at a path.
    fn mounts(
        &mut self,
        denied: &[(usize, &Said, &PathBuf)],
        read_only: &[(usize, &Said, &PathBuf)],
        stronger_of: &mut BTreeMap<PathBuf, Vec<PathBuf>>,
    ) -> Vec<Shown> {
        let mut said = self.about("filesystem.mounts");
        said.sort_by_key(|(_, said)| speaker(&said.origin));
        let mut held: Vec<(Shown, &Origin)> = Vec::new();
        for (index, said) in said {
            let Value::Shown(shown) = &said.value else {
                continue;
            };
            let mut shown = shown.clone();
            let above = |(_, _, above): &&(usize, &Said, &PathBuf)| shown.source.starts_with(above);
            let taken = held.iter().find(|(other, _)| other.target == shown.target);
            let refused = (denied.iter().find(above).map(|(_, said, _)| &said.origin))
                .or(taken.map(|(_, origin)| *origin));
            if let Some(by) = refused {
                self.overrule(index, by);
                continue;
            }
            let stronger = read_only.iter().find(|(_, other, path)| {
                let meet = shown.source.starts_with(path) || path.starts_with(&shown.source);
                meet && speaker(&other.origin) < speaker(&said.origin)
            });
            if let Some((_, other, _)) = stronger.filter(|_| shown.write) {
                self.overrule(index, &other.origin);
                shown.write = false;
            }
            let kept = stronger_than(said, read_only);
            if shown.write && !kept.is_empty() {
                stronger_of.insert(shown.source.clone(), kept);
            }
            held.push((shown, &said.origin));
        }
        held.into_iter().map(|(shown, _)| shown).collect()
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

/// What those who are heard before let be read only.
fn stronger_than(said: &Said, read_only: &[(usize, &Said, &PathBuf)]) -> Vec<PathBuf> {
    let stronger =
        (read_only.iter()).filter(|(_, other, _)| speaker(&other.origin) < speaker(&said.origin));
    stronger.map(|(_, _, path)| (*path).clone()).collect()
}

/// Who is heard first; flags after all files.
fn speaker(origin: &Origin) -> Option<Speaker> {
    match origin {
        Origin::File { speaker, .. } => Some(*speaker),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
