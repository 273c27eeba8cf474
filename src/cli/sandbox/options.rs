//! The flags of a sandbox.

use std::path::{Path, PathBuf};

use blast_sandbox::net::Publish;
use blast_sandbox::plan::Layer as Enforced;
use blast_sandbox::policy::origin::Origin;
use blast_sandbox::policy::schema;
use blast_sandbox::policy::target::Target;
use blast_sandbox::policy::verdict::{Rule, Rules};
use blast_sandbox::policy::{Files, Limits, Network};
use blast_sandbox::{Level, Policy};

/// What a command may touch.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Sandbox options")]
pub(in crate::cli) struct SandboxOptions {
    /// Keep the command in a sandbox: none, standard (the project and private files are written, the
    /// system is read, no home, no network) or strict (less of the system) [default: what the settings say, else standard]
    #[arg(long, value_name = "LEVEL")]
    pub(super) sandbox: Option<Level>,
    /// If you are root: run the command as this user, to whom your files of the project are their own
    #[arg(long, value_name = "USER", value_parser = schema::user)]
    user: Option<String>,
    /// Let the command read this path
    #[arg(long, value_name = "PATH")]
    read_only: Vec<PathBuf>,
    /// Let the command read and change this path
    #[arg(long, value_name = "PATH")]
    read_write: Vec<PathBuf>,
    /// Hide this path from the command
    #[arg(long, value_name = "PATH")]
    hide: Vec<PathBuf>,
    /// Give the command this variable, with its value here or another
    #[arg(long = "variable", value_name = "NAME[=VALUE]")]
    #[arg(value_parser = variable)]
    variables: Vec<(String, Option<String>)>,
    #[arg(
        long,
        value_name = "HOST",
        help = "Let the command connect to this host: HOST[:PORT], *.DOMAIN[:PORT] or ADDRESS[/BITS][:PORT]"
    )]
    allow_net: Vec<Target>,
    /// Let this host reach a port of the command's, on the loopback: PORT, or OURS:ITS
    #[arg(long, value_name = "PORT", value_parser = publish)]
    publish: Vec<Publish>,
    /// Limit the memory of all its processes together (bytes, or with K, M, G)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_max: Option<u64>,
    /// Limit the time of processors: 1.5 is one and a half of them
    #[arg(long, value_name = "PROCESSORS", value_parser = processors)]
    cpu_max: Option<u32>,
    /// Limit the number of processes and threads
    #[arg(long, value_name = "NUMBER")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pids_max: Option<u64>,
    /// Limit the size of each file that is written
    #[arg(long, value_name = "SIZE", value_parser = size)]
    file_size_max: Option<u64>,
    /// Limit the size of all that is written, private files included
    #[arg(long, value_name = "SIZE", value_parser = size)]
    total_size_max: Option<u64>,
    /// Limit the size of its private files (/tmp, the home directory inside) together
    #[arg(long, value_name = "SIZE", value_parser = size)]
    tmp_size: Option<u64>,
    /// Go on where this limit cannot be enforced on this machine: memory, cpu, pids or io
    #[arg(long, value_name = "LAYER")]
    pub(super) allow_degraded: Vec<Enforced>,
}

impl SandboxOptions {
    /// Whether anything is said that makes sense in a sandbox only.
    pub(super) fn says_something(&self, flags: &Policy) -> bool {
        let silent = Policy {
            level: flags.level,
            ..Policy::default()
        };
        *flags != silent || !self.allow_degraded.is_empty()
    }

    pub(super) fn policy(&self, directory: &Path) -> Policy {
        let absolute = |paths: &[PathBuf]| paths.iter().map(|path| directory.join(path)).collect();
        Policy {
            level: self.sandbox.unwrap_or_default(),
            user: self.user.clone(),
            files: Files {
                read_only: absolute(&self.read_only),
                read_write: absolute(&self.read_write),
                hidden: absolute(&self.hide),
                temporary_bytes: self.tmp_size,
                ..Files::default()
            },
            limits: Limits {
                memory_bytes: self.memory_max,
                cpu_percent: self.cpu_max,
                processes: self.pids_max,
                file_bytes: self.file_size_max,
                written_bytes: self.total_size_max,
                ..Limits::default()
            },
            variables: self.variables.iter().cloned().collect(),
            network: Network {
                rules: Rules {
                    allowed: self.allow_net.iter().cloned().map(rule).collect(),
                    ..Rules::default()
                },
                publish: self.publish.clone(),
                ..Network::default()
            },
        }
    }
}

fn rule(target: Target) -> Rule {
    Rule {
        target,
        origin: Origin::Flag,
    }
}

fn variable(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("a variable has a name".to_owned());
    }
    Ok((name.to_owned(), value))
}

fn size(text: &str) -> Result<u64, String> {
    schema::size(text)
        .ok_or_else(|| "a size is a number of bytes, or one with K, M or G".to_owned())
}

/// `5000`, or `8080:80`: ours, then its.
fn publish(text: &str) -> Result<Publish, String> {
    let (outside, inside) = text.split_once(':').unwrap_or((text, text));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match (port(outside), port(inside)) {
        (Some(outside), Some(inside)) => Ok(Publish { outside, inside }),
        _ => Err("a port is a number from 1 to 65535".to_owned()),
    }
}

/// `2`, `0.5`: in hundredths.
fn processors(text: &str) -> Result<u32, String> {
    let wrong = || "a number of processors is like 2 or 0.5".to_owned();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = match part.len() {
        0 => 0,
        1 => part.parse::<u32>().map_err(|_| wrong())? * 10,
        2 => part.parse().map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    let percent = whole
        .checked_mul(100)
        .and_then(|hundreds| hundreds.checked_add(part));
    percent.filter(|percent| *percent > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_processors_are_read_as_people_write_them() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("2g"), Ok(2 << 30));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        for wrong in ["", "0", "M", "1.5G", "-1", "12T", "99999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(processors("1.5"), Ok(150));
        assert_eq!(processors("2"), Ok(200));
        assert_eq!(processors("0.05"), Ok(5));
        for wrong in ["", "0", "x", "1.234", "-1"] {
            assert!(processors(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_port_is_published_under_its_own_number_or_another() {
        let both = |outside, inside| Ok(Publish { outside, inside });
        assert_eq!(publish("5000"), both(5000, 5000));
        assert_eq!(publish("8080:80"), both(8080, 80));
        for wrong in ["", "0", "1:0", "x", "1:2:3", "70000", "127.0.0.1:80"] {
            assert!(publish(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_variable_comes_with_a_value_or_brings_its_own() {
        assert_eq!(variable("A=b=c"), Ok(("A".into(), Some("b=c".into()))));
        assert_eq!(variable("A"), Ok(("A".into(), None)));
        assert!(variable("=b").is_err());
    }
}
