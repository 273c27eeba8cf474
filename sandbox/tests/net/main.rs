//! The filter of the network, between real namespaces: a *world* in which the filter runs, a *remote* host beside it and an
//! empty namespace *inside*, all made by the test itself and gone with it.
//!
//! ```text
//! inside (no device) ── filter in the world ── veth ── remote: 198.51.100.1, .2, 10.9.0.1, 2001:db8::1
//! ```

mod inside;
mod measure;
mod remote;
mod world;

use std::time::Duration;

use blast_sandbox::audit::Decision;
use blast_sandbox::net::{Limits, Publish};

use inside::Act;
use world::{World, in_world};

/// An address to which no name leads.
const REMOTE: &str = "198.51.100.1:8000";

#[test]
fn what_is_not_named_is_reset_and_told_with_the_way_out() {
    in_world(
        "what_is_not_named_is_reset_and_told_with_the_way_out",
        async |world: World| {
            let mut inside = world.filtered(&["198.51.100.1:8001"], &[]).await;
            for address in [REMOTE, "[2001:db8::1]:8000", "198.51.100.2:8001"] {
                let refused = inside.act(&Act::connect(address, "hello"));
                assert!(refused.is_err(), "{address}: {refused:?}");
                let entry = world.heard().pop().expect("a line of the log");
                assert_eq!(entry.decision, Decision::Denied);
                assert_eq!(entry.lesson(), Some(format!("blast allow net {address}")));
            }
        },
    );
}

#[test]
fn a_named_address_is_reached_by_programs_that_know_no_proxy() {
    in_world(
        "a_named_address_is_reached_by_programs_that_know_no_proxy",
        async |world: World| {
            let allowed = ["198.51.100.0/24:8000", "[2001:db8::1]:8000"];
            let mut inside = world.filtered(&allowed, &["198.51.100.2"]).await;
            for address in [REMOTE, "[2001:db8::1]:8000"] {
                let answer = inside.act(&Act::connect(address, "hello"));
                assert_eq!(answer.as_deref(), Ok("8000 heard hello"));
                let entry = world.heard().pop().expect("a line of the log");
                assert_eq!(
                    (entry.decision, entry.target.as_str()),
                    (Decision::Allowed, address)
                );
                let traffic = entry.traffic.expect("counted");
                assert_eq!((traffic.sent_bytes, traffic.received_bytes), (6, 16));
            }
            assert!(
                inside.act(&Act::connect("198.51.100.1:8001", "x")).is_err(),
                "another port"
            );
            assert!(
                inside.act(&Act::connect("198.51.100.2:8000", "x")).is_err(),
                "denied"
            );
        },
    );
}

#[test]
fn names_are_answered_only_if_allowed_and_make_their_addresses_reachable() {
    in_world(
        "names_are_answered_only_if_allowed_and_make_their_addresses_reachable",
        async |world: World| {
            let mut inside = world
                .filtered(&["*.good.test:8000"], &["bad.good.test"])
                .await;
            let early = inside.act(&Act::connect(REMOTE, "early"));
            assert!(early.is_err(), "nobody asked yet");
            assert_eq!(world.heard().len(), 1);
            // Whatever server a program asks, we answer.
            for server in ["127.0.0.1:53", "203.0.113.53:53", "[2001:db8::99]:53"] {
                let found = inside.act(&Act::resolve("www.good.test", server));
                assert_eq!(found.as_deref(), Ok("198.51.100.1 2001:db8::1"), "{server}");
            }
            let answer = inside.act(&Act::connect(REMOTE, "hello"));
            assert_eq!(answer.as_deref(), Ok("8000 heard hello"));
            let entry = world.heard().pop().expect("a line of the log");
            assert_eq!(entry.target, "www.good.test:8000");
            for name in ["evil.test", "bad.good.test", "good.test"] {
                let found = inside.act(&Act::resolve(name, "127.0.0.1:53"));
                assert_eq!(found.as_deref(), Ok(""), "{name}");
                let entry = world.heard().pop().expect("a line of the log");
                assert_eq!(
                    (entry.decision, entry.target.as_str()),
                    (Decision::Denied, name)
                );
            }
            assert_eq!(
                world.asked(),
                ["www.good.test."],
                "nobody else hears what is denied"
            );
        },
    );
}

