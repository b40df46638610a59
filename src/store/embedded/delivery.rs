//! The way from a room's order to its members on this node.
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use super::{lock, rooms::Turn};
use crate::domain::broker::{Entry, Event, Publication, Sink};

/// Where publications go; nowhere before the start and after the end.
#[derive(Clone, Default)]
pub(super) struct SinkSlot(Arc<Mutex<Option<Open>>>);

#[derive(Clone)]
struct Open {
    sink: Arc<dyn Sink>,
    /// The sink may spawn, and so needs the runtime, also on the writer's thread.
    runtime: Option<Handle>,
}

impl SinkSlot {
    pub(super) fn open(&self, sink: Arc<dyn Sink>) {
        *lock(&self.0) = Some(Open { sink, runtime: Handle::try_current().ok() });
    }

    /// Lets go of the sink: whoever it belongs to most likely holds this store.
    pub(super) fn close(&self) {
        let open = lock(&self.0).take();
        drop(open);
    }

    pub(super) fn sink(&self) -> Option<Arc<dyn Sink>> {
        lock(&self.0).as_ref().map(|open| open.sink.clone())
    }

    fn opened(&self) -> Option<Open> {
        lock(&self.0).clone()
    }

    /// Tells the sink something, on a thread of any kind.
    pub(super) fn tell(&self, what: impl FnOnce(&dyn Sink)) {
        let Some(Open { sink, runtime }) = self.opened() else { return };
        let _runtime = runtime.as_ref().map(Handle::enter);
        what(&*sink);
    }
}

/// Publications that have their places in a room's order and are to be told.
///
/// Told when it is dropped, whoever drops it: the caller as a rule, on its own thread; the writer,
/// where the caller gave up between the storing and the answer. What is stored is told in any case,
/// and the room's turn ends after that.
pub(super) struct Delivery {
    slot: SinkSlot,
    turn: Turn,
    /// n of the first.
    first: u64,
    what: What,
}

enum What {
    /// With the index of the first insert among them, if there is one.
    Entries(Arc<[Entry]>, Option<u64>),
    One(Event),
}

impl Delivery {
    /// Of entries whose last one has the n that the turn's counters say. `index` is that of the
    /// first insert among them.
    pub(super) fn entries(
        slot: &SinkSlot,
        turn: Turn,
        entries: Arc<[Entry]>,
        index: Option<u64>,
    ) -> Self {
        let first = turn.counters().n + 1 - entries.len() as u64;
        Delivery { slot: slot.clone(), turn, first, what: What::Entries(entries, index) }
    }

    /// Of one event, which has the n that the turn's counters say.
    pub(super) fn one(slot: &SinkSlot, turn: Turn, event: Event) -> Self {
        let first = turn.counters().n;
        Delivery { slot: slot.clone(), turn, first, what: What::One(event) }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if matches!(&self.what, What::Entries(entries, _) if entries.is_empty()) {
            return; // all of it was left out
        }
        let Some(Open { sink, runtime }) = self.slot.opened() else { return };
        let _runtime = runtime.as_ref().map(Handle::enter);
        let publications = match &self.what {
            What::Entries(entries, index) => Publication::of_batch(self.first, *index, entries),
            What::One(event) => vec![Publication::told(self.first, event.clone())],
        };
        sink.deliver(self.turn.room(), publications);
    }
}
