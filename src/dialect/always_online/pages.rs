//! Full pages never change while a room's log is not cleared, so they are kept, finished, in
//! bounded memory: a thousand clients that come back at once cost few reads and compressions per
//! page.
//!
//! A clearing that this node was told of changes the room's generation, which is part of the key.
//! One that it was not told of, because it was done by another node and the news is late or lost,
//! changes the log's edition, which is kept with the page and asked for anew each time.
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use quick_cache::{Weighter, sync::Cache};

use super::wire;
use crate::domain::history::PAGE;

/// Pages that begin where clients that walk the log ask for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    generation: u64,
    from: u64,
    gzip: bool,
    resume: bool,
}

impl Key {
    /// Nothing, for a page that begins anywhere else: those are not kept.
    pub(super) fn new(generation: u64, from: u64, gzip: bool, resume: bool) -> Option<Self> {
        from.is_multiple_of(PAGE.entries as u64).then_some(Key { generation, from, gzip, resume })
    }
}

#[derive(Clone)]
struct Size;

/// A page's finished frames: the event, and perhaps its acknowledgement behind it.
#[derive(Clone)]
pub(super) struct PageAnswer {
    pub(super) frames: Bytes,
    /// Where in the frames the event's payload stands.
    pub(super) payload: Range<usize>,
}

impl PageAnswer {
    /// Of a page without an acknowledgement: with one, where it is asked for.
    pub(super) fn with_ack(self, id: Option<i64>) -> Bytes {
        let Some(id) = id else { return self.frames };
        let payload = self.frames.get(self.payload).unwrap_or_default();
        let mut both = BytesMut::with_capacity(self.frames.len() + payload.len() + 64);
        both.extend_from_slice(&self.frames);
        wire::ack_of(&mut both, id, payload);
        both.freeze()
    }
}

/// A finished page, and the edition of the log that it was read from.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) edition: u64,
    /// When it is no longer what the log shows, in milliseconds since 1970.
    pub(super) due_ms: Option<u64>,
    pub(super) answer: PageAnswer,
}

impl Weighter<Key, Kept> for Size {
    fn weight(&self, _: &Key, kept: &Kept) -> u64 {
        kept.answer.frames.len() as u64 + 128
    }
}

/// Bytes of a page as it usually is, to size the cache's tables.
const USUAL: usize = 16 << 10;

/// Finished frames of full pages.
pub(super) struct Pages(Cache<Key, Kept, Size>);

impl Pages {
    /// Keeps at most `bytes`.
    pub(super) fn new(bytes: usize) -> Self {
        Pages(Cache::with_weighter(bytes / USUAL + 1, bytes as u64, Size))
    }

    pub(super) fn get(&self, key: &Key) -> Option<Kept> {
        self.0.get(key)
    }

    pub(super) fn put(&self, key: Key, kept: Kept) {
        self.0.insert(key, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_a_new_generation_begins_empty() {
        let pages = Pages::new(1 << 20);
        let key = |generation, page: u64| Key::new(generation, page * 200, true, false).unwrap();
        for i in 0..1000 {
            let answer = PageAnswer { frames: Bytes::from(vec![0; 10_000]), payload: 0..0 };
            pages.put(key(1, i), Kept { edition: 0, due_ms: None, answer });
        }
        let kept = (0..1000).filter(|i| pages.get(&key(1, *i)).is_some()).count();
        assert!((1..=104).contains(&kept), "{kept}");
        assert!((0..1000).all(|i| pages.get(&key(2, i)).is_none()));
        assert!(Key::new(1, 201, true, false).is_none());
    }
}
