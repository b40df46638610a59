//! Records in SQL. Changes go through the writer, and reads through the readers.
pub(super) mod kept;

use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::{Embedded, column, new_epoch, sweep::Litter};
use crate::domain::{
    error::StoreError,
    records::{Collection, Draft, Expect, Put, Record, RecordPage, Records},
};

/// `expires` is in seconds since 1970. `record_keys` has what records are found by, and goes with
/// them.
pub(super) const TABLES: &str = "
    CREATE TABLE records (row INTEGER PRIMARY KEY, collection TEXT NOT NULL, id TEXT NOT NULL,
        version INTEGER NOT NULL,
        expires INTEGER, body BLOB NOT NULL, UNIQUE (collection, id));
    CREATE INDEX records_by_expiry ON records (expires) WHERE expires IS NOT NULL;
    CREATE TABLE record_keys (collection TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
        id TEXT NOT NULL,
        record INTEGER NOT NULL, PRIMARY KEY (collection, name, value, id)) WITHOUT ROWID;
    CREATE INDEX record_keys_by_record ON record_keys (record);
    CREATE TRIGGER records_end AFTER DELETE ON records BEGIN DELETE FROM record_keys
        WHERE record = old.row; END;";

/// The end of records whose time is over.
pub(super) const LITTER: Litter = Litter {
    delete: "DELETE FROM records WHERE row IN (SELECT row FROM records WHERE expires <= ?1
        ORDER BY expires LIMIT ?2)",
    next: "SELECT min(expires) FROM records WHERE expires IS NOT NULL",
};

/// The record ?2 of the collection ?1 at ?3, seconds since 1970.
pub(super) const ONE: &str = "SELECT id, version, body, expires FROM records
     WHERE collection = ?1 AND id = ?2 AND (expires IS NULL OR expires > ?3)";

/// Those of the collection ?1 behind the id ?2 at ?3.
pub(super) const ALL: &str = "SELECT id, version, body, expires FROM records
     WHERE collection = ?1 AND id > ?2 AND (expires IS NULL OR expires > ?3) ORDER BY id";

/// Those of them that have the value ?5 in the index ?4.
pub(super) const FOUND: &str = "SELECT r.id, r.version, r.body, r.expires
    FROM record_keys k JOIN records r ON r.row = k.record
     WHERE k.collection = ?1 AND k.name = ?4 AND k.value = ?5 AND k.id > ?2
         AND (r.expires IS NULL OR r.expires > ?3) ORDER BY k.id";

/// A record that is to be written.
struct Writing {
    draft: Draft,
    expect: Expect,
    expires_at: Option<u64>,
    /// Its version, should it be a new one.
    first: i64,
    /// Seconds since 1970.
    now: u64,
}

impl Writing {
    /// In a transaction.
    fn put(&self, db: &Connection) -> rusqlite::Result<Put> {
        let Draft { collection, id, body, keys } = &self.draft;
        let there = db
            .prepare_cached(
                "SELECT row, version, expires IS NULL OR expires > ?3 FROM records
                    WHERE collection = ?1 AND id = ?2",
            )?
            .query_row(params![collection, id, column(self.now)], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?))
            })
            .optional()?;
        let version = there.filter(|(_, _, alive)| *alive).map(|(_, version, _)| version);
        let is_expected = match self.expect {
            Expect::Any => true,
            Expect::New => version.is_none(),
            Expect::Version(expected) => version == Some(column(expected)),
        };
        if !is_expected {
            return Ok(Put::Conflict { version: version.map(i64::unsigned_abs) });
        }
        let expires = self.expires_at.map(column);
        let (row, version) = match there {
            Some((row, version, _)) => {
                db.prepare_cached(
                    "UPDATE records SET version = ?2, body = ?3, expires = ?4 WHERE row = ?1",
                )?
                .execute(params![row, version + 1, &body[..], expires])?;
                db.prepare_cached("DELETE FROM record_keys WHERE record = ?1")?.execute([row])?;
                (row, version + 1)
            }
            None => {
                let mut insert = db.prepare_cached(
                    "INSERT INTO records (collection, id, version, body, expires)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?;
                (
                    insert.insert(params![collection, id, self.first, &body[..], expires])?,
                    self.first,
                )
            }
        };
        let mut add = db.prepare_cached("INSERT INTO record_keys VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for (index, value) in keys {
            add.execute(params![collection, index, value, id, row])?;
        }
        Ok(Put::Done { version: version.unsigned_abs() })
    }
}

