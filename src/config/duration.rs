//! Spans of time as people write them: `500ms`, `10s`, `2m`, `1h`, `1d`; a bare integer counts
//! seconds.

use std::time::Duration;

use super::kind::{Kind, Shape};

/// Milliseconds per unit, largest first.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Far beyond any use, and still far from where adding to an `Instant` overflows.
const MAX: Duration = Duration::from_secs(3650 * 86_400);

const EXPECTED: &str = "expected a duration such as 500ms, 10s, 2m, 1h or 1d (a bare integer is seconds), at most 3650d";

/// A span of time above zero.
pub const DURATION: Kind<Duration> = Kind {
    name: "DURATION",
    values: "a duration above zero: 500ms, 10s, 2m, 1h, 1d, or whole seconds",
    shape: Shape::Number,
    secret: false,
    words: &[],
    parse: |text| match parse(text)? {
        Duration::ZERO => Err("expected a duration above zero".into()),
        duration => Ok(duration),
    },
    print: |duration| print(*duration),
};

/// A span of time that may be zero.
pub const DURATION_OR_ZERO: Kind<Duration> =
    Kind { values: "a duration: 0, 500ms, 10s, 2m, 1h, 1d, or whole seconds", parse, ..DURATION };

/// A span of time above zero, or never.
pub const DURATION_OR_OFF: Kind<Option<Duration>> = Kind {
    name: "DURATION",
    values: "off, or a duration above zero: 500ms, 10s, 2m, 1h, 1d, or whole seconds",
    shape: Shape::Number,
    secret: false,
    words: &["off"],
    parse: |text| match text {
        "off" => Ok(None),
        text => (DURATION.parse)(text).map(Some).map_err(|why| format!("{why}, or off")),
    },
    print: |duration| duration.map_or("off".into(), print),
};

pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (count, unit) = text.split_at(digits);
    let unit = if unit.is_empty() { "s" } else { unit.trim_start() };
    let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    let duration =
        scale.zip(count.parse::<u64>().ok()).and_then(|(scale, count)| count.checked_mul(scale));
    duration
        .map(Duration::from_millis)
        .filter(|duration| *duration <= MAX)
        .ok_or_else(|| EXPECTED.into())
}

/// In the largest unit of which there are at least two, so that `60s` stays `60s`.
pub(super) fn print(duration: Duration) -> String {
    let millis = duration.as_millis();
    let fits =
        |scale: u64| millis.is_multiple_of(u128::from(scale)) && millis >= 2 * u128::from(scale);
    match UNITS.iter().find(|(_, scale)| fits(*scale)) {
        _ if millis == 0 => "0s".into(),
        _ if millis == 1_000 => "1s".into(),
        Some((unit, scale)) => format!("{}{unit}", millis / u128::from(*scale)),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis, printed) in [
            ("10s", 10_000, "10s"),
            ("500ms", 500, "500ms"),
            ("1500ms", 1_500, "1500ms"),
            ("2m", 120_000, "2m"),
            ("90s", 90_000, "90s"),
            ("1m", 60_000, "60s"),
            ("1h", 3_600_000, "60m"),
            ("1d", 86_400_000, "24h"),
            ("30 d", 30 * 86_400_000, "30d"),
            ("25", 25_000, "25s"),
            ("0", 0, "0s"),
            ("1", 1_000, "1s"),
            ("1ms", 1, "1ms"),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(print(duration), printed);
            assert_eq!(parse(printed), Ok(duration));
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "1m30s",
            "10 parsecs",
            "10S",
            "3651d",
            "99999999999999999999",
            " 1s",
            "1s ",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!((DURATION.parse)("0ms").is_err());
        assert_eq!((DURATION_OR_ZERO.parse)("0"), Ok(Duration::ZERO));
        assert_eq!((DURATION_OR_OFF.parse)("off"), Ok(None));
        assert!((DURATION_OR_OFF.parse)("0").is_err());
    }
}