#[test]
fn a_name_that_leads_inwards_is_no_way_in() {
    in_world(
        "a_name_that_leads_inwards_is_no_way_in",
        async |world: World| {
            world::serve_on_loopback(8000);
            let mut inside = world
                .filtered(&["*.good.test", "own.test", "lan.test"], &[])
                .await;
            for name in [
                "loop.good.test",
                "own.test",
                "lan.good.test",
                "meta.good.test",
            ] {
                let found = inside.act(&Act::resolve(name, "127.0.0.1:53"));
                assert_eq!(found.as_deref(), Ok(""), "{name}");
                let tunnel = inside
                    .act(&Act::tunnel(name, 8000, "hello"))
                    .expect("an answer");
                assert!(tunnel.starts_with("HTTP/1.1 403"), "{name}: {tunnel}");
                assert!(tunnel.contains("blast allow net "), "{name}: {tunnel}");
            }
            // A name that is given itself vouches for private networks.
            let tunnel = inside
                .act(&Act::tunnel("lan.test", 8000, "hello"))
                .expect("an answer");
            assert!(tunnel.ends_with("8000 heard hello"), "{tunnel}");
            for address in ["127.0.0.1:8000", "[::1]:8000", "198.51.100.254:8000"] {
                let refused = inside.act(&Act::connect(address, "x"));
                assert!(refused.is_err(), "{address}: {refused:?}");
            }
        },
    );
}

#[test]
fn a_port_of_this_hosts_loopback_is_reached_if_it_is_named() {
    in_world(
        "a_port_of_this_hosts_loopback_is_reached_if_it_is_named",
        async |world: World| {
            world::serve_on_loopback(8000);
            world::serve_on_loopback(8001);
            let mut inside = world.filtered(&["127.0.0.1:8000"], &[]).await;
            let answer = inside.act(&Act::connect("127.0.0.1:8000", "hello"));
            assert_eq!(answer.as_deref(), Ok("8000 heard hello"));
            assert!(inside.act(&Act::connect("127.0.0.1:8001", "x")).is_err());
            assert_eq!(inside.act(&Act::Serve { port: 9000 }).as_deref(), Ok(""));
            let answer = inside.act(&Act::connect("127.0.0.1:9000", "x"));
            assert_eq!(
                answer.as_deref(),
                Ok("9000 heard x"),
                "its own loopback is its own"
            );
        },
    );
}

#[test]
fn the_proxy_speaks_http_and_socks() {
    in_world("the_proxy_speaks_http_and_socks", async |world: World| {
        let mut inside = world.filtered(&["www.good.test:8000"], &[]).await;
        let tunnel = inside
            .act(&Act::tunnel("www.good.test", 8000, "hello"))
            .expect("an answer");
        assert!(tunnel.starts_with("HTTP/1.1 200"), "{tunnel}");
        assert!(tunnel.ends_with("8000 heard hello"), "{tunnel}");
        let plain = "GET http://www.good.test:8000/a?b HTTP/1.1\r\nHost: evil.test\r\n\r\n";
        let answer = inside.act(&Act::connect("127.0.0.1:3128", plain));
        assert_eq!(answer.as_deref(), Ok("8000 heard GET /a?b HTTP/1.1"));
        let denied = inside
            .act(&Act::tunnel("evil.test", 443, "x"))
            .expect("an answer");
        assert!(denied.contains("blast allow net evil.test:443"), "{denied}");
        // The lines of the connections before come when those close, perhaps after this one.
        let heard = world.heard();
        let mut lessons = heard.iter().filter_map(blast_sandbox::audit::Entry::lesson);
        assert_eq!(
            lessons.next().as_deref(),
            Some("blast allow net evil.test:443")
        );

        let socks = inside
            .act(&Act::socks("www.good.test", 8000, "hello"))
            .expect("an answer");
        assert_eq!(socks, "5 0|5 0|8000 heard hello");
        let denied = inside
            .act(&Act::socks("evil.test", 443, "x"))
            .expect("an answer");
        assert_eq!(denied, "5 0|5 2|");
        let garbage = inside.act(&Act::connect(
            "127.0.0.1:3128",
            "\u{16}\u{3}\u{1} no proxy\r\n\r\n",
        ));
        assert!(garbage.expect("an answer").starts_with("HTTP/1.1 400"));
    });
}