/// In a transaction.
fn delete(
    db: &Connection,
    collection: Collection,
    id: &str,
    version: Option<u64>,
    now: u64,
) -> rusqlite::Result<bool> {
    let deleted = db
        .prepare_cached(
            "DELETE FROM records WHERE collection = ?1 AND id = ?2
                AND (expires IS NULL OR expires > ?3) AND version = coalesce(?4, version)",
        )?
        .execute(params![collection.name(), id, column(now), version.map(column)])?;
    Ok(deleted == 1)
}

fn record(row: &Row) -> rusqlite::Result<Record> {
    Ok(Record {
        id: row.get(0)?,
        version: row.get::<_, i64>(1)?.unsigned_abs(),
        body: Bytes::from(row.get::<_, Vec<u8>>(2)?),
        expires_at: row.get::<_, Option<i64>>(3)?.map(i64::unsigned_abs),
    })
}

fn get(
    db: &Connection,
    collection: Collection,
    id: &str,
    now: u64,
) -> rusqlite::Result<Option<Record>> {
    db.prepare_cached(ONE)?
        .query_row(params![collection.name(), id, column(now)], record)
        .optional()
}

/// What is asked for.
struct Question {
    collection: &'static str,
    /// Index and value; nothing: all.
    by: Option<(&'static str, String)>,
    after: String,
    limit: usize,
    now: u64,
}

impl Question {
    fn new(
        collection: &Collection,
        by: Option<(&'static str, &str)>,
        after: Option<&str>,
        limit: usize,
        now: u64,
    ) -> Self {
        let by = by.map(|(index, value)| (index, value.to_owned()));
        let after = after.unwrap_or_default().to_owned();
        Question { collection: collection.name(), by, after, limit, now }
    }

    fn page(&self, db: &Connection) -> rusqlite::Result<RecordPage> {
        let now = column(self.now);
        let mut given: Vec<&dyn ToSql> = vec![&self.collection, &self.after, &now];
        let mut select = db.prepare_cached(if self.by.is_some() { FOUND } else { ALL })?;
        if let Some((index, value)) = &self.by {
            given.extend([index as &dyn ToSql, value]);
        }
        let (mut rows, mut page) = (select.query(&given[..])?, RecordPage::default());
        while let Some(row) = rows.next()? {
            if !page.add(record(row)?, self.limit) {
                break;
            }
        }
        Ok(page)
    }
}

#[async_trait]
impl Records for Embedded {
    async fn get(&self, collection: &Collection, id: &str) -> Result<Option<Record>, StoreError> {
        let (collection, id, now) = (*collection, id.to_owned(), self.clock.unix());
        let since = match self.records.get(collection.name(), &id, now) {
            Ok(record) => return Ok(Some(record)),
            Err(since) => since,
        };
        let read = self.readers.quick.read(move |db| get(db, collection, &id, now)).await?;
        // Of others the command line may write some while the server runs.
        if let Some(record) = read.as_ref().filter(|_| collection.is_of_servers()) {
            self.records.keep(collection.name(), record, since);
        }
        Ok(read)
    }

    async fn put(
        &self,
        collection: &Collection,
        id: &str,
        body: Bytes,
        expect: Expect,
        expires_at: Option<u64>,
    ) -> Result<Put, StoreError> {
        let draft = match Draft::new(collection, id, body) {
            Ok(draft) => draft,
            Err(why) => return Ok(Put::Invalid(why)),
        };
        let (first, now) = (new_epoch(&*self.rng)?, self.clock.unix());
        let writing = Writing { draft, expect, expires_at, first, now };
        let litter = self.litter.clone();
        let known = self.records.write(collection.name(), id);
        let done = self.writer.run(move |db| {
            let put = writing.put(db)?;
            litter.fetch_min(writing.expires_at.unwrap_or(u64::MAX), Relaxed);
            Ok((put, known.clone()))
        });
        done.await.map(|(put, _)| put)
    }

    async fn delete(
        &self,
        collection: &Collection,
        id: &str,
        version: Option<u64>,
    ) -> Result<bool, StoreError> {
        let (collection, id, now) = (*collection, id.to_owned(), self.clock.unix());
        let known = self.records.write(collection.name(), &id);
        let done = self
            .writer
            .run(move |db| Ok((delete(db, collection, &id, version, now)?, known.clone())));
        done.await.map(|(deleted, _)| deleted)
    }

    async fn find(
        &self,
        collection: &Collection,
        index: &str,
        value: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        let by = Some((collection.index(index)?, value));
        let question = Question::new(collection, by, after, limit, self.clock.unix());
        self.readers.pages.read(move |db| question.page(db)).await
    }

    async fn list(
        &self,
        collection: &Collection,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        let question = Question::new(collection, None, after, limit, self.clock.unix());
        self.readers.pages.read(move |db| question.page(db)).await
    }
}
