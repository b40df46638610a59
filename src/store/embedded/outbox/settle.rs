//! What becomes of batches that were sent, and of those that were put aside.
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    super::column,
    millis, resize,
    write::{miss, queue},
};
use crate::domain::{
    ids::RoomId,
    outbox::{Gap, OVERHEAD, ParkedBatch, ParkedPage, Settlement},
};

/// What became of a batch.
pub(super) struct Settling {
    pub(super) endpoint: Arc<str>,
    pub(super) room: RoomId,
    pub(super) id: Arc<str>,
    pub(super) how: Settlement,
    pub(super) now_ms: u64,
}

impl Settling {
    pub(super) fn apply(&self, db: &Connection) -> rusqlite::Result<()> {
        let Settling { id, now_ms, .. } = self;
        match &self.how {
            Settlement::Delivered => {
                let size = db
                    .prepare_cached(
                        "DELETE FROM hook_batches WHERE id = ?1 AND parked IS NULL RETURNING length(body)",
                    )?
                    .query_row([id], |row| row.get::<_, i64>(0))
                    .optional()?;
                let Some(size) = size else { return Ok(()) };
                resize(db, &self.endpoint, 0, size.unsigned_abs() + OVERHEAD)?;
                self.due(db, *now_ms)
            }
            Settlement::Again { after, counted } => {
                let mut update = db.prepare_cached(
                    "UPDATE hook_batches SET attempts = attempts + ?2 WHERE id = ?1 AND parked IS NULL",
                )?;
                if update.execute(params![id, counted])? == 0 {
                    return Ok(());
                }
                self.due(db, now_ms.saturating_add(millis(*after)))
            }
            Settlement::Parked { why } => {
                let parked = db
                    .prepare_cached(
                        "UPDATE hook_batches SET parked = ?2, why = ?3, attempts = attempts + 1
                         WHERE id = ?1 AND parked IS NULL RETURNING first, last, epoch",
                    )?
                    .query_row(params![id, column(*now_ms), why], |row| {
                        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
                    })
                    .optional()?;
                let Some((first, last, epoch)) = parked else { return Ok(()) };
                let queue = queue(db, &self.endpoint, self.room.as_str(), *now_ms)?;
                let gap = Gap { from: first.unsigned_abs(), to: last.unsigned_abs() };
                miss(db, queue, gap, &epoch)?;
                self.due(db, *now_ms)
            }
        }
    }

    /// The queue's next turn. One in which nothing is left is forgotten when that comes.
    fn due(&self, db: &Connection, at_ms: u64) -> rusqlite::Result<()> {
        db.prepare_cached("UPDATE hook_queues SET due = ?3 WHERE endpoint = ?1 AND room = ?2")?
            .execute(params![self.endpoint, self.room.as_str(), column(at_ms)])?;
        Ok(())
    }
}

/// The batches that were put aside, behind the one with this number.
pub(super) fn parked(
    db: &Connection,
    endpoint: &str,
    after: u64,
    limit: usize,
) -> rusqlite::Result<ParkedPage> {
    let mut select = db.prepare_cached(
        "SELECT serial, id, room, parked, attempts, why, body FROM hook_batches
         WHERE endpoint = ?1 AND parked IS NOT NULL AND serial > ?2 ORDER BY serial",
    )?;
    let mut rows = select.query(params![endpoint, column(after)])?;
    let (mut page, mut last) = (ParkedPage::default(), None);
    while let Some(row) = rows.next()? {
        if page.batches.len() >= limit.max(1) {
            page.next = last.map(|serial: i64| serial.to_string());
            break;
        }
        last = Some(row.get(0)?);
        let Ok(room) = RoomId::stored(row.get_ref(2)?.as_str()?) else { continue };
        page.batches.push(ParkedBatch {
            id: row.get::<_, String>(1)?.into(),
            room,
            parked_ms: row.get::<_, i64>(3)?.unsigned_abs(),
            attempts: row.get(4)?,
            why: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
            body: Bytes::from(row.get::<_, Vec<u8>>(6)?),
        });
    }
    Ok(page)
}

/// Has these batches sent again.
pub(super) fn replay(
    db: &Connection,
    endpoint: &str,
    ids: &[String],
    now_ms: u64,
) -> rusqlite::Result<u64> {
    let mut replayed = 0;
    for id in ids {
        let room = db
            .prepare_cached(
                "UPDATE hook_batches SET parked = NULL, why = NULL, attempts = 0, since = ?3
                 WHERE id = ?1 AND endpoint = ?2 AND parked IS NOT NULL RETURNING room",
            )?
            .query_row(params![id, endpoint, column(now_ms)], |row| row.get::<_, String>(0))
            .optional()?;
        if let Some(room) = room {
            queue(db, endpoint, &room, now_ms)?;
            replayed += 1;
        }
    }
    Ok(replayed)
}
