//! What goes nowhere but must be told: UDP other than DNS.
//!
//! It has no way out whatever happens here. A raw socket sees the packets that find nobody listening, so that the
//! audit log can name them. It is held as what it is to the runtime, a socket of datagrams.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use nix::cmsg_space;
use nix::libc::in6_pktinfo;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt,
    sockopt::Ipv6RecvPacketInfo,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::filter::Shared;
use super::inside::DNS_PORT;

/// Headers are all that matters.
const PACKET_BYTES: usize = 256;

/// Tells for ever what is sent by UDP over IPv4.
pub(super) async fn ipv4(shared: Arc<Shared>, socket: UdpSocket) {
    let mut packet = [0; PACKET_BYTES];
    loop {
        let received = socket.recv(&mut packet).await;
        let header = |length| destination_ipv4(packet.get(..length).unwrap_or_default());
        let seen = received.map(header);
        tell(&shared, seen);
    }
}

/// The same over IPv6.
pub(super) async fn ipv6(shared: Arc<Shared>, socket: UdpSocket) {
    if setsockopt(&socket, Ipv6RecvPacketInfo, &true).is_err() {
        return;
    }
    loop {
        let receive = || receive_ipv6(&socket);
        let seen = socket.async_io(Interest::READABLE, receive).await;
        tell(&shared, seen);
    }
}

fn tell(shared: &Shared, seen: io::Result<Option<SocketAddr>>) {
    let outward = |to: &SocketAddr| !to.ip().is_loopback() && to.port() != DNS_PORT;
    if let Some(to) = seen.ok().flatten().filter(outward) {
        shared.deny_datagram(to);
    }
}

/// Raw sockets of IPv4 give the header of the packet too (RFC 791 3.1).
fn destination_ipv4(packet: &[u8]) -> Option<SocketAddr> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let address: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    let port = port(packet.get(header..)?)?;
    Some(SocketAddr::new(Ipv4Addr::from(address).into(), port))
}

fn receive_ipv6(socket: &UdpSocket) -> io::Result<Option<SocketAddr>> {
    let mut packet = [0; PACKET_BYTES];
    let mut beside = cmsg_space!(in6_pktinfo);
    let (length, address) = {
        let mut parts = [IoSliceMut::new(&mut packet)];
        let received = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut beside),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let address = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                Some(Ipv6Addr::from(info.ipi6_addr.s6_addr))
            }
            _ => None,
        });
        (received.bytes, address)
    };
    let port = port(packet.get(..length).unwrap_or_default());
    let both = address.zip(port);
    Ok(both.map(|(address, port)| SocketAddr::new(IpAddr::V6(address), port)))
}

/// The destination's port of a UDP header (RFC 768).
fn port(header: &[u8]) -> Option<u16> {
    let bytes: [u8; 2] = header.get(2..4)?.try_into().ok()?;
    Some(u16::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_says_where_it_goes() {
        let mut packet = vec![0x46; 24];
        packet[16..20].copy_from_slice(&[198, 51, 100, 7]);
        packet.extend([0, 1, 0x01, 0xbb, 0, 8, 0, 0]);
        let to = destination_ipv4(&packet).expect("a whole packet");
        assert_eq!(to, "198.51.100.7:443".parse().expect("an address"));
        for length in 0..28 {
            assert_eq!(destination_ipv4(&packet[..length]), None, "{length}");
        }
    }
}
