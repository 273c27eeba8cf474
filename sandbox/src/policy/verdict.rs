//! Whether somebody may be talked to: a pure function of rules, names, address and port.
//!
//! A denial wins over every permission. A permission by name holds for what the name leads to, but never for
//! what belongs to this host (loopback, link-local, its own addresses), and a wildcard not for private
//! networks either: whoever answers for a name decides where it leads, and must not decide that it leads
//! in here. Such addresses must be named themselves, by a range that lies within them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::origin::Origin;
use super::target::{Host, Ports, Target};

/// A line of a policy that allows or denies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Whom it names.
    pub target: Target,
    /// Where it is written.
    pub origin: Origin,
}

/// The rules of one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Who may be talked to.
    pub allowed: Vec<Rule>,
    /// Who may not, whatever else is said.
    pub denied: Vec<Rule>,
    /// The ports that may be talked to at all; none for every port.
    pub ports: Option<Vec<u16>>,
}

/// What the rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// This rule allows it.
    Allowed(&'a Rule),
    /// Why not.
    Denied(Reason<'a>),
}

/// Why something is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason<'a> {
    /// Nothing allows it.
    NotAllowed,
    /// A rule denies it.
    Rule(&'a Rule),
    /// The port is none of those that may be talked to.
    Port,
    /// It leads to this host or its network, and only the address itself could allow that.
    Inside(&'a Rule),
    /// It is no address of one host: unspecified, multicast or broadcast.
    NoHost,
}

impl Verdict<'_> {
    /// Whether it is allowed.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// The rule in words, for the audit log.
    pub fn describe(self) -> String {
        match self {
            Self::Allowed(rule) => format!("{} allows {}", rule.origin, rule.target),
            Self::Denied(Reason::Rule(rule)) => format!("{} denies {}", rule.origin, rule.target),
            Self::Denied(Reason::NotAllowed) => "nothing allows it".to_owned(),
            Self::Denied(Reason::Port) => "the port is not among the allowed ones".to_owned(),
            Self::Denied(Reason::Inside(rule)) => format!(
                "{} allows {}, but it leads into this host or its network",
                rule.origin, rule.target
            ),
            Self::Denied(Reason::NoHost) => "it is no address of one host".to_owned(),
        }
    }
}

impl Rules {
    /// Whether a name may be asked for. Its addresses and ports are judged when they are connected to.
    pub fn name(&self, name: &str) -> Verdict<'_> {
        let named = |rule: &&Rule| rule.target.host.has_name(name);
        // A denial of some ports is no denial of the name.
        let denied = self
            .denied
            .iter()
            .find(|rule| named(rule) && rule.target.ports == Ports::ALL);
        if let Some(rule) = denied {
            return Verdict::Denied(Reason::Rule(rule));
        }
        match self.allowed.iter().find(named) {
            Some(rule) => Verdict::Allowed(rule),
            None => Verdict::Denied(Reason::NotAllowed),
        }
    }

    /// Whether a connection may be made: `names` are those by which the client knows the address,
    /// `own` the addresses of this host.
    pub fn connection(
        &self,
        names: &[String],
        address: IpAddr,
        port: u16,
        own: &[IpAddr],
    ) -> Verdict<'_> {
        self.judge(names, address, Some(port), own)
    }

    /// Whether there is any port to which a connection may be made.
    pub fn address(&self, names: &[String], address: IpAddr, own: &[IpAddr]) -> Verdict<'_> {
        self.judge(names, address, None, own)
    }

    fn judge(
        &self,
        names: &[String],
        address: IpAddr,
        port: Option<u16>,
        own: &[IpAddr],
    ) -> Verdict<'_> {
        let address = embedded(address);
        let place = Place::of(address, own);
        if place == Place::Nowhere {
            return Verdict::Denied(Reason::NoHost);
        }
        let fits = |rule: &Rule| {
            let host = &rule.target.host;
            names.iter().any(|name| host.has_name(name)) || holds(host, address)
        };
        let denied = self.denied.iter().find(|rule| {
            let these = match port {
                Some(port) => rule.target.ports.contains(port),
                None => rule.target.ports == Ports::ALL,
            };
            these && (fits(rule) || rule.target.host == Host::Any)
        });
        if let Some(rule) = denied {
            return Verdict::Denied(Reason::Rule(rule));
        }
        let closed = |port| {
            self.ports
                .as_ref()
                .is_some_and(|ports| !ports.contains(&port))
        };
        if port.is_some_and(closed) {
            return Verdict::Denied(Reason::Port);
        }
        let mut inside = None;
        for rule in &self.allowed {
            let any = rule.target.host == Host::Any;
            let other_port = port.is_some_and(|port| !rule.target.ports.contains(port));
            if other_port || !(fits(rule) || any) {
                continue;
            }
            if vouches(&rule.target.host, address, place) {
                return Verdict::Allowed(rule);
            }
            inside.get_or_insert(rule);
        }
        Verdict::Denied(inside.map_or(Reason::NotAllowed, Reason::Inside))
    }
}

fn holds(host: &Host, address: IpAddr) -> bool {
    matches!(host, Host::Range(net) if net.contains(&address))
}

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// To no single host.
    Nowhere,
    /// To this host, or to what only this host reaches.
    Here,
    /// Into a private network.
    Private,
    /// Anywhere else.
    Outside,
}

impl Place {
    fn of(address: IpAddr, own: &[IpAddr]) -> Self {
        let link_local = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
        // 0.0.0.0/8 is "this host on this network" (RFC 1122), not only 0.0.0.0.
        let this_network = matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0);
        if address.is_unspecified() || address.is_multicast() || broadcast || this_network {
            Self::Nowhere
        } else if address.is_loopback() || link_local || own.contains(&address) {
            Self::Here
        } else if is_private(address) {
            Self::Private
        } else {
            Self::Outside
        }
    }
}

/// RFC 1918, RFC 6598 (shared by carriers), RFC 4193 and the site-local addresses of old (RFC 3879).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.segments()[0] & 0xffc0 == 0xfec0,
    }
}

/// Whether a rule that fits means an address at this place.
fn vouches(host: &Host, address: IpAddr, place: Place) -> bool {
    match (host, place) {
        (_, Place::Outside) | (Host::Name(_) | Host::Range(_), Place::Private) => true,
        (_, Place::Nowhere) | (Host::Any | Host::Below(_), Place::Private | Place::Here) => false,
        (Host::Name(name), Place::Here) => name == "localhost" && address.is_loopback(),
        // A range that reaches further does not name what it happens to cover.
        (Host::Range(net), Place::Here) => lies_within(net, address),
    }
}

/// Whether a range has nothing but addresses of the same kind as this one.
fn lies_within(net: &IpNet, address: IpAddr) -> bool {
    let kinds = ["127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10"];
    net.prefix_len() == net.max_prefix_len()
        || kinds
            .iter()
            .filter_map(|kind| kind.parse::<IpNet>().ok())
            .any(|kind| kind.contains(&address) && kind.contains(net))
}

/// The address that is meant: of IPv4 in IPv6, in whichever of the ways that lead to the same host (RFC 4291
/// 2.5.5, RFC 6052, RFC 3056), the former.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else {
        return address.to_canonical();
    };
    let v4 = |high: u16, low: u16| {
        let ([first, second], [third, fourth]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(first, second, third, fourth))
    };
    match v6.segments() {
        _ if v6 == Ipv6Addr::LOCALHOST || v6 == Ipv6Addr::UNSPECIFIED => IpAddr::V6(v6),
        [0, 0, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        _ => IpAddr::V6(v6),
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
