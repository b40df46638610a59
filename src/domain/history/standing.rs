//! How a room stands, without its log being read.
use crate::domain::{
    broker::{Broker, PageLimit, Stored, Updates},
    error::StoreError,
    ids::RoomId,
};

/// One entry, whatever its size.
const ONE: PageLimit = PageLimit { entries: 1, bytes: 0 };

/// How far a room has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The index that the next insert will have ([`Position::index`]).
    ///
    /// [`Position::index`]: crate::domain::broker::Position::index
    pub end: u64,
    /// The last insert of the log; none: the log is empty, or it was trimmed just now.
    pub last: Option<Stored>,
    /// The updates.
    pub updates: Updates,
}

impl Standing {
    /// How the room stands now. Of its updates `most` bytes are read. What is published meanwhile
    /// may be in one part of this and not in another.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read(broker: &dyn Broker, room: &RoomId, most: usize) -> Result<Self, StoreError> {
        let reading = (broker.page(room, u64::MAX, ONE), broker.updates(room, most));
        let (page, updates) = tokio::try_join!(reading.0, reading.1)?;
        let end = page.origin().saturating_add(page.end());
        let last = match page.log_length {
            0 => None,
            _ => broker.page(room, page.end() - 1, ONE).await?.entries.pop(),
        };
        Ok(Standing { end, last, updates })
    }
}
