//! How often a user may sign in: windows in memory, each fixed from the first success.
use std::{collections::HashMap, sync::Mutex, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Embedded, lock};
use crate::domain::{error::StoreError, ids::Uid, limit::Limits};

pub(super) struct Windows {
    most: u32,
    length: Duration,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    open: HashMap<Uid, Window>,
    /// When ended windows were last thrown away.
    swept: Option<Instant>,
}

struct Window {
    since: Instant,
    successes: u32,
}

impl Windows {
    pub(super) fn new(most: u32, length: Duration) -> Self {
        Windows { most, length, counts: Mutex::default() }
    }

    fn admit(&self, uid: &Uid, now: Instant) -> bool {
        let mut counts = lock(&self.counts);
        // Once per window: what is kept are the windows of two lengths at most, and a sweep costs
        // each of its entries a moment.
        if now.duration_since(*counts.swept.get_or_insert(now)) >= self.length {
            counts.open.retain(|_, window| now.duration_since(window.since) < self.length);
            counts.swept = Some(now);
        }
        let window = counts.open.entry(uid.clone()).or_insert(Window { since: now, successes: 0 });
        if now.duration_since(window.since) >= self.length {
            *window = Window { since: now, successes: 0 };
        }
        let admitted = window.successes < self.most;
        window.successes += u32::from(admitted);
        admitted
    }
}

#[async_trait]
impl Limits for Embedded {
    async fn admit(&self, uid: &Uid) -> Result<bool, StoreError> {
        Ok(self.windows.as_ref().is_none_or(|windows| windows.admit(uid, Instant::now())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ended_windows_are_thrown_away() {
        let windows = Windows::new(30, Duration::from_secs(60));
        for i in 0..1000 {
            assert!(windows.admit(&Uid::text(&format!("visitor {i}")).unwrap(), Instant::now()));
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(windows.admit(&Uid::text("one more").unwrap(), Instant::now()));
        assert_eq!(lock(&windows.counts).open.len(), 1);
    }
}
