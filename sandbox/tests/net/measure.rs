//! What the filter costs, beside the same without one: `scripts/bench-filter.sh`.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::net::SocketAddr;

use super::inside::{Act, ask, pull};
use super::world::{World, in_world};

const BYTES: usize = 1 << 30;
const TIMES: usize = 301;

#[test]
#[ignore = "it measures, which takes a quiet machine"]
fn throughput_and_latency() {
    in_world("measure::throughput_and_latency", async |world: World| {
        let much: SocketAddr = "198.51.100.1:8100".parse().expect("an address");
        let line: SocketAddr = "198.51.100.1:8000".parse().expect("an address");
        let mut inside = world.filtered(&["198.51.100.1"], &[]).await;
        let mut told = |act: &Act| -> f64 {
            let micros = inside.act(act).expect("it answers");
            micros.parse().expect("a number")
        };
        let rate = |micros: f64| 1024.0 * 1024.0 * 1024.0 / micros;
        for round in 1..=3 {
            let plain = pull(much, BYTES).expect("it answers").as_secs_f64() * 1e6;
            let filtered = told(&Act::Pull {
                to: much,
                bytes: BYTES,
            });
            let direct = ask(line, TIMES).expect("it answers").as_secs_f64() * 1e6;
            let through = told(&Act::Ask {
                to: line,
                times: TIMES,
            });
            println!(
                "round {round}: {:.0} MB/s direct, {:.0} MB/s through the filter; \
                 connect, ask, hear: {direct:.0} us direct, {through:.0} us through the filter",
                rate(plain),
                rate(filtered),
            );
        }
    });
}
