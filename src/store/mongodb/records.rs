//! Records in one collection of our own beside the accounts, `always_online_records`:
//!
//! | field | what |
//! |---|---|
//! | `_id` | collection and id, with a slash between: unique, and in the order of their bytes |
//! | `version` | a whole number |
//! | `body` | the JSON as it was written, a string |
//! | `keys` | what it is found by, each like `_id`'s beginning: `collection/index/value` |
//! | `expires` | when it ends, a date; missing: it does not |
//!
//! The collection and its indexes are made by the first writing, so that nothing of ours is in a
//! database where records are not used. MongoDB itself deletes what has expired, within a minute or
//! so; whoever reads looks at the date.
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use mongodb::{
    Collection as Documents, IndexModel,
    bson::{Bson, DateTime, Document, doc, oid::ObjectId},
    error::Error,
    options::{IndexOptions, ReturnDocument},
};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Accounts, DUPLICATE_KEY, call::Failure};
use crate::domain::{
    error::StoreError,
    records::{Collection, Draft, Expect, Put, Record, RecordPage, Records, page_limit},
};

/// Our own collection for them.
pub(super) const COLLECTION: &str = "always_online_records";
/// How often a record is written that somebody else makes at the same moment.
const ATTEMPTS: usize = 5;

/// A version that no earlier life of a record began with: as random as the id of a document is
/// unique.
fn first_version() -> i64 {
    let digest = Sha256::digest(ObjectId::new().bytes());
    digest.iter().take(6).fold(0, |number, byte| number << 8 | i64::from(*byte))
}

fn name(collection: &Collection, id: &str) -> String {
    format!("{}/{id}", collection.name())
}

/// What is read where the time of a record that is over by now counts.
fn alive(now_ms: i64) -> Bson {
    Bson::Document(doc! { "$not": { "$lte": DateTime::from_millis(now_ms) } })
}

pub(super) fn record(document: &Document) -> Option<Record> {
    let (_, id) = document.get_str("_id").ok()?.split_once('/')?;
    Some(Record {
        id: id.to_owned(),
        version: version(document)?,
        body: Bytes::copy_from_slice(document.get_str("body").ok()?.as_bytes()),
        expires_at: match document.get_datetime("expires") {
            Ok(at) => Some(at.timestamp_millis().unsigned_abs() / 1000),
            Err(_) => None,
        },
    })
}

pub(super) fn version(document: &Document) -> Option<u64> {
    document.get_i64("version").ok()?.try_into().ok()
}

/// When a record ends, from seconds since 1970.
pub(super) fn end(at: u64) -> DateTime {
    DateTime::from_millis(i64::try_from(at.saturating_mul(1000)).unwrap_or(i64::MAX))
}

/// What writes a record, in place of what is there, if anything is.
fn change(draft: &Draft, expires_at: Option<u64>, first: i64) -> Document {
    let keys = draft.keys.iter().map(|(index, value)| key(draft.collection, index, value));
    let version = doc! { "$add": [{ "$ifNull": ["$version", first - 1] }, 1_i64] };
    let expires = expires_at.map_or_else(|| Bson::from("$$REMOVE"), |at| end(at).into());
    // JSON is UTF-8.
    let body = String::from_utf8_lossy(&draft.body).into_owned();
    doc! { "$set": {
        "version": version,
        "keys": { "$literal": keys.collect::<Vec<_>>() },
        "body": { "$literal": body },
        "expires": expires,
    } }
}

pub(super) fn key(collection: &str, index: &str, value: &str) -> String {
    format!("{collection}/{index}/{value}")
}

/// Makes the indexes, which makes the collection.
pub(super) async fn make_indexes(records: &Documents<Document>) -> Result<(), Error> {
    let by_key = IndexModel::builder().keys(doc! { "keys": 1, "_id": 1 }).build();
    let at_once = IndexOptions::builder().expire_after(std::time::Duration::ZERO).build();
    let by_end = IndexModel::builder().keys(doc! { "expires": 1 }).options(at_once).build();
    records.create_indexes([by_key, by_end]).await.map(drop)
}

