//! Erasing a user's messages from the outbox.
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{
    super::Embedded,
    queues::{Tally, cost, find, forget_batch, last, miss, number, one, read_gap},
    told::own_room,
    write::Event,
};
use crate::domain::{
    error::StoreError,
    ids::{RoomId, Uid},
    outbox::{Gap, Kind, OutboxErasure, erased_body, erased_events, timestamp},
};

/// Rows of events that are looked through at once, while others wait to be written.
const ROWS: i64 = 100;

/// Rooms of which anything waits.
const ROOMS: &str = "SELECT DISTINCT room FROM hook_queues
     UNION ALL SELECT DISTINCT room FROM hook_batches b WHERE NOT EXISTS (SELECT 1 FROM hook_queues q WHERE q.room = b.room)";
/// The queues of a room, from this endpoint on.
pub(super) const QUEUES: &str = "SELECT endpoint, id FROM hook_queues WHERE room = ?1 AND endpoint >= ?2 ORDER BY endpoint LIMIT 1";
/// A queue's rows of events, behind this place.
pub(super) const EVENTS: &str = "SELECT pos, count, ms, body FROM hook_events WHERE queue = ?1 AND pos > ?2 ORDER BY pos LIMIT ?3";
/// The batches of a room that are not in its queue, behind this one.
pub(super) const BATCHES: &str =
    "SELECT first, last, epoch, serial, endpoint, id, parked IS NOT NULL, body FROM hook_batches
     WHERE room = ?1 ORDER BY endpoint, parked, serial";

#[async_trait]
impl OutboxErasure for Embedded {
    async fn rooms_told(&self) -> Result<Vec<RoomId>, StoreError> {
        self.readers.pages.read(rooms).await
    }

    async fn erase_told(&self, room: &RoomId, uid: &Uid) -> Result<u64, StoreError> {
        let erasing = Arc::new(Erasing { room: room.clone(), uid: uid.clone() });
        let (mut changed, mut after) = (0, Some((0, 0)));
        while let Some(from) = after {
            let step = erasing.clone();
            let (more, next) = self.writer.run(move |db| step.events(db, from)).await?;
            changed += more;
            after = next;
        }
        changed += self.writer.run(move |db| erasing.batches(db)).await?;
        Ok(changed)
    }

    async fn tell_erased(&self, uid: &Uid) -> Result<(), StoreError> {
        let (Some(hooks), Some(room)) = (self.hooks.clone(), own_room(uid)) else { return Ok(()) };
        let (telling, uid, at_ms) = (hooks.clone(), uid.clone(), self.clock.unix_ms());
        let tell = move |db: &Connection| {
            let event = Event { kind: Kind::Erased, fields: format!("\"uid\":{}", uid.json()) };
            telling.tell(db, &room, at_ms, &[event])
        };
        if self.writer.run(tell).await? {
            hooks.wake();
        }
        Ok(())
    }
}

fn rooms(db: &Connection) -> rusqlite::Result<Vec<RoomId>> {
    let mut select = db.prepare_cached(ROOMS)?;
    let names = select.query_map([], |row| row.get::<_, String>(0))?;
    let names = names.collect::<rusqlite::Result<Vec<_>>>()?;
    // One that is no name was written by somebody else.
    Ok(names.iter().filter_map(|name| RoomId::stored(name).ok()).collect())
}

/// An endpoint, and behind which of its rows of events it goes on.
type Cursor = (i64, i64);

/// A user's messages in what is still to be told of a room.
struct Erasing {
    room: RoomId,
    uid: Uid,
}

impl Erasing {
    /// In some rows of events, frozen ones too. Returns how many events have changed, and where it goes
    /// on.
    fn events(
        &self,
        db: &Connection,
        (endpoint, after): Cursor,
    ) -> rusqlite::Result<(u64, Option<Cursor>)> {
        let given = params![self.room.as_str(), endpoint];
        let queue =
            one(db, QUEUES, given, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        let Some((found, queue)) = queue else { return Ok((0, None)) };
        let after = if found == endpoint { after } else { 0 };
        let rows: Vec<(i64, u64, u64, Vec<u8>)> = db
            .prepare_cached(EVENTS)?
            .query_map(params![queue, after, ROWS], |row| {
                let number = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
                let body = row.get_ref(3)?.as_bytes()?.to_vec();
                Ok((row.get(0)?, number(1)?, number(2)?, body))
            })?
            .collect::<Result<_, _>>()?;
        let (mut changed, mut tally) = (0, Tally::default());
        for (pos, count, ms, body) in &rows {
            let text = std::str::from_utf8(body).unwrap_or("x"); // what is no text is no event
            let without = match erased_events(text, &self.uid) {
                Ok(None) => continue,
                Ok(Some((without, erased))) => {
                    changed += erased;
                    without
                }
                Err(error) => {
                    let n = number(*pos);
                    tracing::error!(n, %error, "events of webhooks are dropped");
                    changed += 1;
                    tally.dropped(*count);
                    missing(*pos, *count, *ms)
                }
            };
            tally.less(cost(body.len() as u64));
            tally.more(cost(without.len() as u64));
            db.prepare_cached("UPDATE hook_events SET body = ?2 WHERE pos = ?1")?
                .execute(params![pos, without])?;
        }
        if changed > 0 {
            tally.write(db, found)?;
        }
        let next = match rows.last() {
            Some((pos, ..)) if rows.len() as i64 == ROWS => (found, *pos),
            _ => (found + 1, 0),
        };
        Ok((changed, Some(next)))
    }

    /// In batches that were put aside. Returns how many have changed.
    fn batches(&self, db: &Connection) -> rusqlite::Result<u64> {
        let mut select = db.prepare_cached(BATCHES)?;
        let mut rows = select.query([self.room.as_str()])?;
        let mut changes = Vec::new();
        while let Some(row) = rows.next()? {
            let body = row.get_ref(7)?.as_bytes()?;
            let erased = match erased_body(body, &self.uid) {
                Ok(None) => continue,
                Ok(Some(without)) => Ok(without),
                Err(error) => Err((error, read_gap(row)?, row.get::<_, bool>(6)?)),
            };
            let size = body.len() as u64;
            let (serial, endpoint): (i64, i64) = (row.get(3)?, row.get(4)?);
            changes.push((serial, endpoint, row.get::<_, String>(5)?, size, erased));
        }
        drop(rows);
        let changed = changes.len() as u64;
        for (serial, endpoint, id, size, erased) in changes {
            let mut tally = Tally::default();
            tally.less(cost(size));
            match erased {
                Ok(body) => {
                    db.prepare_cached("UPDATE hook_batches SET body = ?2 WHERE serial = ?1")?
                        .execute(params![serial, &body[..]])?;
                    tally.more(cost(body.len() as u64));
                }
                Err((error, gap, is_parked)) => {
                    tracing::error!(%id, %error, "a batch of webhooks is dropped");
                    forget_batch(db, serial)?;
                    tally.dropped(1);
                    // Of one that is put aside the room was told.
                    let queue = find(db, endpoint, self.room.as_str())?.filter(|_| !is_parked);
                    if let (Some(queue), Some((gap, epoch))) = (queue, gap) {
                        miss(db, queue, &self.room, gap, &epoch, &mut tally)?;
                    }
                }
            }
            tally.write(db, endpoint)?;
        }
        Ok(changed)
    }
}

/// What stands for events that can't be read: they are missing.
fn missing(pos: i64, count: u64, ms: u64) -> String {
    let (first, mut text) = (number(pos), String::new());
    Gap { from: first, to: last(first, count) }.event(&mut text, &timestamp(ms));
    text
}
