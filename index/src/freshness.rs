//! How long an HTTP answer may be used without asking again (RFC 9111, the part that matters to
//! a private cache of immutable files and slowly changing pages). Times are milliseconds since
//! the Unix epoch.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};

/// What an answer's headers allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Freshness {
    /// How many milliseconds after its arrival the answer needs no question; 0: ask each command.
    pub(crate) fresh_for_ms: u64,
    /// Must not be written to disk.
    pub(crate) no_store: bool,
}

/// An `immutable` answer without an age: a year, in milliseconds.
const IMMUTABLE_MS: u64 = 365 * 24 * 3600 * 1000;

impl Freshness {
    /// Reads `Cache-Control`, `Expires` and `Age`.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let (mut max_age, mut immutable, mut no_cache, mut no_store) = (None, false, false, false);
        let controls = headers
            .get_all(CACHE_CONTROL)
            .iter()
            .filter_map(|value| value.to_str().ok());
        for directive in controls.flat_map(|value| value.split(',')) {
            let (key, value) = directive.split_once('=').unwrap_or((directive, ""));
            match key.trim().to_ascii_lowercase().as_str() {
                "max-age" => max_age = value.trim().trim_matches('"').parse::<u64>().ok(),
                "immutable" => immutable = true,
                "no-cache" => no_cache = true,
                "no-store" => no_store = true,
                _ => {}
            }
        }
        let lifetime = match max_age {
            Some(seconds) => seconds.saturating_mul(1000),
            None if immutable => IMMUTABLE_MS,
            None => expires_after(headers).unwrap_or(0),
        };
        let age = text(headers, AGE)
            .and_then(|age| age.trim().parse::<u64>().ok())
            .unwrap_or(0);
        let fresh = lifetime.saturating_sub(age.saturating_mul(1000));
        Self {
            fresh_for_ms: if no_cache || no_store { 0 } else { fresh },
            no_store,
        }
    }

    /// When an answer that arrived at `arrived_ms` stops being fresh.
    pub(crate) fn until(self, arrived_ms: u64) -> u64 {
        arrived_ms.saturating_add(self.fresh_for_ms)
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn expires_after(headers: &HeaderMap) -> Option<u64> {
    let at = http_date_ms(text(headers, EXPIRES)?)?;
    let now = text(headers, DATE)
        .and_then(http_date_ms)
        .unwrap_or_else(now_ms);
    Some(at.saturating_sub(now))
}

/// An HTTP date, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date_ms(text: &str) -> Option<u64> {
    let at = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text.trim())
        .ok()?;
    at.as_millisecond().try_into().ok()
}

/// Now.
pub(crate) fn now_ms() -> u64 {
    // A clock before 1970 makes everything stale, which is harmless.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freshness(pairs: &[(HeaderName, &str)]) -> Freshness {
        Freshness::of(
            &pairs
                .iter()
                .map(|(k, v)| (k.clone(), v.parse().expect("a header")))
                .collect(),
        )
    }

    #[test]
    fn directives_decide() {
        let of = |control: &str| freshness(&[(CACHE_CONTROL, control)]);
        assert_eq!(of("max-age=600, public").fresh_for_ms, 600_000);
        assert_eq!(of("max-age=600, no-cache").fresh_for_ms, 0);
        assert_eq!(of("Immutable").fresh_for_ms, IMMUTABLE_MS);
        assert_eq!(of("max-age=banana").fresh_for_ms, 0);
        assert_eq!(of("max-age=18446744073709551615").fresh_for_ms, u64::MAX);
        assert!(of("no-store").no_store);
        assert_eq!(
            freshness(&[]),
            Freshness {
                fresh_for_ms: 0,
                no_store: false
            }
        );
    }

    #[test]
    fn age_and_expiry_count() {
        let aged = freshness(&[(CACHE_CONTROL, "max-age=600"), (AGE, "590")]);
        assert_eq!(aged.fresh_for_ms, 10_000);
        let expiring = freshness(&[
            (DATE, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (EXPIRES, "Sun, 06 Nov 1994 08:49:40 GMT"),
        ]);
        assert_eq!(expiring.fresh_for_ms, 3000);
        assert_eq!(freshness(&[(EXPIRES, "0")]).fresh_for_ms, 0);
    }
}
