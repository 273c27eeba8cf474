//! Points in time as people write them: `2026-03-01T12:00:00Z` (RFC 3339), `2026-03-01` (the end
//! of that day here), `yesterday` (the end of it), `2 weeks`, `2h` or `P7D` (so long ago).

use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::{Span, SpanRelativeTo, Timestamp, ToSpan as _, Zoned};
use serde::Deserialize;

/// A point in time, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub(super) struct Moment(pub(super) i64);

/// As it stands in a TOML file, with quotes or without.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Date(toml::value::Datetime),
}

impl TryFrom<Written> for Moment {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Text(text) => text.parse(),
            Written::Date(date) => date.to_string().parse(),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text, &Zoned::now())
    }
}

impl Moment {
    fn read(text: &str, now: &Zoned) -> Result<Self, String> {
        let text = text.trim();
        let zone = now.time_zone();
        if let Ok(moment) = text.parse::<Timestamp>() {
            return Ok(Self(moment.as_millisecond()));
        }
        // A date alone would be taken for its midnight.
        let day = match text {
            "yesterday" => now.date().yesterday().ok(),
            _ if text.contains(':') => None,
            _ => text.parse::<Date>().ok(),
        };
        if let Some(day) = day {
            return day
                .checked_add(1.day())
                .and_then(|next| next.to_zoned(zone.clone()))
                .map(|moment| Self(moment.timestamp().as_millisecond()))
                .map_err(|error| error.to_string());
        }
        if let Ok(local) = text.parse::<DateTime>() {
            return local
                .to_zoned(zone.clone())
                .map(|moment| Self(moment.timestamp().as_millisecond()))
                .map_err(|error| error.to_string());
        }
        let ago = text.parse::<Span>().map_err(|_| {
            "write a time (`2026-03-01T12:00:00Z`), a date (`2026-03-01`) or how long ago \
             (`2 weeks`, `P7D`)"
        })?;
        if ago.get_years() != 0 || ago.get_months() != 0 {
            return Err("months and years differ in length: count days or weeks".to_owned());
        }
        ago.abs()
            .to_duration(SpanRelativeTo::days_are_24_hours())
            .and_then(|ago| now.timestamp().checked_sub(ago))
            .map(|moment| Self(moment.as_millisecond()))
            .map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn read(text: &str) -> Result<i64, String> {
        let now: Zoned = "2026-03-15T12:00:00+01:00[+01:00]".parse().expect("valid");
        Moment::read(text, &now).map(|moment| moment.0)
    }

    fn utc(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("valid").as_millisecond()
    }

    #[test]
    fn times_dates_and_durations_are_understood() {
        for (text, wanted) in [
            ("2026-03-01T12:00:00Z", utc("2026-03-01T12:00:00Z")),
            (
                " 2026-03-01T12:00:00.5+02:00 ",
                utc("2026-03-01T10:00:00.5Z"),
            ),
            ("2026-03-01T12:00:00", utc("2026-03-01T11:00:00Z")),
            ("2026-03-01", utc("2026-03-01T23:00:00Z")),
            ("yesterday", utc("2026-03-14T23:00:00Z")),
            ("2h", utc("2026-03-15T09:00:00Z")),
            ("2 weeks", utc("2026-03-15T11:00:00Z") - 14 * DAY),
            ("2 weeks ago", utc("2026-03-15T11:00:00Z") - 14 * DAY),
            ("P7D", utc("2026-03-15T11:00:00Z") - 7 * DAY),
            ("1 day 12 hours", utc("2026-03-15T11:00:00Z") - 3 * DAY / 2),
        ] {
            assert_eq!(read(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_has_no_length_or_sense_is_refused() {
        for text in [
            "",
            "tomorrow",
            "3 months",
            "P1Y",
            "2026-13-01",
            "99999 weeks 99999999999 hours",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_toml_date_needs_no_quotes() {
        #[derive(Deserialize)]
        struct Table {
            quoted: Moment,
            bare: Moment,
        }
        let text = "quoted = '2026-03-01T00:00:00Z'\nbare = 2026-03-01T00:00:00Z";
        let table: Table = toml::from_str(text).expect("valid");
        assert_eq!(table.quoted, table.bare);
        assert!(toml::from_str::<Table>("quoted = 1\nbare = 1").is_err());
    }
}
