//! Rooms that this node has members of: how far each one's order has come here.
//!
//! Publications reach a room by three ways: as the answer to this node's own call, from the channel
//! (this node's own among them, again), and out of the replay list. [`Followed::apply`] lets each
//! one through once, and in order, whichever comes first; what is ahead of its turn waits, and what
//! is missing before it either is on its way or has to be asked for.
mod rooms;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Mutex};

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

pub(super) use self::rooms::Rooms;
use super::{
    lock,
    wire::{Epoch, Told},
};
use crate::domain::{broker::RoomSink, ids::RoomId};
use crate::throttle::throttled;

/// Publications of a room that wait for those before them; more are asked for again.
const AHEAD: usize = 256;
/// Bytes from the channel that a room may have before it: more are thrown away, and asked for when
/// it has caught up.
const INCOMING: usize = 8 << 20;

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
    /// The epoch in which that place was taken.
    pub(super) taken: u64,
}

impl At {
    /// A place in an epoch, or the one where it began.
    pub(super) fn of(epoch: &Epoch, n: u64) -> Self {
        At { epoch: epoch.name, n, taken: if n > epoch.base { epoch.name } else { epoch.from } }
    }

    /// Whether what was told up to here is what Redis knew when that epoch began. The same number
    /// says nothing: the place may have been lost, and taken anew.
    fn leads_to(&self, epoch: &Epoch) -> bool {
        self.n == epoch.base && (self.n == 0 || self.taken == epoch.from)
    }
}

/// What Redis says of a room's order.
pub(super) struct Answer {
    pub(super) epoch: Epoch,
    pub(super) n: u64,
    /// Publications behind what was asked for, as far as they are kept.
    pub(super) kept: Vec<Told>,
}

/// The room's order, here.
#[derive(Default)]
struct Tail {
    /// None: subscribed, or about to be; where the order stands is not known yet.
    at: Option<At>,
    /// The epoch before: what is still on its way of it was delivered, or is lost.
    before: Option<u64>,
    /// Ahead of their turn.
    ahead: Vec<Told>,
    /// Somebody asks Redis for what is missing.
    asking: bool,
    /// Something was thrown away.
    missed: bool,
}

/// What came from the channel and was not looked at yet.
#[derive(Default)]
struct Incoming {
    texts: VecDeque<Bytes>,
    bytes: usize,
    draining: bool,
    overflowed: bool,
}

/// A room that this node is told of.
#[derive(Default)]
pub(super) struct Followed {
    tail: Mutex<Tail>,
    incoming: Mutex<Incoming>,
    reached: watch::Sender<u64>,
}

impl Followed {
    /// Where the order stands, once that is known.
    #[cfg(test)]
    pub(super) fn at(&self) -> Option<At> {
        lock(&self.tail).at
    }

    /// Where the order stands; none also while something is being delivered.
    pub(super) fn at_now(&self) -> Option<At> {
        self.tail.try_lock().ok().and_then(|tail| tail.at)
    }

    /// Takes what came from the channel; true for whoever is to drain it.
    pub(super) fn receive(&self, text: Bytes) -> bool {
        let mut incoming = lock(&self.incoming);
        if incoming.bytes + text.len() > INCOMING && !incoming.texts.is_empty() {
            incoming.overflowed = true;
        } else {
            incoming.bytes += text.len();
            incoming.texts.push_back(text);
        }
        !std::mem::replace(&mut incoming.draining, true)
    }

    /// The next of it; the draining ends with the last.
    pub(super) fn next(&self) -> Option<Bytes> {
        let mut incoming = lock(&self.incoming);
        let text = incoming.texts.pop_front();
        incoming.bytes -= text.as_ref().map_or(0, Bytes::len);
        incoming.draining = text.is_some();
        text
    }

    /// Whether something was thrown away since this was last asked.
    pub(super) fn overflowed(&self) -> bool {
        std::mem::take(&mut lock(&self.incoming).overflowed)
    }

    /// The order stood there when the subscription had begun.
    pub(super) fn open(&self, room: &RoomId, at: At, sink: &dyn RoomSink) -> Step {
        let mut tail = lock(&self.tail);
        tail.at.get_or_insert(at);
        tail.advance_ahead(room, sink);
        self.reached.send_replace(tail.at.unwrap_or(at).n);
        tail.step()
    }

    /// Delivers publications if it is their turn. The lock is held meanwhile: a room's deliveries
    /// follow each other. A gap is told for those that are ahead of their turn; what waits for
    /// others that are just coming is none.
    pub(super) fn apply(&self, room: &RoomId, told: Told, sink: &dyn RoomSink) -> Step {
        let mut tail = lock(&self.tail);
        let step = tail.advance(room, told, sink);
        if step == Step::Done && !tail.ahead.is_empty() {
            tail.advance_ahead(room, sink);
        }
        let Some(at) = tail.at else { return Step::Done };
        self.reached.send_replace(at.n);
        if tail.missed { Step::Gap } else { step }
    }

    /// True for whoever is to ask for what is missing.
    pub(super) fn begin_asking(&self) -> bool {
        let mut tail = lock(&self.tail);
        tail.at.is_some() && !std::mem::replace(&mut tail.asking, true)
    }

