//! A room's messages and their ids.
//!
//! An id is the message's index in the log of the room's life and one: so ids begin with 1 and have
//! no hole, and each message that is accepted has one, whether or not it is kept. What is kept is
//! decided by the room's size: it is a window at the end of the log. The log may have more for a
//! moment, as trimming is done for many messages at once; nobody is shown that.
use std::{ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use serde_json::json;

use super::{
    chat::{Answer, Held},
    message::{Logged, listed},
};
use crate::domain::{
    broker::{Page, PageLimit},
    error::StoreError,
    history::Building,
    hub::Hub,
    ids::RoomId,
};

/// Messages beyond its size that a room's log may have before it is trimmed, at least.
const SLACK: u64 = 64;
/// Bytes of messages that are read from the store at once; one message may be larger.
const PIECE: usize = 256 << 10;
/// Bytes of messages that are answered without a share of the budget: less than a client may leave
/// unread.
const SMALL: usize = 4 << 20;
/// How often a large answer is there at once: as it was read and as a list, then as a list and as
/// frames.
const TIMES: usize = 2;
/// Ids that are looked through at once where all messages were erased.
const ERASED: u64 = 1000;

/// The id of the message with this index.
pub(super) fn id(index: u64) -> u64 {
    index.saturating_add(1)
}

/// The messages of a room that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Id of the oldest; of the next one, if there is none.
    first: u64,
    /// Id of the newest that was ever accepted; 0: there was none.
    last: u64,
}

impl Window {
    /// Of a log whose first insert has the index `base`, or would have, and that has `length`, in a
    /// room that keeps `size`.
    pub fn new(base: u64, length: u64, size: u64) -> Self {
        let last = base.saturating_add(length);
        Window { first: id(base).max(id(last.saturating_sub(size))), last }
    }

    /// How many messages can be read.
    pub fn size(self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }

    /// Id of the newest message that was ever accepted.
    pub fn last(self) -> u64 {
        self.last
    }

    /// Ids behind `id`, or from the oldest on, if that is later: `limit` of them, `None`: there are
    /// none.
    pub fn behind(self, id: u64, limit: u64) -> Option<RangeInclusive<u64>> {
        let first = self.first.max(id.saturating_add(1));
        let last = self.last.min(first.saturating_add(limit).saturating_sub(1));
        (first <= last && limit > 0).then_some(first..=last)
    }

    /// The newest so many.
    pub fn newest(self, limit: u64) -> Option<RangeInclusive<u64>> {
        let first = self.first.max((self.last + 1).saturating_sub(limit));
        (first <= self.last).then_some(first..=self.last)
    }

    /// What `roomHistoryInfo` tells, JSON.
    pub fn info(self, size: u64, most_read: u64) -> String {
        json!({
            "historySize": self.size(),
            "historyMaxSize": size,
            "historyMaxGetMessages": most_read,
            "lastMessageId": self.last,
        })
        .to_string()
    }
}

/// How many may be read at once: as many as is asked for, and configured, unless permissions do not
/// count.
pub(super) fn most(limit: u64, configured: u64, bypass: bool) -> u64 {
    if bypass { limit } else { limit.min(configured) }
}

/// Whether a room that keeps `size` is to be trimmed behind the message of this index. A tenth more
/// than it keeps may be there, so that a busy room is not trimmed at each message. Where nothing is
/// kept, nothing is to be there.
pub(super) fn is_trimmed_behind(index: u64, size: u64) -> bool {
    if size == 0 {
        return true;
    }
    // The same for all nodes, without asking how long the log is.
    let step = (size / 10).max(SLACK);
    index >= size && index.is_multiple_of(step)
}

/// What of a room's messages is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// So many behind an id.
    Behind { id: u64, limit: u64 },
    /// The newest so many.
    Newest { limit: u64 },
}

/// How much of a room's log can be read now.
///
/// # Errors
/// Those of the store.
pub(super) async fn window(hub: &Hub, room: &RoomId, size: u64) -> Result<Window, StoreError> {
    let one = hub.page(room, 0, PageLimit { entries: 1, bytes: 1 }).await?;
    Ok(Window::new(one.base, one.log_length, size))
}

