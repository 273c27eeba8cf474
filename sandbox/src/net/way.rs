//! How programs come to the filter, and what those are told that have to know.

use serde::{Deserialize, Serialize};

use super::inside::{PROXY_PORT, Setup};

/// How programs come to the filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Each connection is led to it.
    #[default]
    Led,
    /// By its proxy alone: the kernel has no NAT for their namespace.
    Proxy,
}

impl Way {
    /// The variables by which programs find the proxy, in both spellings, as neither is read by all. What is on their own
    /// loopback they reach by themselves, unless a policy names ports of this host's.
    pub(crate) fn variables(self, setup: &Setup) -> Vec<(&'static str, String)> {
        if self == Self::Led {
            return Vec::new();
        }
        let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
        let mut variables: Vec<_> = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"]
            .map(|name| (name, proxy.clone()))
            .into();
        if setup.loopback_ports.is_empty() {
            let own = "localhost,127.0.0.1,::1".to_owned();
            variables.extend(["no_proxy", "NO_PROXY"].map(|name| (name, own.clone())));
        }
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_told_where_nothing_else_leads_out() {
        let setup = Setup::default();
        assert!(Way::Led.variables(&setup).is_empty());
        let told = Way::Proxy.variables(&setup);
        assert!(told.contains(&("https_proxy", "http://127.0.0.1:3128".to_owned())));
        assert!(told.iter().any(|(name, _)| *name == "NO_PROXY"));
        let named = Setup {
            loopback_ports: vec![5432],
            inward: 0,
        };
        let told = Way::Proxy.variables(&named);
        assert!(told.iter().all(|(name, _)| *name != "NO_PROXY"));
    }
}
