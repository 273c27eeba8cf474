//! What a table of a policy may say: `[tool.blast.sandbox]` of a project's `pyproject.toml`, `[sandbox]` of the user's and of
//! the system's `blast/config.toml`. Words with underscores are the same as with hyphens.
//!
//! ```toml
//! [tool.blast.sandbox]
//! level = "standard"                        # or "strict", "none"
//! user = "nobody"                           # as whom programs run where root runs them
//!
//! [tool.blast.sandbox.network]
//! allowed-domains = ["index.test:443", "*.example.org"]
//! allowed-ips = ["10.0.0.0/8:5432"]         # denied-domains and denied-ips win over both
//! allowed-outbound-ports = [443, 5432]      # where it is there, no others
//! allowed-inbound-ports = [5000]            # reached from this host's loopback
//! allow-outbound = true                     # false: nobody, whatever is allowed
//! allow-inbound = true
//! dns-servers = ["9.9.9.9"]
//! bandwidth-limit = "10M"                   # bytes per second, each way
//! max-connections = 100
//!
//! [tool.blast.sandbox.filesystem]
//! read-only = ["~/data"]                    # relative to the file that says it
//! read-write = ["../shared"]
//! hidden = ["secrets"]
//! denied = ["~/.ssh"]                       # hidden, whoever gives it
//! root-dir = "src"                          # of the project, this alone is seen
//! mounts = { "/data" = "~/data", "/out" = { source = "out", read-write = true } }
//! tmp-size = "2G"
//! max-file-size = "500M"
//! max-total-size = "5G"                     # of all that is written
//!
//! [tool.blast.sandbox.resources]
//! memory-max = "4G"
//! cpu-max = 1.5
//! pids-max = 200
//! open-files-max = 1024
//! memory-high = "3G"                        # from here on memory is taken back
//! swap-max = 0
//! cpu-weight = 50                           # others have 100
//! io-read-bandwidth = "100M"                # per second and disk; io-write-bandwidth the same
//! io-read-operations = 1000                 # io-write-operations the same
//!
//! [tool.blast.sandbox.environment]
//! allowed = ["CI"]                          # this host's value
//! denied = ["AWS_SECRET_ACCESS_KEY"]
//! set = { MODE = "test" }
//!
//! [tool.blast.sandbox.build]                # the same tables again, for builds of packages
//! level = "strict"
//! filesystem.read-only = ["~/.cargo"]
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use toml::Spanned;

use super::target::{Host, Target};
use crate::Level;

/// The whole.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Table {
    /// How much is kept away.
    pub level: Option<Spanned<Level>>,
    /// As whom programs, and builds, run where root runs them.
    pub user: Option<Spanned<User>>,
    /// Who is talked to.
    pub network: Network,
    /// What is seen.
    pub filesystem: Filesystem,
    /// What is used up.
    pub resources: Resources,
    /// Which variables are seen.
    pub environment: Environment,
    /// What builds of packages from their sources may touch; what is allowed above is not allowed to them.
    pub build: Option<Build>,
}

/// What builds of packages may touch.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Build {
    /// How much is kept away; strict where nobody says.
    pub level: Option<Spanned<Level>>,
    /// Who is talked to.
    pub network: Network,
    /// What is seen.
    pub filesystem: Filesystem,
    /// What is used up.
    pub resources: Resources,
    /// Which variables are seen, beside those that compilers look at.
    pub environment: Environment,
}

/// Who is talked to.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Network {
    /// Whether anybody may be talked to.
    #[serde(alias = "allow_outbound")]
    pub allow_outbound: Option<Spanned<bool>>,
    /// Whether anybody may talk to it.
    #[serde(alias = "allow_inbound")]
    pub allow_inbound: Option<Spanned<bool>>,
    /// The ports that may be talked to at all.
    #[serde(alias = "allowed_outbound_ports")]
    pub allowed_outbound_ports: Option<Spanned<Vec<Port>>>,
    /// The ports inside that this host may reach.
    #[serde(alias = "allowed_inbound_ports")]
    pub allowed_inbound_ports: Vec<Spanned<Port>>,
    /// Names that may be talked to.
    #[serde(alias = "allowed_domains")]
    pub allowed_domains: Vec<Spanned<Domain>>,
    /// Addresses that may be talked to.
    #[serde(alias = "allowed_ips")]
    pub allowed_ips: Vec<Spanned<Range>>,
    /// Names that may not.
    #[serde(alias = "denied_domains")]
    pub denied_domains: Vec<Spanned<Domain>>,
    /// Addresses that may not.
    #[serde(alias = "denied_ips")]
    pub denied_ips: Vec<Spanned<Range>>,
    /// Who is asked for names.
    #[serde(alias = "dns_servers")]
    pub dns_servers: Option<Spanned<Vec<Server>>>,
    /// Bytes per second, each way.
    #[serde(alias = "bandwidth_limit")]
    pub bandwidth_limit: Option<Spanned<Size>>,
    /// Connections at once.
    #[serde(alias = "max_connections")]
    pub max_connections: Option<Spanned<u32>>,
}

