//! What is dropped where too much waits for an endpoint.
//!
//! Parked batches go first, then events in the order of their happening. Rooms are told of what
//! they miss, by a gap for each. Gaps themselves take room on disk, and rooms may be many: beyond a
//! part of what may wait, the oldest gaps become one that is of all rooms, before anything else is
//! dropped.
//!
//! A little more is dropped than has to be, so that not every event does it; and not much more, as
//! all rooms wait for the writer meanwhile. Where a lot is too much, as after a start with a
//! smaller bound, each transaction drops its part ([`Budget`]), and the next one goes on.
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use rusqlite::{Connection, Row, params};

use super::{
    super::{column, writer::Chore},
    Hooks,
    queues::{
        Tally, cost, count, find_or_make, forget_batch, in_queue, last, miss, number, one,
        read_gap, text, told,
    },
};
use crate::domain::{
    ids::RoomId,
    outbox::{GAPS, Gap, everywhere},
};

/// Rows that are looked at in one step, at most.
const STEP: i64 = 100;
/// Steps of one transaction, at most.
const STEPS: i64 = 10;
/// Bytes that count as a row.
const ROW: i64 = 64 << 10;

/// What a transaction may still drop: rows, and gaps that become one. Beside that a change may drop
/// as many rows as it adds, so that what waits does not grow.
pub(super) struct Budget {
    rows: AtomicI64,
    gaps: AtomicI64,
}

impl Budget {
    pub(super) fn new() -> Self {
        let all = || AtomicI64::new(STEPS * STEP);
        Budget { rows: all(), gaps: all() }
    }

    /// Another transaction begins.
    fn renew(&self) {
        self.rows.store(STEPS * STEP, Relaxed);
        self.gaps.store(STEPS * STEP, Relaxed);
    }

    /// So many rows are added.
    pub(super) fn add(&self, rows: i64) {
        self.rows.fetch_add(rows, Relaxed);
        self.gaps.fetch_add(rows, Relaxed);
    }

    fn has_rows(&self) -> bool {
        self.rows.load(Relaxed) > 0
    }

    /// Rows that are worth looking at: no more than may be dropped.
    fn rows_at_once(&self) -> i64 {
        self.rows.load(Relaxed).clamp(1, STEP)
    }

    /// Something was dropped; so much waited before.
    fn dropped(&self, before: i64, tally: &Tally) {
        let bytes = before.saturating_sub(tally.by()).max(0);
        self.rows.fetch_sub(1 + bytes / ROW, Relaxed);
    }

    fn has_gaps(&self) -> bool {
        self.gaps.load(Relaxed) > 0
    }

    /// Gaps that are worth looking at.
    fn gaps_at_once(&self) -> i64 {
        self.gaps.load(Relaxed).clamp(1, STEP)
    }

    fn folded(&self) {
        self.gaps.fetch_sub(1, Relaxed);
    }
}

/// Gives each transaction its budget: the writer's thread comes here between them.
pub(in super::super) struct Renewal(pub(in super::super) Arc<Hooks>);

impl Chore for Renewal {
    fn pause(&self) -> Duration {
        Duration::MAX
    }

    fn step(&mut self, _: &Connection) {
        self.0.budget.renew();
    }

    fn put_off(&mut self) {}
}

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

fn oldest(db: &Connection, endpoint: i64, most: i64) -> rusqlite::Result<Vec<Oldest>> {
    db.prepare_cached(OLDEST)?
        .query_map([endpoint, most], |row| {
            Ok(Oldest {
                pos: row.get(0)?,
                queue: row.get(1)?,
                count: count(row, 2),
                epoch: text(row, 3)?,
                bytes: cost(row.get::<_, i64>(4)?.unsigned_abs()),
                room: row.get(5).unwrap_or_default(),
                is_frozen: row.get::<_, Option<bool>>(6)?.unwrap_or_default(),
            })
        })?
        .collect()
}

