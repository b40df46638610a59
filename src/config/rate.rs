//! A limit on how often something may happen: `30 in 60s`, or `off`.

use std::fmt;
use std::time::Duration;

use super::duration;
use super::kind::{Kind, Shape};

/// At most `count` times within `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How often; 0: there is no limit.
    pub count: u32,
    /// Within which time; zero when there is no limit.
    pub window: Duration,
}

impl RateLimit {
    /// No limit.
    pub const OFF: Self = Self { count: 0, window: Duration::ZERO };

    /// Whether there is no limit.
    pub fn is_off(self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_off() {
            return f.write_str("off");
        }
        write!(f, "{} in {}", self.count, duration::print(self.window))
    }
}

/// A rate limit.
pub const RATE: Kind<RateLimit> = Kind {
    name: "RATE",
    values: "off, or a count and a duration: 30 in 60s",
    shape: Shape::Text,
    secret: false,
    words: &["off"],
    parse: |text| match text {
        "off" => Ok(RateLimit::OFF),
        text => parse(text).ok_or_else(|| {
            "expected off, or a count above zero and a duration such as 30 in 60s".into()
        }),
    },
    print: RateLimit::to_string,
};

fn parse(text: &str) -> Option<RateLimit> {
    let (count, window) = text.split_once(" in ")?;
    let count = count.trim();
    let count = count.parse().ok().filter(|n: &u32| *n > 0 && !count.starts_with('+'))?;
    let window = duration::parse(window.trim()).ok().filter(|window| !window.is_zero())?;
    Some(RateLimit { count, window })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, printed) in [
            ("30 in 60s", "30 in 60s"),
            ("1 in 2m", "1 in 2m"),
            ("5 in 10", "5 in 10s"),
            ("off", "off"),
        ] {
            assert_eq!((RATE.parse)(text).unwrap().to_string(), printed);
        }
        for text in [
            "",
            "30",
            "0 in 60s",
            "30 in 0s",
            "30 in",
            "-1 in 60s",
            "+1 in 60s",
            "30 per 60s",
            "4294967296 in 1s",
        ] {
            assert!((RATE.parse)(text).is_err(), "{text:?}");
        }
    }
}
