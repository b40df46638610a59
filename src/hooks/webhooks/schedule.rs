//! When what failed is tried again.
use std::time::Duration;

use http::StatusCode;

use crate::net::client::CallError;

/// Seconds before each further attempt of one batch, as a share of what they are together: ten
/// attempts, of which the last is made when the time is over. Standard Webhooks proposes them.
const PAUSES: [u64; 9] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// The longest that an endpoint may ask to be left alone.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It has the batch.
    Delivered,
    /// It wants nothing any more.
    Gone,
    /// It does not want this batch.
    Unwanted,
    /// It takes nothing now.
    Failing,
}

/// What the outcome of a request means, and a word for it.
pub(super) fn meaning<T>(outcome: &Result<T, CallError>) -> (Meaning, &'static str) {
    match outcome {
        // What it says besides is of no interest, however long.
        Ok(_) | Err(CallError::TooLarge { .. }) => (Meaning::Delivered, "delivered"),
        Err(CallError::Status { status, .. }) => match *status {
            StatusCode::GONE => (Meaning::Gone, "410"),
            StatusCode::TOO_MANY_REQUESTS => (Meaning::Failing, "429"),
            StatusCode::REQUEST_TIMEOUT => (Meaning::Failing, "timeout"),
            status if status.is_client_error() => (Meaning::Unwanted, "4xx"),
            status if status.is_server_error() => (Meaning::Failing, "5xx"),
            _ => (Meaning::Failing, "status"),
        },
        Err(error) => (Meaning::Failing, error.label()),
    }
}

/// How long until the next attempt of a batch of which so many have failed; none: it is given up.
pub(super) fn pause(failed: u32, keep: Duration) -> Option<Duration> {
    let pause = PAUSES.get(usize::try_from(failed).ok()?.checked_sub(1)?)?;
    let all: u64 = PAUSES.iter().sum();
    Some(keep.mul_f64(*pause as f64 / all as f64))
}

/// How long the endpoint wants to be left alone, as it says in `retry-after`: seconds, or a time.
pub(super) fn retry_after(text: &str, now: u64) -> Option<Duration> {
    let text = text.trim();
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => date(text)?.saturating_sub(now),
    };
    Some(Duration::from_secs(seconds).min(LONGEST))
}

/// Seconds since 1970 of an HTTP date (RFC 9110): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok().filter(|year| (1970..10_000).contains(year))?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if words.next() != Some("GMT") || day > 31 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some(days.checked_sub(719_468)? * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> Result<(), CallError> {
        let status = StatusCode::from_u16(code).unwrap();
        Err(CallError::Status { status, retry_after: None })
    }

    #[test]
    fn answers_mean_what_the_contract_says() {
        assert_eq!(meaning(&Ok(())).0, Meaning::Delivered);
        let large = CallError::TooLarge { status: StatusCode::OK, most: 1 };
        assert_eq!(meaning::<()>(&Err(large)).0, Meaning::Delivered);
        for (code, wanted) in [
            (410, Meaning::Gone),
            (429, Meaning::Failing),
            (408, Meaning::Failing),
            (500, Meaning::Failing),
            (503, Meaning::Failing),
            (301, Meaning::Failing),
            (400, Meaning::Unwanted),
            (404, Meaning::Unwanted),
            (413, Meaning::Unwanted),
        ] {
            assert_eq!(meaning(&status(code)).0, wanted, "{code}");
        }
        let broken = CallError::Broken("x".into());
        assert_eq!(meaning::<()>(&Err(broken)), (Meaning::Failing, "broken"));
    }

    #[test]
    fn a_batch_is_tried_ten_times_within_the_time_that_is_set() {
        let keep = Duration::from_secs(75 * 3600);
        let pauses: Vec<_> = (1..20).map_while(|failed| pause(failed, keep)).collect();
        assert_eq!(pauses.len(), 9, "after the first attempt");
        assert!(pauses.is_sorted() && pauses[0] < Duration::from_secs(5));
        let sum: Duration = pauses.iter().sum();
        assert!(sum.abs_diff(keep) < Duration::from_secs(1), "{sum:?}");
        assert_eq!((pause(10, keep), pause(0, keep)), (None, None));
    }

    #[test]
    fn the_endpoint_may_say_when_by_seconds_or_by_date() {
        let now = 784_111_770;
        let after = |text| retry_after(text, now);
        assert_eq!(after(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(after("Tue, 29 Feb 2000 00:00:00 GMT"), Some(LONGEST));
        assert_eq!(after("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO), "it is over");
        assert_eq!(after("99999999999"), Some(LONGEST));
        for bad in ["", "soon", "-1", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, x", ", 1 Jan"] {
            assert_eq!(after(bad), None, "{bad}");
        }
    }
}
