//! The broker: message log and publish/subscribe behind one trait, because storing and delivering
//! must agree.
//!
//! A room's publications form one total order, the same on every node: each carries n, which grows
//! by one per room where it is stored, through a clearing too. The caller keeps one `publish`,
//! `clear` or presence call in flight per room and node, so a broker sees a room's batches one
//! after the other.
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    error::StoreError,
    ids::{ConnectionId, RoomId, Uid},
    message::{Kind, Message},
};

/// Something that a member, or the server, sends into a room.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A message; its sender does not get it.
    Message { from: ConnectionId, message: Message },
    /// A member reads the room's log from its beginning; the others are told.
    Synced { by: ConnectionId, uid: Uid },
    /// The server's word to all: a JSON value.
    System { content: Bytes },
}

impl Entry {
    /// Whether the store keeps it.
    pub fn is_stored(&self) -> bool {
        matches!(self, Entry::Message { message, .. } if message.kind.is_stored())
    }
}

/// What every node with members of a room is told, in the room's order.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Place in the room's order; 0 for what has none, because the store is out.
    pub n: u64,
    /// The connection that caused it; it is not told.
    pub origin: Option<ConnectionId>,
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    Message {
        kind: Kind,
        body: Bytes,
    },
    Joined(Uid),
    /// Said goodbye, and is gone.
    Left(Uid),
    /// Gone without a goodbye.
    Gone(Uid),
    Synced(Uid),
    /// A JSON value from the server.
    System(Bytes),
    /// The room's log is empty now.
    Cleared,
}

/// What a store tells its node. Nothing here may block.
pub trait Sink: Send + Sync {
    /// In each room's order, never twice at the same time for one room.
    fn deliver(&self, room: &RoomId, publications: Vec<Publication>);
    /// Publications of the room may have been missed: until they have been made up for, what is
    /// known of its log may be out of date.
    fn invalidate(&self, room: &RoomId);
    /// Publications of the room up to this place were missed for good: its members here have to
    /// come back, and read its log.
    fn missed(&self, room: &RoomId, upto: u64);
    /// Another session of this connection's user has taken over: it gets kicked out.
    fn evict(&self, connection: ConnectionId);
    /// The credentials of this connection's user were revoked: it is refused.
    fn revoke(&self, connection: ConnectionId);
    /// Whether users must present a valid token, from now on; none: as this node is configured.
    fn force_user_auth(&self, on: Option<bool>);
    /// Connections of this node that have, or are about to have, the session of their user.
    fn sessions(&self) -> Vec<ConnectionId>;
    /// The session of this connection is not known any more: its client has to come back.
    fn send_back(&self, connection: ConnectionId);
    /// Connections of this node, authenticated or not.
    fn open_connections(&self) -> u64;
}

/// How much a page may hold.
#[derive(Debug, Clone, Copy)]
pub struct PageLimit {
    pub entries: usize,
    /// Bytes of bodies. One entry is returned however large it is.
    pub bytes: usize,
}

/// How much the updates of one room may be. They are read all at once, and whoever reads them needs
/// memory for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateLimit {
    pub entries: u64,
    /// Bytes, as they are stored.
    pub bytes: u64,
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The message, or nothing where the stored entry can't be read.
    pub body: Option<Bytes>,
    /// Seconds since 1970 when it was stored.
    pub unix: u64,
}

/// A stretch of a room's log.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub entries: Vec<Stored>,
    /// Whether the limit ended it: `entries` is as long as was asked for, or reached the bytes.
    pub full: bool,
    /// Inserts in the room's log.
    pub log_length: u64,
    /// Of the log that this was read from.
    pub edition: u64,
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
    /// But for updates that would bring the room's above their [`UpdateLimit`]: those are neither
    /// stored nor delivered, and the others are as if they had not been there. Returns their
    /// places among the entries, growing. One that is not larger than what it replaces is never
    /// among them.
    async fn publish(&self, room: &RoomId, entries: Arc<[Entry]>)
    -> Result<Vec<usize>, StoreError>;

    /// Inserts from log index `from` on.
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
