//! `get data`: messages of a topic, the newest first (S:105–109).
//!
//! Messages are read in *blocks* of [`BLOCK`] numbers, encoded, the newest first, with the end of
//! each. What a client gets is a slice of a few blocks, with the reader's holes cut out, and its
//! answer behind it, in one write. Full blocks never change while the room's log is not cleared,
//! so they are kept, one for each codec and view. A change that this node was told of gives the
//! room another generation, which is part of the key; one that it was not told of gives the log
//! another edition, which is asked for once per request.
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quick_cache::{Weighter, sync::Cache};

use super::{
    Tinode,
    attach::Attach,
    holes::{self, Holes},
    ids::{Key, View},
    message::{Code, Ctrl, Message, Params, Range},
    mode::Mode,
    refusal::Done,
    request::{Given, Options},
    stored,
};
use crate::{
    domain::{
        broker::{PageLimit, Stored},
        history::PAGE,
        ids::RoomId,
        room::Room,
    },
    metrics,
};

/// Messages of a block.
const BLOCK: u64 = 64;
/// Most messages of an answer.
const MOST: usize = 100;
/// Most bytes of an answer; one message may be larger. More than that at once a client might not
/// take in time. It asks for what is left.
const MOST_BYTES: usize = 4 << 20;
/// Messages that are read of a block that is not full, at least.
const FEW: usize = 16;
/// Blocks without any message that are gone through for one answer: where that many are erased,
/// whoever asks has to ask for what is before them.
const MOST_EMPTY: usize = 32;
/// Bytes of the largest block that is kept.
const MOST_KEPT: usize = 1 << 20;
/// Bytes of a block as it usually is, to size the cache's tables.
const USUAL: usize = 16 << 10;

/// What stands for a message where files are referred to.
pub(super) fn place(key: &Key, seq: u64) -> String {
    format!("m/{}/{seq}", key.id())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct BlockKey {
    /// Of the room's log: no two rooms have the same.
    generation: u64,
    block: u64,
    is_grpc: bool,
    view: View,
}

/// Messages as they are sent, the newest first.
#[derive(Debug, Clone, PartialEq)]
struct Encoded {
    /// The number of the newest, whether or not that is there.
    top: u64,
    /// Where each ends. One that is not there has no bytes.
    ends: Arc<[usize]>,
    frames: Bytes,
}

impl Encoded {
    /// Those of `within` that are there, `most` at most and of so many bytes, the newest first:
    /// where they are, how many, and whether the bytes have ended it. Of bytes, one is there in any
    /// case.
    fn slice(
        &self,
        within: Range,
        most: usize,
        bytes: usize,
    ) -> (std::ops::Range<usize>, usize, bool) {
        let end_of = |at: usize| match at {
            0 => 0,
            at => self.ends.get(at - 1).copied().unwrap_or(self.frames.len()),
        };
        let above = (self.top + 1).saturating_sub(within.hi);
        let below = (self.top + 1).saturating_sub(within.low);
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX).min(self.ends.len());
        let (first, last) = (count(above), count(below));
        let (start, mut end, mut found) = (end_of(first), end_of(first), 0);
        for at in first..last {
            let next = end_of(at + 1);
            if next == end {
                continue;
            }
            if found == most {
                break;
            }
            if found > 0 && next - start > bytes {
                return (start..end, found, true);
            }
            (end, found) = (next, found + 1);
        }
        (start..end, found, false)
    }
}

/// A block, and when it counts.
#[derive(Clone)]
struct Block {
    edition: u64,
    /// When it is no longer what the log shows, in milliseconds since 1970.
    due_ms: Option<u64>,
    encoded: Encoded,
}

#[derive(Clone)]
struct Size;

impl Weighter<BlockKey, Block> for Size {
    fn weight(&self, _: &BlockKey, block: &Block) -> u64 {
        let Encoded { ends, frames, .. } = &block.encoded;
        (frames.len() + size_of_val(&**ends) + 256) as u64
    }
}

/// Blocks that are kept.
pub(super) struct Blocks(Cache<BlockKey, Block, Size>);

impl Blocks {
    /// Keeps at most `bytes`.
    pub fn new(bytes: usize) -> Self {
        Blocks(Cache::with_weighter(bytes / USUAL + 1, bytes as u64, Size))
    }
}

