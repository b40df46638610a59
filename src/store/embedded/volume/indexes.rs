//! Where logs are among all indexes: columns of `rooms`, and the floor.
use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{
    super::{column, log, rooms::Counters},
    Volume,
};
use crate::{
    domain::{error::StoreError, ids::RoomId},
    transfer::{Bounds, Indexes},
};

fn bounds(db: &Connection, room: &RoomId, now_ms: u64) -> rusqlite::Result<Bounds> {
    let counters = log::counters(db, room)?;
    let Counters { base, inserts, n, .. } = counters;
    if counters.has_expired(now_ms) {
        // As whoever reads it finds it (`log::page`).
        let (origin, epoch) = (base + inserts, counters.epoch + 1);
        return Ok(Bounds { origin, start: origin, epoch, n, ends_ms: None });
    }
    let (start, ends_ms) = (base + counters.start, counters.expires);
    Ok(Bounds { origin: base, start, epoch: counters.epoch, n, ends_ms })
}

fn begin(db: &Connection, room: &RoomId, bounds: Bounds, now_ms: u64) -> rusqlite::Result<bool> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    let mut counters = log::counters(&tx, room)?;
    if !log::lapse(&tx, &mut counters, now_ms)? && counters.inserts > counters.start {
        return Ok(false);
    }
    let row = log::row(&tx, room, &mut counters, column(bounds.epoch), now_ms / 1000)?;
    // What is hidden there.
    tx.prepare_cached("DELETE FROM log WHERE pos BETWEEN ?1 << 32 AND ?1 << 32 | 0xffffffff")?
        .execute([row])?;
    tx.prepare_cached(
        "UPDATE rooms SET base = ?2, start = ?3, epoch = ?4, trimming = NULL WHERE id = ?1",
    )?
    .execute(params![
        row,
        column(bounds.origin),
        column(bounds.start.saturating_sub(bounds.origin)),
        column(bounds.epoch),
    ])?;
    tx.commit()?;
    Ok(true)
}

/// Where rooms that are new begin: behind all that have nothing stored any more. Lives begin with
/// 0, and go on where they are.
fn floor(db: &Connection) -> rusqlite::Result<i64> {
    let mut floor: i64 = db.query_row(log::FLOOR, [], |row| row.get(0))?;
    // An empty log ends where it begins.
    let mut select = db.prepare_cached(
        "SELECT name, base + start FROM rooms r
         WHERE NOT EXISTS (SELECT 1 FROM log WHERE pos BETWEEN r.id << 32 AND r.id << 32 | 0xffffffff)
             AND NOT EXISTS (SELECT 1 FROM updates WHERE room = r.id)",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let is_life = RoomId::stored(row.get_ref(0)?.as_str()?).is_ok_and(|room| room.is_life());
        if !is_life {
            floor = floor.max(row.get(1)?);
        }
    }
    Ok(floor)
}

#[async_trait]
impl Indexes for Volume {
    async fn bounds(&self, room: &RoomId) -> Result<Bounds, StoreError> {
        let (room, now_ms) = (room.clone(), self.clock.unix_ms());
        self.run(move |db| bounds(db, &room, now_ms)).await
    }

    async fn begin(&self, room: &RoomId, bounds: &Bounds) -> Result<bool, StoreError> {
        let (room, bounds, now_ms) = (room.clone(), *bounds, self.clock.unix_ms());
        self.run(move |db| begin(db, &room, bounds, now_ms)).await
    }

    async fn finish(&self, room: &RoomId, bounds: &Bounds) -> Result<(), StoreError> {
        let (room, Bounds { n, ends_ms, .. }) = (room.clone(), *bounds);
        let finish = move |db: &Connection| {
            db.prepare_cached(
                "UPDATE rooms SET n = max(n, ?2), expires = coalesce(expires, ?3) WHERE name = ?1",
            )?
            .execute(params![room.as_str(), column(n), ends_ms.map(column)])
        };
        self.run(finish).await.map(drop)
    }

    async fn floor(&self) -> Result<u64, StoreError> {
        self.run(floor).await.map(i64::unsigned_abs)
    }

    async fn raise_floor(&self, floor: u64) -> Result<(), StoreError> {
        let raise = move |db: &Connection| {
            db.execute("UPDATE floor SET base = max(base, ?1)", [column(floor)])
        };
        self.run(raise).await.map(drop)
    }
}
