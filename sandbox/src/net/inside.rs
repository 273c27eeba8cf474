//! What is set up inside an empty network namespace, so that every connection out of it comes to the filter.
//!
//! [`set_up`] makes all addresses of the world local (a route of type `local` to the loopback device), so
//! that a packet to any of them is delivered here instead of being refused, and has netfilter lead it to
//! our sockets: TCP to the *transparent* listener, where the kernel still knows the address that was
//! meant, DNS to our answers. What is not led anywhere finds nobody listening. Nothing
//! can leave: the namespace has no device but its own loopback, with or without all this.
//!
//! Where the kernel has no NAT for a namespace of this user, the listener of the proxy and our DNS are
//! there all the same, and [`Sockets::transparent`] is false: only programs that know a proxy reach the network.
//!
//! The sockets are handed out of the namespace ([`Sockets::send`]) to whoever runs the filter: a
//! socket stays in the namespace that it was made in, whoever holds it. Nothing needs to run inside.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, Protocol, SocketFlags, SocketType, bind, getsockname, ipproto, listen,
    socket_with, sockopt,
};
use serde::{Deserialize, Serialize};

use super::netlink::{Attributes, Effect, Messages};
use super::steer;

/// Where DNS is, always.
pub(super) const DNS_PORT: u16 = 53;

/// Where the proxy listens, so that its address can be told in variables before it is there.
pub const PROXY_PORT: u16 = 3128;

/// The loopback device of a namespace is always its first.
const LOOPBACK_DEVICE: u32 = 1;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    /// Takes TCP that was meant for others.
    Transparent,
    /// Takes what is meant for a proxy.
    Proxy,
    /// Takes questions about names, over UDP.
    DnsUdp,
    /// The same over TCP.
    DnsTcp,
    /// Sees every UDP packet, of IPv4.
    WatchIpv4,
    /// Sees every UDP packet, of IPv6.
    WatchIpv6,
    /// Connects to a server inside.
    Inward,
}

/// What shall be set up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Ports of this host's loopback that the policy names: connections to them are led out.
    pub loopback_ports: Vec<u16>,
    /// So many connections from outside at once; 0 where nothing is published.
    pub inward: usize,
}

/// The sockets of a namespace.
#[derive(Debug)]
pub struct Sockets {
    pub(super) all: Vec<(Role, OwnedFd)>,
    /// Whether programs that know no proxy reach the filter; else why not.
    pub transparent: Result<(), String>,
}

/// Why a namespace cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} in the network namespace")]
pub struct SetupError {
    what: &'static str,
    source: io::Error,
}

/// Sets the namespace of this thread up. It must have no device but its loopback, and the thread
/// `CAP_NET_ADMIN`, `CAP_NET_RAW` and `CAP_NET_BIND_SERVICE` in it.
///
/// # Errors
/// If any of it fails but NAT, which [`Sockets::transparent`] tells.
pub fn set_up(setup: &Setup) -> Result<Sockets, SetupError> {
    let failed = |what| move |source: io::Error| SetupError { what, source };
    start_loopback().map_err(failed("start the loopback device"))?;
    let has_ipv6 = any_address_is_here().map_err(failed("lead all addresses to the loopback"))?;

    let mut all = Vec::new();
    let hosts: &[IpAddr] = if has_ipv6 {
        &[
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ]
    } else {
        &[IpAddr::V4(Ipv4Addr::LOCALHOST)]
    };
    let mut port = 0;
    for host in hosts {
        let listener = listener(SocketAddr::new(*host, port)).map_err(failed("listen"))?;
        // The same port for both, so that one rule leads both there.
        port = port_of(&listener).map_err(failed("listen"))?;
        all.push((Role::Transparent, listener));
        let dns = SocketAddr::new(*host, DNS_PORT);
        all.push((
            Role::DnsTcp,
            self::listener(dns).map_err(failed("listen for DNS"))?,
        ));
        all.push((
            Role::DnsUdp,
            datagrams(dns).map_err(failed("listen for DNS"))?,
        ));
        let proxy = SocketAddr::new(*host, PROXY_PORT);
        all.push((
            Role::Proxy,
            self::listener(proxy).map_err(failed("listen for a proxy"))?,
        ));
    }
    for (role, family) in [
        (Role::WatchIpv4, AddressFamily::INET),
        (Role::WatchIpv6, AddressFamily::INET6),
    ] {
        if role == Role::WatchIpv4 || has_ipv6 {
            all.push((role, watcher(family).map_err(failed("watch UDP"))?));
        }
    }
    for _ in 0..setup.inward {
        let socket = stream(AddressFamily::INET).map_err(failed("make sockets"))?;
        all.push((Role::Inward, socket));
    }
    let transparent = steer::lead_out(port, &setup.loopback_ports)
        .map_err(|error| format!("the kernel gives this namespace no NAT: {error}"));
    Ok(Sockets { all, transparent })
}

