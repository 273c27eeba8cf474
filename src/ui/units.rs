//! Numbers as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `1.2 GB`, in powers of ten as disks and downloads are measured.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut unit = 0;
    let mut divisor = 1000_u64;
    while unit + 1 < UNITS.len() && count / divisor >= 1000 {
        divisor *= 1000;
        unit += 1;
    }
    let tenths = u128::from(count) * 10 / u128::from(divisor);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// `1 package`, `3 packages`; regular plurals only.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// `2026-11-21 02:55` in this time zone; for `when` out of any calendar, the number itself.
pub(crate) fn time(when_ms: i64, zone: &TimeZone) -> String {
    Timestamp::from_millisecond(when_ms).map_or_else(
        |_| format!("{when_ms} ms"),
        |when| {
            when.to_zoned(zone.clone())
                .strftime("%Y-%m-%d %H:%M")
                .to_string()
        },
    )
}

/// `850 ms`, `2.4 s`, `3 min 20 s`.
pub(crate) fn duration_ms(ms: u64) -> String {
    match ms {
        0..=999 => format!("{ms} ms"),
        1000..=59_999 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// The first characters of a digest, enough to tell it from others.
pub(crate) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_one_decimal() {
        let sizes: Vec<_> = [0, 999, 1000, 1234, 999_999, 1_500_000, u64::MAX]
            .map(bytes)
            .into();
        assert_eq!(
            sizes,
            [
                "0 B",
                "999 B",
                "1.0 kB",
                "1.2 kB",
                "999.9 kB",
                "1.5 MB",
                "18446.7 PB"
            ]
        );
    }

    #[test]
    fn durations_change_their_unit() {
        let shown: Vec<_> = [0, 999, 1000, 59_999, 60_000, 200_000]
            .map(duration_ms)
            .into();
        assert_eq!(
            shown,
            [
                "0 ms",
                "999 ms",
                "1.0 s",
                "59.9 s",
                "1 min 0 s",
                "3 min 20 s"
            ]
        );
    }

    #[test]
    fn times_are_shown_to_the_minute_and_nonsense_as_it_is() {
        assert_eq!(time(1_782_000_000_000, &TimeZone::UTC), "2026-06-21 00:00");
        assert_eq!(time(i64::MAX, &TimeZone::UTC), format!("{} ms", i64::MAX));
    }

    #[test]
    fn one_of_a_thing_has_no_plural() {
        assert_eq!(
            (count(0, "package"), count(1, "package")),
            ("0 packages".into(), "1 package".into())
        );
    }
}
