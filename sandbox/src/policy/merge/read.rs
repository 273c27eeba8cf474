//! What a table of a file says, with the lines on which it does.

use std::path::{Path, PathBuf};

use toml::Spanned;

use super::super::Shown;
use super::super::origin::{Origin, Speaker};
use super::super::schema::{self, Port, Size, Table};
use super::said::{Layer, Said, Value};
use crate::net::Publish;

impl Layer {
    /// What a table says. `text` is the whole of its file, `home` what `~` means.
    pub fn read(table: &Table, text: &str, speaker: Speaker, path: &Path, home: &Path) -> Self {
        let at = Place {
            text,
            speaker,
            path,
            home,
        };
        let mut items = Vec::new();
        let level = table.level.as_ref();
        at.one(&mut items, "level", level, |level| Value::Level(*level));
        let user = table.user.as_ref();
        at.one(&mut items, "user", user, |user| Value::Name(user.0.clone()));
        at.network(&mut items, &table.network);
        at.resources(&mut items, &table.resources);
        at.files(&mut items, &table.filesystem);
        at.variables(&mut items, &table.environment);
        let mut build = Vec::new();
        if let Some(table) = &table.build {
            let level = table.level.as_ref();
            at.one(&mut build, "level", level, |level| Value::Level(*level));
            at.network(&mut build, &table.network);
            at.resources(&mut build, &table.resources);
            at.files(&mut build, &table.filesystem);
            at.variables(&mut build, &table.environment);
        }
        Self { items, build }
    }
}

/// Where a table is written.
struct Place<'a> {
    text: &'a str,
    speaker: Speaker,
    path: &'a Path,
    home: &'a Path,
}

impl Place<'_> {
    fn network(&self, items: &mut Vec<Said>, network: &schema::Network) {
        self.one(
            items,
            "network.allow-outbound",
            network.allow_outbound.as_ref(),
            |flag| Value::Flag(*flag),
        );
        self.one(
            items,
            "network.allow-inbound",
            network.allow_inbound.as_ref(),
            |flag| Value::Flag(*flag),
        );
        self.one(
            items,
            "network.allowed-outbound-ports",
            network.allowed_outbound_ports.as_ref(),
            |ports| Value::Ports(ports.iter().map(|Port(port)| *port).collect()),
        );
        self.all(
            items,
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
            self.all(items, key, domains, |domain| {
                Value::Target(domain.0.clone())
            });
        }
        for (key, ranges) in [
            ("network.allowed-ips", &network.allowed_ips),
            ("network.denied-ips", &network.denied_ips),
        ] {
            self.all(items, key, ranges, |range| Value::Target(range.0.clone()));
        }
        self.one(
            items,
            "network.dns-servers",
            network.dns_servers.as_ref(),
            |servers| Value::Servers(servers.iter().map(|server| server.0).collect()),
        );
        self.one(
            items,
            "network.bandwidth-limit",
            network.bandwidth_limit.as_ref(),
            |size| Value::Size(*size),
        );
        self.one(
            items,
            "network.max-connections",
            network.max_connections.as_ref(),
            |number| Value::Number(u64::from(*number)),
        );
    }

    fn files(&self, items: &mut Vec<Said>, files: &schema::Filesystem) {
        let folder = self.path.parent().unwrap_or(self.path);
        for (key, size) in [
            ("filesystem.tmp-size", &files.tmp_size),
            ("filesystem.max-file-size", &files.max_file_size),
            ("filesystem.max-total-size", &files.max_total_size),
        ] {
            self.one(items, key, size.as_ref(), |size| Value::Size(*size));
        }
        let root = files.root_dir.as_ref();
        self.one(items, "filesystem.root-dir", root, |path| {
            Value::Path(absolute(path, folder, self.home))
        });
        for (target, shown) in &files.mounts {
            self.one(items, "filesystem.mounts", Some(shown), |shown| {
                Value::Shown(Shown {
                    source: absolute(&shown.source, folder, self.home),
                    target: absolute(target, folder, self.home),
                    write: shown.read_write,
                })
            });
        }
        for (key, paths) in [
            ("filesystem.read-only", &files.read_only),
            ("filesystem.read-write", &files.read_write),
            ("filesystem.hidden", &files.hidden),
            ("filesystem.denied", &files.denied),
        ] {
            self.all(items, key, paths, |path| {
                Value::Path(absolute(path, folder, self.home))
            });
        }
    }

    fn resources(&self, items: &mut Vec<Said>, resources: &schema::Resources) {
        for (key, size) in [
            ("resources.memory-max", &resources.memory_max),
            ("resources.memory-high", &resources.memory_high),
            ("resources.io-read-bandwidth", &resources.io_read_bandwidth),
            (
                "resources.io-write-bandwidth",
                &resources.io_write_bandwidth,
            ),
        ] {
            self.one(items, key, size.as_ref(), |size| Value::Size(*size));
        }
        let swap = resources.swap_max.as_ref();
        self.one(items, "resources.swap-max", swap, |amount| {
            Value::Size(Size(amount.0))
        });
        let weight = resources.cpu_weight.as_ref();
        self.one(items, "resources.cpu-weight", weight, |weight| {
            Value::Number(weight.0)
        });
        let processors = resources.cpu_max.as_ref();
        self.one(items, "resources.cpu-max", processors, |processors| {
            Value::Processors(*processors)
        });
        for (key, number) in [
            ("resources.pids-max", &resources.pids_max),
            ("resources.open-files-max", &resources.open_files_max),
            (
                "resources.io-read-operations",
                &resources.io_read_operations,
            ),
            (
                "resources.io-write-operations",
                &resources.io_write_operations,
            ),
        ] {
            self.one(items, key, number.as_ref(), |number| Value::Number(*number));
        }
    }

    fn variables(&self, items: &mut Vec<Said>, environment: &schema::Environment) {
        for (key, names) in [
            ("environment.allowed", &environment.allowed),
            ("environment.denied", &environment.denied),
        ] {
            self.all(items, key, names, |name| Value::Name(name.clone()));
        }
        for (name, value) in &environment.set {
            self.one(items, "environment.set", Some(value), |value| {
                Value::Variable(name.clone(), value.clone())
            });
        }
    }

    fn one<T>(
        &self,
        items: &mut Vec<Said>,
        key: &'static str,
        said: Option<&Spanned<T>>,
        value: impl Fn(&T) -> Value,
    ) {
        if let Some(said) = said {
            let before = self.text.get(..said.span().start).unwrap_or(self.text);
            items.push(Said {
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
        items: &mut Vec<Said>,
        key: &'static str,
        said: &[Spanned<T>],
        value: impl Fn(&T) -> Value,
    ) {
        for each in said {
            self.one(items, key, Some(each), &value);
        }
    }
}

fn absolute(path: &Path, folder: &Path, home: &Path) -> PathBuf {
    match path.strip_prefix("~") {
        Ok(rest) => home.join(rest),
        Err(_) => folder.join(path),
    }
}
