//! What becomes of batches that were sent, and of those that were put aside.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rusqlite::{Connection, Row, params};

use super::{
    super::column,
    Hooks, millis,
    queues::{self, Tally, cost, find_or_make, in_queue, miss, one, read_gap},
    shed::fold,
    write::Live,
};
use crate::domain::{
    ids::RoomId,
    outbox::{Endpoint, Gap, ParkedBatch, ParkedPage, REST, Settlement},
};

/// What became of a batch.
pub(super) struct Settling {
    pub(super) hooks: Arc<Hooks>,
    pub(super) endpoint: Endpoint,
    pub(super) room: RoomId,
    pub(super) id: Arc<str>,
    /// How often it had failed when it was taken.
    pub(super) attempts: u32,
    pub(super) how: Settlement,
    pub(super) now_ms: u64,
}

/// The room's queue, and whether this is its frozen batch.
pub(super) const QUEUE: &str =
    "SELECT id, coalesce(batch = ?3, 0) FROM hook_queues WHERE room = ?1 AND endpoint = ?2";

impl Settling {
    pub(super) fn apply(&self, db: &Connection) -> rusqlite::Result<()> {
        let Some(live) = self.hooks.live(&self.endpoint.name) else { return Ok(()) };
        let given = params![self.room.as_str(), live.id, self.id];
        let queue = one(db, QUEUE, given, |row| Ok((row.get(0)?, row.get(1)?)))?;
        match queue {
            Some((queue, true)) => self.in_queue(db, live, queue),
            _ => self.put_aside_before(db, live),
        }
    }

    /// Of a batch that is frozen in its queue.
    fn in_queue(&self, db: &Connection, live: &Live, queue: i64) -> rusqlite::Result<()> {
        let Settling { room, id, now_ms, .. } = self;
        let Some(frozen) = in_queue(db, queue)? else { return Ok(()) };
        let (mut tally, mut due) = (Tally::default(), *now_ms);
        match &self.how {
            Settlement::Delivered => {
                let most = self.endpoint.batch as u64;
                let rest = if frozen.is_followed(db, queue, most)? { Duration::ZERO } else { REST };
                due = now_ms.saturating_add(millis(rest));
                frozen.forget(db, queue, Some(due), &mut tally)?;
            }
            Settlement::Again { after, counted } => {
                let due = now_ms.saturating_add(millis(*after));
                // Said twice, it changes nothing.
                let mut update = db.prepare_cached(
                    "UPDATE hook_queues SET attempts = ?2, due = ?3, held = NULL
                     WHERE id = ?1 AND held = 1 AND attempts = ?4",
                )?;
                let given = params![queue, self.failed(*counted), column(due), self.attempts];
                if update.execute(given)? > 0 {
                    live.awaits(due);
                }
                return Ok(());
            }
            Settlement::Parked { why } => {
                let body = frozen.body(db, queue, &mut tally)?;
                // One that is frozen says what it tells.
                let (gap, epoch) =
                    frozen.gap.clone().unwrap_or((Gap { from: 0, to: 0 }, String::new()));
                db.prepare_cached(
                    "INSERT INTO hook_batches (id, endpoint, room, first, last, epoch, since,
                        attempts, parked, why, body)
                     SELECT ?2, endpoint, room, ?3, ?4, ?5, since, attempts + 1, ?6, ?7, ?8
                         FROM hook_queues WHERE id = ?1",
                )?
                .execute(params![
                    queue,
                    id,
                    column(gap.from),
                    column(gap.to),
                    epoch,
                    column(*now_ms),
                    why,
                    &body[..]
                ])?;
                tally.more(cost(body.len() as u64));
                frozen.forget(db, queue, Some(*now_ms), &mut tally)?;
                miss(db, queue, room, gap, &epoch, &mut tally)?;
                self.fold(db, live, &mut tally)?;
            }
        }
        tally.write(db, live.id)?;
        live.awaits(due);
        Ok(())
    }

    /// Of one that had been put aside before.
    fn put_aside_before(&self, db: &Connection, live: &Live) -> rusqlite::Result<()> {
        let Settling { room, id, now_ms, .. } = self;
        let mut tally = Tally::default();
        match &self.how {
            Settlement::Delivered => {
                let delete = "DELETE FROM hook_batches WHERE id = ?1
                    AND parked IS NULL RETURNING octet_length(body)";
                let Some(size) = one(db, delete, [id], |row| row.get::<_, i64>(0))? else {
                    return Ok(());
                };
                tally.less(cost(size.unsigned_abs()));
                self.due(db, live, *now_ms)?;
            }
            Settlement::Again { after, counted } => {
                let mut update = db.prepare_cached(
                    "UPDATE hook_batches SET attempts = ?2
                     WHERE id = ?1 AND parked IS NULL AND attempts = ?3
                         AND EXISTS (SELECT 1 FROM hook_queues q WHERE q.room = hook_batches.room
                             AND q.endpoint = hook_batches.endpoint AND q.held = 1)",
                )?;
                if update.execute(params![id, self.failed(*counted), self.attempts])? == 0 {
                    return Ok(());
                }
                return self.due(db, live, now_ms.saturating_add(millis(*after)));
            }
            Settlement::Parked { why } => {
                let update =
                    "UPDATE hook_batches SET parked = ?2, why = ?3, attempts = attempts + 1
                     WHERE id = ?1 AND parked IS NULL RETURNING first, last, epoch";
                let given = params![id, column(*now_ms), why];
                let gap = one(db, update, given, |row| Ok(read_gap(row)))?;
                let Some(Some((gap, epoch))) = gap else { return Ok(()) };
                let (queue, _) = find_or_make(db, live.id, room.as_str(), *now_ms)?;
                miss(db, queue, room, gap, &epoch, &mut tally)?;
                self.fold(db, live, &mut tally)?;
                self.due(db, live, *now_ms)?;
            }
        }
        tally.write(db, live.id)?;
        Ok(())
    }

    /// How often it has failed with this attempt.
    fn failed(&self, counted: bool) -> u32 {
        self.attempts.saturating_add(counted.into())
    }

    /// A gap has come.
    fn fold(&self, db: &Connection, live: &Live, tally: &mut Tally) -> rusqlite::Result<bool> {
        let (pending, budget) = (self.endpoint.pending, &self.hooks.budget);
        fold(db, live.id, pending, self.now_ms, tally, budget)
    }

    /// The queue's next turn. One in which nothing is left is forgotten when that comes.
    fn due(&self, db: &Connection, live: &Live, at_ms: u64) -> rusqlite::Result<()> {
        db.prepare_cached(
            "UPDATE hook_queues SET due = ?3, held = NULL WHERE room = ?1 AND endpoint = ?2",
        )?
        .execute(params![self.room.as_str(), live.id, column(at_ms)])?;
        live.awaits(at_ms);
        Ok(())
    }
}

