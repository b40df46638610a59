//! What is dropped where too much waits for an endpoint.
//!
//! Parked batches go first, then events in the order of their happening. Rooms are told of what they
//! miss, by a gap for each. Gaps themselves take room on disk, and rooms may be many: beyond a part
//! of what may wait, the oldest gaps become one that is of all rooms.
//!
//! A little more is dropped than has to be, so that not every event does it; and not much more, as
//! all rooms wait for the writer meanwhile.
use rusqlite::{Connection, Row, params};

use super::{
    super::column,
    queues::{
        Tally, cost, find_or_make, forget_batch, in_queue, last, miss, number, one, read_gap, told,
    },
};
use crate::domain::{
    ids::RoomId,
    outbox::{GAPS, Gap, everywhere},
};

/// Rows that are looked at in one step.
const STEP: i64 = 100;

/// What is left of so much, at most, once something was dropped.
fn goal(most: u64) -> i64 {
    column(most - (most / 16).min(64 << 10))
}

/// Rows of an endpoint's events, the oldest first, with their queues, and up to where those have
/// frozen theirs.
pub(super) const OLDEST: &str =
    "SELECT e.pos, e.queue, e.count, e.epoch, octet_length(e.body), q.room, q.upto >= e.pos
     FROM hook_events e LEFT JOIN hook_queues q ON q.id = e.queue
     WHERE e.pos BETWEEN ?1 << 48 AND ?1 << 48 | 0xffffffffffff ORDER BY e.pos LIMIT ?2";

struct Oldest {
    pos: i64,
    queue: i64,
    count: u64,
    epoch: String,
    bytes: u64,
    room: Option<String>,
    is_frozen: bool,
}

fn oldest(db: &Connection, endpoint: i64) -> rusqlite::Result<Vec<Oldest>> {
    db.prepare_cached(OLDEST)?
        .query_map([endpoint, STEP], |row| {
            Ok(Oldest {
                pos: row.get(0)?,
                queue: row.get(1)?,
                count: row.get::<_, i64>(2)?.unsigned_abs(),
                epoch: row.get(3)?,
                bytes: cost(row.get::<_, i64>(4)?.unsigned_abs()),
                room: row.get(5)?,
                is_frozen: row.get::<_, Option<bool>>(6)?.unwrap_or_default(),
            })
        })?
        .collect()
}

/// Drops what is oldest until less waits than may: parked batches, then events, those of frozen
/// batches too, then batches that are to be sent again, and those of gaps alone. `total` is what
/// waits. True: the queue of all rooms was made, and is due.
pub(super) fn shed(
    db: &Connection,
    endpoint: i64,
    pending: u64,
    total: u64,
    now_ms: u64,
) -> rusqlite::Result<bool> {
    let (goal, mut tally, mut made) = (goal(pending), Tally::default(), false);
    let over = |tally: &Tally| column(total).saturating_add(tally.by()) > goal;
    while over(&tally)
        && let Some((serial, size)) = oldest_parked(db, endpoint)?
    {
        forget_batch(db, serial)?;
        tally.less(size);
        tally.dropped(1);
    }
    while over(&tally) && drop_events(db, endpoint, &over, &mut tally)? {
        made |= fold(db, endpoint, pending, now_ms, &mut tally)?;
    }
    while over(&tally) && drop_oldest_to_send(db, endpoint, now_ms, &mut tally)? {}
    while over(&tally) && drop_frozen_gap(db, endpoint, &mut tally)? {}
    made |= fold(db, endpoint, pending, now_ms, &mut tally)?;
    tally.write(db, endpoint)?;
    Ok(made)
}

/// Drops some of the oldest events; false: there are none.
fn drop_events(
    db: &Connection,
    endpoint: i64,
    over: &dyn Fn(&Tally) -> bool,
    tally: &mut Tally,
) -> rusqlite::Result<bool> {
    let (some, mut thawed) = (oldest(db, endpoint)?, Vec::new());
    let is_any = !some.is_empty();
    for one in some {
        if !over(tally) {
            break;
        }
        let room = one.room.as_deref().and_then(|room| RoomId::stored(room).ok());
        if one.is_frozen {
            // All of a batch goes, with what of it comes here later.
            if thawed.contains(&one.queue) {
                continue;
            }
            if drop_frozen(db, one.queue, room.as_ref(), tally)? {
                thawed.push(one.queue);
                continue;
            }
        }
        db.prepare_cached("DELETE FROM hook_events WHERE pos = ?1")?.execute([one.pos])?;
        tally.less(one.bytes);
        tally.dropped(one.count);
        if let Some(room) = room {
            let n = number(one.pos);
            let gap = Gap { from: n, to: last(n, one.count) };
            miss(db, one.queue, &room, gap, &one.epoch, tally)?;
        }
    }
    Ok(is_any)
}

/// The batch that was put aside first, and its bytes.
pub(super) const OLDEST_PARKED: &str = "SELECT serial, octet_length(body) FROM hook_batches WHERE endpoint = ?1 AND parked IS NOT NULL ORDER BY serial LIMIT 1";

fn oldest_parked(db: &Connection, endpoint: i64) -> rusqlite::Result<Option<(i64, u64)>> {
    let size = |row: &Row<'_>| Ok((row.get(0)?, cost(row.get::<_, i64>(1)?.unsigned_abs())));
    one(db, OLDEST_PARKED, [endpoint], size)
}