/// Drops what is oldest until less waits than may: gaps beyond their part, parked batches, events,
/// those of frozen batches too, then batches that are to be sent again, and those of gaps alone; or
/// until the budget is used up. `total` is what waits. True: the queue of all rooms was made, and
/// is due.
pub(super) fn shed(
    db: &Connection,
    endpoint: i64,
    pending: u64,
    total: u64,
    now_ms: u64,
    budget: &Budget,
) -> rusqlite::Result<bool> {
    let (goal, mut tally) = (goal(pending), Tally::default());
    let mut made = fold(db, endpoint, pending, now_ms, &mut tally, budget)?;
    if !budget.has_gaps() {
        // There are more gaps than may be: the next transaction goes on with these.
        tally.write(db, endpoint)?;
        return Ok(made);
    }
    let goes_on =
        |tally: &Tally| budget.has_rows() && column(total).saturating_add(tally.by()) > goal;
    while goes_on(&tally) && drop_oldest_parked(db, endpoint, &mut tally, budget)? {}
    while goes_on(&tally) && drop_events(db, endpoint, &goes_on, &mut tally, budget)? {
        made |= fold(db, endpoint, pending, now_ms, &mut tally, budget)?;
    }
    while goes_on(&tally) && drop_oldest_to_send(db, endpoint, now_ms, &mut tally, budget)? {}
    while goes_on(&tally) && drop_frozen_gap(db, endpoint, &mut tally, budget)? {}
    made |= fold(db, endpoint, pending, now_ms, &mut tally, budget)?;
    tally.write(db, endpoint)?;
    Ok(made)
}

/// Drops some of the oldest events; false: there are none.
fn drop_events(
    db: &Connection,
    endpoint: i64,
    goes_on: &dyn Fn(&Tally) -> bool,
    tally: &mut Tally,
    budget: &Budget,
) -> rusqlite::Result<bool> {
    let (some, mut thawed) = (oldest(db, endpoint, budget.rows_at_once())?, Vec::new());
    let is_any = !some.is_empty();
    for one in some {
        if !goes_on(tally) {
            break;
        }
        let before = tally.by();
        let room = one.room.as_deref().and_then(|room| RoomId::stored(room).ok());
        if one.is_frozen {
            // All of a batch goes, with what of it comes here later.
            if thawed.contains(&one.queue) {
                continue;
            }
            if drop_frozen(db, one.queue, room.as_ref(), tally)? {
                budget.dropped(before, tally);
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
        budget.dropped(before, tally);
    }
    Ok(is_any)
}

/// The batch that was put aside first, and its bytes.
pub(super) const OLDEST_PARKED: &str = "SELECT serial, octet_length(body) FROM hook_batches
     WHERE endpoint = ?1 AND parked IS NOT NULL ORDER BY serial LIMIT 1";

/// Drops it; false: there is none.
fn drop_oldest_parked(
    db: &Connection,
    endpoint: i64,
    tally: &mut Tally,
    budget: &Budget,
) -> rusqlite::Result<bool> {
    let size = |row: &Row<'_>| Ok((row.get(0)?, cost(row.get::<_, i64>(1)?.unsigned_abs())));
    let Some((serial, size)) = one(db, OLDEST_PARKED, [endpoint], size)? else {
        return Ok(false);
    };
    let before = tally.by();
    forget_batch(db, serial)?;
    tally.less(size);
    tally.dropped(1);
    budget.dropped(before, tally);
    Ok(true)
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
    budget: &Budget,
) -> rusqlite::Result<bool> {
    let read = |row: &Row<'_>| {
        let size = row.get::<_, i64>(4)?.unsigned_abs();
        Ok((read_gap(row), row.get::<_, i64>(3)?, cost(size), text(row, 5)?))
    };
    let Some((gap, serial, size, room)) = one(db, OLDEST_TO_SEND, [endpoint], read)? else {
        return Ok(false);
    };
    let before = tally.by();
    forget_batch(db, serial)?;
    tally.less(size);
    tally.dropped(1);
    if let (Some((gap, epoch)), Ok(room)) = (gap, RoomId::stored(&room)) {
        let (queue, _) = find_or_make(db, endpoint, room.as_str(), now_ms)?;
        miss(db, queue, &room, gap, &epoch, tally)?;
    }
    budget.dropped(before, tally);
    Ok(true)
}

/// The frozen batch of a gap alone that is to be sent first.
pub(super) const FROZEN_GAP: &str = "SELECT id, room FROM hook_queues
     WHERE endpoint = ?1 AND batch IS NOT NULL AND upto IS NULL ORDER BY due LIMIT 1";

/// Makes it a gap again; false: there is none. An endpoint that refuses all that it is sent leaves
/// many of them.
fn drop_frozen_gap(
    db: &Connection,
    endpoint: i64,
    tally: &mut Tally,
    budget: &Budget,
) -> rusqlite::Result<bool> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, text(row, 1)?));
    let Some((queue, room)) = one(db, FROZEN_GAP, [endpoint], read)? else { return Ok(false) };
    let before = tally.by();
    let dropped = drop_frozen(db, queue, RoomId::stored(&room).ok().as_ref(), tally)?;
    budget.dropped(before, tally);
    Ok(dropped)
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
             AND NOT EXISTS (SELECT 1 FROM hook_batches b
                 WHERE b.room = q.room AND b.endpoint = q.endpoint AND b.parked IS NULL)
     FROM hook_queues q WHERE q.endpoint = ?1 AND q.gap_to IS NOT NULL AND q.room <> ?2
     ORDER BY q.gap_to LIMIT ?3";

