//! Catching up: a room's log in pages, its updates behind the last one.
//!
//! What is read takes memory until its reader has it, so pages are bounded together ([`Budget`]).
//! Most are small: at most as much as a connection may leave unread anyway. So many of these are
//! built at a time. A page with more updates is *large*, and has its share of a budget in bytes
//! from before it is read until its last byte is gone ([`Share`]). Small pages never wait for that,
//! and the large ones come in the order of their asking.
mod budget;
#[cfg(test)]
mod tests;

pub use budget::{Budget, Building, Patience, Share};

use budget::LARGE;

use super::{
    broker::{Broker, PageLimit, Stored, Updates},
    error::StoreError,
    ids::RoomId,
};

/// Most inserts in a page, and most bytes.
pub const PAGE: PageLimit = PageLimit { entries: 200, bytes: 4 << 20 };

/// A page as clients and administrators get it.
pub struct History {
    /// Inserts, and behind the last of them the updates; unreadable ones are counted but have no
    /// body.
    pub entries: Vec<Stored>,
    /// The offset asked for, and the entries here.
    pub offset: u64,
    /// Whether there may be more.
    pub next: bool,
    /// Index of the insert after those here: where to resume.
    pub log: u64,
    /// Of the log that this was read from ([`Broker::edition`]).
    pub edition: u64,
    /// To be kept until the answer is put together.
    pub building: Building,
}

impl Budget {
    /// The page that begins at log index `from`. A large one waits for its turn once more. Its
    /// bytes will be there so many times at once.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read(
        &self,
        mut building: Building,
        broker: &dyn Broker,
        room: &RoomId,
        from: u64,
        times: usize,
    ) -> Result<History, StoreError> {
        let mut most = LARGE;
        loop {
            let reading = if most > LARGE { Some(self.reading().await?) } else { None };
            let page = broker.page(room, from, PAGE).await?;
            let (mut entries, full, log_length, edition) =
                (page.entries, page.full, page.log_length, page.edition);
            let inserts = entries.len() as u64;
            if !full {
                match broker.updates(room, most).await? {
                    Updates::All(updates) if entries.is_empty() => entries = updates,
                    Updates::All(updates) => entries.extend(updates),
                    Updates::Larger => {
                        // Nothing is held while it waits.
                        drop((entries, building, reading));
                        let reading = self.reading().await?;
                        let bytes = broker.update_bytes(room).await?;
                        drop(reading);
                        (building, most) = self.large(bytes, times).await?;
                        continue;
                    }
                }
            }
            if full {
                building.share = None; // it has no updates, so it is small, and may be kept for long
            }
            return Ok(History {
                offset: from.saturating_add(entries.len() as u64),
                next: full,
                log: if inserts > 0 { from.saturating_add(inserts) } else { from.min(log_length) },
                entries,
                edition,
                building,
            });
        }
    }
}