/// The first of those that are to be sent again.
pub(super) const OLDEST_TO_SEND: &str =
    "SELECT first, last, epoch, serial, octet_length(body), room FROM hook_batches
     WHERE endpoint = ?1 AND parked IS NULL ORDER BY since LIMIT 1";

/// Drops it; false: there is none.
fn drop_oldest_to_send(
    db: &Connection,
    endpoint: i64,
    now_ms: u64,
    tally: &mut Tally,
) -> rusqlite::Result<bool> {
    let read = |row: &Row<'_>| {
        let size = row.get::<_, i64>(4)?.unsigned_abs();
        Ok((read_gap(row)?, row.get::<_, i64>(3)?, cost(size), row.get::<_, String>(5)?))
    };
    let Some((gap, serial, size, room)) = one(db, OLDEST_TO_SEND, [endpoint], read)? else {
        return Ok(false);
    };
    forget_batch(db, serial)?;
    tally.less(size);
    tally.dropped(1);
    if let (Some((gap, epoch)), Ok(room)) = (gap, RoomId::stored(&room)) {
        let (queue, _) = find_or_make(db, endpoint, room.as_str(), now_ms)?;
        miss(db, queue, &room, gap, &epoch, tally)?;
    }
    Ok(true)
}

/// The frozen batch of a gap alone that is to be sent first.
pub(super) const FROZEN_GAP: &str = "SELECT id, room FROM hook_queues
     WHERE endpoint = ?1 AND batch IS NOT NULL AND upto IS NULL ORDER BY due LIMIT 1";

/// Makes it a gap again; false: there is none. An endpoint that refuses all that it is sent leaves
/// many of them.
fn drop_frozen_gap(db: &Connection, endpoint: i64, tally: &mut Tally) -> rusqlite::Result<bool> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?));
    let Some((queue, room)) = one(db, FROZEN_GAP, [endpoint], read)? else { return Ok(false) };
    drop_frozen(db, queue, RoomId::stored(&room).ok().as_ref(), tally)
}

/// Gives up a queue's frozen batch; false: it has none.
fn drop_frozen(
    db: &Connection,
    queue: i64,
    room: Option<&RoomId>,
    tally: &mut Tally,
) -> rusqlite::Result<bool> {
    let Some(frozen) = in_queue(db, queue)? else { return Ok(false) };
    let events = frozen.forget(db, queue, None, tally)?;
    tally.dropped(events);
    if let (Some((gap, epoch)), Some(room)) = (&frozen.gap, room) {
        miss(db, queue, room, *gap, epoch, tally)?;
    }
    Ok(true)
}

/// The oldest gaps, but for that of all rooms; and whether the queue has nothing else.
pub(super) const OLDEST_GAPS: &str = "SELECT q.gap_from, q.gap_to, q.gap_epoch, q.id, q.room,
         q.batch IS NULL AND NOT EXISTS (SELECT 1 FROM hook_events e WHERE e.queue = q.id)
             AND NOT EXISTS (SELECT 1 FROM hook_batches b WHERE b.room = q.room AND b.endpoint = q.endpoint AND b.parked IS NULL)
     FROM hook_queues q WHERE q.endpoint = ?1 AND q.gap_to IS NOT NULL AND q.room <> ?2 ORDER BY q.gap_to LIMIT ?3";

/// Makes one of the oldest gaps, where all of them take too much. True: the queue of all rooms was
/// made, and is due.
pub(super) fn fold(
    db: &Connection,
    endpoint: i64,
    pending: u64,
    now_ms: u64,
    tally: &mut Tally,
) -> rusqlite::Result<bool> {
    let before = "SELECT gaps FROM hook_endpoints WHERE id = ?1";
    let before: i64 = one(db, before, [endpoint], |row| row.get(0))?.unwrap_or_default();
    let gaps = |tally: &Tally| before.saturating_add(tally.gaps());
    let (most, mut made) = (pending / GAPS, false);
    if gaps(tally) <= column(most) {
        return Ok(false);
    }
    let everywhere = everywhere();
    while gaps(tally) > goal(most) {
        let oldest = oldest_gaps(db, endpoint, everywhere.as_str())?;
        if oldest.is_empty() {
            break;
        }
        let (queue, is_new) = find_or_make(db, endpoint, everywhere.as_str(), now_ms)?;
        made |= is_new;
        for (gap, epoch, id, room, is_all) in oldest {
            if gaps(tally) <= goal(most) {
                break;
            }
            let change = if is_all {
                "DELETE FROM hook_queues WHERE id = ?1"
            } else {
                "UPDATE hook_queues SET gap_from = NULL, gap_to = NULL, gap_epoch = NULL WHERE id = ?1"
            };
            db.prepare_cached(change)?.execute([id])?;
            // One that is no room's was written by somebody else.
            if let Ok(room) = RoomId::stored(&room) {
                told(&room, tally);
                miss(db, queue, &everywhere, gap, &epoch, tally)?;
            }
        }
    }
    Ok(made)
}

type OldGap = (Gap, String, i64, String, bool);

fn oldest_gaps(db: &Connection, endpoint: i64, all: &str) -> rusqlite::Result<Vec<OldGap>> {
    let mut select = db.prepare_cached(OLDEST_GAPS)?;
    let mut rows = select.query(params![endpoint, all, STEP])?;
    let mut oldest = Vec::new();
    while let Some(row) = rows.next()? {
        let Some((gap, epoch)) = read_gap(row)? else { continue };
        oldest.push((gap, epoch, row.get(3)?, row.get(4)?, row.get(5)?));
    }
    Ok(oldest)
}
