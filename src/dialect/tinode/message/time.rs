//! Times as clients read and write them: RFC 3339 with milliseconds.
use std::fmt;

use serde::{Deserialize, Serialize};

/// A time: milliseconds since 1970, UTC.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub(in crate::dialect::tinode) struct Ts(pub u64);

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;
/// The last millisecond of the year 9999, the last with four digits.
const LAST: u64 = 253_402_300_799_999;

impl Ts {
    /// From RFC 3339: `2026-12-01T01:18:47.181Z`, with any number of digits of the second, of which
    /// three count, or none, and with any zone. What is before 1970 is 1970.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_at_checked(10)?;
        let (year, month, day) = match date.as_bytes() {
            [y @ .., b'-', m1, m2, b'-', d1, d2] => (number(y)?, pair(*m1, *m2)?, pair(*d1, *d2)?),
            _ => return None,
        };
        if !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
            return None;
        }
        let time = time.strip_prefix(['T', 't'])?;
        let (clock, rest) = time.split_at_checked(8)?;
        let seconds = match clock.as_bytes() {
            [h1, h2, b':', m1, m2, b':', s1, s2] => {
                let (hour, minute) = (pair(*h1, *h2)?, pair(*m1, *m2)?);
                let second = pair(*s1, *s2)?;
                // A leap second is the last one of its minute.
                (hour < 24 && minute < 60 && second <= 60).then_some(())?;
                (hour * 60 + minute) * 60 + second.min(59)
            }
            _ => return None,
        };
        let (milliseconds, zone) = match rest.strip_prefix('.') {
            None => (0, rest),
            Some(fraction) => {
                let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
                let (digits, zone) = fraction.split_at(end);
                (!digits.is_empty()).then_some(())?;
                let three = digits.bytes().chain(*b"000").take(3);
                (three.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')), zone)
            }
        };
        let days = days_before(year, month, day);
        let local = (days * 86_400 + seconds) * 1000 + milliseconds;
        Some(Ts(u64::try_from(local - offset(zone)? * 60_000).unwrap_or(0)))
    }
}

/// Minutes that a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = zone.as_bytes() else { return None };
    let (hours, minutes) = (pair(*h1, *h2)?, pair(*m1, *m2)?);
    (hours < 24 && minutes < 60).then_some(())?;
    let offset = hours * 60 + minutes;
    Some(if *sign == b'-' { -offset } else { offset })
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

fn pair(tens: u8, ones: u8) -> Option<i64> {
    number(&[tens, ones])
}

fn days_of(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of 400 years, which is the period of the calendar.
const DAYS_OF_ERA: i64 = 146_097;
/// Days from 1 March of the year 0, where an era begins, to 1970.
const TO_1970: i64 = 719_468;

/// Days from 1970 to this date. Years are counted from March, so that a leap day is the last of
/// one.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * DAYS_OF_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - TO_1970
}

/// The date so many days behind 1970, as [`days_before`] counts them.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + TO_1970;
    let (era, of_era) = (days.div_euclid(DAYS_OF_ERA), days.rem_euclid(DAYS_OF_ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

impl fmt::Display for Ts {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.0.min(LAST);
        let (year, month, day) = date(i64::try_from(at / DAY).unwrap_or(0));
        let of_day = at % DAY;
        let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
        let (second, millisecond) = (of_day / 1000 % 60, of_day % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1, "1970-01-01T00:00:00.001Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_796_087_927_181, "2026-12-01T01:18:47.181Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LAST, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!((Ts(at).to_string().as_str(), Ts::parse(text)), (text, Some(Ts(at))));
        }
        assert_eq!(Ts(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        for day in 0..200_000 {
            let at = Ts(day * DAY);
            assert_eq!(Ts::parse(&at.to_string()), Some(at));
        }
    }

    #[test]
    fn times_come_in_many_forms() {
        for (text, at) in [
            ("1970-01-01T00:00:01Z", Some(1000)),
            ("1970-01-01t00:00:01z", Some(1000)),
            ("1970-01-01T00:00:00.5Z", Some(500)),
            ("1970-01-01T00:00:00.123456789Z", Some(123)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1970-01-01T00:00:00-00:30", Some(1_800_000)),
            ("1970-01-01T00:00:00+00:30", Some(0)),
            ("0001-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T00:00:60Z", Some(59_000)),
            ("", None),
            ("1970-01-01", None),
            ("1970-01-01T00:00:00", None),
            ("1970-01-01 00:00:00Z", None),
            ("1970-01-01T00:00:00.Z", None),
            ("1970-01-01T24:00:00Z", None),
            ("1970-00-01T00:00:00Z", None),
            ("1970-13-01T00:00:00Z", None),
            ("1970-02-29T00:00:00Z", None),
            ("1970-01-01T00:00:00+0100", None),
            ("1970-01-01T00:00:00ZZ", None),
            ("70-01-01T00:00:00Z", None),
            ("19700101T000000Z", None),
            ("é970-01-01T00:00:00Z", None),
            ("+970-01-01T00:00:00Z", None),
        ] {
            assert_eq!(Ts::parse(text), at.map(Ts), "{text}");
        }
    }
}
