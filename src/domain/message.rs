//! Messages as the core sees them: opaque JSON that a dialect has checked and completed.
use std::sync::Arc;

use bytes::Bytes;

/// What becomes of a message besides being broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Appended to the room's log.
    Insert,
    /// Replaces the room's entry with this id.
    Update { id: Arc<str> },
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
    pub kind: Kind,
    /// A JSON object, UTF-8, exactly as the others get it and as it is stored.
    pub body: Bytes,
}
