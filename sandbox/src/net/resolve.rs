//! Names to addresses, as this host knows them or as the servers that the policy names.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

/// The most addresses of one name that are looked at.
const ADDRESSES: usize = 16;

/// How long the addresses of this host are taken to stay the same.
const OWN_FOR: Duration = Duration::from_secs(2);

/// Who is asked.
#[derive(Debug)]
pub(super) enum Resolver {
    /// This host, with its `hosts` file and all else that its library asks.
    Host,
    /// Servers of the policy's, and nothing else.
    Servers(Box<TokioResolver>),
}

impl Resolver {
    /// With these servers, or this host's way where there are none.
    pub(super) fn new(servers: &[SocketAddr]) -> io::Result<Self> {
        if servers.is_empty() {
            return Ok(Self::Host);
        }
        let config = |server: &SocketAddr| {
            let mut config = NameServerConfig::udp_and_tcp(server.ip());
            for connection in &mut config.connections {
                connection.port = server.port();
            }
            config
        };
        let servers = servers.iter().map(config).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        let resolver = builder.build().map_err(io::Error::other)?;
        Ok(Self::Servers(Box::new(resolver)))
    }

    /// The addresses of a name that packets can be sent to from here; none if there is no such name.
    pub(super) async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut found: Vec<IpAddr> = match self {
            Self::Host => {
                let found = tokio::net::lookup_host((name, 0)).await?;
                found.map(|address| address.ip().to_canonical()).collect()
            }
            Self::Servers(servers) => {
                // The final dot keeps search domains away.
                let found = servers.lookup_ip(format!("{name}.")).await;
                found
                    .map_err(io::Error::other)?
                    .iter()
                    .map(|ip| ip.to_canonical())
                    .collect()
            }
        };
        found.retain(|address| has_way(*address));
        let mut seen = Vec::new();
        for address in found {
            if !seen.contains(&address) && seen.len() < ADDRESSES {
                seen.push(address);
            }
        }
        Ok(seen)
    }
}

/// Whether this host knows a way to an address. Without IPv6 it must not be answered: inside, every connection
/// seems to succeed, and a client that tries one address after the other would stay with it.
fn has_way(address: IpAddr) -> bool {
    let IpAddr::V6(_) = address else {
        return true;
    };
    // Connecting a datagram socket sends nothing.
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect((address, 9)))
        .is_ok()
}

/// The addresses of this host.
#[derive(Debug, Default)]
pub(super) struct Own(Mutex<Option<(Instant, Vec<IpAddr>)>>);

impl Own {
    /// All of them, at most [`OWN_FOR`] old.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, addresses)) = known.as_ref()
            && at.elapsed() < OWN_FOR
        {
            return addresses.clone();
        }
        let addresses: Vec<IpAddr> = nix::ifaddrs::getifaddrs()
            .into_iter()
            .flatten()
            .filter_map(|device| {
                let address = device.address?;
                let ipv4 = address.as_sockaddr_in().map(|found| IpAddr::V4(found.ip()));
                ipv4.or_else(|| {
                    address
                        .as_sockaddr_in6()
                        .map(|found| IpAddr::V6(found.ip()))
                })
            })
            .collect();
        *known = Some((Instant::now(), addresses.clone()));
        addresses
    }
}