impl Accounts {
    fn records(&self) -> Documents<Document> {
        self.database.collection(COLLECTION)
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.unix_ms()).unwrap_or(i64::MAX)
    }

    /// Makes the indexes, once.
    async fn indexed(&self, until: Instant) -> Result<(), Failure> {
        let make = async || {
            let records = self.records();
            self.calls.run(until, async move { make_indexes(&records).await }).await
        };
        self.indexed.get_or_try_init(make).await.copied()
    }

    /// The version of a record that is there.
    async fn version(&self, name: &str, until: Instant) -> Result<Option<u64>, Failure> {
        let (records, filter) =
            (self.records(), doc! { "_id": name, "expires": alive(self.now_ms()) });
        let only = doc! { "version": 1 };
        let find = async move { records.find_one(filter).projection(only).await };
        Ok(self.calls.run(until, find).await?.as_ref().and_then(version))
    }

    /// One attempt at writing; nothing: what is there is not as expected, or somebody else makes the
    /// same record.
    async fn write(
        &self,
        draft: &Draft,
        name: &str,
        expect: Expect,
        expires_at: Option<u64>,
        until: Instant,
    ) -> Result<Option<u64>, Failure> {
        let now = self.now_ms();
        let (filter, makes) = match expect {
            Expect::Any => (doc! { "_id": name }, true),
            // What has expired is replaced. What has not is in the way of a new document.
            Expect::New => {
                let over = doc! { "$lte": DateTime::from_millis(now) };
                (doc! { "_id": name, "expires": over }, true)
            }
            Expect::Version(version) => {
                let version = i64::try_from(version).unwrap_or(i64::MAX);
                (doc! { "_id": name, "version": version, "expires": alive(now) }, false)
            }
        };
        let (records, change) = (self.records(), vec![change(draft, expires_at, first_version())]);
        let write = async move {
            records
                .find_one_and_update(filter, change)
                .upsert(makes)
                .return_document(ReturnDocument::After)
                .projection(doc! { "version": 1 })
                .await
        };
        match self.calls.run(until, write).await {
            Ok(written) => Ok(written.as_ref().and_then(version)),
            Err(failure) if failure.code() == Some(DUPLICATE_KEY) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn record_page(&self, filter: Document, limit: usize) -> Result<RecordPage, StoreError> {
        let most = i64::try_from(page_limit(limit) + 1).unwrap_or(i64::MAX);
        let records = self.records();
        let read = async move {
            let mut found =
                records.find(filter).sort(doc! { "_id": 1 }).limit(most).batch_size(100).await?;
            let mut page = RecordPage::default();
            while let Some(document) = found.try_next().await? {
                // What can't be read was written by somebody else.
                if record(&document).is_some_and(|record| !page.add(record, limit)) {
                    break;
                }
            }
            Ok(page)
        };
        self.calls.run(self.calls.until(), read).await.map_err(Failure::of_read)
    }
}

#[async_trait]
impl Records for Accounts {
    async fn get(&self, collection: &Collection, id: &str) -> Result<Option<Record>, StoreError> {
        let filter = doc! { "_id": name(collection, id), "expires": alive(self.now_ms()) };
        let records = self.records();
        let find = async move { records.find_one(filter).await };
        let found = self.calls.run(self.calls.until(), find).await.map_err(Failure::of_read)?;
        Ok(found.as_ref().and_then(record))
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
        let (until, name) = (self.calls.until(), name(collection, id));
        // Nothing is written yet.
        self.indexed(until).await.map_err(Failure::of_read)?;
        for _ in 0..ATTEMPTS {
            let written = self.write(&draft, &name, expect, expires_at, until).await;
            if let Some(version) = written.map_err(Failure::of_write)? {
                return Ok(Put::Done { version });
            }
            if expect != Expect::Any {
                let version = self.version(&name, until).await.map_err(Failure::of_read)?;
                return Ok(Put::Conflict { version });
            }
        }
        Err(StoreError::Unavailable("others write the same record again and again".into()))
    }

    async fn delete(
        &self,
        collection: &Collection,
        id: &str,
        version: Option<u64>,
    ) -> Result<bool, StoreError> {
        let mut filter = doc! { "_id": name(collection, id), "expires": alive(self.now_ms()) };
        if let Some(version) = version {
            filter.insert("version", i64::try_from(version).unwrap_or(i64::MAX));
        }
        let records = self.records();
        let delete = async move { records.delete_one(filter).await };
        let deleted = self.calls.run(self.calls.until(), delete).await;
        Ok(deleted.map_err(Failure::of_write)?.deleted_count == 1)
    }

    async fn find(
        &self,
        collection: &Collection,
        index: &str,
        value: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        let key = key(collection.name(), collection.index(index)?, value);
        let behind = doc! { "$gt": name(collection, after.unwrap_or_default()) };
        let filter = doc! { "keys": key, "_id": behind, "expires": alive(self.now_ms()) };
        self.record_page(filter, limit).await
    }

    async fn list(
        &self,
        collection: &Collection,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        // The character behind the slash ends the collection.
        let end = format!("{}0", collection.name());
        let range = doc! { "$gt": name(collection, after.unwrap_or_default()), "$lt": end };
        self.record_page(doc! { "_id": range, "expires": alive(self.now_ms()) }, limit).await
    }
}
