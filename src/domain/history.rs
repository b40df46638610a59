//! Catching up: a room's log in pages, its updates behind the last one.
//!
//! What is read takes memory until its reader has it, so pages are bounded together ([`Budget`]).
//! Most are small: at most as much as a connection may leave unread anyway. So many of these are
//! built at a time. A page with more updates is *large*, and has its share of a budget in bytes
//! from before it is read until its last byte is gone ([`Share`]). Small pages never wait for that,
//! and the large ones come in the order of their asking.
mod budget;
mod standing;
#[cfg(test)]
mod tests;

pub use budget::{Budget, Building, Patience, Share};
pub use standing::Standing;

use budget::LARGE;

use super::{
    broker::{Broker, Page, PageLimit, Stored, Updates},
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
    /// How many of them are inserts.
    pub inserts: usize,
    /// The offset of the first entry, and how many are here.
    pub offset: u64,
    /// Whether there may be more.
    pub next: bool,
    /// Offset of the insert after those here: where to resume.
    pub log: u64,
    /// Offset of the log's first insert ([`Page::start`](super::broker::Page::start)).
    pub start: u64,
    /// Names the log for who resumes ([`Page::epoch`](super::broker::Page::epoch)).
    pub epoch: u64,
    /// When this is no longer what the log shows ([`Page::due_ms`](super::broker::Page::due_ms)).
    pub due_ms: Option<u64>,
    /// Of the log that this was read from ([`Broker::edition`]).
    pub edition: u64,
    /// To be kept until the answer is put together.
    pub building: Building,
}

impl Budget {
    /// The page that begins at the log's offset `from`. A large one waits once more. Its
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
            let (asked, from, end) = (from, page.first(from), page.end());
            let Page { mut entries, full, start, edition, epoch, due_ms, .. } = page;
            if full && from > asked {
                // The next page begins where those of others do, and so is kept for all of them.
                entries.truncate(PAGE.entries - (from % PAGE.entries as u64) as usize);
            }
            let inserts = entries.len();
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
                log: if inserts > 0 { from.saturating_add(inserts as u64) } else { from.min(end) },
                inserts,
                start,
                epoch,
                due_ms,
                entries,
                edition,
                building,
            });
        }
    }
}
