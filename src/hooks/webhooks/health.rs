//! Whether it is the endpoint that fails, or one batch.
//!
//! An endpoint that fails is left alone for a while, and then asked by one batch, of another room
//! where there is one. Once that works, all goes on. A batch that fails again although others got
//! through since it failed before is itself what fails.
use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

/// First and longest pause of an endpoint that fails.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Batches that are remembered as having failed.
const SUSPECTS: usize = 1024;

/// Whose failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// The endpoint's: it is left alone so long.
    Endpoint(Duration),
    /// The batch's.
    Batch,
}

/// What may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// So many batches.
    Now(usize),
    /// Nothing before then.
    From(Instant),
    /// Nothing any more.
    Never,
}

/// What is known of an endpoint on this node.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Deliveries so far.
    successes: u64,
    /// Pauses since the last delivery.
    failures: u32,
    until: Option<Instant>,
    /// Batches that failed, and how many deliveries there were then.
    suspects: HashMap<Arc<str>, u64>,
    gone: bool,
}

impl Health {
    /// How much may be sent, if so much is under way and may be.
    pub(super) fn allowed(&self, now: Instant, concurrency: usize, under_way: usize) -> Allowed {
        match self.until {
            _ if self.gone => Allowed::Never,
            None => Allowed::Now(concurrency.saturating_sub(under_way)),
            Some(until) if until > now => Allowed::From(until),
            // One asks how it is.
            Some(_) => Allowed::Now(usize::from(under_way == 0)),
        }
    }

    /// The endpoint has a batch. True: it had failed before.
    pub(super) fn delivered(&mut self, id: &str) -> bool {
        self.successes += 1;
        self.suspects.remove(id);
        self.failures = 0;
        self.until.take().is_some()
    }

    /// The endpoint took nothing. `wanted` is how long it wants to be left alone, `dice` a random
    /// number from 0 to 1.
    pub(super) fn failed(
        &mut self,
        id: &Arc<str>,
        now: Instant,
        wanted: Option<Duration>,
        dice: f64,
    ) -> Blame {
        let before = self.suspects.insert(id.clone(), self.successes);
        if before.is_some_and(|before| before < self.successes) && self.until.is_none() {
            return Blame::Batch;
        }
        if self.suspects.len() > SUSPECTS {
            self.suspects.clear();
        }
        // Of many that were under way together one is enough to know it.
        if let Some(until) = self.until.filter(|until| *until > now)
            && wanted.is_none_or(|wanted| now + wanted <= until)
        {
            return Blame::Endpoint(until - now);
        }
        let pause = PAUSES.0.saturating_mul(1 << self.failures.min(16)).min(PAUSES.1);
        // From half of it on, so that nodes and endpoints don't come together.
        let pause = pause.mul_f64(0.5 + dice / 2.0).max(wanted.unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + pause);
        Blame::Endpoint(pause)
    }

    /// The endpoint wants nothing any more. True: that is news.
    pub(super) fn disable(&mut self) -> bool {
        !std::mem::replace(&mut self.gone, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Arc<str> {
        text.into()
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_fails_is_asked_by_one_after_each_pause() {
        let (mut health, now) = (Health::default(), Instant::now());
        assert_eq!(health.allowed(now, 16, 3), Allowed::Now(13));
        let first = health.failed(&id("a"), now, None, 1.0);
        assert_eq!(first, Blame::Endpoint(PAUSES.0));
        for other in ["b", "c", "d"] {
            let Blame::Endpoint(_) = health.failed(&id(other), now, None, 1.0) else { panic!() };
        }
        assert_eq!(health.allowed(now, 16, 0), Allowed::From(now + PAUSES.0));
        let now = now + PAUSES.0;
        assert_eq!(health.allowed(now, 16, 0), Allowed::Now(1));
        assert_eq!(health.allowed(now, 16, 1), Allowed::Now(0), "it is being asked");
        assert_eq!(health.failed(&id("b"), now, None, 1.0), Blame::Endpoint(2 * PAUSES.0));
        let mut pause = Duration::ZERO;
        for at in 0..20 {
            let now = now + Duration::from_secs(1000 * (at + 1));
            let Blame::Endpoint(next) = health.failed(&id("c"), now, None, 0.0) else { panic!() };
            assert!(next >= pause && next <= PAUSES.1);
            pause = next;
        }
        assert!(health.delivered("c"));
        assert_eq!(health.allowed(now, 16, 1), Allowed::Now(15));
        assert!(!health.delivered("d"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_endpoint_says_how_long() {
        let (mut health, now) = (Health::default(), Instant::now());
        let minute = Duration::from_secs(60);
        health.failed(&id("a"), now, None, 1.0);
        assert_eq!(health.failed(&id("b"), now, Some(minute), 1.0), Blame::Endpoint(minute));
        assert_eq!(health.allowed(now, 1, 0), Allowed::From(now + minute));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_fails_while_others_get_through_is_itself_what_fails() {
        let (mut health, now) = (Health::default(), Instant::now());
        health.failed(&id("poison"), now, None, 1.0);
        health.delivered("other");
        assert_eq!(health.failed(&id("poison"), now, None, 1.0), Blame::Batch);
        assert_eq!(health.allowed(now, 4, 0), Allowed::Now(4), "the others go on");
        // Nobody got through since: it may be the endpoint.
        let Blame::Endpoint(_) = health.failed(&id("poison"), now, None, 1.0) else { panic!() };
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut health, now) = (Health::default(), Instant::now());
        for at in 0..10_000 {
            health.failed(&id(&at.to_string()), now, None, 1.0);
            assert!(health.suspects.len() <= SUSPECTS);
        }
    }

    #[test]
    fn an_endpoint_that_is_gone_gets_nothing() {
        let mut health = Health::default();
        assert!(health.disable() && !health.disable());
        assert_eq!(health.allowed(Instant::now(), 9, 0), Allowed::Never);
    }
}
