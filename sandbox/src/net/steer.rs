//! The rules of netfilter that lead connections to our sockets: one table with one chain, which sees
//! what programs of the namespace send (nft(8), `linux/netfilter/nf_tables.h`).
//!
//! ```text
//! table inet blast { chain out { type nat hook output priority -100;
//!   meta l4proto udp  udp dport 53  redirect to :53
//!   meta l4proto tcp  tcp dport 53  redirect to :53
//!   meta l4proto tcp  tcp dport P  ip daddr 127.0.0.0/8  redirect to :T     for each P that is named
//!   meta l4proto tcp  tcp dport P  ip6 daddr ::1  redirect to :T
//!   ip daddr 127.0.0.0/8  accept
//!   ip6 daddr ::1  accept
//!   meta l4proto tcp  redirect to :T
//! } }
//! ```

use std::io;
use std::net::Ipv6Addr;

use rustix::net::{ipproto, netlink};

use super::inside::DNS_PORT;
use super::netlink::{Attributes, Effect, Messages};

const TABLE: &str = "blast";
const CHAIN: &str = "out";

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;

/// IPv4 and IPv6 in one table.
const FAMILY_INET: u8 = 1;
const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;

/// Leads what goes out to the listener at `port`, and `loopback_ports` of the loopback too.
pub(super) fn lead_out(port: u16, loopback_ports: &[u16]) -> io::Result<()> {
    let mut messages = Messages::default();
    mark(&mut messages, BATCH_BEGIN);
    push(
        &mut messages,
        NEW_TABLE,
        Effect::Make,
        &Attributes::default().text(1, TABLE),
    );
    push(&mut messages, NEW_CHAIN, Effect::Make, &chain());
    for rule in rules(port, loopback_ports) {
        let rule = Attributes::default()
            .text(1, TABLE)
            .text(2, CHAIN)
            .nested(4, &rule.0);
        push(&mut messages, NEW_RULE, Effect::Append, &rule);
    }
    mark(&mut messages, BATCH_END);
    messages.carry_out(Some(netlink::NETFILTER))
}

fn rules(port: u16, loopback_ports: &[u16]) -> Vec<Rule> {
    let (tcp, udp) = (ipproto::TCP.as_raw().get(), ipproto::UDP.as_raw().get());
    let mut rules = vec![
        Rule::default()
            .protocol(udp)
            .whose_port_is(DNS_PORT)
            .redirect(DNS_PORT),
        Rule::default()
            .protocol(tcp)
            .whose_port_is(DNS_PORT)
            .redirect(DNS_PORT),
    ];
    for named in loopback_ports {
        let to_it = || Rule::default().protocol(tcp).whose_port_is(*named);
        rules.push(to_it().towards_loopback_ipv4().redirect(port));
        rules.push(to_it().towards_loopback_ipv6().redirect(port));
    }
    rules.push(Rule::default().towards_loopback_ipv4().accept());
    rules.push(Rule::default().towards_loopback_ipv6().accept());
    rules.push(Rule::default().protocol(tcp).redirect(port));
    rules
}

/// struct nfgenmsg: family, version, resource in network order.
fn mark(messages: &mut Messages, kind: u16) {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    messages.push(
        kind,
        Effect::Mark,
        &[0, 0, high, low],
        &Attributes::default(),
    );
}

fn push(messages: &mut Messages, kind: u16, effect: Effect, attributes: &Attributes) {
    messages.push(kind, effect, &[FAMILY_INET, 0, 0, 0], attributes);
}

fn chain() -> Attributes {
    const LOCAL_OUT: u32 = 3;
    /// Where destinations are translated.
    const PRIORITY: i32 = -100;
    const ACCEPT: u32 = 1;
    let hook = Attributes::default()
        .number(1, LOCAL_OUT)
        .with(2, &PRIORITY.to_be_bytes());
    Attributes::default()
        .text(1, TABLE)
        .text(3, CHAIN)
        .nested(4, &hook)
        .number(5, ACCEPT)
        .text(7, "nat")
}

/// Expressions, carried out in turn until one does not fit. They hand values on in register 1.
#[derive(Debug, Default)]
struct Rule(Attributes);

const REGISTER: u32 = 1;

impl Rule {
    fn with(self, name: &str, data: &Attributes) -> Self {
        let expression = Attributes::default().text(1, name).nested(2, data);
        Self(self.0.nested(1, &expression))
    }

    fn load_meta(self, key: u32) -> Self {
        self.with(
            "meta",
            &Attributes::default().number(1, REGISTER).number(2, key),
        )
    }

    fn load_payload(self, base: u32, offset: u32, length: u32) -> Self {
        let data = Attributes::default()
            .number(1, REGISTER)
            .number(2, base)
            .number(3, offset)
            .number(4, length);
        self.with("payload", &data)
    }

    fn equals(self, value: &[u8]) -> Self {
        const EQUAL: u32 = 0;
        let data = Attributes::default()
            .number(1, REGISTER)
            .number(2, EQUAL)
            .nested(3, &Attributes::default().with(1, value));
        self.with("cmp", &data)
    }

    fn family(self, family: u8) -> Self {
        const KEY_FAMILY: u32 = 15;
        self.load_meta(KEY_FAMILY).equals(&[family])
    }

    fn protocol(self, protocol: u32) -> Self {
        const KEY_PROTOCOL: u32 = 16;
        let protocol = u8::try_from(protocol).unwrap_or_default();
        self.load_meta(KEY_PROTOCOL).equals(&[protocol])
    }

    /// TCP and UDP have the port at the same place.
    fn whose_port_is(self, port: u16) -> Self {
        const TRANSPORT: u32 = 2;
        self.load_payload(TRANSPORT, 2, 2)
            .equals(&port.to_be_bytes())
    }

    /// The first byte is all that decides.
    fn towards_loopback_ipv4(self) -> Self {
        const NETWORK: u32 = 1;
        self.family(FAMILY_IPV4)
            .load_payload(NETWORK, 16, 1)
            .equals(&[127])
    }

    fn towards_loopback_ipv6(self) -> Self {
        const NETWORK: u32 = 1;
        self.family(FAMILY_IPV6)
            .load_payload(NETWORK, 24, 16)
            .equals(&Ipv6Addr::LOCALHOST.octets())
    }

    fn accept(self) -> Self {
        const VERDICT_REGISTER: u32 = 0;
        const ACCEPT: u32 = 1;
        let verdict = Attributes::default().number(1, ACCEPT);
        let data = Attributes::default()
            .number(1, VERDICT_REGISTER)
            .nested(2, &Attributes::default().nested(2, &verdict));
        self.with("immediate", &data)
    }

    fn redirect(self, port: u16) -> Self {
        let value = Attributes::default().with(1, &port.to_be_bytes());
        let load = Attributes::default().number(1, REGISTER).nested(2, &value);
        let to = Attributes::default()
            .number(1, REGISTER)
            .number(2, REGISTER);
        self.with("immediate", &load).with("redir", &to)
    }
}
