//! The broker: message log and publish/subscribe behind one trait, because storing and delivering
//! must agree.
//!
//! A room's publications form one total order, the same on every node: each carries n, which grows
//! by one per room where it is stored, through a clearing too. The caller keeps one `publish`,
//! `clear` or presence call in flight per room and node, so a broker sees a room's batches one
//! after the other.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    cluster::NodeSink,
    error::StoreError,
    ids::{ConnectionId, RoomId, Uid},
    message::{Kind, Message},
    presence::SessionSink,
    receipt::Receipt,
    retention::Rule,
};

/// A room knows the keys of so many of its newest inserts that have one ([`Message::key`]).
pub const KNOWN_KEYS: usize = 1000;

/// Which of a room's members are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Everybody, its sender too.
    All,
    /// Everybody but this connection of this node.
    ExceptConnection(ConnectionId),
    /// Everybody but the connections of this user.
    ExceptUser(Uid),
}

/// Something that a member, or the server, sends into a room.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A message.
    Message {
        /// The connection that sent it; none: it came by another way, as by HTTP.
        from: Option<ConnectionId>,
        /// Who is told.
        audience: Audience,
        /// What is stored and told.
        message: Message,
        /// That it is done once.
        receipt: Option<Arc<Receipt>>,
    },
    /// A member reads the room's log from its beginning; the others are told.
    Synced {
        /// Its connection.
        by: ConnectionId,
        /// Its user.
        uid: Uid,
    },
    /// The server's word to all.
    System {
        /// A JSON value.
        content: Bytes,
    },
}

impl Entry {
    /// Whether the store keeps it.
    pub fn is_stored(&self) -> bool {
        matches!(self, Entry::Message { message, .. } if message.kind.is_stored())
    }

    /// Whether it is an insert: only these have an index ([`Position::index`]).
    pub fn is_insert(&self) -> bool {
        matches!(self, Entry::Message { message, .. } if message.kind == Kind::Insert)
    }

    /// Whether it passes entries that wait for a store that is out ([`Message::may_pass`]). What is
    /// to be done once does not: its receipt has to be kept.
    pub fn may_pass(&self) -> bool {
        match self {
            Entry::Message { message, receipt, .. } => {
                message.may_pass && !message.kind.is_stored() && receipt.is_none()
            }
            Entry::Synced { .. } | Entry::System { .. } => true,
        }
    }

    /// The key of an insert that has one.
    pub fn key(&self) -> Option<&Arc<str>> {
        match self {
            Entry::Message { message: Message { kind: Kind::Insert, key, .. }, .. } => key.as_ref(),
            Entry::Message { .. } | Entry::Synced { .. } | Entry::System { .. } => None,
        }
    }

    /// The receipt that it is published with.
    pub fn receipt(&self) -> Option<&Arc<Receipt>> {
        match self {
            Entry::Message { receipt, .. } => receipt.as_ref(),
            Entry::Synced { .. } | Entry::System { .. } => None,
        }
    }
}

/// The place of an entry that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its place in the room's order; 0 for what has none, because the store is out.
    pub n: u64,
    /// Of an insert: how many the room had before it in its whole life. No other insert of the room
    /// ever has the same, through clearing, expiry and restarts.
    pub index: Option<u64>,
    /// Milliseconds since 1970, UTC, when it was published.
    pub at_ms: u64,
    /// Names the log as it was then ([`Page::epoch`]); nothing where that was not noted, and of
    /// what has no place.
    pub epoch: Option<u64>,
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// Stored, if it is to be stored, and delivered.
    At(Position),
    /// Neither: the room has no place for this update.
    Full,
    /// Neither: it is an insert whose key the room knows.
    Duplicate,
    /// Neither: it was published before, with the same receipt.
    Replayed {
        /// Where it was placed then.
        position: Position,
        /// The note of that receipt.
        note: Bytes,
    },
    /// Neither: something else was published before with a receipt of the same key.
    Reused,
}

