//! Freezing batches, and giving them to whoever sends them.
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{super::column, resize, write::cost};
use crate::domain::{
    ids::RoomId,
    outbox::{BATCH_BYTES, Batch, Endpoint, Frozen, Gap, Happening, OVERHEAD},
};

/// When the first queue's turn is.
const NEXT: &str = "SELECT due FROM hook_queues WHERE endpoint = ?1 ORDER BY due LIMIT 1";
/// The queues whose turn it is.
const DUE: &str =
    "SELECT id, room FROM hook_queues WHERE endpoint = ?1 AND due <= ?2 ORDER BY due LIMIT ?3";

/// When the endpoint's first queue has its turn, in milliseconds since 1970.
pub(super) fn next(db: &Connection, endpoint: &str) -> rusqlite::Result<Option<u64>> {
    let next = db.prepare_cached(NEXT)?.query_row([endpoint], |row| row.get::<_, i64>(0));
    Ok(next.optional()?.map(i64::unsigned_abs))
}

/// Takes a batch of as many queues as there are `ids` for those that are frozen now. The queues are
/// the caller's until then; returns when another has its turn, too.
pub(super) fn take(
    db: &Connection,
    endpoint: &Endpoint,
    ids: &[String],
    now_ms: u64,
    until: u64,
) -> rusqlite::Result<(Vec<Batch>, Option<u64>)> {
    let due: Vec<(i64, String)> = db
        .prepare_cached(DUE)?
        .query_map(params![endpoint.name, column(now_ms), ids.len() as i64], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut batches = Vec::with_capacity(due.len());
    for ((queue, room), id) in due.into_iter().zip(ids) {
        let Ok(name) = RoomId::stored(&room) else {
            forget(db, queue)?; // somebody else wrote it
            continue;
        };
        let mut frozen = first(db, &endpoint.name, &name)?;
        if frozen.is_none() && freeze(db, endpoint, queue, &name, id, now_ms)? {
            frozen = first(db, &endpoint.name, &name)?;
        }
        match frozen {
            Some(batch) => {
                db.prepare_cached("UPDATE hook_queues SET due = ?2 WHERE id = ?1")?
                    .execute(params![queue, column(until)])?;
                batches.push(batch);
            }
            None => forget(db, queue)?,
        }
    }
    Ok((batches, next(db, &endpoint.name)?))
}

fn forget(db: &Connection, queue: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM hook_queues WHERE id = ?1")?.execute([queue])?;
    Ok(())
}

/// The queue's frozen batch.
fn first(db: &Connection, endpoint: &str, room: &RoomId) -> rusqlite::Result<Option<Batch>> {
    db.prepare_cached(
        "SELECT id, body, attempts, since FROM hook_batches WHERE endpoint = ?1 AND room = ?2 AND parked IS NULL
         ORDER BY serial LIMIT 1",
    )?
    .query_row(params![endpoint, room.as_str()], |row| {
        Ok(Batch {
            room: room.clone(),
            id: row.get::<_, String>(0)?.into(),
            body: Bytes::from(row.get::<_, Vec<u8>>(1)?),
            attempts: row.get(2)?,
            since_ms: row.get::<_, i64>(3)?.unsigned_abs(),
        })
    })
    .optional()
}

/// An event in a row of n, ms, kind, fields and epoch.
fn happening(row: &Row) -> rusqlite::Result<(Happening, String)> {
    let event = Happening {
        n: row.get::<_, i64>(0)?.unsigned_abs(),
        at_ms: row.get::<_, i64>(1)?.unsigned_abs(),
        kind: row.get(2)?,
        fields: row.get(3)?,
    };
    Ok((event, row.get(4)?))
}

/// Freezes what waits in a queue; false: nothing does.
fn freeze(
    db: &Connection,
    endpoint: &Endpoint,
    queue: i64,
    room: &RoomId,
    id: &str,
    now_ms: u64,
) -> rusqlite::Result<bool> {
    let gap: Option<(i64, i64, String)> = db
        .prepare_cached(
            "SELECT gap_from, gap_to, gap_epoch FROM hook_queues WHERE id = ?1 AND gap_from IS NOT NULL",
        )?
        .query_row([queue], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let mut epoch = gap.as_ref().map(|(_, _, epoch)| epoch.clone());
    let gap = gap.map(|(from, to, _)| Gap { from: from.unsigned_abs(), to: to.unsigned_abs() });
    let (mut events, mut bytes, mut text) = (Vec::new(), 0, 0);
    let mut select = db.prepare_cached(
        "SELECT n, ms, kind, fields, epoch FROM hook_events WHERE queue = ?1 ORDER BY n LIMIT ?2",
    )?;
    let mut rows = select.query(params![queue, endpoint.batch.max(1) as i64])?;
    while let Some(row) = rows.next()? {
        let (event, of) = happening(row)?;
        text += event.fields.len();
        // All of a batch is of one epoch.
        if epoch.get_or_insert_with(|| of.clone()) != &of
            || text > BATCH_BYTES && !events.is_empty()
        {
            break;
        }
        bytes += cost(&event.fields);
        events.push(event);
    }
    let Some(epoch) = epoch else { return Ok(false) };
    let (first, last) = match (gap, events.first(), events.last()) {
        (gap, Some(first), Some(last)) => (gap.map_or(first.n, |gap| gap.from), last.n),
        (Some(gap), ..) => (gap.from, gap.to),
        _ => return Ok(false),
    };
    let body = Frozen { room, epoch: &epoch, at_ms: now_ms, gap, events: &events }.body();
    db.prepare_cached(
        "INSERT INTO hook_batches (id, endpoint, room, first, last, epoch, since, attempts, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8)",
    )?
    .execute(params![
        id,
        endpoint.name,
        room.as_str(),
        column(first),
        column(last),
        epoch,
        column(now_ms),
        &*body
    ])?;
    if let Some(last) = events.last() {
        db.prepare_cached("DELETE FROM hook_events WHERE queue = ?1 AND n <= ?2")?
            .execute(params![queue, column(last.n)])?;
    }
    db.prepare_cached(
        "UPDATE hook_queues SET gap_from = NULL, gap_to = NULL, gap_epoch = NULL WHERE id = ?1",
    )?
    .execute([queue])?;
    resize(db, &endpoint.name, body.len() as u64 + OVERHEAD, bytes)?;
    Ok(true)
}