/// Which messages are asked for, of so many: ranges in order, of which no two touch.
fn wanted(o: &Options<'_>, last: u64) -> Vec<Range> {
    let end = last.saturating_add(1);
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    let range = |low: i64, hi: u64| {
        let range = Range { low: number(low).max(1), hi: hi.min(end) };
        (range.low < range.hi).then_some(range)
    };
    if o.ranges.is_empty() {
        let before = number(o.before);
        return range(o.since, if before == 0 { end } else { before }).into_iter().collect();
    }
    let of = |given: &Given| match given.hi {
        0 if given.low <= 0 => None,
        0 => range(given.low, number(given.low).saturating_add(1)),
        hi => range(given.low, number(hi)),
    };
    holes::union(o.ranges.iter().filter_map(of).collect())
}

/// How many messages are asked for.
fn limit(o: &Options<'_>) -> usize {
    match usize::try_from(o.limit) {
        Ok(0) | Err(_) => MOST,
        Ok(limit) => limit.min(MOST),
    }
}

/// Answers with messages.
pub(super) async fn data(attach: &Arc<Attach>, id: &str, o: &Options<'_>) {
    let (session, topic) = (&attach.session, &*attach.shown);
    if !attach.mode().has(Mode::R) {
        return session.ctrl(id, topic, Code::Denied);
    }
    let (mut frames, count) = match read(attach, o).await {
        Ok(read) => read,
        Err(why) => return session.refuse(id, topic, why),
    };
    if count == 0 {
        return session.ctrl_with(id, topic, Code::NoContent, Params::what("data"));
    }
    let params = Params::what("data").number("count", count as u64);
    let end = Ctrl { id, topic, code: Code::Delivered, params };
    frames.extend_from_slice(&session.encode(&Message::Ctrl(end)));
    session.send_frames(&frames.freeze());
}

/// The messages that are asked for, encoded, and how many they are.
async fn read(attach: &Arc<Attach>, o: &Options<'_>) -> Done<(BytesMut, usize)> {
    let room = attach.room().ok_or(Code::MustAttach)?;
    let holes = holes(attach).await?;
    // What comes behind it is delivered, or was.
    let last = attach.live.last();
    let mut reader = Reader { attach, room, last, edition: None };
    let (mut frames, mut count, mut empty) = (BytesMut::new(), 0, 0);
    let most = limit(o);
    for range in wanted(o, last).into_iter().rev() {
        for left in holes.left(range).into_iter().rev() {
            let mut hi = left.hi;
            while hi > left.low && count < most {
                let block = block_of(hi - 1);
                let here = Range { low: left.low.max(first_of(block)), hi };
                let Some(Part { encoded, low }) = reader.part(block, here, most - count).await?
                else {
                    return Ok((frames, count)); // what is before has gone
                };
                let within = Range { low, hi };
                let bytes = MOST_BYTES.saturating_sub(frames.len());
                let (slice, found, full) = encoded.slice(within, most - count, bytes);
                // The first message of an answer is in it however large it is, and no other.
                if count > 0 && slice.len() > bytes {
                    return Ok((frames, count));
                }
                frames.extend_from_slice(&encoded.frames[slice]);
                (count, hi) = (count + found, low);
                empty = if found == 0 { empty + 1 } else { 0 };
                if full || empty >= MOST_EMPTY {
                    return Ok((frames, count));
                }
            }
        }
    }
    Ok((frames, count))
}

fn block_of(seq: u64) -> u64 {
    seq.saturating_sub(1) / BLOCK
}

/// The number of a block's first message.
fn first_of(block: u64) -> u64 {
    block.saturating_mul(BLOCK).saturating_add(1)
}

/// What the reader does not see.
async fn holes(attach: &Arc<Attach>) -> Done<Arc<Holes>> {
    if let Some(holes) = attach.holes() {
        return Ok(holes);
    }
    let since = attach.holes_version();
    let (node, live) = (&attach.session.node, &attach.live);
    let holes = Arc::new(holes::of(node, &live.life, attach.who.user).await?);
    attach.keep_holes(holes.clone(), since);
    Ok(holes)
}

