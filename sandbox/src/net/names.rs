//! What was answered about names, so that a connection to an address can be judged by the names that led to it.
//!
//! An address that several names led to counts as all of them: who may reach one host of a shared
//! address reaches the others there. Clients that name the host (through the proxy) are judged by that name alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Programs use answers longer than they live; a pool connects again after hours.
const REMEMBERED: Duration = Duration::from_hours(24);

/// The most addresses that are remembered.
const ADDRESSES: usize = 16_384;

/// The most names of one address.
const NAMES: usize = 64;

/// Names by address.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<IpAddr, Vec<(String, Instant)>>>);

impl Names {
    /// Remembers that a name led to an address.
    pub(super) fn remember(&self, name: &str, address: IpAddr) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if all.len() >= ADDRESSES && !all.contains_key(&address) {
            all.retain(|_, names| {
                names
                    .iter()
                    .any(|(_, at)| now.duration_since(*at) < REMEMBERED)
            });
            if all.len() >= ADDRESSES {
                return;
            }
        }
        let names = all.entry(address.to_canonical()).or_default();
        if let Some((_, at)) = names.iter_mut().find(|(known, _)| known == name) {
            *at = now;
        } else if names.len() < NAMES {
            names.push((name.to_owned(), now));
        }
    }

    /// The names that led to an address.
    pub(super) fn of(&self, address: IpAddr) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let names = all.get(&address.to_canonical()).into_iter().flatten();
        names
            .filter(|(_, at)| at.elapsed() < REMEMBERED)
            .map(|(name, _)| name.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_all_names_that_led_to_it() {
        let names = Names::default();
        let address = "198.51.100.1".parse().expect("an address");
        assert!(names.of(address).is_empty());
        for name in ["a.org", "b.org", "a.org"] {
            names.remember(name, address);
        }
        assert_eq!(names.of(address), ["a.org", "b.org"]);
        assert_eq!(
            names.of("::ffff:198.51.100.1".parse().expect("mapped")),
            ["a.org", "b.org"]
        );
    }

    #[test]
    fn memory_has_an_end() {
        let names = Names::default();
        for number in 0..u32::try_from(ADDRESSES + 10).expect("small") {
            names.remember("a.org", IpAddr::from(number.to_be_bytes()));
        }
        assert_eq!(names.0.lock().expect("whole").len(), ADDRESSES);
        for number in 0..100 {
            names.remember(&format!("{number}.org"), IpAddr::from([0, 0, 0, 1]));
        }
        assert_eq!(names.of(IpAddr::from([0, 0, 0, 1])).len(), NAMES);
    }
}