fn stream(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(family, SocketType::STREAM, flags, None)?)
}

fn listener(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = stream(family(address))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn datagrams(address: SocketAddr) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family(address), SocketType::DGRAM, flags, None)?;
    bind(&socket, &address)?;
    Ok(socket)
}

/// A raw socket gets a copy of what is delivered here, whether or not anybody else takes it (raw(7)).
fn watcher(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(
        family,
        SocketType::RAW,
        flags,
        Some(ipproto::UDP),
    )?)
}

fn family(address: SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

fn port_of(socket: &OwnedFd) -> io::Result<u16> {
    let address = SocketAddr::try_from(getsockname(socket)?);
    Ok(address
        .unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into())
        .port())
}

/// The protocol that routes has number 0, which is that of no protocol.
const ROUTE: Option<Protocol> = None;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWROUTE: u16 = 24;
const IFF_UP: u32 = 1;

fn start_loopback() -> io::Result<()> {
    // struct ifinfomsg: family, padding, type, index, flags, which flags change.
    let mut fixed = vec![0; 4];
    fixed.extend(LOOPBACK_DEVICE.to_ne_bytes());
    fixed.extend(IFF_UP.to_ne_bytes());
    fixed.extend(IFF_UP.to_ne_bytes());
    let mut messages = Messages::default();
    messages.push(RTM_NEWLINK, Effect::Change, &fixed, &Attributes::default());
    messages.carry_out(ROUTE)
}

/// Whether IPv6 is there as well.
fn any_address_is_here() -> io::Result<bool> {
    add_route(AddressFamily::INET, &Ipv4Addr::LOCALHOST.octets())?;
    let ipv6 = bind_probe(IpAddr::V6(Ipv6Addr::LOCALHOST));
    if ipv6 {
        add_route(AddressFamily::INET6, &Ipv6Addr::LOCALHOST.octets())?;
    }
    Ok(ipv6)
}

fn bind_probe(host: IpAddr) -> bool {
    datagrams(SocketAddr::new(host, 0)).is_ok()
}

fn add_route(family: AddressFamily, source: &[u8]) -> io::Result<()> {
    const TABLE_LOCAL: u8 = 255;
    const BY_ADMINISTRATOR: u8 = 4;
    const SCOPE_HOST: u8 = 254;
    const TYPE_LOCAL: u8 = 2;
    const RTA_OIF: u16 = 4;
    const RTA_PREFSRC: u16 = 7;
    let of_family = u8::try_from(family.as_raw()).unwrap_or_default();
    // struct rtmsg: family, lengths of destination and source, service, table, protocol, scope, type,
    // flags. A destination of no bits is the whole world.
    let mut fixed = vec![of_family, 0, 0, 0];
    fixed.extend([TABLE_LOCAL, BY_ADMINISTRATOR, SCOPE_HOST, TYPE_LOCAL]);
    fixed.extend([0; 4]);
    let attributes = Attributes::default()
        .with(RTA_OIF, &LOOPBACK_DEVICE.to_ne_bytes())
        .with(RTA_PREFSRC, source);
    let mut messages = Messages::default();
    messages.push(RTM_NEWROUTE, Effect::Make, &fixed, &attributes);
    messages.carry_out(ROUTE)
}
