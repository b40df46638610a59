//! Catching up: a room's log in pages, its updates behind the last one.
use super::{
    broker::{Broker, PageLimit, Stored},
    error::StoreError,
    ids::RoomId,
};

/// Most inserts in a page, and most bytes.
pub const PAGE: PageLimit = PageLimit { entries: 200, bytes: 4 << 20 };

/// A page as clients and administrators get it.
#[derive(Debug, Clone)]
pub struct History {
    /// Inserts, and behind the last of them the updates; unreadable ones are counted but have no body.
    pub entries: Vec<Stored>,
    /// The offset asked for, and the entries here.
    pub offset: u64,
    /// Whether there may be more.
    pub next: bool,
    /// Index of the insert after those here: where to resume.
    pub log: u64,
    /// Of the log that this was read from ([`Broker::edition`]).
    pub edition: u64,
}

/// The page that begins at log index `from`.
pub async fn read(broker: &dyn Broker, room: &RoomId, from: u64) -> Result<History, StoreError> {
    let page = broker.page(room, from, PAGE).await?;
    let mut entries = page.entries;
    let inserts = entries.len() as u64;
    if !page.full {
        entries.extend(broker.updates(room).await?);
    }
    Ok(History {
        offset: from.saturating_add(entries.len() as u64),
        next: page.full,
        edition: page.edition,
        log: if inserts > 0 { from.saturating_add(inserts) } else { from.min(page.log_length) },
        entries,
    })
}
