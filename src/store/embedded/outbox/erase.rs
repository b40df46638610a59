//! Erasing a user's messages from the outbox.
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{
    super::Embedded,
    queues::{Events, Tally, cost, find, forget_batch, miss, one, read_gap, text},
    told::own_room,
    write::Event,
};
use crate::domain::{
    error::StoreError,
    ids::{RoomId, Uid},
    outbox::{Kind, OutboxErasure, erased_body, erased_events},
};

/// Rows of events that are looked through at once, while others wait to be written.
const ROWS: i64 = 100;
/// Batches that are looked through at once. One may have a megabyte.
const BATCHES_AT_ONCE: usize = 8;

/// Rooms of which anything waits.
const ROOMS: &str = "SELECT DISTINCT room FROM hook_queues
     UNION ALL SELECT DISTINCT room FROM hook_batches b
         WHERE NOT EXISTS (SELECT 1 FROM hook_queues q WHERE q.room = b.room)";
/// The queues of a room, from this endpoint on.
pub(super) const QUEUES: &str = "SELECT endpoint, id FROM hook_queues
     WHERE room = ?1 AND endpoint >= ?2 ORDER BY endpoint LIMIT 1";
/// A queue's rows of events, behind this place.
pub(super) const EVENTS: &str = "SELECT pos, count, epoch, ms, body FROM hook_events
     WHERE queue = ?1 AND pos > ?2 ORDER BY pos LIMIT ?3";
/// The batches of a room that are not in its queue.
pub(super) const BATCHES: &str = "SELECT serial FROM hook_batches WHERE room = ?1";
/// One of them.
pub(super) const BATCH: &str =
    "SELECT first, last, epoch, endpoint, id, parked IS NOT NULL, body FROM hook_batches
     WHERE serial = ?1";

#[async_trait]
impl OutboxErasure for Embedded {
    /// They have their room in the table.
    async fn index_parked(&self) -> Result<(), StoreError> {
        Ok(())
    }

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
        let name = room.clone();
        let batches = self.readers.pages.read(move |db: &Connection| batches(db, &name)).await?;
        for some in batches.chunks(BATCHES_AT_ONCE) {
            let (step, some) = (erasing.clone(), some.to_vec());
            changed += self.writer.run(move |db| step.batches(db, &some)).await?;
        }
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
    let names = select.query_map([], |row| Ok(row.get::<_, String>(0).unwrap_or_default()))?;
    let names = names.collect::<rusqlite::Result<Vec<_>>>()?;
    // One that is no name was written by somebody else.
    Ok(names.iter().filter_map(|name| RoomId::stored(name).ok()).collect())
}

fn batches(db: &Connection, room: &RoomId) -> rusqlite::Result<Vec<i64>> {
    let mut select = db.prepare_cached(BATCHES)?;
    select.query_map([room.as_str()], |row| row.get(0))?.collect()
}

/// An endpoint, and behind which of its rows of events it goes on.
type Cursor = (i64, i64);

/// A user's messages in what is still to be told of a room.
struct Erasing {
    room: RoomId,
    uid: Uid,
}

impl Erasing {
    /// In some rows of events, frozen ones too. Returns how many events have changed, and where it
    /// goes on.
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
        let given = params![queue, after, ROWS];
        let mut select = db.prepare_cached(EVENTS)?;
        let rows: rusqlite::Result<Vec<Events>> = select.query_map(given, Events::read)?.collect();
        let mut rows = rows?;
        let (mut changed, mut tally) = (0, Tally::default());
        for events in &mut rows {
            if events.mend(db, &mut tally)? {
                changed += 1;
                continue;
            }
            match erased_events(&events.body, &self.uid) {
                Ok(None) => {}
                Ok(Some((without, erased))) => {
                    events.rewrite(db, without, &mut tally)?;
                    changed += erased;
                }
                Err(error) => {
                    tracing::error!(n = events.first(), %error, "events of webhooks are dropped");
                    events.give_up(db, &mut tally)?;
                    changed += 1;
                }
            }
        }
        if changed > 0 {
            tally.write(db, found)?;
        }
        let next = match rows.last() {
            Some(events) if rows.len() as i64 == ROWS => (found, events.pos),
            _ => (found + 1, 0),
        };
        Ok((changed, Some(next)))
    }

    /// In some batches that were put aside. Returns how many have changed.
    fn batches(&self, db: &Connection, serials: &[i64]) -> rusqlite::Result<u64> {
        let mut changed = 0;
        for serial in serials {
            changed += u64::from(self.batch(db, *serial)?);
        }
        Ok(changed)
    }

    /// In one of them, if it is still there; whether it has changed.
    fn batch(&self, db: &Connection, serial: i64) -> rusqlite::Result<bool> {
        let found = one(db, BATCH, [serial], |row| {
            let (endpoint, id) = (row.get::<_, i64>(3).unwrap_or_default(), text(row, 4)?);
            let body = row.get_ref(6)?.as_bytes().unwrap_or_default();
            let erased = match erased_body(body, &self.uid) {
                Ok(None) => return Ok(None),
                Ok(Some(without)) => Ok(without),
                Err(error) => Err((error, read_gap(row), row.get::<_, bool>(5)?)),
            };
            Ok(Some((endpoint, id, body.len() as u64, erased)))
        })?;
        let Some(Some((endpoint, id, size, erased))) = found else { return Ok(false) };
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
        Ok(true)
    }
}