#[test]
fn datagrams_go_nowhere_and_are_told() {
    in_world("datagrams_go_nowhere_and_are_told", async |world: World| {
        let mut inside = world.filtered(&["*", "0.0.0.0/0", "::/0"], &[]).await;
        for address in ["198.51.100.1:8000", "[2001:db8::1]:8000"] {
            inside
                .act(&Act::Datagram {
                    to: address.parse().expect("an address"),
                })
                .expect("sent");
            let entry = world.hear();
            assert_eq!(entry.target, format!("udp {address}"));
            assert_eq!(entry.decision, Decision::Denied);
        }
        assert!(world.datagrams().is_empty());
    });
}

#[test]
fn a_published_port_leads_inside_and_only_from_the_loopback() {
    in_world(
        "a_published_port_leads_inside_and_only_from_the_loopback",
        async |world: World| {
            let publish = [Publish {
                outside: 7000,
                inside: 9000,
            }];
            let mut inside = world.published(&publish).await;
            inside.act(&Act::Serve { port: 9000 }).expect("it listens");
            // More than there are sockets, so that each is used again.
            for round in 0..300 {
                let line = format!("round {round}");
                let answer = world::say("127.0.0.1:7000", &line)
                    .await
                    .expect("an answer");
                assert_eq!(answer, format!("9000 heard {line}"));
            }
            assert!(
                world::say("198.51.100.254:7000", "x").await.is_err(),
                "not on other devices"
            );
            assert!(
                world::say("127.0.0.1:9000", "x").await.is_err(),
                "not the port inside"
            );
            assert!(
                inside.act(&Act::connect(REMOTE, "x")).is_err(),
                "not outwards"
            );
        },
    );
}

#[test]
fn rate_and_number_of_connections_are_kept() {
    in_world(
        "rate_and_number_of_connections_are_kept",
        async |world: World| {
            let limits = Limits {
                bandwidth: Some(200_000),
                connections: Some(2),
            };
            let mut inside = world.limited(&["198.51.100.1"], limits).await;
            let begun = std::time::Instant::now();
            let answer = inside.act(&Act::connect("198.51.100.1:8100", "100000"));
            assert_eq!(answer.map(|text| text.len()), Ok(100_000));
            // Half a second's worth, less what a pause allows at once.
            assert!(
                begun.elapsed() > Duration::from_millis(400),
                "{:?}",
                begun.elapsed()
            );
            let held = inside.act(&Act::Hold {
                to: REMOTE.parse().expect("an address"),
                count: 4,
            });
            assert_eq!(held.as_deref(), Ok("2"));
        },
    );
}

#[test]
fn without_a_filter_nothing_passes() {
    in_world("without_a_filter_nothing_passes", async |_: World| {
        let mut inside = world::abandoned();
        for address in [
            REMOTE,
            "[2001:db8::1]:8000",
            "127.0.0.1:3128",
            "127.0.0.1:53",
        ] {
            let refused = inside.act(&Act::connect(address, "x"));
            assert!(refused.is_err(), "{address}: {refused:?}");
        }
    });
}
