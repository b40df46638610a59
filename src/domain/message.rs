//! Messages as the core sees them: opaque bytes that a dialect has checked and completed.
use std::sync::Arc;

use bytes::Bytes;

pub mod fields;
pub mod form;

/// What becomes of a message besides being broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Appended to the room's log.
    Insert,
    /// Replaces the room's entry with this id.
    Update {
        /// A later update with the same id, in the same room, takes the place of this one.
        id: Arc<str>,
    },
    /// Nothing.
    Ignore,
}

impl Kind {
    /// Whether the store keeps it.
    pub fn is_stored(&self) -> bool {
        !matches!(self, Kind::Ignore)
    }
}

/// A message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Whether it is stored, and how.
    pub kind: Kind,
    /// Exactly as the others get it, and as it is stored. What is stored is JSON, in UTF-8.
    pub body: Bytes,
    /// What tells an insert from others: one whose key is that of one of the room's newest
    /// [`KNOWN_KEYS`](super::broker::KNOWN_KEYS) inserts that have a key is a duplicate, also after
    /// a restart, and also where that one was recalled. Clearing and expiry forget keys.
    pub key: Option<Arc<str>>,
    /// Whether one that is not stored passes messages that wait for a store that is out. Then it
    /// reaches this node's members only, outside of the room's order; else it waits in its place.
    pub may_pass: bool,
}
