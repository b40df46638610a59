//! How often something may happen: `count` times in `window`, all at once or spread (the generic
//! cell rate algorithm of ATM, ITU-T I.371). It remembers one moment, whatever the rate.
use std::time::Duration;

use tokio::time::Instant;

use crate::config::RateLimit;

/// How often, and what is used up of it.
#[derive(Debug, Clone)]
pub(in crate::net) struct Pace {
    /// What one costs; zero: any number may come.
    step: Duration,
    window: Duration,
    /// When all that came would be paid for; `None`: nothing came yet.
    paid: Option<Instant>,
}

impl Pace {
    /// As a setting has it.
    pub(super) fn of(rate: RateLimit) -> Self {
        Pace::new(rate.count, rate.window)
    }

    /// `count` in `window`; 0: any number.
    pub(in crate::net) fn new(count: u32, window: Duration) -> Self {
        let step = if count == 0 { Duration::ZERO } else { window / count };
        Pace { step, window, paid: None }
    }

    /// So many have come, whether they may or not. `Some`: no more may before that.
    pub(in crate::net) fn charge(&mut self, number: u32, now: Instant) -> Option<Instant> {
        if self.step.is_zero() {
            return None;
        }
        let paid = self.paid.map_or(now, |paid| paid.max(now)) + self.step.saturating_mul(number);
        self.paid = Some(paid);
        (paid.saturating_duration_since(now) > self.window).then(|| paid - self.window)
    }

    /// One more comes. False: it is too much.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        if self.step.is_zero() {
            return true;
        }
        let paid = self.paid.map_or(now, |paid| paid.max(now)) + self.step;
        if paid.saturating_duration_since(now) > self.window {
            return false;
        }
        self.paid = Some(paid);
        true
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
    fn without_a_bound_any_number_may_come() {
        let mut pace = Pace::new(0, Duration::ZERO);
        assert!((0..10_000).all(|_| pace.admit(Instant::now())));
    }
}