/// What is seen of the file system.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Filesystem {
    /// Read.
    #[serde(
        alias = "read_only",
        alias = "readonly-paths",
        alias = "readonly_paths"
    )]
    pub read_only: Vec<Spanned<PathBuf>>,
    /// Read and changed.
    #[serde(alias = "read_write", alias = "allowed-paths", alias = "allowed_paths")]
    pub read_write: Vec<Spanned<PathBuf>>,
    /// Not seen.
    #[serde(alias = "hidden-paths", alias = "hidden_paths")]
    pub hidden: Vec<Spanned<PathBuf>>,
    /// Not given, whoever gives it.
    #[serde(alias = "denied-paths", alias = "denied_paths")]
    pub denied: Vec<Spanned<PathBuf>>,
    /// The part of the project that is worked in, and alone seen of it.
    #[serde(alias = "root_dir")]
    pub root_dir: Option<Spanned<PathBuf>>,
    /// What is seen at another path than its own, by that path.
    #[serde(alias = "mount-points", alias = "mount_points")]
    pub mounts: BTreeMap<PathBuf, Spanned<Shown>>,
    /// The size of private files.
    #[serde(alias = "tmp_size")]
    pub tmp_size: Option<Spanned<Size>>,
    /// The size of each file that is written.
    #[serde(alias = "max_file_size")]
    pub max_file_size: Option<Spanned<Size>>,
    /// The size of all that is written.
    #[serde(alias = "max_total_size")]
    pub max_total_size: Option<Spanned<Size>>,
}

/// What is seen at another path: `"~/data"`, or `{ source = "~/data", read-write = true }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// What.
    pub source: PathBuf,
    /// Whether it may be changed.
    pub read_write: bool,
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            source: PathBuf,
            #[serde(default, rename = "read-write", alias = "read_write")]
            read_write: bool,
        }
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "a path, or a table with `source` and perhaps `read-write`"
        )]
        enum Written {
            Source(PathBuf),
            Whole(Whole),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Source(source) => Self {
                source,
                read_write: false,
            },
            Written::Whole(Whole { source, read_write }) => Self { source, read_write },
        })
    }
}

/// What is used up.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Resources {
    /// Memory of all its processes.
    #[serde(alias = "memory_max")]
    pub memory_max: Option<Spanned<Size>>,
    /// Processors.
    #[serde(alias = "cpu_max")]
    pub cpu_max: Option<Spanned<Processors>>,
    /// Processes and threads.
    #[serde(alias = "pids_max")]
    pub pids_max: Option<Spanned<u64>>,
    /// Open files of each process.
    #[serde(alias = "open_files_max")]
    pub open_files_max: Option<Spanned<u64>>,
    /// Memory beyond which it is taken back.
    #[serde(alias = "memory_high")]
    pub memory_high: Option<Spanned<Size>>,
    /// Memory that is swapped out; 0 is none.
    #[serde(alias = "swap_max")]
    pub swap_max: Option<Spanned<Amount>>,
    /// Share of processors: 1 to 10,000, where others have 100.
    #[serde(alias = "cpu_weight")]
    pub cpu_weight: Option<Spanned<Weight>>,
    /// Bytes per second that are read from each disk.
    #[serde(alias = "io_read_bandwidth")]
    pub io_read_bandwidth: Option<Spanned<Size>>,
    /// The same that are written.
    #[serde(alias = "io_write_bandwidth")]
    pub io_write_bandwidth: Option<Spanned<Size>>,
    /// Operations per second that read.
    #[serde(alias = "io_read_operations")]
    pub io_read_operations: Option<Spanned<u64>>,
    /// The same that write.
    #[serde(alias = "io_write_operations")]
    pub io_write_operations: Option<Spanned<u64>>,
}

/// Which variables are seen beside those that every program gets.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Environment {
    /// With this host's value.
    pub allowed: Vec<Spanned<String>>,
    /// Not at all.
    pub denied: Vec<Spanned<String>>,
    /// With this value.
    pub set: BTreeMap<String, Spanned<String>>,
}

/// A user without privilege: `"nobody"` or `65534`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct User(pub String);

/// A user's name or number, unless it is root's.
///
/// # Errors
/// What is wrong with it, in words.
pub fn user(text: &str) -> Result<String, String> {
    if text.is_empty() || text == "root" || text.parse() == Ok(0_u32) {
        return Err("a user without privilege is one like `nobody` or `1000`".to_owned());
    }
    Ok(text.to_owned())
}

