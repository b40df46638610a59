//! The whole content of a data folder, for the command line: [`Archive`] and [`Vault`]. No server
//! runs from here, so nothing is kept in memory; what is written keeps the rules of the tables
//! (`schema.rs`) by the same code.
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{
    Durability, accounts,
    chunk::{self, Chunk},
    column,
    folder::{Folder, OpenError, existing_database},
    lock, log, schema, updates,
    writer::unavailable,
};
use crate::domain::{
    broker::{PageLimit, Stored},
    clock::{Clock, Rng},
    error::StoreError,
    ids::RoomId,
    retention::Rule,
    token::Realm,
};
use crate::transfer::{
    Ambiguous, Archive, Extent, Proof, Record, Records, Rooms, Update, Updates, Vault, readable,
};

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

/// The entry as every store would read it.
fn same_everywhere(entry: Stored) -> Stored {
    Stored { body: entry.body.as_ref().and_then(readable), ..entry }
}

fn rooms(db: &Connection) -> rusqlite::Result<Rooms> {
    let mut select = db.prepare_cached(
        "SELECT name FROM rooms r WHERE EXISTS (SELECT 1 FROM log WHERE pos BETWEEN r.id << 32 AND r.id << 32 | 0xffffffff)
             OR EXISTS (SELECT 1 FROM updates WHERE room = r.id)
         ORDER BY name",
    )?;
    let mut found = Rooms::default();
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        match RoomId::stored(&name) {
            Ok(room) => found.rooms.push(room),
            Err(why) => found.skipped.push(format!("room {name:?}: {why}")),
        }
    }
    Ok(found)
}

fn extent(db: &Connection, room: &RoomId) -> rusqlite::Result<Extent> {
    let counters = log::counters(db, room)?;
    let mut count = db.prepare_cached("SELECT count(*) FROM updates WHERE room = ?1")?;
    let updates = count.query_row([counters.row], |row| row.get::<_, i64>(0))?;
    let inserts = counters.inserts.saturating_sub(counters.start);
    Ok(Extent { inserts, updates: updates.unsigned_abs() })
}

fn append(
    db: &Connection,
    room: &RoomId,
    at: u64,
    entries: &[Stored],
    epoch: i64,
    now: u64,
) -> rusqlite::Result<bool> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    let mut counters = log::counters(&tx, room)?;
    if counters.inserts - counters.start != at {
        return Ok(false);
    }
    let row = log::row(&tx, room, &mut counters, epoch, now)?;
    let (mut chunk, mut at_ms) = (Chunk::default(), 0);
    for entry in entries {
        // A chunk has one time.
        let full = entry.at_ms != at_ms
            || entry.body.as_ref().is_none_or(|body| chunk.is_full(body.len()));
        if full {
            chunk.write(&tx, row, &mut counters, at_ms)?;
        }
        at_ms = entry.at_ms;
        counters.n += 1;
        match &entry.body {
            Some(body) => chunk.add(body, counters.n, None),
            None => chunk::write_unreadable(&tx, row, &mut counters, at_ms)?,
        }
    }
    chunk.write(&tx, row, &mut counters, at_ms)?;
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
        self.run(rooms).await
    }

    async fn extents(&self, rooms: &[RoomId]) -> Result<Vec<Extent>, StoreError> {
        let rooms = rooms.to_vec();
        self.run(move |db| rooms.iter().map(|room| extent(db, room)).collect()).await
    }

    async fn read(
        &self,
        room: &RoomId,
        from: u64,
        limit: PageLimit,
    ) -> Result<Vec<Stored>, StoreError> {
        let (room, now_ms) = (room.clone(), self.clock.unix_ms());
        // A copy has no trimmed part: it counts from the first insert that is there.
        let read = move |db: &Connection| {
            let from = from.saturating_add(log::counters(db, &room)?.start);
            log::page(db, &room, from, limit, now_ms, Rule::default())
        };
        let page = self.run(read).await?;
        Ok(page.entries.into_iter().map(same_everywhere).collect())
    }

    async fn append(&self, room: &RoomId, at: u64, entries: &[Stored]) -> Result<bool, StoreError> {
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

const ACCOUNT: &str = "SELECT uid, created, updated, token_hash FROM accounts WHERE realm = ?1";

/// A row of [`ACCOUNT`]: its uid, and the record if it can be read.
fn record(row: &rusqlite::Row) -> rusqlite::Result<(String, Option<Record>)> {
    let (uid, hash): (String, Vec<u8>) = (row.get(0)?, row.get(3)?);
    let (created, updated) =
        (row.get::<_, i64>(1)?.unsigned_abs(), row.get::<_, i64>(2)?.unsigned_abs());
    let record = <[u8; 32]>::try_from(hash).ok().map(|hash| Record {
        uid: uid.clone(),
        created,
        updated,
        proof: Proof::Sha256(hash),
    });
    Ok((uid, record))
}

fn records(db: &Connection, realm: Realm, after: &str, most: usize) -> rusqlite::Result<Records> {
    let mut select = db.prepare_cached(&format!("{ACCOUNT} AND uid > ?2 ORDER BY uid LIMIT ?3"))?;
    let rows =
        select.query_map(params![accounts::name(realm), after, column(most as u64)], record)?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut found = Records {
        next: (rows.len() == most).then(|| rows.last().map(|(uid, _)| uid.clone())).flatten(),
        ..Records::default()
    };
    for (uid, record) in rows {
        match record {
            Some(record) => found.records.push(record),
            None => found.skipped.push(format!("account {uid:?}: its hash is none")),
        }
    }
    Ok(found)
}

#[async_trait]
impl Vault for Volume {
    async fn count(&self, realm: Realm) -> Result<u64, StoreError> {
        let count = "SELECT count(*) FROM accounts WHERE realm = ?1";
        self.run(move |db| db.query_row(count, [accounts::name(realm)], |row| row.get::<_, i64>(0)))
            .await
            .map(i64::unsigned_abs)
    }

    /// There are none: realm and uid are the key of the table, and a uid is a text.
    async fn ambiguous(&self, _: Realm) -> Result<Vec<Ambiguous>, StoreError> {
        Ok(vec![])
    }

    async fn accounts(
        &self,
        realm: Realm,
        after: Option<&str>,
        most: usize,
    ) -> Result<Records, StoreError> {
        let after = after.unwrap_or_default().to_owned();
        self.run(move |db| records(db, realm, &after, most)).await
    }

    async fn find(&self, realm: Realm, uids: &[String]) -> Result<Vec<Record>, StoreError> {
        let uids = uids.to_vec();
        self.run(move |db| {
            let mut select = db.prepare_cached(&format!("{ACCOUNT} AND uid = ?2"))?;
            let mut found = Vec::new();
            for uid in &uids {
                let rows = select
                    .query_map(params![accounts::name(realm), uid], record)?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                found.extend(rows.into_iter().filter_map(|(_, record)| record));
            }
            Ok(found)
        })
        .await
    }

    async fn add(&self, realm: Realm, records: &[Record]) -> Result<(), StoreError> {
        let records = records.to_vec();
        self.run(move |db| {
            let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
            for record in &records {
                accounts::insert(
                    &tx,
                    realm,
                    &record.uid,
                    &record.proof.digest(),
                    record.created,
                    record.updated,
                )?;
            }
            tx.commit()
        })
        .await
    }
}
