//! A condition that lasts, or that clients can bring about again and again, is logged once, and
//! then at most once in ten seconds with a count: a log that fills the disk, or hides the line that
//! matters, is worse than none.
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The shortest time between two lines about the same condition.
const EVERY: Duration = Duration::from_secs(10);

/// How often a condition was met, and when it was logged last. Each place that logs one has its
/// own; see `throttled!` below.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    logged: Option<Instant>,
    times: u64,
}

impl Default for State {
    fn default() -> Self {
        Throttle::BEGINNING
    }
}

/// How often the condition was met since it was logged last, this time included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times(u64);

impl Times {
    /// For the log: nothing where it was met once.
    pub fn more(self) -> Option<u64> {
        (self.0 > 1).then_some(self.0)
    }
}

impl Throttle {
    const BEGINNING: State = State { logged: None, times: 0 };

    /// Of a condition that was never met.
    pub const fn new() -> Self {
        Throttle(Mutex::new(Self::BEGINNING))
    }

    /// The condition is met. Nothing: it is not to be logged again yet.
    pub fn met(&self, now: Instant) -> Option<Times> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.times += 1;
        if state.logged.is_some_and(|logged| now.saturating_duration_since(logged) < EVERY) {
            return None;
        }
        state.logged = Some(now);
        Some(Times(std::mem::take(&mut state.times)))
    }
}

/// Logs an event, given as for `tracing`, at most once in ten seconds, with the field `times` where
/// it was met more often; in between at `debug`, for whoever looks closely. True: it was logged in
/// earnest.
///
/// ```ignore
/// throttled!(warn, %error, "a connection could not be accepted");
/// ```
macro_rules! throttled {
    ($level:ident, $($event:tt)+) => {{
        static THROTTLE: $crate::throttle::Throttle = $crate::throttle::Throttle::new();
        let times = THROTTLE.met(tokio::time::Instant::now());
        let logged = times.is_some();
        match times {
            Some(times) => tracing::$level!(times = times.more(), $($event)+),
            None => tracing::debug!($($event)+),
        }
        logged
    }};
}
pub(crate) use throttled;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_logged_once_and_then_at_most_once_in_ten_seconds_with_a_count() {
        let (throttle, begin) = (Throttle::new(), Instant::now());
        let mut met =
            |seconds| throttle.met(begin + Duration::from_secs(seconds)).map(|times| times.0);
        assert_eq!([0, 1, 5, 9].map(&mut met), [Some(1), None, None, None]);
        assert_eq!(
            [10, 11, 19].map(&mut met),
            [Some(4), None, None],
            "the three before, and this one"
        );
        assert_eq!(met(60), Some(3));
        assert_eq!(met(100), Some(1));
        assert_eq!((Times(1).more(), Times(2).more()), (None, Some(2)));
    }

    #[test]
    fn each_place_has_its_own() {
        let mut logged = (0, 0);
        for _ in 0..3 {
            logged.0 += u64::from(throttled!(debug, "one condition"));
            logged.1 += u64::from(throttled!(debug, number = 1, "another one"));
        }
        assert_eq!(logged, (1, 1));
    }
}
