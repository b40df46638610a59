//! A connection's events, in order, and how much it may have in flight.
//!
//! socketioxide calls a handler in order, but spawns a task for its asynchronous part; 5,000 events
//! of one socket came with hundreds of inversions. So its handler only puts the event in here,
//! where one task takes them out, which exists only while there are any.
use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;

use super::session::Phase;

/// In flight (waiting here, or handed to a room and not yet stored) above which nothing more is
/// read from the client.
const MOST: Load = Load { events: 256, bytes: 1 << 20 };

/// Events in flight that no client reaches which heeds the answers to its POSTs.
const FLOOD: usize = 65_536;

/// An event, or what ends a session.
pub(super) enum Item {
    Event {
        text: Box<str>,
        ack: Option<i64>,
        /// It came with binary attachments, which nothing here takes.
        binary: bool,
    },
    /// The time to authenticate is over.
    LateAuthenticate,
    /// The time to join is over.
    LateJoin,
    /// A newer session of the same user has taken over.
    Evicted,
    /// The connection is gone.
    Closed,
}

impl Item {
    fn bytes(&self) -> usize {
        if let Item::Event { text, .. } = self { text.len() } else { 0 }
    }
}

#[derive(Debug, Clone, Copy)]
struct Load {
    events: usize,
    bytes: usize,
}

struct Queue {
    items: VecDeque<Item>,
    /// The session's phase while no task has it.
    parked: Option<Phase>,
}

/// What putting something in calls for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// A task must be started: nobody drains.
    Start,
    /// Somebody drains.
    Draining,
}

pub(super) struct Mailbox {
    queue: Mutex<Queue>,
    events: AtomicUsize,
    bytes: AtomicUsize,
    /// Messages handed to rooms.
    outstanding: AtomicUsize,
    changed: Notify,
}

impl Mailbox {
    /// Closed: things can be put in, and stay there until [`Mailbox::open`].
    pub(super) fn new() -> Self {
        Mailbox {
            queue: Mutex::new(Queue { items: VecDeque::new(), parked: None }),
            events: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            outstanding: AtomicUsize::new(0),
            changed: Notify::new(),
        }
    }

    /// What is in here may be handled from now on, beginning in this phase.
    pub(super) fn open(&self, phase: Phase) -> Put {
        let mut queue = self.queue();
        queue.parked = Some(phase);
        if queue.items.is_empty() { Put::Draining } else { Put::Start }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing waits and nobody drains, so that an event may be handled where it came in.
    pub(super) fn is_idle(&self) -> bool {
        let queue = self.queue();
        queue.parked.is_some() && queue.items.is_empty()
    }

    pub(super) fn put(&self, item: Item) -> Put {
        self.begin(item.bytes());
        let mut queue = self.queue();
        queue.items.push_back(item);
        if queue.parked.is_some() { Put::Start } else { Put::Draining }
    }

    /// Throws away all events that wait, and puts this one in: their sender has been evicted.
    pub(super) fn replace(&self, item: Item) -> Put {
        let dropped: Vec<Item> = {
            let mut queue = self.queue();
            let (dropped, kept) =
                queue.items.drain(..).partition(|i| matches!(i, Item::Event { .. }));
            queue.items = VecDeque::from_iter::<Vec<Item>>(kept);
            dropped
        };
        for item in dropped {
            self.end(item.bytes());
        }
        self.put(item)
    }

    /// The phase, for the one task that drains from now on; nothing if there is one.
    pub(super) fn take_phase(&self) -> Option<Phase> {
        self.queue().parked.take()
    }

    /// The next item; or parks the phase, when there is none.
    pub(super) fn next(&self, phase: Phase) -> Result<(Phase, Item), Parked> {
        let mut queue = self.queue();
        match queue.items.pop_front() {
            Some(item) => Ok((phase, item)),
            None => {
                queue.parked = Some(phase);
                Err(Parked)
            }
        }
    }

    /// An item was handled.
    pub(super) fn handled(&self, bytes: usize) {
        self.end(bytes);
    }

    /// A message goes to its room.
    pub(super) fn sent(&self, bytes: usize) {
        self.outstanding.fetch_add(1, SeqCst);
        self.begin(bytes);
    }

    /// It ended there.
    pub(super) fn settled(&self, bytes: usize) {
        self.outstanding.fetch_sub(1, SeqCst);
        self.end(bytes);
    }

    fn begin(&self, bytes: usize) {
        self.events.fetch_add(1, SeqCst);
        self.bytes.fetch_add(bytes, SeqCst);
    }

    fn end(&self, bytes: usize) {
        self.events.fetch_sub(1, SeqCst);
        self.bytes.fetch_sub(bytes, SeqCst);
        self.changed.notify_waiters();
    }

    /// Whether more is in flight than a client may have.
    pub(super) fn is_full(&self) -> bool {
        self.events.load(SeqCst) > MOST.events || self.bytes.load(SeqCst) > MOST.bytes
    }

    /// Whether so little is in flight that reading may go on.
    pub(super) fn is_calm(&self) -> bool {
        self.events.load(SeqCst) <= MOST.events / 2 && self.bytes.load(SeqCst) <= MOST.bytes / 2
    }

    /// Whether the client must be hostile: reading stops long before.
    pub(super) fn is_flooded(&self, most_bytes: usize) -> bool {
        self.events.load(SeqCst) > FLOOD || self.bytes.load(SeqCst) > MOST.bytes + most_bytes
    }

    async fn until(&self, reached: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            if reached(self) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until all messages of this connection are stored, or have failed: read your writes.
    pub(super) async fn quiet(&self) {
        self.until(|i| i.outstanding.load(SeqCst) == 0).await;
    }

    /// Waits until the client may send more.
    pub(super) async fn room(&self) {
        self.until(|i| !i.is_full()).await;
    }
}

/// The phase was parked: the task ends.
#[derive(Debug)]
pub(super) struct Parked;
