//! Erasing a user's messages from the outbox.
use async_trait::async_trait;
use rusqlite::{Connection, Error, params, types::Type};

use super::{
    super::Embedded,
    resize,
    told::own_room,
    write::{Event, cost},
};
use crate::domain::{
    error::StoreError,
    ids::{RoomId, Uid},
    outbox::{Kind, OutboxErasure, erased_body, erased_fields},
};

#[async_trait]
impl OutboxErasure for Embedded {
    async fn rooms_told(&self) -> Result<Vec<RoomId>, StoreError> {
        self.readers.pages.read(rooms).await
    }

    async fn erase_told(&self, room: &RoomId, uid: &Uid) -> Result<u64, StoreError> {
        let (room, uid) = (room.clone(), uid.clone());
        self.writer.run(move |db| Ok(events(db, &room, &uid)? + batches(db, &room, &uid)?)).await
    }

    async fn tell_erased(&self, uid: &Uid) -> Result<(), StoreError> {
        let (Some(hooks), Some(room)) = (self.hooks.clone(), own_room(uid)) else { return Ok(()) };
        let (telling, uid, at_ms) = (hooks.clone(), uid.clone(), self.clock.unix_ms());
        let tell = move |db: &Connection| {
            let fields = format!("\"uid\":{}", uid.json());
            let event = Event { kind: Kind::Erased, uid: Some(uid.as_str().to_owned()), fields };
            telling.tell(db, &room, at_ms, &[event])
        };
        self.writer.run(tell).await?;
        hooks.wake();
        Ok(())
    }
}

fn rooms(db: &Connection) -> rusqlite::Result<Vec<RoomId>> {
    let mut select =
        db.prepare_cached("SELECT room FROM hook_queues UNION SELECT room FROM hook_batches")?;
    let names = select.query_map([], |row| row.get::<_, String>(0))?;
    let names = names.collect::<rusqlite::Result<Vec<_>>>()?;
    // One that is no name was written by somebody else.
    Ok(names.iter().filter_map(|name| RoomId::stored(name).ok()).collect())
}

fn events(db: &Connection, room: &RoomId, uid: &Uid) -> rusqlite::Result<u64> {
    let found: Vec<(i64, String, String)> = db
        .prepare_cached(
            "SELECT e.n, q.endpoint, e.fields FROM hook_queues q JOIN hook_events e ON e.queue = q.id
             WHERE q.room = ?1 AND e.uid = ?2 AND e.kind LIKE 'message.%'",
        )?
        .query_map(params![room.as_str(), uid.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    let count = found.len() as u64;
    for (n, endpoint, fields) in found {
        let erased = erased_fields(&fields);
        db.prepare_cached("UPDATE hook_events SET fields = ?2 WHERE n = ?1")?
            .execute(params![n, erased])?;
        resize(db, &endpoint, cost(&erased), cost(&fields))?;
    }
    Ok(count)
}

fn batches(db: &Connection, room: &RoomId, uid: &Uid) -> rusqlite::Result<u64> {
    let mut select =
        db.prepare_cached("SELECT serial, endpoint, body FROM hook_batches WHERE room = ?1")?;
    let mut rows = select.query([room.as_str()])?;
    let mut erased = Vec::new();
    while let Some(row) = rows.next()? {
        let body = row.get_ref(2)?.as_blob()?;
        let unreadable = |error| Error::FromSqlConversionFailure(2, Type::Blob, Box::new(error));
        if let Some(without) = erased_body(body, uid).map_err(unreadable)? {
            erased.push((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, body.len(), without));
        }
    }
    for (serial, endpoint, before, body) in &erased {
        db.prepare_cached("UPDATE hook_batches SET body = ?2 WHERE serial = ?1")?
            .execute(params![serial, &body[..]])?;
        resize(db, endpoint, body.len() as u64, *before as u64)?;
    }
    Ok(erased.len() as u64)
}