/// What every node with members of a room is told, in the room's order.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Place in the room's order; 0 for what has none, because the store is out.
    pub n: u64,
    /// Who is told.
    pub audience: Audience,
    /// Of an insert that is stored: its index ([`Position::index`]), the same on every node.
    /// Nothing of all else, and of an insert that a node of an earlier version published.
    pub index: Option<u64>,
    /// What they are told.
    pub event: Event,
}

impl Publication {
    /// What members are told of an entry that has this place in the order. `index` is that of an
    /// insert, where it is known.
    pub fn of(n: u64, index: Option<u64>, entry: &Entry) -> Self {
        let (audience, event) = match entry {
            Entry::Message { audience, message, .. } => (
                audience.clone(),
                Event::Message { kind: message.kind.clone(), body: message.body.clone() },
            ),
            Entry::Synced { by, uid } => {
                (Audience::ExceptConnection(*by), Event::Synced(uid.clone()))
            }
            Entry::System { content } => (Audience::All, Event::System(content.clone())),
        };
        Publication { n, audience, index: index.filter(|_| entry.is_insert()), event }
    }

    /// What members are told of entries that were published one behind the other: the first has the
    /// place `n`, and the first insert among them, if its index is known, this one.
    pub fn of_batch(n: u64, index: Option<u64>, entries: &[Entry]) -> Vec<Self> {
        let mut next = index;
        let of = |(n, entry): (u64, &Entry)| {
            let index = next.filter(|_| entry.is_insert());
            next = index.map_or(next, |index| Some(index + 1));
            Publication::of(n, index, entry)
        };
        (n..).zip(entries).map(of).collect()
    }

    /// What members are told of something that no entry caused. Nobody is told of its own comings
    /// and goings: a place that is held for a user may be given up after the user came back.
    pub fn told(n: u64, event: Event) -> Self {
        let audience = match &event {
            Event::Joined { uid, .. }
            | Event::Left { uid, .. }
            | Event::Gone { uid, .. }
            | Event::Removed { uid, .. } => Audience::ExceptUser(uid.clone()),
            Event::Message { .. }
            | Event::Synced(_)
            | Event::System(_)
            | Event::Cleared
            | Event::Trimmed { .. }
            | Event::Recalled { .. } => Audience::All,
        };
        Publication { n, audience, index: None, event }
    }

    /// Whether a connection of this user is told.
    pub fn concerns(&self, connection: ConnectionId, uid: &Uid) -> bool {
        match &self.audience {
            Audience::All => true,
            Audience::ExceptConnection(except) => *except != connection,
            Audience::ExceptUser(except) => except != uid,
        }
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A member, or somebody by another way, sent a message.
    Message {
        /// What became of it besides.
        kind: Kind,
        /// The message as it was sent.
        body: Bytes,
    },
    /// A connection of a user is there that was not, or was not seen.
    Joined {
        /// The user.
        uid: Uid,
        /// Its connections that are seen there now; 1: the user was not there before.
        connections: u64,
    },
    /// A connection of a user has said goodbye, and is gone.
    Left {
        /// The user.
        uid: Uid,
        /// Its connections that are left; 0: the user is gone.
        connections: u64,
    },
    /// A connection of a user is gone without a goodbye.
    Gone {
        /// The user.
        uid: Uid,
        /// Its connections that are left; 0: the user is gone.
        connections: u64,
    },
    /// A user was taken out, with all connections that it had there. Each of them learns it by
    /// [`Subscriber::removed`](super::subscriber::Subscriber::removed), on all nodes.
    Removed {
        /// The user.
        uid: Uid,
        /// Whether the others saw it there: to them it is gone. Otherwise they are told nothing.
        seen: bool,
    },
    /// A user reads the log from its beginning.
    Synced(Uid),
    /// A JSON value from the server.
    System(Bytes),
    /// The room's log is empty now.
    Cleared,
    /// The oldest inserts of the room's log are gone.
    Trimmed {
        /// Index of the first that is left ([`Position::index`]); of the next one, if none is.
        start: u64,
    },
    /// The insert with this key is hidden from now on.
    Recalled {
        /// Its key.
        key: Arc<str>,
    },
}

/// What a store tells its node of rooms. Nothing here may block.
pub trait RoomSink: Send + Sync {
    /// In each room's order, never twice at the same time for one room.
    fn deliver(&self, room: &RoomId, publications: Vec<Publication>);
    /// Publications of the room may have been missed, or its log was forgotten: what is known of
    /// its log may be out of date.
    fn invalidate(&self, room: &RoomId);
    /// Publications of the room up to this place were missed for good: its members here have to
    /// come back, and read its log.
    fn missed(&self, room: &RoomId, upto: u64);
}

/// All that a store tells its node, and asks it.
pub trait Sink: RoomSink + SessionSink + NodeSink {}

impl<S: RoomSink + SessionSink + NodeSink> Sink for S {}

/// How much a page may hold.
#[derive(Debug, Clone, Copy)]
pub struct PageLimit {
    /// Entries of the log, at most; zero counts as one.
    pub entries: usize,
    /// Bytes of bodies. One entry is returned however large it is.
    pub bytes: usize,
}

/// How much the updates of one room may be. They are read all at once, and whoever reads them needs
/// memory for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateLimit {
    /// Updates with different ids.
    pub entries: u64,
    /// Bytes, as they are stored.
    pub bytes: u64,
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The message; nothing where the stored entry can't be read, or was recalled.
    pub body: Option<Bytes>,
    /// Milliseconds since 1970, UTC, when it was stored: whole seconds where no more is known.
    pub at_ms: u64,
    /// It is hidden, and keeps its place.
    pub recalled: bool,
    /// Its place in the room's order ([`Position::n`]), where the store has kept that.
    pub n: Option<u64>,
}

