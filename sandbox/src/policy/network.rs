//! Who a program may talk to, and who to it. Nobody, unless it is named.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::target::Host;
use super::verdict::{Rule, Rules};
use crate::net::{INWARD, Limits, Publish, Setup};

/// The network of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Network {
    /// Who may be talked to.
    pub rules: Rules,
    /// How much may pass.
    pub limits: Limits,
    /// Who is asked for names; where empty, whoever this host asks.
    pub dns_servers: Vec<SocketAddr>,
    /// Ports inside that this host may reach.
    pub publish: Vec<Publish>,
}

impl Network {
    /// Whether nobody is named: then there is nothing to filter.
    pub fn is_nothing(&self) -> bool {
        self.rules.allowed.is_empty() && self.publish.is_empty()
    }

    /// What must be set up inside for it.
    pub fn setup(&self) -> Setup {
        let named = |rule: &Rule| match (&rule.target.host, rule.target.ports.range()) {
            (Host::Range(net), Some(ports)) if net.addr().is_loopback() => Some(ports),
            _ => None,
        };
        Setup {
            loopback_ports: self
                .rules
                .allowed
                .iter()
                .filter_map(named)
                .flatten()
                .collect(),
            inward: if self.publish.is_empty() { 0 } else { INWARD },
        }
    }
}
