//! The polls of one session: which of two gets a message, and when its client polls no more.
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use crate::{dialect::tinode::outlet::Queue, lock::lock};

/// How long a poll is held.
const HOLD: Duration = Duration::from_millis(49_500);
/// Without a poll for so long, a session is gone.
const SILENCE: Duration = Duration::from_secs(60);

/// The polls of one session.
pub(super) struct Fetch {
    pub queue: Arc<Queue>,
    /// The number of the poll that came last,
    last: AtomicU64,
    /// and that there is one more.
    newer: Notify,
    open: AtomicUsize,
    /// When the last one began or ended.
    seen: Mutex<Instant>,
}

/// A poll that is being held, until it is dropped.
struct Open<'a>(&'a Fetch);

impl<'a> Open<'a> {
    fn new(fetch: &'a Fetch) -> Self {
        fetch.open.fetch_add(1, SeqCst);
        Open(fetch)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        *lock(&self.0.seen) = Instant::now();
        self.0.open.fetch_sub(1, SeqCst);
    }
}

impl Fetch {
    /// Of what waits here.
    pub fn new(queue: Arc<Queue>) -> Self {
        Fetch {
            queue,
            last: AtomicU64::new(0),
            newer: Notify::new(),
            open: AtomicUsize::new(0),
            seen: Mutex::new(Instant::now()),
        }
    }

    /// The next message, once there is one. Nothing, where none comes in time, or a later poll has
    /// come, which gets it.
    pub async fn next(&self) -> Option<Bytes> {
        let _open = Open::new(self);
        let number = self.last.fetch_add(1, SeqCst) + 1;
        self.newer.notify_waiters();
        let taken_over = async {
            loop {
                let newer = self.newer.notified();
                if self.last.load(SeqCst) != number {
                    return;
                }
                newer.await;
            }
        };
        tokio::select! {
            biased;
            () = taken_over => None,
            message = self.queue.next() => message,
            () = sleep(HOLD) => None,
        }
    }

    /// Whether its client polls no more.
    pub fn is_silent(&self) -> bool {
        self.open.load(SeqCst) == 0 && lock(&self.seen).elapsed() > SILENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch() -> Fetch {
        Fetch::new(Queue::new(1 << 20, 1_000))
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_gets_one_message_or_ends_after_a_while() {
        let (fetch, begin) = (fetch(), Instant::now());
        fetch.queue.push(&Bytes::from_static(b"a"));
        fetch.queue.push(&Bytes::from_static(b"b"));
        assert_eq!(fetch.next().await, Some(Bytes::from_static(b"a")));
        assert_eq!(fetch.next().await, Some(Bytes::from_static(b"b")));
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert_eq!(fetch.next().await, None);
        assert_eq!(begin.elapsed(), HOLD);
        fetch.queue.close();
        assert_eq!(fetch.next().await, None, "at once");
        assert_eq!(begin.elapsed(), HOLD);
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_polls_the_later_one_gets_what_comes() {
        let fetch = fetch();
        let says = async {
            sleep(Duration::from_secs(1)).await;
            fetch.queue.push(&Bytes::from_static(b"a"));
        };
        let later = async {
            sleep(Duration::from_millis(500)).await;
            fetch.next().await
        };
        let (earlier, later, ()) = tokio::join!(fetch.next(), later, says);
        assert_eq!((earlier, later), (None, Some(Bytes::from_static(b"a"))));
    }

    #[tokio::test(start_paused = true)]
    async fn who_polls_no_more_is_silent_after_a_minute() {
        let fetch = fetch();
        let poll = async {
            assert_eq!(fetch.next().await, None);
            assert!(!fetch.is_silent());
            sleep(SILENCE).await;
            assert!(!fetch.is_silent());
            sleep(Duration::from_secs(5)).await;
            assert!(fetch.is_silent());
        };
        let look = async {
            sleep(HOLD / 2).await;
            assert!(!fetch.is_silent(), "one is held");
        };
        tokio::join!(poll, look);
    }
}