/// The batches that were put aside, behind the one with this number.
pub(super) const PARKED: &str = "SELECT serial, id, room, parked, attempts, why, body
    FROM hook_batches
     WHERE endpoint = (SELECT id FROM hook_endpoints WHERE name = ?1) AND parked IS NOT NULL
         AND serial > ?2 ORDER BY serial";

pub(super) fn parked(
    db: &Connection,
    endpoint: &str,
    after: u64,
    limit: usize,
) -> rusqlite::Result<ParkedPage> {
    let mut select = db.prepare_cached(PARKED)?;
    let batch = |row: &Row<'_>| {
        let serial = row.get::<_, i64>(0)?.unsigned_abs();
        Ok((serial, parked_batch(row).ok().flatten()))
    };
    ParkedPage::of(select.query_map(params![endpoint, column(after)], batch)?, limit.max(1))
}

/// A batch; an error, or nothing, where somebody else wrote what is there.
fn parked_batch(row: &Row<'_>) -> rusqlite::Result<Option<ParkedBatch>> {
    let Ok(room) = RoomId::stored(row.get_ref(2)?.as_str()?) else { return Ok(None) };
    Ok(Some(ParkedBatch {
        id: row.get::<_, String>(1)?.into(),
        room,
        parked_ms: row.get::<_, i64>(3)?.unsigned_abs(),
        attempts: row.get(4)?,
        why: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
        body: Bytes::from(row.get::<_, Vec<u8>>(6)?),
    }))
}

/// Has these batches sent again.
pub(super) fn replay(
    db: &Connection,
    endpoint: &str,
    ids: &[String],
    now_ms: u64,
) -> rusqlite::Result<u64> {
    let live =
        one(db, "SELECT id FROM hook_endpoints WHERE name = ?1", [endpoint], |row| row.get(0))?;
    let Some(live) = live else { return Ok(0) };
    let mut replayed = 0;
    for id in ids {
        let update = "UPDATE hook_batches SET parked = NULL, why = NULL, attempts = 0, since = ?3
             WHERE id = ?1 AND endpoint = ?2 AND parked IS NOT NULL RETURNING room";
        let given = params![id, live, column(now_ms)];
        if let Some(room) = one(db, update, given, |row| row.get::<_, String>(0))? {
            queues::find_or_make(db, live, &room, now_ms)?;
            replayed += 1;
        }
    }
    Ok(replayed)
}
