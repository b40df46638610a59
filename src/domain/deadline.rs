//! Deadlines of many connections with one task and no timer each: all wait equally long, so the
//! first to come is the first to end.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// A queue of items that are handed out `after` a fixed time.
#[derive(Debug)]
pub struct Deadlines<T> {
    after: Duration,
    waiting: Mutex<VecDeque<(Instant, T)>>,
    first: Notify,
}

impl<T> Deadlines<T> {
    /// An empty queue, whose items wait for the time `after`.
    pub fn new(after: Duration) -> Arc<Self> {
        Arc::new(Deadlines { after, waiting: Mutex::default(), first: Notify::new() })
    }

    /// `item` comes out of [`Deadlines::next`] when the time is over.
    pub fn push(&self, item: T) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back((Instant::now() + self.after, item));
        if waiting.len() == 1 {
            self.first.notify_one();
        }
    }

    /// The next item whose time is over.
    pub async fn next(&self) -> T {
        loop {
            let head = self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .front()
                .map(|(at, _)| *at);
            match head {
                None => self.first.notified().await,
                Some(at) => {
                    tokio::time::sleep_until(at).await;
                    let front =
                        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    if let Some((_, item)) = front {
                        return item;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn items_come_out_in_order_when_their_time_is_over() {
        let deadlines = Deadlines::new(Duration::from_secs(10));
        let begin = Instant::now();
        deadlines.push('a');
        tokio::time::advance(Duration::from_secs(4)).await;
        deadlines.push('b');
        assert_eq!((deadlines.next().await, begin.elapsed().as_secs()), ('a', 10));
        assert_eq!((deadlines.next().await, begin.elapsed().as_secs()), ('b', 14));
    }
}
