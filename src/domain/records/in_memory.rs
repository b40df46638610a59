//! Records in memory, for tests of who uses them. They count what is asked of them.
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Collection, Draft, Expect, Put, Record, RecordPage, Records, StoreError};
use crate::lock::lock;

/// Versions and records, by collection and id.
type Kept = BTreeMap<(&'static str, String), (u64, Draft)>;

/// Records, as a store has them, but that they do not expire.
#[derive(Default)]
pub(crate) struct InMemory {
    records: Mutex<Kept>,
    /// The version that was given last: none is given twice.
    version: AtomicU64,
    reads: AtomicUsize,
    writes: AtomicUsize,
}

impl InMemory {
    /// Reads and writes since this was asked last.
    pub(crate) fn calls(&self) -> (usize, usize) {
        (self.reads.swap(0, Relaxed), self.writes.swap(0, Relaxed))
    }

    /// How many records a collection has.
    pub(crate) fn count(&self, collection: &Collection) -> usize {
        let records = lock(&self.records);
        records.keys().filter(|(name, _)| *name == collection.name()).count()
    }

    /// All of a collection are gone.
    pub(crate) fn forget(&self, collection: &Collection) {
        lock(&self.records).retain(|(name, _), _| *name != collection.name());
    }

    fn page(
        &self,
        collection: &Collection,
        after: Option<&str>,
        limit: usize,
        is_wanted: impl Fn(&Draft) -> bool,
    ) -> RecordPage {
        let mut page = RecordPage::default();
        for ((name, id), (version, draft)) in &*lock(&self.records) {
            if *name == collection.name()
                && after.is_none_or(|after| &**id > after)
                && is_wanted(draft)
                && !page.add(record(*version, draft), limit)
            {
                break;
            }
        }
        page
    }
}

fn record(version: u64, draft: &Draft) -> Record {
    Record { id: draft.id.clone(), version, body: draft.body.clone(), expires_at: None }
}

#[async_trait]
impl Records for InMemory {
    async fn get(&self, of: &Collection, id: &str) -> Result<Option<Record>, StoreError> {
        self.reads.fetch_add(1, Relaxed);
        let found = lock(&self.records).get(&(of.name(), id.to_owned())).cloned();
        Ok(found.map(|(version, draft)| record(version, &draft)))
    }

    async fn put(
        &self,
        of: &Collection,
        id: &str,
        body: Bytes,
        expect: Expect,
        _: Option<u64>,
    ) -> Result<Put, StoreError> {
        self.writes.fetch_add(1, Relaxed);
        // Others come between reading and writing.
        tokio::task::yield_now().await;
        let draft = match Draft::new(of, id, body) {
            Ok(draft) => draft,
            Err(why) => return Ok(Put::Invalid(why)),
        };
        let mut records = lock(&self.records);
        let key = (of.name(), id.to_owned());
        let there = records.get(&key).map(|(version, _)| *version);
        let is_expected = match expect {
            Expect::New => there.is_none(),
            Expect::Version(version) => there == Some(version),
            Expect::Any => true,
        };
        if !is_expected {
            return Ok(Put::Conflict { version: there });
        }
        let version = self.version.fetch_add(1, Relaxed) + 1;
        records.insert(key, (version, draft));
        Ok(Put::Done { version })
    }

    async fn delete(
        &self,
        of: &Collection,
        id: &str,
        version: Option<u64>,
    ) -> Result<bool, StoreError> {
        self.writes.fetch_add(1, Relaxed);
        let mut records = lock(&self.records);
        let key = (of.name(), id.to_owned());
        let there = records.get(&key).map(|(version, _)| *version);
        if there.is_none() || version.is_some_and(|version| there != Some(version)) {
            return Ok(false);
        }
        Ok(records.remove(&key).is_some())
    }

    async fn find(
        &self,
        of: &Collection,
        index: &str,
        value: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        let key = (of.index(index)?, value.to_owned());
        Ok(self.page(of, after, limit, |draft| draft.keys.contains(&key)))
    }

    async fn list(
        &self,
        of: &Collection,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        Ok(self.page(of, after, limit, |_| true))
    }
}
