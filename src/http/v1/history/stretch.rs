//! A stretch of a room's log by indices, forwards or backwards, while it grows and is trimmed.
use super::super::problem::{Kind, Problem};
use crate::domain::{
    broker::{Page, PageLimit, Stored},
    history::Building,
    hub::Hub,
    ids::RoomId,
};

/// Bytes of messages on a page. One is there however large it is.
const BYTES: usize = 4 << 20;
/// How often a page is read anew because the log's beginning moves.
const TRIES: usize = 8;

/// What was read of a log.
pub(super) struct Stretch {
    pub(super) inserts: Vec<Stored>,
    /// Index of the first of `inserts`.
    pub(super) first: u64,
    pub(super) updates: Option<Vec<Stored>>,
    pub(super) start: u64,
    pub(super) log: u64,
    /// Index of the log's offset 0.
    origin: u64,
    pub(super) epoch: u64,
    pub(super) reverse: bool,
    pub(super) next: Option<u64>,
}

impl Stretch {
    /// What a page has that was asked for from this offset on.
    fn of(page: Page, from: u64) -> Self {
        let origin = page.origin();
        Stretch {
            first: origin.saturating_add(page.first(from).min(page.end())),
            start: page.base,
            log: origin.saturating_add(page.end()),
            origin,
            epoch: page.epoch,
            inserts: page.entries,
            updates: None,
            reverse: false,
            next: None,
        }
    }

    /// The index behind the last insert here.
    fn end(&self) -> u64 {
        self.first.saturating_add(self.inserts.len() as u64)
    }

    /// From this index on, or from the log's beginning if that is behind it.
    pub(super) async fn forwards(
        hub: &Hub,
        room: &RoomId,
        since: u64,
        limit: usize,
    ) -> Result<Self, Problem> {
        let mut origin = 0;
        for _ in 0..TRIES {
            let from = since.saturating_sub(origin);
            let page = hub.page(room, from, PageLimit { entries: limit, bytes: BYTES }).await?;
            if page.origin() == origin {
                let full = page.full;
                let mut stretch = Self::of(page, from);
                stretch.next = full.then_some(stretch.end());
                return Ok(stretch);
            }
            origin = page.origin();
        }
        Err(moving())
    }

    /// Up to this index, or to the log's end.
    pub(super) async fn backwards(
        hub: &Hub,
        room: &RoomId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Self, Problem> {
        let mut wanted = limit as u64;
        let mut seen = hub.page(room, u64::MAX, PageLimit { entries: 1, bytes: 0 }).await?;
        // Fewer and fewer, where they are large.
        for _ in 0..TRIES + 10 {
            let (origin, start) = (seen.origin(), seen.base);
            let log = origin.saturating_add(seen.end());
            let end = before.unwrap_or(u64::MAX).min(log).max(start);
            let first = end.saturating_sub(wanted).max(start);
            let length = end - first;
            if length == 0 {
                let mut stretch = Self::of(Page { entries: Vec::new(), ..seen }, first - origin);
                stretch.reverse = true;
                return Ok(stretch);
            }
            let entries = usize::try_from(length).unwrap_or(limit);
            let from = first - origin;
            let page = hub.page(room, from, PageLimit { entries, bytes: BYTES }).await?;
            let same = page.origin() == origin && page.base <= first && page.end() >= seen.end();
            if !same {
                seen = Page { entries: Vec::new(), ..page };
            } else if (page.entries.len() as u64) < length {
                // More bytes than a page may have: those at the end are wanted, so fewer are read.
                wanted = (length / 2).max(1);
            } else {
                let mut stretch = Self::of(page, from);
                (stretch.reverse, stretch.log) = (true, log);
                stretch.next = (stretch.first > stretch.start).then_some(stretch.first);
                return Ok(stretch);
            }
        }
        Err(moving())
    }

    /// Where it has the log's end: with the updates, and what was stored meanwhile.
    pub(super) async fn with_updates(
        mut self,
        hub: &Hub,
        room: &RoomId,
        building: Building,
        limit: usize,
    ) -> Result<(Self, Building), Problem> {
        if self.end() < self.log || (!self.reverse && self.next.is_some()) {
            return Ok((self, building));
        }
        let from = self.end() - self.origin;
        let history = hub.history(building, room, from, 2).await?;
        if history.start > from {
            return Err(moving());
        }
        let mut entries = history.entries;
        let more = usize::try_from(history.log.saturating_sub(from)).unwrap_or(usize::MAX);
        let updates = entries.split_off(more.min(entries.len()));
        if self.reverse {
            // The page stays as it is: what is newer is on no page of these.
            self.updates = (!history.next).then_some(updates);
            return Ok((self, history.building));
        }
        let place = limit - self.inserts.len().min(limit);
        let is_end = !history.next && more <= place;
        self.log = self.log.max(self.end() + more as u64);
        self.inserts.extend(entries.into_iter().take(place));
        self.next = (!is_end).then_some(self.end());
        self.updates = is_end.then_some(updates);
        Ok((self, history.building))
    }
}

/// The log was trimmed or cleared each time that it was read.
fn moving() -> Problem {
    Problem::new(Kind::Unavailable, "the room's log is changing too fast")
}
