//! What a rule of the network names: a host, names below one, or a range of addresses, and ports.
//!
//! ```text
//! index.test          the host, any port          10.0.0.0/8:5432     a range, one port
//! index.test:443      one port                    [2001:db8::/32]:80  the same of IPv6
//! *.example.org:8000-8100   every name below, not the name itself     ::1   an address, any port
//! *                   every name that is not of this network
//! ```
//!
//! Names are compared as DNS has them: in lower case, as A-labels (RFC 5891), without a final dot. What
//! looks like a number is an address in every spelling that the URL standard knows (`0x7f.1`), so that no
//! spelling is taken for a name.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What a rule names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    /// The hosts.
    pub host: Host,
    /// Their ports.
    pub ports: Ports,
}

/// Which hosts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// Every name.
    Any,
    /// This name.
    Name(String),
    /// Every name below this one.
    Below(String),
    /// These addresses.
    Range(IpNet),
}

/// Which ports: from, to, both included; none for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports(Option<(u16, u16)>);

/// Why a text names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no name and no address.
    #[error("`{0}` is neither a host name nor an address nor a range of addresses")]
    Host(String),
    /// A wildcard somewhere else than in front.
    #[error("`{0}`: a `*` can only stand alone or in front, as in `*.example.org`")]
    Wildcard(String),
    /// No ports.
    #[error("`{0}` is no port and no range of ports: they are numbers from 1 to 65535")]
    Ports(String),
    /// A URL.
    #[error("`{0}` is a URL: name its host and port")]
    Url(String),
}

impl Ports {
    /// All ports.
    pub const ALL: Self = Self(None);

    /// One port.
    pub fn one(port: u16) -> Self {
        Self(Some((port, port)))
    }

    /// Whether a port is one of them.
    pub fn contains(self, port: u16) -> bool {
        self.0.is_none_or(|(from, to)| (from..=to).contains(&port))
    }

    /// From where to where, if not all.
    pub fn range(self) -> Option<RangeInclusive<u16>> {
        self.0.map(|(from, to)| from..=to)
    }
}

impl FromStr for Ports {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|port| digits && *port > 0)
        };
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (number(from), number(to)) {
            (Some(from), Some(to)) if from <= to => Ok(Self(Some((from, to)))),
            _ => Err(TargetError::Ports(text.to_owned())),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.contains("://") {
            return Err(TargetError::Url(text.to_owned()));
        }
        let (host, ports) = split(text)?;
        let ports = ports.map_or(Ok(Ports::ALL), str::parse)?;
        Ok(Self {
            host: host.parse()?,
            ports,
        })
    }
}

/// Host and ports. A bare IPv6 address has colons and no ports.
fn split(text: &str) -> Result<(&str, Option<&str>), TargetError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or_else(|| TargetError::Host(text.to_owned()))?;
        let of_ipv6 = host.parse::<IpNet>().is_ok_and(|net| net.addr().is_ipv6())
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_ipv6());
        return match rest.strip_prefix(':') {
            _ if !of_ipv6 => Err(TargetError::Host(text.to_owned())),
            Some(ports) => Ok((host, Some(ports))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(TargetError::Host(text.to_owned())),
        };
    }
    match text.matches(':').count() {
        1 => Ok(text
            .split_once(':')
            .map_or((text, None), |(host, ports)| (host, Some(ports)))),
        _ => Ok((text, None)),
    }
}

impl FromStr for Host {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = || TargetError::Host(text.to_owned());
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Ok(range) = text.parse::<IpNet>() {
            return Ok(Self::Range(range.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Range(address.to_canonical().into()));
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.contains('*') {
            return Err(TargetError::Wildcard(text.to_owned()));
        }
        match (below, canonical_name(name)) {
            (true, Some(Named::Name(name))) => Ok(Self::Below(name)),
            (false, Some(Named::Name(name))) => Ok(Self::Name(name)),
            (false, Some(Named::Address(address))) => Ok(Self::Range(address.into())),
            _ => Err(wrong()),
        }
    }
}

/// What a client calls a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// By a name, as DNS has it.
    Name(String),
    /// By an address.
    Address(IpAddr),
}

/// A host as a client writes it; `None` if it is none.
pub fn canonical_name(text: &str) -> Option<Named> {
    let text = text.strip_suffix('.').unwrap_or(text);
    match url::Host::parse(text).ok()? {
        url::Host::Ipv4(address) => Some(Named::Address(address.into())),
        url::Host::Ipv6(address) => Some(Named::Address(IpAddr::V6(address).to_canonical())),
        url::Host::Domain(name) => {
            let fits =
                name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()));
            fits.then_some(Named::Name(name))
        }
    }
}

impl Host {
    /// Whether the name is one of these hosts'; `name` as [`canonical_name`] gives it.
    pub fn has_name(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Name(own) => own == name,
            Self::Below(parent) => name
                .strip_suffix(parent.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            Self::Range(_) => false,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Name(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Range(net) if net.prefix_len() == net.max_prefix_len() => {
                write!(f, "{}", net.addr())
            }
            Self::Range(net) => write!(f, "{net}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((from, to)) = self.ports.0 else {
            return self.host.fmt(f);
        };
        match &self.host {
            Host::Range(net) if net.addr().is_ipv6() => write!(f, "[{}]", self.host)?,
            host => host.fmt(f)?,
        }
        if from == to {
            write!(f, ":{from}")
        } else {
            write!(f, ":{from}-{to}")
        }
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_is_written_as_it_is_read() {
        for text in [
            "*",
            "*:443",
            "index.test",
            "index.test:443",
            "*.example.org:8000-8100",
            "10.0.0.0/8:5432",
            "192.0.2.7",
            "2001:db8::/32",
            "[2001:db8::/32]:80",
            "[::1]:80",
            "_srv.example.org",
        ] {
            let target: Target = text.parse().expect(text);
            assert_eq!(target.to_string(), text);
        }
        for (text, same) in [
            ("Index.test.", "index.test"),
            ("bücher.example:1-1", "xn--bcher-kva.example:1"),
            ("0x7f.1:80", "127.0.0.1:80"),
            ("2130706433", "127.0.0.1"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("10.1.2.3/8", "10.0.0.0/8"),
        ] {
            assert_eq!(text.parse::<Target>().expect(text).to_string(), same);
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in [
            "",
            ".",
            "a..b",
            "a b",
            "exa*mple.org",
            "*.*.org",
            "*.10.0.0.1",
            "index.test:",
            "index.test:0",
            "index.test:+1",
            "index.test:65536",
            "index.test:9-8",
            "https://index.test",
            "[index.test]:443",
            "[::1",
            "[::1]80",
            "10.0.0.0/33",
            "user@host",
            "host/path",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_wildcard_means_what_is_below() {
        let host: Host = "*.example.org".parse().expect("a wildcard");
        assert!(host.has_name("a.example.org") && host.has_name("a.b.example.org"));
        for other in [
            "example.org",
            ".example.org",
            "badexample.org",
            "example.org.evil",
        ] {
            assert!(!host.has_name(other), "{other}");
        }
    }
}
