//! How fast one client may send. A client that is faster is read later, never refused: what it has
//! sent is handled, the kernel keeps the rest, and pushes back. So it slows down itself alone, and
//! loses nothing.
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::admission::Pace;

/// What a client has sent of late, beside what it may.
pub struct Meter {
    messages: Pace,
    bytes: Pace,
    /// Runs while it has sent more than it may.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Meter {
    pub(super) fn new(messages: Pace, bytes: Pace) -> Self {
        Meter { messages, bytes, pause: None }
    }

    /// A message of so many bytes has come. `Some`: until then no more of them is to be read.
    pub fn charge(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        let messages = self.messages.charge(1, now);
        messages.max(self.bytes.charge(u32::try_from(bytes).unwrap_or(u32::MAX), now))
    }

    /// What is owed of all that has come. `Some`: until then no more of it is to be read.
    pub fn owed(&mut self, now: Instant) -> Option<Instant> {
        self.messages.charge(0, now).max(self.bytes.charge(0, now))
    }

    /// As [`Meter::charge`]. True: it has to pause.
    pub(super) fn count(&mut self, bytes: usize, now: Instant) -> bool {
        let until = self.charge(bytes, now);
        self.pause = until.map(|until| Box::pin(sleep_until(until)));
        self.pause.is_some()
    }

    /// Ready when more of it may be read.
    pub(super) fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_sends_more_than_it_may_pauses_until_it_is_paid_for() {
        let second = Duration::from_secs(1);
        let mut meter = Meter::new(Pace::new(2, second), Pace::new(1000, second));
        let begin = Instant::now();
        assert_eq!(meter.charge(10, begin), None);
        assert_eq!(meter.charge(10, begin), None);
        assert_eq!(meter.charge(10, begin), Some(begin + second / 2), "the third");
        assert_eq!(meter.owed(begin), Some(begin + second / 2), "asking costs nothing");
        assert_eq!(meter.owed(begin + second / 2), None);
        let later = begin + 10 * second;
        assert_eq!(meter.charge(1000, later), None);
        assert_eq!(
            meter.charge(3000, later),
            Some(later + 3 * second),
            "a large one is taken, too"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_bounds_nobody_pauses() {
        let mut meter = Meter::new(Pace::new(0, Duration::ZERO), Pace::new(0, Duration::ZERO));
        assert!((0..1000).all(|_| meter.charge(usize::MAX, Instant::now()).is_none()));
    }
}