/// Makes one of the oldest gaps, where all of them take too much, as far as the budget goes. True:
/// the queue of all rooms was made, and is due.
pub(super) fn fold(
    db: &Connection,
    endpoint: i64,
    pending: u64,
    now_ms: u64,
    tally: &mut Tally,
    budget: &Budget,
) -> rusqlite::Result<bool> {
    let before = "SELECT gaps FROM hook_endpoints WHERE id = ?1";
    let before: i64 = one(db, before, [endpoint], |row| row.get(0))?.unwrap_or_default();
    let gaps = |tally: &Tally| before.saturating_add(tally.gaps());
    let (most, mut made) = (pending / GAPS, false);
    if gaps(tally) <= column(most) {
        return Ok(false);
    }
    let everywhere = everywhere();
    while budget.has_gaps() && gaps(tally) > goal(most) {
        let oldest = oldest_gaps(db, endpoint, everywhere.as_str(), budget.gaps_at_once())?;
        if oldest.is_empty() {
            break;
        }
        let (queue, is_new) = find_or_make(db, endpoint, everywhere.as_str(), now_ms)?;
        made |= is_new;
        for OldGap { gap, id, room, is_all } in oldest {
            if !budget.has_gaps() || gaps(tally) <= goal(most) {
                break;
            }
            budget.folded();
            let change = if is_all {
                "DELETE FROM hook_queues WHERE id = ?1"
            } else {
                "UPDATE hook_queues SET gap_from = NULL, gap_to = NULL, gap_epoch = NULL
                 WHERE id = ?1"
            };
            db.prepare_cached(change)?.execute([id])?;
            // One that is no room's was written by somebody else.
            if let Ok(room) = RoomId::stored(&room) {
                told(&room, tally);
                if let Some((gap, epoch)) = gap {
                    miss(db, queue, &everywhere, gap, &epoch, tally)?;
                }
            }
        }
    }
    Ok(made)
}

/// One of the oldest gaps.
struct OldGap {
    /// Nothing: it can't be read.
    gap: Option<(Gap, String)>,
    id: i64,
    room: String,
    /// Whether its queue has nothing else.
    is_all: bool,
}

fn oldest_gaps(
    db: &Connection,
    endpoint: i64,
    all: &str,
    most: i64,
) -> rusqlite::Result<Vec<OldGap>> {
    db.prepare_cached(OLDEST_GAPS)?
        .query_map(params![endpoint, all, most], |row| {
            let (id, is_all) = (row.get(3)?, row.get(5)?);
            Ok(OldGap { gap: read_gap(row), id, room: text(row, 4)?, is_all })
        })?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_looked_at_than_may_be_dropped() {
        let (budget, tally) = (Budget::new(), Tally::default());
        assert_eq!((budget.rows_at_once(), budget.gaps_at_once()), (STEP, STEP));
        while budget.has_rows() {
            budget.dropped(0, &tally);
        }
        while budget.has_gaps() {
            budget.folded();
        }
        // A further change of the transaction may drop what it adds.
        budget.add(2);
        assert!(budget.has_rows() && budget.has_gaps());
        assert_eq!((budget.rows_at_once(), budget.gaps_at_once()), (2, 2));
    }
}