/// Some messages, and from which number on.
struct Part {
    encoded: Encoded,
    low: u64,
}

/// Who reads a topic's blocks for one request.
struct Reader<'a> {
    attach: &'a Attach,
    room: Arc<Room>,
    last: u64,
    /// Of the log, once that was asked for.
    edition: Option<u64>,
}

impl Reader<'_> {
    /// Messages `within` this block, up to their end: all of a full block, or about as many as are
    /// wanted of another. Nothing: neither these are there, nor any before them.
    async fn part(&mut self, block: u64, within: Range, most: usize) -> Done<Option<Part>> {
        let whole = Range { low: first_of(block), hi: first_of(block + 1) };
        if whole.hi - 1 > self.last {
            let low = within.low.max(within.hi.saturating_sub(most.max(FEW) as u64));
            let read = self.read(Range { low, hi: within.hi }).await?;
            return Ok(read.map(|block| Part { encoded: block.encoded, low }));
        }
        let part = |encoded| Some(Part { encoded, low: within.low });
        let key = BlockKey {
            generation: self.room.generation(),
            block,
            is_grpc: self.attach.session.is_grpc(),
            view: self.attach.view,
        };
        let node = &self.attach.session.node;
        let looked_up = |hit| node.hub.metrics.messages.looked_up(metrics::Cache::Pages, hit);
        if let Some(encoded) = self.kept(&key).await? {
            looked_up(true);
            return Ok(part(encoded));
        }
        looked_up(false);
        let Some(block) = self.read(whole).await? else { return Ok(None) };
        let encoded = block.encoded.clone();
        if encoded.frames.len() <= MOST_KEPT {
            node.blocks.0.insert(key, block);
        }
        Ok(part(encoded))
    }

    /// A block that was kept, and is still what the log says.
    async fn kept(&mut self, key: &BlockKey) -> Done<Option<Encoded>> {
        let node = &self.attach.session.node;
        let Some(block) = node.blocks.0.get(key) else { return Ok(None) };
        if block.due_ms.is_some_and(|due| due <= node.hub.clock.unix_ms()) {
            return Ok(None);
        }
        let edition = match self.edition {
            Some(edition) => edition,
            None => *self.edition.insert(node.hub.edition(&self.room.id).await?),
        };
        Ok((block.edition == edition).then_some(block.encoded))
    }

    /// Reads and encodes these. Nothing: neither they are there, nor any before them.
    async fn read(&self, within: Range) -> Done<Option<Block>> {
        let (session, node) = (&self.attach.session, &self.attach.session.node);
        let building = node.hub.begin_page().await?; // few are read and put together at a time
        let stretch = stretch(node, &self.room.id, within).await?;
        if stretch.first >= within.hi {
            return Ok(None);
        }
        let show_from = !self.attach.reader;
        let encoded = encode(within, &stretch.messages, |seq, body, into| {
            if let Some(message) = stored::Stored::read(body) {
                let data = message.data(&self.attach.shown, seq, show_from);
                into.extend_from_slice(&session.encode(&Message::Data(data)));
            }
        });
        drop(building);
        Ok(Some(Block { edition: stretch.edition, due_ms: stretch.due_ms, encoded }))
    }
}

/// Encodes messages, which are in the order of their numbers, the newest first.
fn encode(
    within: Range,
    messages: &[(u64, Stored)],
    write: impl Fn(u64, &[u8], &mut Vec<u8>),
) -> Encoded {
    let bodies = messages.iter().filter_map(|(_, stored)| stored.body.as_ref());
    let mut frames = Vec::with_capacity(bodies.map(|body| body.len() + 96).sum());
    let mut ends = Vec::with_capacity(usize::try_from(within.hi - within.low).unwrap_or_default());
    let mut left = messages.iter().rev().peekable();
    for seq in (within.low..within.hi).rev() {
        if let Some((_, stored)) = left.next_if(|(next, _)| *next == seq)
            && !stored.recalled
            && let Some(body) = &stored.body
        {
            write(seq, body, &mut frames);
        }
        ends.push(frames.len());
    }
    Encoded { top: within.hi - 1, ends: ends.into(), frames: frames.into() }
}