/// A stretch of a room's log.
///
/// An insert's *offset* counts the inserts before it since the log was last cleared. It never
/// changes: trimming takes the first ones away, and the others keep theirs.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Inserts, from the offset on that was asked for, or from `start`, where that is later.
    pub entries: Vec<Stored>,
    /// Whether the limit ended it: `entries` is as long as was asked for, or reached the bytes.
    pub full: bool,
    /// Offset of the log's first insert; that of the next one, if there is none. 0 unless the log
    /// was trimmed.
    pub start: u64,
    /// Inserts in the room's log: those that are there.
    pub log_length: u64,
    /// Index of the log's first insert ([`Position::index`]); that of the next one, if there is
    /// none. The index of any is [`Page::origin`] and its offset.
    pub base: u64,
    /// Of the log that this was read from.
    pub edition: u64,
    /// Names the log for readers that come back: while it is the same, an offset means the same
    /// insert. A clearing changes it, and so may a loss of the store; trimming does not. Below 2^53.
    pub epoch: u64,
    /// When the first of the entries is due by [retention](super::retention), in milliseconds since
    /// 1970: then this is no longer what the log shows.
    pub due_ms: Option<u64>,
}

impl Page {
    /// Notes when the first of the entries is due by this rule.
    pub fn note_due(&mut self, rule: Rule) {
        let age = rule.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let first = self.entries.iter().find(|entry| entry.at_ms > 0);
        self.due_ms = age.zip(first).map(|(age, first)| first.at_ms.saturating_add(age));
    }

    /// Index of the insert at offset 0, whether or not that is still there.
    pub fn origin(&self) -> u64 {
        self.base.saturating_sub(self.start)
    }

    /// Offset of the first of `entries`, where the page was asked for from this offset on.
    pub fn first(&self, from: u64) -> u64 {
        from.max(self.start)
    }

    /// Offset of the insert behind the log's last one.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.log_length)
    }
}

/// The updates of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Updates {
    /// In the order of their last writing where that is known.
    All(Vec<Stored>),
    /// They are more than was asked for.
    Larger,
}