impl<'de> Deserialize<'de> for User {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u32),
            Name(String),
        }
        let written = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Name(name) => name,
        };
        user(&written).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A number of bytes: `4096` or `"2G"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        let size = match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Some(bytes).filter(|bytes| *bytes > 0),
            Written::Text(text) => size(&text),
        };
        let wrong = "a size is a number of bytes, or one with K, M or G";
        size.map(Self)
            .ok_or_else(|| serde::de::Error::custom(wrong))
    }
}

/// `4096`, `512K`, `200M`, `2G`: powers of 1024, as limits are counted.
pub fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = match text.get(digits.len()..)?.to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// A number of bytes that may be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Amount(pub u64);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        let amount = match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Some(bytes),
            Written::Text(text) if text == "0" => Some(0),
            Written::Text(text) => size(&text),
        };
        let wrong = "a size is a number of bytes, or one with K, M or G";
        amount
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(wrong))
    }
}

/// A share, as cgroups count it (`cpu.weight`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Weight(pub u64);

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let weight = u64::deserialize(deserializer)?;
        if (1..=10_000).contains(&weight) {
            Ok(Self(weight))
        } else {
            Err(serde::de::Error::custom(
                "a share of processors is a number from 1 to 10000; others have 100",
            ))
        }
    }
}

/// Processors, in hundredths of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Processors(pub u32);

impl<'de> Deserialize<'de> for Processors {
    #[expect(clippy::cast_sign_loss, reason = "it was looked at")]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        if (0.01..=100_000.0).contains(&number) {
            Ok(Self((number * 100.0).round() as u32))
        } else {
            Err(serde::de::Error::custom(
                "a number of processors is like 2 or 0.5",
            ))
        }
    }
}

/// A port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Port(pub u16);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u16::deserialize(deserializer)? {
            0 => Err(serde::de::Error::custom(
                "a port is a number from 1 to 65535",
            )),
            port => Ok(Self(port)),
        }
    }
}

/// A target that is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Domain(pub Target);

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let target = Target::deserialize(deserializer)?;
        match target.host {
            Host::Range(_) => Err(serde::de::Error::custom(format!(
                "`{target}` is an address: it belongs to the addresses, as in `allowed-ips`"
            ))),
            _ => Ok(Self(target)),
        }
    }
}

/// A target by its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Range(pub Target);

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let target = Target::deserialize(deserializer)?;
        match target.host {
            Host::Range(_) => Ok(Self(target)),
            _ => Err(serde::de::Error::custom(format!(
                "`{target}` is a name: it belongs to the names, as in `allowed-domains`"
            ))),
        }
    }
}

/// A server for names: an address, with another port than 53 behind a colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Server(pub SocketAddr);

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        address.or_else(|_| text.parse()).map(Self).map_err(|_| {
            serde::de::Error::custom(format!("`{text}` is no address of a server for names"))
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
        match units
            .into_iter()
            .find(|(unit, _)| self.0.is_multiple_of(*unit))
        {
            Some((unit, letter)) => write!(f, "{}{letter}", self.0 / unit),
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Display for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Table, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_example_of_the_documentation_is_read() {
        let source = include_str!("schema.rs");
        let example: Vec<_> = source
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .skip_while(|line| !line.contains("```toml"))
            .skip(1)
            .take_while(|line| !line.contains("```"))
            .map(str::trim_start)
            .collect();
        let text = example.join("\n");
        let mut file: toml::Table = toml::from_str(&text).expect("TOML");
        let table = file
            .remove("tool")
            .and_then(|tool| tool.get("blast")?.get("sandbox").cloned());
        let inner = toml::to_string(&table.expect("the table")).expect("TOML");
        let table = read(&inner).expect("each key is known");
        assert_eq!(table.network.allowed_domains.len(), 2);
        assert_eq!(
            table.resources.cpu_max.map(Spanned::into_inner),
            Some(Processors(150))
        );
        let other = inner.replace("allowed-domains", "allowed_domains");
        assert_eq!(
            read(&other)
                .expect("the same")
                .network
                .allowed_domains
                .len(),
            2
        );
    }

    #[test]
    fn what_means_nothing_is_refused_in_words() {
        for (text, part) in [
            ("level = \"strong\"", "strong"),
            ("network.allowed-domains = [\"10.0.0.1\"]", "allowed-ips"),
            ("network.allowed-ips = [\"index.test\"]", "allowed-domains"),
            ("network.allowed-domains = [\"https://index.test\"]", "URL"),
            ("network.allowed-inbound-ports = [0]", "1 to 65535"),
            ("network.bandwidth-limit = \"fast\"", "number of bytes"),
            (
                "network.dns-servers = [\"dns.example\"]",
                "server for names",
            ),
            ("resources.cpu-max = 0", "processors"),
            ("filesystem.root = \"/x\"", "root-dir"),
            ("filesystem.mounts = { \"/x\" = 1 }", "a path, or a table"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(size("4096"), Some(4096));
        assert_eq!(size("2g"), Some(2 << 30));
        assert_eq!(Size(3 << 20).to_string(), "3M");
        for wrong in ["", "0", "M", "1.5G", "-1", "12T", "99999999999G"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