/// Messages of a log, in the order of their numbers.
struct Stretch {
    messages: Vec<(u64, Stored)>,
    /// The number of the log's first message; of the next one, if there is none.
    first: u64,
    edition: u64,
    due_ms: Option<u64>,
}

/// Reads these messages: those that are there. A page that has ended by its bytes is read on.
async fn stretch(node: &Tinode, room: &RoomId, within: Range) -> Done<Stretch> {
    let mut found = Stretch { messages: Vec::new(), first: 0, edition: 0, due_ms: None };
    // An index is the log's origin and an offset. Mostly that is 0; after a clearing it is not.
    let (mut origin, mut is_sure, mut next) = (0, false, within.low);
    while next < within.hi {
        let entries = usize::try_from(within.hi - next).unwrap_or(usize::MAX);
        let limit = PageLimit { entries, bytes: PAGE.bytes };
        let from = (next - 1).saturating_sub(origin);
        let page = node.hub.page(room, from, limit).await?;
        if page.origin() != origin {
            if is_sure {
                break; // cleared meanwhile
            }
            (origin, is_sure) = (page.origin(), true);
            continue;
        }
        if !is_sure || found.first == 0 {
            (found.first, found.edition) = (page.base.saturating_add(1), page.edition);
        }
        is_sure = true;
        found.due_ms = [found.due_ms, page.due_ms].into_iter().flatten().min();
        let first = origin.saturating_add(page.first(from)).saturating_add(1);
        let read = page.entries.len() as u64;
        if read == 0 {
            break; // the end of the log
        }
        let here = (first..).zip(page.entries);
        found.messages.extend(here.filter(|(seq, _)| (within.low..within.hi).contains(seq)));
        next = first.saturating_add(read);
    }
    Ok(found)
}

/// One message, as it is stored.
///
/// # Errors
/// Those of the store.
pub(super) async fn at(node: &Tinode, room: &RoomId, seq: u64) -> Done<Option<Stored>> {
    Ok(some(node, room, Range { low: seq, hi: seq.saturating_add(1) }).await?.pop().map(|m| m.1))
}