/// Log and publish/subscribe.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Where to deliver from now on. Called once, before anything else.
    fn start(&self, sink: Arc<dyn Sink>);

    /// Stores the entries that are to be stored, all or none, and delivers all of them, in order,
    /// to every node with members of the room; on this node that is done when this returns.
    ///
    /// But for updates that would bring the room's above their [`UpdateLimit`], and inserts whose
    /// key the room knows ([`Message::key`]): those are neither stored nor delivered, and the others
    /// are as if they had not been there. An update that is not larger than what it replaces is
    /// never among them.
    ///
    /// What was published before with a receipt of the same key, within the last
    /// [`KEPT`](super::receipt::KEPT) and in whatever room, is left out as well. Receipts are kept with
    /// what they are for, all or none; those of entries that were left out are not.
    ///
    /// Returns what became of each entry, in their order.
    async fn publish(
        &self,
        room: &RoomId,
        entries: Arc<[Entry]>,
    ) -> Result<Vec<Placed>, StoreError>;

    /// Inserts from the log's offset `from` on, or from its first that is there, if that is later.
    async fn page(&self, room: &RoomId, from: u64, limit: PageLimit) -> Result<Page, StoreError>;

    /// Names the room's log as it is now: another number than a page has that was read before means
    /// that the log may have been cleared, or lost something, since then. The caller knows of
    /// what it was told; this is for what it was not told, as nothing tells it that it hears
    /// nothing.
    async fn edition(&self, room: &RoomId) -> Result<u64, StoreError>;

    /// The room's updates, if they have `most` bytes at most.
    async fn updates(&self, room: &RoomId, most: usize) -> Result<Updates, StoreError>;

    /// Bytes of the room's updates, about. It may have to read them.
    async fn update_bytes(&self, room: &RoomId) -> Result<usize, StoreError>;

    /// Forgets the room's inserts and updates, and delivers [`Event::Cleared`].
    async fn clear(&self, room: &RoomId) -> Result<(), StoreError>;

    /// This node has its first member of the room: it is told of what happens there from now on.
    async fn attach(&self, room: &RoomId) -> Result<(), StoreError>;

    /// This node has no member of the room left.
    fn detach(&self, room: &RoomId);

    /// Whether the store answers.
    async fn check(&self) -> Result<(), StoreError>;

    /// Whether a newcomer can be let in, join and have something stored: tried by a small write
    /// that nobody notices.
    async fn check_writing(&self) -> Result<(), StoreError>;

    /// Ends after everything accepted is stored.
    async fn close(&self);
}

/// What of a room's log is to go: always the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trim {
    /// Inserts with a smaller index than this ([`Position::index`]).
    Before(u64),
    /// All inserts but the newest so many.
    Keep(u64),
    /// Inserts that were stored longer ago than this, with all that stand before them, and updates
    /// whose last writing is.
    OlderThan(Duration),
}

/// What was trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trimmed {
    /// Inserts and updates that are gone.
    pub removed: u64,
    /// Index of the first insert that is left ([`Position::index`]); of the next one, if none is.
    pub start: u64,
}

/// What is done to a room's log besides writing and reading it. Both stores of messages have it.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Hides the insert with this key, if it is among the newest `within` inserts of the room (at
    /// most [`KNOWN_KEYS`]), from everybody for ever; its key stays known. Delivers
    /// [`Event::Recalled`] unless it was recalled already. Returns its body, also of one that was
    /// recalled already; nothing where there is no such insert.
    async fn recall(
        &self,
        room: &RoomId,
        key: &str,
        within: usize,
    ) -> Result<Option<Bytes>, StoreError>;

    /// All of the room's log, with its updates and its keys and what comes meanwhile, is forgotten
    /// after this time; what comes later lives on. Replaces what was said before, and survives a
    /// restart and a clearing. Nobody is told, but [`RoomSink::invalidate`] is called. A room of
    /// [`Space::Lives`](super::ids::Space::Lives) is forgotten wholly then, with its indexes.
    async fn expire(&self, room: &RoomId, after: Duration) -> Result<(), StoreError>;

    /// Takes away the oldest of the room's log. Offsets and indexes of the others stay as they are,
    /// also where none is left; the keys of what is gone are no longer known. From when this
    /// returns nobody reads what is gone; it is deleted soon after, in small steps, through a
    /// restart too. Delivers [`Event::Trimmed`] if there was anything.
    async fn trim(&self, room: &RoomId, trim: Trim) -> Result<Trimmed, StoreError>;
}