    /// Where the order stands, for a question. What is missed from now on is asked for once more.
    pub(super) fn ask(&self) -> Option<At> {
        let mut tail = lock(&self.tail);
        tail.missed = false;
        tail.at
    }

    /// Something may have been missed, whatever an answer says that was asked for before.
    pub(super) fn miss(&self) {
        lock(&self.tail).missed = true;
    }

    /// Nobody asks any more.
    pub(super) fn end_asking(&self) {
        lock(&self.tail).asking = false;
    }

    /// Redis said where the order stands, and what it still has of the way there from where it
    /// stood here when it was `asked`. What it has no more is lost. True when nothing is
    /// missing now: then the asking has ended.
    pub(super) fn repair(
        &self,
        room: &RoomId,
        asked: At,
        answer: Answer,
        sink: &dyn RoomSink,
    ) -> bool {
        let Answer { epoch, n, kept } = answer;
        let now = At::of(&epoch, n);
        let mut tail = lock(&self.tail);
        // Asked before the epoch changed here: the answer says nothing.
        if tail.at.is_none_or(|at| at.epoch != asked.epoch) {
            return false;
        }
        for told in kept {
            tail.advance(room, told, sink);
        }
        let at = tail.at.unwrap_or(asked);
        let same = at.epoch == now.epoch;
        // In an epoch that is new here nothing was told, or it would be among those kept.
        let whole = if same { at.n >= n } else { n == epoch.base && at.leads_to(&epoch) };
        if !whole {
            throttled!(
                warn,
                ?room,
                here = at.n,
                there = n,
                "publications were missed for good; the room's clients come back and read the log"
            );
            sink.missed(room, n);
        }
        if !same {
            tail.before = Some(at.epoch);
        }
        if !whole || !same {
            tail.at = Some(now);
        }
        // What waits of another epoch would wait for ever.
        let waiting = tail.ahead.len();
        tail.ahead.retain(|told| told.epoch.name == epoch.name);
        tail.missed |= tail.ahead.len() < waiting;
        tail.advance_ahead(room, sink);
        self.reached.send_replace(tail.at.map_or(0, |at| at.n));
        tail.asking = tail.step() == Step::Gap;
        !tail.asking
    }

    /// What is missing can't be had.
    pub(super) fn give_up(&self, room: &RoomId, sink: &dyn RoomSink) {
        let mut tail = lock(&self.tail);
        tail.ahead.clear();
        (tail.asking, tail.missed) = (false, false);
        sink.missed(room, u64::MAX);
    }

    /// A task of this room has panicked, and does nothing any more; what it was handing out is
    /// lost.
    pub(super) fn failed(&self, room: &RoomId, sink: &dyn RoomSink) {
        lock(&self.incoming).draining = false;
        self.give_up(room, sink);
    }

    /// Waits until publications up to `n` were delivered; false: not in time.
    pub(super) async fn reach(&self, n: u64, deadline: Instant) -> bool {
        timeout_at(deadline, self.reached.subscribe().wait_for(|reached| *reached >= n))
            .await
            .is_ok()
    }
}

impl Tail {
    /// Whether others are missing.
    fn step(&self) -> Step {
        if self.ahead.is_empty() && !self.missed { Step::Done } else { Step::Gap }
    }

    /// Delivers them if it is their turn, or keeps them until it is.
    fn advance(&mut self, room: &RoomId, mut told: Told, sink: &dyn RoomSink) -> Step {
        let Some(at) = &mut self.at else {
            self.keep(told);
            return Step::Gap;
        };
        if told.epoch.name != at.epoch {
            if self.before == Some(told.epoch.name) {
                return Step::Done;
            }
            if at.n < told.epoch.base {
                self.keep(told);
                return Step::Gap;
            }
            if !at.leads_to(&told.epoch) {
                let there = told.epoch.base;
                throttled!(
                    error,
                    ?room,
                    here = at.n,
                    there,
                    "Redis has lost publications that were delivered here; the room's clients come back"
                );
                sink.missed(room, there);
            }
            self.before = Some(at.epoch);
            *at = At::of(&told.epoch, told.epoch.base);
        }
        if told.last() <= at.n {
            return Step::Done;
        }
        if told.first > at.n + 1 {
            self.keep(told);
            return Step::Gap;
        }
        if told.first <= at.n {
            told.publications.retain(|publication| publication.n > at.n);
        }
        (at.n, at.taken) = (told.last(), told.epoch.name);
        if !told.publications.is_empty() {
            sink.deliver(room, told.publications);
        }
        if told.invalidates {
            sink.invalidate(room);
        }
        Step::Done
    }

    fn keep(&mut self, told: Told) {
        if self.ahead.len() < AHEAD {
            self.ahead.push(told);
        } else {
            self.missed = true;
        }
    }

    fn advance_ahead(&mut self, room: &RoomId, sink: &dyn RoomSink) {
        let mut ahead = std::mem::take(&mut self.ahead);
        // Epochs in the order in which they came; within one by place.
        let mut epochs: Vec<Epoch> = Vec::new();
        ahead.iter().for_each(|told| {
            if !epochs.contains(&told.epoch) {
                epochs.push(told.epoch)
            }
        });
        ahead
            .sort_by_key(|told| (epochs.iter().position(|epoch| *epoch == told.epoch), told.first));
        for told in ahead {
            self.advance(room, told, sink);
        }
    }
}
