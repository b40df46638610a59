//! A circuit breaker: after so many failures in a row nothing is tried for some time, and then by
//! one, a probe, on whose outcome it depends whether the others try again.
//!
//! ```text
//!              10 failures in a row              the pause is over
//!   Closed ────────────────────────────▶ Open ──────────────────────▶ Probing
//!     ▲                                   ▲  the probe fails: a pause    │
//!     │                                   └── twice as long ─────────────┤
//!     └───────────────────────────────────────── the probe succeeds ─────┘
//! ```
use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

use crate::lock::lock;

/// Failures in a row that open it.
const FAILURES: u32 = 10;
/// The first and the longest pause.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// A circuit breaker.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Clone, Copy)]
enum State {
    /// All are let through.
    Closed { failures: u32 },
    /// None is.
    Open { until: Instant, pause: Duration },
    /// The probe was let through; none is until it has ended.
    Probing { pause: Duration },
}

impl Default for State {
    fn default() -> Self {
        State::Closed { failures: 0 }
    }
}

/// What an outcome made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing is tried for this time, which was so before or not.
    Opened(Duration),
    /// All are let through again.
    Closed,
}

impl Breaker {
    /// Whether somebody who came now would be let through.
    pub(super) fn lets_through(&self, now: Instant) -> bool {
        match *lock(&self.0) {
            State::Closed { .. } => true,
            State::Open { until, .. } => until <= now,
            State::Probing { .. } => false,
        }
    }

    /// Lets somebody through, or nobody.
    pub(super) fn turn(&self, now: Instant) -> Option<Turn<'_>> {
        let mut state = lock(&self.0);
        let probe = match *state {
            State::Closed { .. } => false,
            State::Open { until, pause } if until <= now => {
                *state = State::Probing { pause };
                true
            }
            State::Open { .. } | State::Probing { .. } => return None,
        };
        Some(Turn { breaker: self, probe, ended: false })
    }

    /// Whether nobody, or only a probe, is let through.
    pub(super) fn is_open(&self) -> bool {
        !matches!(*lock(&self.0), State::Closed { .. })
    }

    fn ended(&self, probe: bool, works: bool, now: Instant) -> Option<Change> {
        let mut state = lock(&self.0);
        let open = |state: &mut State, pause| {
            *state = State::Open { until: now + pause, pause };
            Some(Change::Opened(pause))
        };
        match (*state, works) {
            (State::Closed { .. }, true) => {
                *state = State::default();
                None
            }
            // Whoever was let through before may learn first that it works again.
            (State::Open { .. } | State::Probing { .. }, true) => {
                *state = State::default();
                Some(Change::Closed)
            }
            (State::Closed { failures }, false) if failures + 1 < FAILURES => {
                *state = State::Closed { failures: failures + 1 };
                None
            }
            (State::Closed { .. }, false) => open(&mut state, PAUSES.0),
            (State::Probing { pause }, false) if probe => {
                open(&mut state, (pause * 2).min(PAUSES.1))
            }
            // That it does not work is known.
            (State::Open { .. } | State::Probing { .. }, false) => None,
        }
    }
}

/// Somebody was let through.
#[must_use]
pub(super) struct Turn<'a> {
    breaker: &'a Breaker,
    probe: bool,
    ended: bool,
}

impl Turn<'_> {
    /// It ended, and what was tried works or does not.
    pub(super) fn ended(mut self, works: bool, now: Instant) -> Option<Change> {
        self.ended = true;
        self.breaker.ended(self.probe, works, now)
    }
}

impl Drop for Turn<'_> {
    /// Nothing is known of what was given up: the next one is the probe.
    fn drop(&mut self) {
        if self.ended || !self.probe {
            return;
        }
        let mut state = lock(&self.breaker.0);
        if let State::Probing { pause } = *state {
            *state = State::Open { until: Instant::now(), pause };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, times: u32, now: Instant) {
        for _ in 0..times {
            let _ = breaker.turn(now).unwrap().ended(false, now);
        }
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_not_before() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        fail(&breaker, FAILURES - 1, now);
        assert_eq!(breaker.turn(now).unwrap().ended(true, now), None);
        fail(&breaker, FAILURES - 1, now);
        assert!(!breaker.is_open());
        let change = breaker.turn(now).unwrap().ended(false, now);
        assert_eq!(change, Some(Change::Opened(PAUSES.0)));
        assert!(breaker.is_open() && breaker.turn(now).is_none() && !breaker.lets_through(now));
    }

    #[test]
    fn after_the_pause_one_probes_and_decides_for_all() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        fail(&breaker, FAILURES, now);
        for pause in [2, 4, 8, 10, 10] {
            now += PAUSES.1;
            assert!(breaker.lets_through(now));
            let probe = breaker.turn(now).unwrap();
            assert!(breaker.turn(now).is_none() && !breaker.lets_through(now), "one at a time");
            let change = probe.ended(false, now);
            assert_eq!(change, Some(Change::Opened(Duration::from_secs(pause))));
            assert!(breaker.turn(now).is_none());
        }
        now += PAUSES.1;
        assert_eq!(breaker.turn(now).unwrap().ended(true, now), Some(Change::Closed));
        assert!(!breaker.is_open());
        fail(&breaker, FAILURES - 1, now);
        assert!(!breaker.is_open(), "it begins anew");
    }

    #[test]
    fn those_who_were_let_through_before_are_no_probes() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let before: Vec<_> = (0..3).map(|_| breaker.turn(now).unwrap()).collect();
        let mut before = before.into_iter();
        fail(&breaker, FAILURES, now);
        let later = now + PAUSES.0;
        let probe = breaker.turn(later).unwrap();
        assert_eq!(before.next().unwrap().ended(false, later), None, "nothing new");
        assert!(breaker.turn(later).is_none(), "the probe is on its way still");
        assert_eq!(before.next().unwrap().ended(true, later), Some(Change::Closed));
        assert_eq!(probe.ended(true, later), None);
    }

    #[test]
    fn a_probe_that_is_given_up_is_followed_by_another_one() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        fail(&breaker, FAILURES, now);
        let later = now + PAUSES.0;
        drop(breaker.turn(later).unwrap());
        assert!(breaker.turn(Instant::now() + PAUSES.0).is_some());
    }
}
