//! How often something may happen: `count` times in `window`, all at once or spread (the generic
//! cell rate algorithm of ATM, ITU-T I.371). It remembers one moment, whatever the rate.
use std::time::Duration;

use tokio::time::Instant;

/// At most `count` times within `window`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// How often; 0: any number of times.
    pub count: u32,
    /// Within which time.
    pub window: Duration,
}

impl Rate {
    /// Whether it bounds nothing.
    pub fn is_off(self) -> bool {
        self.count == 0
    }
}

/// How often, and what is used up of it.
#[derive(Debug, Clone)]
pub struct Pace {
    /// What one costs; zero: any number may come.
    step: Duration,
    window: Duration,
    /// When all that came would be paid for; `None`: nothing came yet.
    paid: Option<Instant>,
}

impl Pace {
    /// `count` in `window`; 0: any number.
    pub fn new(count: u32, window: Duration) -> Self {
        let step = if count == 0 { Duration::ZERO } else { window / count };
        Pace { step, window, paid: None }
    }

    /// So many have come, whether they may or not. `Some`: no more may before that.
    pub fn charge(&mut self, number: u32, now: Instant) -> Option<Instant> {
        if self.step.is_zero() {
            return None;
        }
        let paid = self.paid.map_or(now, |paid| paid.max(now)) + self.step.saturating_mul(number);
        self.paid = Some(paid);
        (paid.saturating_duration_since(now) > self.window).then(|| paid - self.window)
    }

    /// One more comes. False: it is too much.
    pub fn admit(&mut self, now: Instant) -> bool {
        let may = self.would_admit(now);
        if may && !self.step.is_zero() {
            self.paid = Some(self.next(now));
        }
        may
    }

    /// Whether one more may come.
    pub fn would_admit(&self, now: Instant) -> bool {
        self.step.is_zero() || self.next(now).saturating_duration_since(now) <= self.window
    }

    /// When all would be paid for with one more.
    fn next(&self, now: Instant) -> Instant {
        self.paid.map_or(now, |paid| paid.max(now)) + self.step
    }
}

impl From<Rate> for Pace {
    fn from(rate: Rate) -> Self {
        Pace::new(rate.count, rate.window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_may_come_at_once_and_then_one_in_each_step() {
        let begin = Instant::now();
        let mut pace = Pace::new(4, Duration::from_secs(2));
        let mut at = |ms| pace.admit(begin + Duration::from_millis(ms));
        assert_eq!([0, 0, 0, 0, 0].map(&mut at), [true, true, true, true, false]);
        assert_eq!([499, 500, 500].map(&mut at), [false, true, false]);
        assert_eq!([10_000; 5].map(&mut at), [true, true, true, true, false]);
    }

    #[test]
    fn who_only_asks_whether_it_may_come_uses_nothing_up() {
        let (begin, mut pace) = (Instant::now(), Pace::new(1, Duration::from_secs(2)));
        assert!((0..3).all(|_| pace.would_admit(begin)));
        assert!(pace.admit(begin));
        assert!(!pace.would_admit(begin));
    }

    #[test]
    fn without_a_bound_any_number_may_come() {
        let mut pace = Pace::from(Rate::default());
        assert!((0..10_000).all(|_| pace.admit(Instant::now())));
        assert_eq!(pace.charge(u32::MAX, Instant::now()), None);
    }
}