/// Some messages, as they are stored, in the order of their numbers. All of them are in memory.
///
/// # Errors
/// Those of the store.
pub(super) async fn some(node: &Tinode, room: &RoomId, within: Range) -> Done<Vec<(u64, Stored)>> {
    Ok(stretch(node, room, within).await?.messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(since: i64, before: i64, limit: i64, ranges: &[(i64, i64)]) -> Options<'static> {
        let ranges = ranges.iter().map(|(low, hi)| Given { low: *low, hi: *hi }).collect();
        Options { since, before, limit, ranges, ..Options::default() }
    }

    #[test]
    fn what_is_asked_for_is_cut_to_what_is_there() {
        for (o, ranges, most) in [
            // As it was recorded, with twelve messages: get-data, steps 4 to 20.
            (asked(0, 0, 0, &[]), vec![(1, 13)], 100),
            (asked(10, 0, 0, &[]), vec![(10, 13)], 100),
            (asked(0, 3, 0, &[]), vec![(1, 3)], 100),
            (asked(4, 6, 0, &[]), vec![(4, 6)], 100),
            (asked(0, 0, 2, &[]), vec![(1, 13)], 2),
            (asked(2, 0, 2, &[]), vec![(2, 13)], 2),
            (asked(0, 9, 2, &[]), vec![(1, 9)], 2),
            (asked(900, 0, 0, &[]), vec![], 100),
            (asked(5, 5, 0, &[]), vec![], 100),
            (asked(0, 0, 0, &[(3, 6), (9, 0)]), vec![(3, 6), (9, 10)], 100),
            (asked(0, 0, 0, &[(11, 40)]), vec![(11, 13)], 100),
            (asked(0, 0, 1, &[(1, 3)]), vec![(1, 3)], 1),
            (asked(0, 0, -1, &[]), vec![(1, 13)], 100),
            (asked(-5, 0, 0, &[]), vec![(1, 13)], 100),
            (asked(0, 0, 5000, &[]), vec![(1, 13)], 100),
            (asked(0, 0, 0, &[(6, 3)]), vec![], 100),
            // Not recorded.
            (asked(0, -3, 0, &[]), vec![(1, 13)], 100),
            (asked(0, 0, 0, &[(0, 0)]), vec![], 100),
            (asked(0, 0, 0, &[(0, 3)]), vec![(1, 3)], 100),
            (asked(0, 0, 0, &[(-4, -2)]), vec![], 100),
            (asked(0, 0, 0, &[(5, 5)]), vec![], 100),
            (asked(0, 0, 0, &[(9, 0), (3, 6), (6, 3), (5, 8)]), vec![(3, 8), (9, 10)], 100),
            (asked(i64::MAX, i64::MAX, i64::MAX, &[]), vec![], 100),
            (asked(0, 0, 0, &[(i64::MAX, 0), (1, i64::MAX)]), vec![(1, 13)], 100),
        ] {
            let ranges: Vec<Range> =
                ranges.into_iter().map(|(low, hi)| Range { low, hi }).collect();
            assert_eq!((wanted(&o, 12), limit(&o)), (ranges, most), "{o:?}");
        }
        assert_eq!(wanted(&asked(0, 0, 0, &[]), 0), []);
    }

    #[test]
    fn a_block_has_64_messages() {
        for (seq, block, first) in [(1, 0, 1), (64, 0, 1), (65, 1, 65), (128, 1, 65), (129, 2, 129)]
        {
            assert_eq!((block_of(seq), first_of(block)), (block, first), "{seq}");
        }
    }

    fn stored(body: Option<&'static str>, recalled: bool) -> Stored {
        let body = body.map(|body| Bytes::from_static(body.as_bytes()));
        Stored { body, at_ms: 1, recalled, n: None }
    }

    /// Of 11 to 16: 11 is trimmed, 13 erased, 15 recalled.
    fn block() -> Encoded {
        let messages = [
            (12, stored(Some("bb"), false)),
            (13, stored(None, false)),
            (14, stored(Some("d"), false)),
            (15, stored(Some("e"), true)),
            (16, stored(Some("ffff"), false)),
        ];
        let write = |_, body: &[u8], into: &mut Vec<u8>| into.extend_from_slice(body);
        encode(Range { low: 11, hi: 17 }, &messages, write)
    }

    #[test]
    fn a_block_is_encoded_with_the_newest_first() {
        let block = block();
        assert_eq!((block.top, &*block.frames), (16, &b"ffffdbb"[..]));
        assert_eq!(*block.ends, [4, 4, 5, 5, 7, 7]);
    }

    #[test]
    fn a_slice_of_a_block_has_what_is_there() {
        let block = block();
        for ((low, hi), most, bytes, slice, count, full) in [
            ((11, 17), 100, 100, "ffffdbb", 3, false),
            ((11, 17), 2, 100, "ffffd", 2, false),
            ((11, 17), 0, 100, "", 0, false),
            ((11, 16), 100, 100, "dbb", 2, false),
            ((14, 17), 100, 100, "ffffd", 2, false),
            ((13, 14), 100, 100, "", 0, false),
            ((15, 16), 100, 100, "", 0, false),
            ((12, 13), 1, 100, "bb", 1, false),
            ((1, 12), 100, 100, "", 0, false),
            // By bytes; the first is there however large it is.
            ((11, 17), 100, 5, "ffffd", 2, true),
            ((11, 17), 100, 4, "ffff", 1, true),
            ((11, 17), 100, 0, "ffff", 1, true),
            ((12, 13), 100, 0, "bb", 1, false),
        ] {
            let (at, found, ended) = block.slice(Range { low, hi }, most, bytes);
            let text = std::str::from_utf8(&block.frames[at]).unwrap();
            assert_eq!((text, found, ended), (slice, count, full), "{low} {hi} {most} {bytes}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let blocks = Blocks::new(1 << 20);
        let encoded = Encoded {
            top: 64,
            ends: vec![100; 64].into(),
            frames: Bytes::from_static(&[0; 10_000]),
        };
        let key = |block| BlockKey { generation: 1, block, is_grpc: false, view: View::All };
        for block in 0..1000 {
            let encoded = encoded.clone();
            blocks.0.insert(key(block), Block { edition: 0, due_ms: None, encoded });
        }
        let kept = (0..1000).filter(|block| blocks.0.get(&key(*block)).is_some()).count();
        assert!((1..=104).contains(&kept), "{kept}");
    }
}
