//! The whole content of a data folder, for the command line: messages here ([`Archive`]), and what
//! else there is in the files beside. No server runs from here, so nothing is kept in memory; what is
//! written keeps the rules of the tables (`schema.rs`) by the same code.
mod accounts;
mod cabinet;
mod indexes;
mod ledger;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{
    Durability,
    chunk::{self, Chunk},
    column,
    folder::{Folder, OpenError, existing_database},
    keys, lock, log, schema, updates,
    writer::unavailable,
};
use crate::domain::{
    broker::{PageLimit, Stored},
    clock::{Clock, Rng},
    error::StoreError,
    ids::RoomId,
};
use crate::transfer::{Archive, Extent, Insert, MAX_KEY, Rooms, Update, Updates, readable};

/// How long a server that writes is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A data folder, opened to be copied from or to. What was written outlives a loss of power once it
/// is dropped.
pub struct Volume {
    db: Arc<Mutex<Connection>>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// While it is ours no server starts on it.
    _folder: Option<Folder>,
}

impl Volume {
    /// Opens a folder to be read. A server may be using it; if not, none starts meanwhile. Blocks.
    pub fn source(
        path: &Path,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Result<Self, OpenError> {
        let file = existing_database(path)?;
        let (db, folder) = match Folder::claim(path) {
            Ok(folder) => (schema::open(&file, Durability::Process, PATIENCE)?, Some(folder)),
            Err(OpenError::InUse { .. }) => (schema::open_beside(&file, PATIENCE)?, None),
            Err(error) => return Err(error),
        };
        Ok(Volume { db: Arc::new(Mutex::new(db)), clock, rng, _folder: folder })
    }

    /// Opens a folder to be written, for this process alone; made where it does not exist. Blocks.
    pub fn target(
        path: &Path,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Result<Self, OpenError> {
        let folder = Folder::claim(path)?;
        // Commits need not wait for the disk: SQLite does once, when the connection is closed, and
        // a copy that was cut short is resumed.
        let db = schema::open(&folder.database()?, Durability::Process, PATIENCE)?;
        Ok(Volume { db: Arc::new(Mutex::new(db)), clock, rng, _folder: Some(folder) })
    }

    async fn run<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let db = self.db.clone();
        let done = tokio::task::spawn_blocking(move || f(&lock(&db))).await;
        done.map_err(|e| StoreError::OutcomeUnknown(e.to_string()))?.map_err(|e| unavailable(&e))
    }
}

/// The entry as every store would read it. Its place in the order is that of this store.
fn same_everywhere(entry: Stored) -> Stored {
    Stored { body: entry.body.as_ref().and_then(readable), n: None, ..entry }
}

fn rooms(db: &Connection, now_ms: u64) -> rusqlite::Result<Rooms> {
    let mut select = db.prepare_cached(
        "SELECT name, base + start > 0 AND coalesce(expires > ?1, 1), EXISTS (SELECT 1 FROM log WHERE pos BETWEEN r.id << 32 AND r.id << 32 | 0xffffffff)
             OR EXISTS (SELECT 1 FROM updates WHERE room = r.id)
         FROM rooms r ORDER BY name",
    )?;
    let mut found = Rooms::default();
    let mut rows = select.query([column(now_ms)])?;
    while let Some(row) = rows.next()? {
        let (name, had_any, has_any): (String, bool, bool) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        match RoomId::stored(&name) {
            Ok(room) if has_any || (had_any && room.is_life()) => found.rooms.push(room),
            Err(why) if has_any => found.skipped.push(format!("room {name:?}: {why}")),
            Ok(_) | Err(_) => {} // it has nothing
        }
    }
    Ok(found)
}

fn extent(db: &Connection, room: &RoomId, now_ms: u64) -> rusqlite::Result<Extent> {
    let counters = log::counters(db, room)?;
    if counters.has_expired(now_ms) {
        return Ok(Extent::default());
    }
    let mut count = db.prepare_cached("SELECT count(*) FROM updates WHERE room = ?1")?;
    let updates = count.query_row([counters.row], |row| row.get::<_, i64>(0))?;
    let inserts = counters.inserts.saturating_sub(counters.start);
    Ok(Extent { inserts, updates: updates.unsigned_abs() })
}

/// As [`log::read::PAGE`], with keys.
const INSERTS: &str = "SELECT pos & 0xffffffff, count, lengths, body, unix, ms, recalled, keys FROM log WHERE pos BETWEEN
         coalesce((SELECT pos FROM log WHERE pos BETWEEN ?1 << 32 AND ?1 << 32 | ?2 ORDER BY pos DESC LIMIT 1), ?1 << 32)
         AND ?1 << 32 | 0xffffffff
     ORDER BY pos";

/// Reads inserts as every store would read them. One is read however large it is.
fn inserts(
    db: &Connection,
    room: &RoomId,
    from: u64,
    limit: PageLimit,
    now_ms: u64,
) -> rusqlite::Result<Vec<Insert>> {
    let tx = db.unchecked_transaction()?; // one view of the database
    let counters = log::counters(&tx, room)?;
    // A copy has no trimmed part: it counts from the first insert that is there.
    let from = from.saturating_add(counters.start);
    let (mut found, mut bytes) = (Vec::new(), 0);
    if counters.has_expired(now_ms) || from >= counters.inserts {
        return Ok(found);
    }
    let mut select = tx.prepare_cached(INSERTS)?;
    let mut rows = select.query(params![counters.row, column(from)])?;
    while let Some(row) = rows.next()? {
        let (first, count) =
            (row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs());
        let at_ms = chunk::at_ms(row.get(4)?, row.get(5)?);
        let recalled = chunk::recalled(row.get_ref(6)?.as_str_or_null().unwrap_or_default());
        let keys = row.get_ref(7)?.as_str_or_null().unwrap_or_default().map(keys::of_row);
        let mut keys = keys.unwrap_or_default().into_iter();
        let bodies = chunk::read(count, row.get_ref(2)?, row.get_ref(3)?);
        let before = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        for (at, body) in bodies.enumerate() {
            let key = keys.next().flatten().filter(|key| key.len() <= MAX_KEY);
            if at < before {
                continue;
            }
            bytes += body.as_ref().map_or(0, bytes::Bytes::len);
            let is_full = found.len() >= limit.entries.max(1) || bytes > limit.bytes;
            if is_full && !found.is_empty() {
                return Ok(found);
            }
            let entry = Stored { body, at_ms, recalled: recalled.contains(&at), n: None };
            found.push(Insert { entry: same_everywhere(entry), key: key.map(Into::into) });
        }
    }
    Ok(found)
}

fn append(
    db: &Connection,
    room: &RoomId,
    at: u64,
    entries: &[Insert],
    epoch: i64,
    now: u64,
) -> rusqlite::Result<bool> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    let mut counters = log::counters(&tx, room)?;
    if counters.inserts - counters.start != at {
        return Ok(false);
    }
    let row = log::row(&tx, room, &mut counters, epoch, now)?;
    let first = counters.inserts;
    let (mut chunk, mut at_ms) = (Chunk::default(), 0);
    for Insert { entry, key } in entries {
        // A chunk has one time; and what was recalled is alone.
        let full = entry.at_ms != at_ms
            || entry.recalled
            || entry.body.as_ref().is_none_or(|body| chunk.is_full(body.len()));
        if full {
            chunk.write(&tx, row, &mut counters, at_ms)?;
        }
        at_ms = entry.at_ms;
        counters.n += 1;
        match &entry.body {
            Some(body) => chunk.add(body, counters.n, key.as_deref()),
            None => chunk::write_unreadable(&tx, row, &mut counters, at_ms)?,
        }
        if entry.recalled {
            chunk.write(&tx, row, &mut counters, at_ms)?;
            tx.prepare_cached("UPDATE log SET recalled = '0' WHERE pos = ?1 << 32 | ?2")?
                .execute(params![row, column(counters.inserts - 1)])?;
        }
    }
    chunk.write(&tx, row, &mut counters, at_ms)?;
    // The places that they had in the room's order are not known.
    tx.prepare_cached(
        "UPDATE log SET places = NULL WHERE pos BETWEEN ?1 << 32 | ?2 AND ?1 << 32 | 0xffffffff",
    )?
    .execute(params![row, column(first)])?;
    tx.commit()?;
    Ok(true)
}

