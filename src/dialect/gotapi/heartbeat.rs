//! When a client is pinged, and when it counts as gone.
use std::time::Duration;

use tokio::time::Instant;

/// Between two pings.
const INTERVAL: Duration = Duration::from_millis(1800);
/// How long a ping may stay unanswered.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing yet.
    Rest,
    /// A ping is to be sent.
    Ping,
    /// A ping was not answered in time.
    Lost,
}

/// How far the client has been heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    /// Pongs so far.
    pub(super) pongs: u64,
    /// All that has come was read: a pong that is not among it did not come.
    pub(super) all: bool,
}

/// The pings of one connection.
#[derive(Debug)]
pub(super) struct Heartbeat {
    next: Instant,
    /// By when the oldest unanswered ping has to be answered, and the pongs before it.
    unanswered: Option<(Instant, u64)>,
}

impl Heartbeat {
    pub(super) fn begin(now: Instant) -> Self {
        Heartbeat { next: now + INTERVAL, unanswered: None }
    }

    /// When [`Heartbeat::beat`] is to be called.
    pub(super) fn due(&self) -> Instant {
        self.unanswered.map_or(self.next, |(deadline, _)| deadline.min(self.next))
    }

    /// Any pong answers all pings before it (RFC 6455, 5.5.3).
    pub(super) fn beat(&mut self, now: Instant, heard: Heard) -> Beat {
        match self.unanswered {
            Some((_, before)) if heard.pongs > before => self.unanswered = None,
            // It may well be alive.
            Some((_, before)) if !heard.all => self.unanswered = Some((now + TIMEOUT, before)),
            Some((deadline, _)) if now >= deadline => return Beat::Lost,
            Some(_) | None => {}
        }
        if now < self.next {
            return Beat::Rest;
        }
        self.next = now + INTERVAL;
        self.unanswered.get_or_insert((now + TIMEOUT, heard.pongs));
        Beat::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(pongs: u64) -> Heard {
        Heard { pongs, all: true }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_pinged_every_1800_ms() {
        let begin = Instant::now();
        let mut heart = Heartbeat::begin(begin);
        for ping in 1..5 {
            assert_eq!(heart.due(), begin + ping * INTERVAL);
            let pongs = u64::from(ping) - 1;
            assert_eq!(heart.beat(heart.due(), heard(pongs)), Beat::Ping);
        }
        assert_eq!(heart.beat(begin + 4 * INTERVAL, heard(4)), Beat::Rest);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_may_stay_unanswered_for_2_s() {
        let begin = Instant::now();
        let mut heart = Heartbeat::begin(begin);
        assert_eq!(heart.beat(begin + ms(1800), heard(0)), Beat::Ping);
        assert_eq!(heart.beat(begin + ms(3600), heard(0)), Beat::Ping, "the next one");
        assert_eq!(heart.due(), begin + ms(3800));
        assert_eq!(heart.beat(begin + ms(3799), heard(0)), Beat::Rest);
        assert_eq!(heart.beat(begin + ms(3800), heard(0)), Beat::Lost);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_takes_almost_as_long_is_one() {
        let begin = Instant::now();
        let mut heart = Heartbeat::begin(begin);
        for ping in 0..20 {
            let now = begin + (ping + 1) * INTERVAL;
            assert_eq!(heart.beat(now, heard(u64::from(ping.max(1)) - 1)), Beat::Ping);
            assert_eq!(heart.beat(now + ms(190), heard(u64::from(ping))), Beat::Rest);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_listened_to_is_not_lost() {
        let begin = Instant::now();
        let mut heart = Heartbeat::begin(begin);
        assert_eq!(heart.beat(begin + ms(1800), heard(0)), Beat::Ping);
        let unread = Heard { pongs: 0, all: false };
        assert_eq!(heart.beat(begin + ms(3800), unread), Beat::Ping);
        assert_eq!(heart.beat(begin + ms(5799), heard(0)), Beat::Ping);
        assert_eq!(heart.beat(begin + ms(5800), heard(0)), Beat::Lost);
    }
}