/// Messages, the newest first. What is read takes memory until whoever asked has it: more than
/// [`SMALL`] bytes wait for a share of what pages may take together, which comes with the answer.
///
/// # Errors
/// Those of the store.
pub(super) async fn read(
    hub: &Hub,
    room: &RoomId,
    size: u64,
    wanted: Wanted,
) -> Result<Answer, StoreError> {
    let building = hub.begin_page().await?; // few are read and put together at a time
    let window = window(hub, room, size).await?;
    let reading = Reading { hub, room, window, wanted };
    let mut gathered = Gathered::new(SMALL);
    reading.each(|id, body| gathered.take(id, body)).await?;
    if gathered.bytes <= SMALL {
        return Ok(gathered.answer(building));
    }
    // Nothing is kept while it waits, nor while it is found out for how much.
    drop(gathered);
    let mut bytes = 0;
    reading
        .each(|_, body| {
            bytes += body.len();
            true
        })
        .await?;
    drop(building);
    let building = hub.begin_large_page(bytes, TIMES).await?;
    // What is in the log does not change: at most there is less of it by now.
    let mut gathered = Gathered::new(bytes);
    reading.each(|id, body| gathered.take(id, body)).await?;
    Ok(gathered.answer(building))
}

/// Messages that were read, the oldest first.
struct Gathered {
    bodies: Vec<(u64, Bytes)>,
    bytes: usize,
    most: usize,
}

impl Gathered {
    fn new(most: usize) -> Self {
        Gathered { bodies: Vec::new(), bytes: 0, most }
    }

    /// Takes one more. False: there are more bytes than there may be.
    fn take(&mut self, id: u64, body: Bytes) -> bool {
        self.bytes += body.len();
        self.bodies.push((id, body));
        self.bytes <= self.most
    }

    fn answer(self, building: Building) -> Answer {
        let messages: Vec<_> = self
            .bodies
            .iter()
            .rev()
            .filter_map(|(id, body)| Logged::read(body).map(|logged| (*id, logged)))
            .collect();
        let (json, files) = listed(&messages);
        Answer { held: Held(building.done().map(Arc::new)), ..Answer::with(json, files) }
    }
}

/// What is read of a room's log.
struct Reading<'a> {
    hub: &'a Hub,
    room: &'a RoomId,
    window: Window,
    wanted: Wanted,
}

impl Reading<'_> {
    /// Gives the messages that are wanted, and there, to `take`, the oldest first, until it says
    /// that it is enough.
    async fn each(&self, mut take: impl FnMut(u64, Bytes) -> bool) -> Result<(), StoreError> {
        let (mut found, mut end) = (0, 0);
        let (mut ids, limit) = match self.wanted {
            Wanted::Behind { id, limit } => (self.window.behind(id, limit), limit),
            Wanted::Newest { limit } => (self.window.newest(limit), limit),
        };
        while found == 0
            && let Some(range) = ids
        {
            end = end.max(*range.end());
            self.stretch(range, |id, body| {
                found += 1;
                take(id, body) && found < limit
            })
            .await?;
            // What was erased has its id, and is not shown. Whoever reads on until an answer has no
            // message is not to end there.
            ids = match self.wanted {
                Wanted::Behind { .. } => self.window.behind(end, limit.max(ERASED)),
                Wanted::Newest { .. } => None,
            };
        }
        Ok(())
    }

    /// Gives the messages with these ids that are there to `take`.
    async fn stretch(
        &self,
        ids: RangeInclusive<u64>,
        mut take: impl FnMut(u64, Bytes) -> bool,
    ) -> Result<(), StoreError> {
        let (mut next, last) = (*ids.start(), *ids.end());
        let mut origin = 0;
        while next <= last {
            let wanted = usize::try_from(last - next + 1).unwrap_or(usize::MAX);
            let limit = PageLimit { entries: wanted, bytes: PIECE };
            let from = (next - 1).saturating_sub(origin);
            let page = self.hub.page(self.room, from, limit).await?;
            if page.origin() != origin {
                if origin != 0 {
                    break; // cleared meanwhile
                }
                origin = page.origin();
                continue;
            }
            let first = first_id(&page, from);
            let read = page.entries.len() as u64;
            if read == 0 {
                break; // trimmed meanwhile
            }
            for (entry, id) in page.entries.into_iter().zip(first..) {
                if !entry.recalled
                    && (next..=last).contains(&id)
                    && let Some(body) = entry.body
                    && !take(id, body)
                {
                    return Ok(());
                }
            }
            next = first.saturating_add(read);
        }
        Ok(())
    }
}