fn updates(db: &Connection, room: &RoomId) -> rusqlite::Result<Vec<Update>> {
    let mut select =
        db.prepare_cached("SELECT id, body, unix, ms FROM updates WHERE room = (SELECT id FROM rooms WHERE name = ?1) ORDER BY n")?;
    let update = |row: &rusqlite::Row| {
        let entry = Stored {
            body: chunk::text(row.get_ref(1)?),
            at_ms: chunk::at_ms(row.get(2)?, row.get(3)?),
            recalled: false,
            n: None,
        };
        Ok(Update { id: row.get::<_, String>(0)?.into(), entry: same_everywhere(entry) })
    };
    select.query_map([room.as_str()], update)?.collect()
}

fn put_updates(
    db: &Connection,
    room: &RoomId,
    updates: &[Update],
    epoch: i64,
    now: u64,
) -> rusqlite::Result<()> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    let mut counters = log::counters(&tx, room)?;
    let row = log::row(&tx, room, &mut counters, epoch, now)?;
    for Update { id, entry } in updates {
        counters.n += 1;
        updates::put(&tx, row, id, counters.n, entry.at_ms, entry.body.as_deref())?;
    }
    tx.commit()
}

#[async_trait]
impl Archive for Volume {
    async fn rooms(&self) -> Result<Rooms, StoreError> {
        let now_ms = self.clock.unix_ms();
        self.run(move |db| rooms(db, now_ms)).await
    }

    async fn extents(&self, rooms: &[RoomId]) -> Result<Vec<Extent>, StoreError> {
        let (rooms, now_ms) = (rooms.to_vec(), self.clock.unix_ms());
        self.run(move |db| rooms.iter().map(|room| extent(db, room, now_ms)).collect()).await
    }

    async fn read(
        &self,
        room: &RoomId,
        from: u64,
        limit: PageLimit,
    ) -> Result<Vec<Insert>, StoreError> {
        let (room, now_ms) = (room.clone(), self.clock.unix_ms());
        self.run(move |db| inserts(db, &room, from, limit, now_ms)).await
    }

    async fn append(&self, room: &RoomId, at: u64, entries: &[Insert]) -> Result<bool, StoreError> {
        let (room, entries) = (room.clone(), entries.to_vec());
        let (epoch, now) = (super::new_epoch(&*self.rng)?, self.clock.unix());
        self.run(move |db| append(db, &room, at, &entries, epoch, now)).await
    }

    async fn updates(&self, room: &RoomId) -> Result<Updates, StoreError> {
        let room = room.clone();
        let updates = self.run(move |db| updates(db, &room)).await?;
        Ok(Updates { updates, ..Updates::default() })
    }

    async fn put_updates(&self, room: &RoomId, updates: &[Update]) -> Result<(), StoreError> {
        let (room, updates) = (room.clone(), updates.to_vec());
        let (epoch, now) = (super::new_epoch(&*self.rng)?, self.clock.unix());
        self.run(move |db| put_updates(db, &room, &updates, epoch, now)).await
    }
}
