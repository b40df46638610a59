//! Rooms that this node has members of: how far each one's order has come here.
//!
//! Publications reach a room by three ways: as the answer to this node's own call, from the channel (this node's own among them, again), and
//! out of the replay list. [`Followed::apply`] lets each one through once, and in order, whichever comes first; what is ahead of its
//! turn is a gap, and what is missing either is on its way or has to be asked for.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{lock, wire::Told};
use crate::domain::{broker::Sink, ids::RoomId};

/// What became of publications that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Delivered, now or before.
    Done,
    /// Others before them are missing.
    Gap,
}

/// Where the room's order stands here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct At {
    pub(super) epoch: u64,
    pub(super) n: u64,
}

enum Tail {
    /// Subscribed, or about to be; where the order stands is not known yet.
    Opening(Vec<Told>),
    Open(At),
}

/// A room that this node is told of.
pub(super) struct Followed {
    tail: Mutex<Tail>,
    reached: watch::Sender<u64>,
    /// Somebody asks Redis for what is missing.
    healing: AtomicBool,
}

impl Followed {
    fn new() -> Arc<Self> {
        Arc::new(Followed { tail: Mutex::new(Tail::Opening(Vec::new())), reached: watch::Sender::new(0), healing: AtomicBool::new(false) })
    }

    /// Where the order stands, once that is known.
    pub(super) fn at(&self) -> Option<At> {
        match &*lock(&self.tail) {
            Tail::Opening(_) => None,
            Tail::Open(at) => Some(*at),
        }
    }

    /// The order stood there when the subscription had begun.
    pub(super) fn open(&self, room: &RoomId, at: At, sink: &dyn Sink) -> Step {
        let mut tail = lock(&self.tail);
        let mut now = at;
        let waiting = match &mut *tail {
            Tail::Opening(waiting) => std::mem::take(waiting),
            Tail::Open(_) => Vec::new(),
        };
        let gap = waiting.into_iter().any(|told| advance(&mut now, room, told, sink) == Step::Gap);
        *tail = Tail::Open(now);
        self.reached.send_replace(now.n);
        if gap { Step::Gap } else { Step::Done }
    }

    /// Delivers publications if it is their turn. The lock is held meanwhile: a room's deliveries follow each other.
    pub(super) fn apply(&self, room: &RoomId, told: Told, sink: &dyn Sink) -> Step {
        match &mut *lock(&self.tail) {
            Tail::Opening(waiting) => {
                waiting.push(told);
                Step::Done
            }
            Tail::Open(at) => {
                let step = advance(at, room, told, sink);
                self.reached.send_replace(at.n);
                step
            }
        }
    }

    /// Redis says that the order stands at `now`, and what it still has of the way there. What it has no more is lost.
    pub(super) fn repair(&self, room: &RoomId, now: At, kept: Vec<Told>, sink: &dyn Sink) {
        let mut tail = lock(&self.tail);
        let Tail::Open(at) = &mut *tail else { return };
        for told in kept {
            advance(at, room, told, sink);
        }
        let whole = if at.epoch == now.epoch { at.n >= now.n } else { at.n == now.n };
        if !whole {
            tracing::warn!(%room, here = at.n, there = now.n, "publications were missed for good; the room's clients come back and read the log");
            sink.lose(room);
        }
        if !whole || at.epoch != now.epoch {
            *at = now;
        }
        self.reached.send_replace(at.n);
    }

    /// Waits until publications up to `n` were delivered; false: not in time.
    pub(super) async fn reach(&self, n: u64, deadline: Instant) -> bool {
        timeout_at(deadline, self.reached.subscribe().wait_for(|reached| *reached >= n)).await.is_ok()
    }

    /// What is seen to be missing from now on is asked for once more.
    pub(super) fn begin_asking(&self) {
        self.healing.store(false, SeqCst);
    }

    /// True for whoever is to ask for what is missing.
    pub(super) fn begin_healing(&self) -> bool {
        !self.healing.swap(true, SeqCst)
    }
}

fn advance(at: &mut At, room: &RoomId, mut told: Told, sink: &dyn Sink) -> Step {
    if told.epoch != at.epoch {
        if at.n < told.base {
            return Step::Gap;
        }
        if at.n > told.base {
            tracing::error!(%room, lost = at.n - told.base, "Redis has lost publications that were delivered here; the room's clients come back");
            sink.lose(room);
        }
        *at = At { epoch: told.epoch, n: told.base };
    }
    if told.last() <= at.n {
        return Step::Done;
    }
    if told.first > at.n + 1 {
        return Step::Gap;
    }
    told.publications.drain(..(at.n + 1 - told.first) as usize);
    at.n = told.publications.last().map_or(at.n, |last| last.n);
    sink.deliver(room, told.publications);
    Step::Done
}

/// All rooms that this node is told of.
#[derive(Default)]
pub(super) struct Rooms(Mutex<HashMap<RoomId, Entry>>);

struct Entry {
    followed: Arc<Followed>,
    /// Nobody is there any more, since then.
    idle: Option<Instant>,
}

impl Rooms {
    pub(super) fn get(&self, room: &str) -> Option<Arc<Followed>> {
        lock(&self.0).get(room).map(|entry| entry.followed.clone())
    }

    pub(super) fn id(&self, room: &str) -> Option<(RoomId, Arc<Followed>)> {
        lock(&self.0).get_key_value(room).map(|(id, entry)| (id.clone(), entry.followed.clone()))
    }

    /// Goes on with a room that is still followed.
    pub(super) fn keep(&self, room: &RoomId) -> bool {
        let mut rooms = lock(&self.0);
        let Some(entry) = rooms.get_mut(room).filter(|entry| entry.followed.at().is_some()) else { return false };
        entry.idle = None;
        true
    }

    pub(super) fn add(&self, room: &RoomId) -> Arc<Followed> {
        let followed = Followed::new();
        lock(&self.0).insert(room.clone(), Entry { followed: followed.clone(), idle: None });
        followed
    }

    /// The room need not be followed any more.
    pub(super) fn leave(&self, room: &RoomId) {
        if let Some(entry) = lock(&self.0).get_mut(room) {
            entry.idle = Some(Instant::now());
        }
    }

    pub(super) fn remove(&self, room: &RoomId) {
        lock(&self.0).remove(room);
    }

    /// Whether there is any that nobody was in for so long.
    pub(super) fn any_idle(&self, after: Duration) -> bool {
        lock(&self.0).values().any(|entry| entry.idle.is_some_and(|since| since.elapsed() >= after))
    }

    /// Takes out what nobody was in for so long.
    pub(super) fn sweep(&self, after: Duration) -> Vec<RoomId> {
        let swept = |_: &RoomId, entry: &mut Entry| entry.idle.is_some_and(|since| since.elapsed() >= after);
        lock(&self.0).extract_if(swept).map(|(room, _)| room).collect()
    }

    pub(super) fn all(&self) -> Vec<(RoomId, Arc<Followed>)> {
        lock(&self.0).iter().map(|(room, entry)| (room.clone(), entry.followed.clone())).collect()
    }
}
