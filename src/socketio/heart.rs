//! Heartbeats of WebSockets, in groups: one task for all of them, and a connection's own is woken
//! only when its client is late.
//!
//! A ping that goes out alone wakes the server for itself, and once more for its answer. So time is
//! cut into a hundred parts of a ping interval, and all that falls due within one is done together:
//! see docs/decisions/0025-few-timers.md. The task exists only while there is somebody to watch.
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use tokio::{
    task::coop::consume_budget,
    time::{Instant, sleep_until},
};
use tokio_util::task::TaskTracker;

use super::{Options, Version};
use crate::{lock::lock, net::Connection};

/// Moments of a ping interval at which something is done.
const MOMENTS: u32 = 100;
/// engine.io's ping, as a frame.
const PING: &[u8] = &[0x81, 1, b'2'];

/// The hearts of all WebSockets of a server.
pub(super) struct Hearts {
    started: Instant,
    /// Milliseconds, as all times here.
    interval: u64,
    timeout: u64,
    step: u64,
    tasks: TaskTracker,
    calendar: Mutex<Calendar>,
}

/// Who is to be looked at when, by the number of the step.
#[derive(Default)]
struct Calendar {
    steps: BTreeMap<u64, Vec<Weak<Heart>>>,
    /// There is a task.
    kept: bool,
}

/// The heart of one WebSocket.
pub(super) struct Heart {
    connection: Arc<Connection>,
    version: Version,
    /// When the client was last sent a ping (version 4), or gave a sign of life (version 3).
    last: AtomicU64,
    /// Version 4: that ping is unanswered.
    unanswered: AtomicBool,
    /// It seems to be dead, and whoever reads from it is to decide.
    late: AtomicBool,
}

impl Hearts {
    pub(super) fn new(options: &Options, tasks: TaskTracker) -> Arc<Self> {
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Arc::new(Hearts {
            started: Instant::now(),
            interval: ms(options.ping_interval),
            timeout: ms(options.ping_timeout),
            step: ms(options.ping_interval / MOMENTS).max(1),
            tasks,
            calendar: Mutex::default(),
        })
    }

    fn ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Watches over a client that was last sent a ping `at` this time, or was heard then.
    pub(super) fn watch(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        version: Version,
        at: Instant,
    ) -> Arc<Heart> {
        let heart = Arc::new(Heart {
            connection: connection.clone(),
            version,
            last: self.ms(at).into(),
            unanswered: AtomicBool::new(false),
            late: AtomicBool::new(false),
        });
        let step = self.step_of(&heart);
        let mut calendar = lock(&self.calendar);
        calendar.steps.entry(step).or_default().push(Arc::downgrade(&heart));
        if !std::mem::replace(&mut calendar.kept, true) {
            let keeper = Keeper(self.clone());
            self.tasks.spawn(async move { keeper.0.keep().await });
        }
        drop(calendar);
        heart
    }

    /// The client gave a sign of life.
    pub(super) fn heard(&self, heart: &Heart) {
        match heart.version {
            Version::V3 => heart.last.store(self.ms(Instant::now()), Relaxed),
            Version::V4 => heart.unanswered.store(false, Relaxed),
        }
    }

    /// Whether the client is to be given up now.
    pub(super) fn is_dead(&self, heart: &Heart) -> bool {
        self.look(heart, self.ms(Instant::now())) == Look::Late
    }

    fn look(&self, heart: &Heart, now: u64) -> Look {
        let waits = now.saturating_sub(heart.last.load(Relaxed));
        match (heart.version, heart.unanswered.load(Relaxed)) {
            (Version::V3, _) if waits < self.interval.saturating_add(self.timeout) => Look::Well,
            (Version::V4, true) if waits < self.timeout => Look::Well,
            (Version::V3, _) | (Version::V4, true) => Look::Late,
            // Due within this step: with all others of it.
            (Version::V4, false) if waits.saturating_add(self.step) > self.interval => Look::Ping,
            (Version::V4, false) => Look::Well,
        }
    }

    /// When it is to be looked at again. A ping may go out a little early, but nobody is given up
    /// early. Whoever has answered is sent the next ping in time, also where an answer may take longer
    /// than that.
    fn step_of(&self, heart: &Heart) -> u64 {
        let last = heart.last.load(Relaxed);
        match (heart.version, heart.unanswered.load(Relaxed)) {
            (Version::V3, _) => {
                (last.saturating_add(self.interval).saturating_add(self.timeout)) / self.step + 1
            }
            (Version::V4, true) => {
                last.saturating_add(self.timeout.min(self.interval)) / self.step + 1
            }
            (Version::V4, false) => last.saturating_add(self.interval) / self.step,
        }
    }

    async fn keep(&self) {
        let mut step = self.ms(Instant::now()) / self.step;
        loop {
            let next = std::time::Duration::from_millis(step.saturating_mul(self.step));
            sleep_until(self.started + next).await;
            let due = {
                let mut calendar = lock(&self.calendar);
                if calendar.steps.is_empty() {
                    calendar.kept = false;
                    return;
                }
                let later = calendar.steps.split_off(&(step + 1));
                std::mem::replace(&mut calendar.steps, later)
            };
            let mut again = Vec::new();
            for heart in due.into_values().flatten() {
                let Some(alive) = heart.upgrade() else { continue };
                if self.beat(&alive) {
                    again.push((self.step_of(&alive).max(step + 1), heart));
                }
                drop(alive);
                consume_budget().await;
            }
            let mut calendar = lock(&self.calendar);
            for (step, heart) in again {
                calendar.steps.entry(step).or_default().push(heart);
            }
            drop(calendar);
            step = (step + 1).max(self.ms(Instant::now()) / self.step);
        }
    }

    /// Does what is due. False: it has ended.
    fn beat(&self, heart: &Heart) -> bool {
        if heart.connection.is_ended() {
            return false;
        }
        let now = self.ms(Instant::now());
        match self.look(heart, now) {
            Look::Well => {}
            Look::Ping => {
                heart.last.store(now, Relaxed);
                heart.unanswered.store(true, Relaxed);
                heart.connection.send(&Bytes::from_static(PING));
            }
            // We do not listen: it may well be alive.
            Look::Late if heart.connection.is_unread() => heart.last.store(now, Relaxed),
            // Until it has ended, or is not late any more: the waking may come too early to be heard.
            Look::Late => {
                heart.late.store(true, Relaxed);
                heart.connection.wake_reader();
            }
        }
        true
    }
}

impl Heart {
    /// Whether it seems to be dead. Whoever reads from the connection is woken when it does.
    pub(super) fn is_late(&self) -> bool {
        self.late.load(Relaxed)
    }

    /// It has answered after all, or can't be heard.
    pub(super) fn goes_on(&self) {
        self.late.store(false, Relaxed);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Look {
    Well,
    Ping,
    Late,
}

/// The task. Should it panic, the next connection starts another one.
struct Keeper(Arc<Hearts>);

impl Drop for Keeper {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(&self.0.calendar).kept = false;
        }
    }
}
