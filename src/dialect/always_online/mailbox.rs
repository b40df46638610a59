//! What waits for a session's task, in the order of the wire, and how much a client may have in
//! flight.
//!
//! In flight is what waits here, and what was handed to a room and is not stored yet. Above a bound
//! nothing more is read from the client, until half of it is done. The task exists only while there
//! is something that it can do.
use std::collections::VecDeque;

use super::wire::Call;
use crate::domain::ids::Uid;

/// In flight above which nothing more is read from the client.
const MOST: Load = Load { events: 256, bytes: 1 << 20 };

/// Events in flight that no client reaches of which nothing more is read.
const FLOOD: usize = 65_536;

/// What waits for the session's task.
pub(super) enum Item {
    /// The client sent an event.
    Call {
        /// What it asks for.
        call: Call,
        /// The number of the acknowledgement that it wants.
        ack: Option<i64>,
        /// The event's size on the wire.
        bytes: usize,
    },
    /// The time to authenticate is over.
    LateAuthenticate,
    /// The time to join is over.
    LateJoin,
    /// A time that its token sets has come, seconds since 1970, and a renewal was before it.
    Due(u64),
    /// The client is gone, or was refused.
    End,
}

impl Item {
    /// Whether all messages that the client sent before must be stored first: whoever reads gets
    /// what it wrote, and whoever goes is told of behind its last message.
    fn waits_for_messages(&self) -> bool {
        match self {
            Item::Call { call: Call::Join(_) | Call::Sync(_) | Call::Leave, .. } | Item::End => {
                true
            }
            Item::Call { call: Call::Authenticate(_) | Call::Msg(_) | Call::Malformed, .. }
            | Item::LateAuthenticate
            | Item::LateJoin
            | Item::Due(_) => false,
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Load {
    events: usize,
    bytes: usize,
}

impl Load {
    fn add(&mut self, events: usize, bytes: usize) {
        self.events += events;
        self.bytes += bytes;
    }

    fn remove(&mut self, events: usize, bytes: usize) {
        self.events = self.events.saturating_sub(events);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// The task that takes items out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worker {
    /// Must not start yet: the client has not been told that it is connected.
    NotYet,
    /// There is none.
    Idle,
    /// There is one.
    Working,
}

/// What waits for a session's task.
pub(super) struct Mailbox {
    items: VecDeque<Item>,
    worker: Worker,
    in_flight: Load,
    /// Messages that were handed to a room and have not ended there.
    outstanding: usize,
    /// Nothing is read from the client.
    reading_paused: bool,
}

impl Mailbox {
    /// Things can be put in, and stay there until [`Mailbox::open`].
    pub fn new() -> Self {
        Mailbox {
            items: VecDeque::new(),
            worker: Worker::NotYet,
            in_flight: Load::default(),
            outstanding: 0,
            reading_paused: false,
        }
    }

    /// What is in here may be handled from now on.
    pub fn open(&mut self) {
        if self.worker == Worker::NotYet {
            self.worker = Worker::Idle;
        }
    }

    /// Whether nothing waits and no task works, so that a message may be handled where it came in.
    pub fn is_idle(&self) -> bool {
        self.worker == Worker::Idle && self.items.is_empty()
    }

    /// Adds an item behind all others.
    pub fn put(&mut self, item: Item) {
        if let Item::Call { bytes, .. } = &item {
            self.in_flight.add(1, *bytes);
        }
        self.items.push_back(item);
    }

    /// Adds the session's end before all others.
    pub fn put_end_first(&mut self) {
        self.items.push_front(Item::End);
    }

    /// Throws away what the client asks for and was not handled yet.
    pub fn discard_calls(&mut self) {
        let in_flight = &mut self.in_flight;
        self.items.retain(|item| {
            if let Item::Call { bytes, .. } = item {
                in_flight.remove(1, *bytes);
            }
            !matches!(item, Item::Call { .. })
        });
    }

    /// Whether the user presents credentials of its own that wait to be checked. It looks at all that
    /// waits.
    pub fn has_renewal(&self, of: &Uid) -> bool {
        let renews = |item: &Item| match item {
            Item::Call { call: Call::Authenticate(Some(credentials)), .. } => {
                credentials.uid == *of
            }
            _ => false,
        };
        self.items.iter().any(renews)
    }

    /// Whether the first item can be handled now.
    fn is_ready(&self) -> bool {
        self.items.front().is_some_and(|item| self.outstanding == 0 || !item.waits_for_messages())
    }

    /// Whether a task must be started, because there is none and something to do. It counts as
    /// started.
    pub fn wake(&mut self) -> bool {
        let start = self.worker == Worker::Idle && self.is_ready();
        if start {
            self.worker = Worker::Working;
        }
        start
    }

    /// The next item for the task. `None`: there is nothing that it can do now, and it has to end.
    pub fn take(&mut self) -> Option<Item> {
        let item = if self.is_ready() { self.items.pop_front() } else { None };
        match &item {
            Some(Item::Call { bytes, .. }) => self.in_flight.remove(1, *bytes),
            Some(_) => {}
            None => {
                self.worker = Worker::Idle;
                if self.items.is_empty() {
                    self.items = VecDeque::new(); // it may be long before it is needed again
                }
            }
        }
        item
    }

    /// A message of this size goes to its room.
    pub fn sent(&mut self, bytes: usize) {
        self.outstanding += 1;
        self.in_flight.add(1, bytes);
    }

    /// So many messages, of this size together, ended there.
    pub fn settled(&mut self, messages: usize, bytes: usize) {
        self.outstanding = self.outstanding.saturating_sub(messages);
        self.in_flight.remove(messages, bytes);
    }

    /// Whether so much is in flight that reading has to pause, and it is to be told so now.
    pub fn pause(&mut self) -> bool {
        let full = self.in_flight.events > MOST.events || self.in_flight.bytes > MOST.bytes;
        full && !std::mem::replace(&mut self.reading_paused, true)
    }

    /// Whether so little is in flight that reading may go on, which had paused, and it is to be
    /// told so now.
    pub fn resume(&mut self) -> bool {
        let calm =
            self.in_flight.events <= MOST.events / 2 && self.in_flight.bytes <= MOST.bytes / 2;
        calm && std::mem::replace(&mut self.reading_paused, false)
    }

    /// Whether the client must be hostile: reading pauses long before. `unread` is how many
    /// bytes may come although it has.
    pub fn is_flooded(&self, unread: usize) -> bool {
        self.in_flight.events > FLOOD || self.in_flight.bytes > MOST.bytes + unread
    }
}