/// Id of the first entry of a page that was read from this offset on.
fn first_id(page: &Page, from: u64) -> u64 {
    id(page.origin().saturating_add(page.first(from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_the_end_of_the_log() {
        for (base, length, size, first, last, shown) in [
            // Nothing was ever said.
            (0, 0, 5, 1, 0, 0),
            (0, 4, 5, 1, 4, 4),
            (0, 5, 5, 1, 5, 5),
            // Rotated: trimmed already, partly, or not at all.
            (3, 5, 5, 4, 8, 5),
            (2, 6, 5, 4, 8, 5),
            (0, 8, 5, 4, 8, 5),
            // Nothing is kept, and ids go on.
            (8, 0, 0, 9, 8, 0),
            (0, 8, 0, 9, 8, 0),
            (8, 0, 5, 9, 8, 0),
            // It was 0 and is larger now: what was said meanwhile does not come back.
            (8, 2, 5, 9, 10, 2),
        ] {
            let window = Window::new(base, length, size);
            assert_eq!(window, Window { first, last }, "{base} {length} {size}");
            assert_eq!((window.size(), window.last()), (shown, last));
        }
    }

    #[test]
    fn history_is_read_as_the_original_does_it() {
        let full = Window { first: 1, last: 4 };
        let rotated = Window { first: 4, last: 8 };
        let empty = Window { first: 9, last: 8 };
        for (window, id, limit, ids) in [
            (Window { first: 1, last: 0 }, 0, 3, None),
            (full, 0, 2, Some(1..=2)),
            (full, 1, 3, Some(2..=4)),
            (full, 3, 2, Some(4..=4)),
            (full, 4, 2, None),
            (full, 99, 2, None),
            (full, u64::MAX, u64::MAX, None),
            (full, 0, u64::MAX, Some(1..=4)),
            (full, 0, 0, None),
            (rotated, 5, 2, Some(6..=7)),
            (rotated, 3, 1, Some(4..=4)),
            // From the oldest: the original returns nothing; that is not copied.
            (rotated, 0, 2, Some(4..=5)),
            (rotated, 2, 100, Some(4..=8)),
            (empty, 0, 10, None),
            (empty, 8, 10, None),
        ] {
            assert_eq!(window.behind(id, limit), ids, "{window:?} {id} {limit}");
        }
        for (window, limit, ids) in [
            (full, 3, Some(2..=4)),
            (full, 4, Some(1..=4)),
            (full, 100, Some(1..=4)),
            (full, 0, None),
            (rotated, 3, Some(6..=8)),
            (rotated, 9, Some(4..=8)),
            (empty, 3, None),
            (Window { first: 1, last: 0 }, 3, None),
        ] {
            assert_eq!(window.newest(limit), ids, "{window:?} {limit}");
        }
    }

    #[test]
    fn how_many_are_read_is_bounded_unless_permissions_do_not_count() {
        for (limit, configured, bypass, read) in
            [(10, 3, false, 3), (2, 3, false, 2), (10, 3, true, 10), (10, 0, false, 0)]
        {
            assert_eq!(most(limit, configured, bypass), read);
        }
    }

    #[test]
    fn a_log_is_trimmed_now_and_then() {
        let trims = |size: u64, indexes: std::ops::Range<u64>| {
            indexes.filter(|index| is_trimmed_behind(*index, size)).count()
        };
        assert_eq!(trims(0, 0..10), 10, "nothing is kept, not even for a moment");
        assert_eq!(trims(5, 0..5), 0);
        assert_eq!(trims(5, 5..1029), 16);
        assert_eq!(trims(10_000, 0..10_000), 0);
        assert_eq!(trims(10_000, 10_000..20_000), 10);
    }

    #[test]
    fn what_is_told_of_a_history() {
        let info: serde_json::Value =
            serde_json::from_str(&Window { first: 4, last: 8 }.info(5, 3)).unwrap();
        assert_eq!(
            info,
            json!({"historySize":5,"historyMaxSize":5,"historyMaxGetMessages":3,"lastMessageId":8})
        );
    }

    #[test]
    fn what_is_gathered_is_bounded_and_answered_with_the_newest_first() {
        let body = |text: &'static str| Bytes::from_static(text.as_bytes());
        let mut gathered = Gathered::new(24);
        assert!(gathered.take(3, body(r#"{"a":1}"#)));
        assert!(gathered.take(5, body("no message")));
        assert!(gathered.take(6, body(r#"{"b":2}"#)), "24 bytes are not more");
        let answer = gathered.answer(Building::default());
        assert_eq!(answer, Answer::json(r#"[{"b":2,"id":6},{"a":1,"id":3}]"#));
        assert!(answer.held.0.is_none());
        let mut gathered = Gathered::new(24);
        assert!(!gathered.take(1, body(r#"{"textMessage":"large"}  "#)));
        assert_eq!(Gathered::new(0).answer(Building::default()), Answer::json("[]"));
    }

    #[test]
    fn the_ids_of_a_page_follow_from_the_log() {
        // Ten were cleared, of what came then three were trimmed; offset 5 was asked for.
        let page = Page { start: 3, base: 13, log_length: 9, ..Page::default() };
        assert_eq!((first_id(&page, 5), first_id(&page, 0)), (16, 14));
    }
}
