//! Records that were read lately, of collections that nobody writes but this server
//! ([`Collection::of_servers`](crate::domain::records::Collection::of_servers)). So what was read
//! of one is what it is, until this server writes it.
//!
//! A writing is known from the moment when it is asked for until its transaction has ended, whether
//! or not anybody still waits for it: meanwhile the record is kept by nobody, and what was read
//! before the end of any writing is not kept behind it.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use quick_cache::{Weighter, unsync::Cache};

use super::super::lock;
use crate::domain::records::Record;

/// Bytes of records that are kept, about.
const BYTES: u64 = 4 << 20;
/// Bytes that a record takes beside its body and its id.
const BESIDE: u64 = 160;
/// How large one is that many are kept of.
const USUAL: u64 = 512;

/// The collection, and the id in it.
type Key = (&'static str, Box<str>);

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Record> for Bytes {
    fn weight(&self, (_, id): &Key, record: &Record) -> u64 {
        BESIDE + 2 * id.len() as u64 + record.body.len() as u64
    }
}

struct State {
    records: Cache<Key, Record, Bytes>,
    /// Those that are being written, and how often.
    writing: HashMap<Key, u32>,
    /// Grows with each beginning and each end of a writing.
    changes: u64,
}

/// Records that were read lately.
pub(in super::super) struct Kept(Mutex<State>);

impl Default for Kept {
    fn default() -> Self {
        Kept(Mutex::new(State {
            records: Cache::with_weighter((BYTES / USUAL) as usize, BYTES, Bytes),
            writing: HashMap::new(),
            changes: 0,
        }))
    }
}

/// When a record was begun to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since(u64);

/// A record is being written, for as long as this is there.
pub(super) struct Writing {
    kept: Arc<Kept>,
    key: Key,
}

impl Kept {
    /// The record, if it is kept and has not expired by `now`, seconds since 1970; else when its
    /// reading begins.
    pub(super) fn get(
        &self,
        collection: &'static str,
        id: &str,
        now: u64,
    ) -> Result<Record, Since> {
        let state = lock(&self.0);
        let kept = state.records.get(&(collection, id.into()));
        let alive = kept.filter(|record| record.expires_at.is_none_or(|at| at > now));
        alive.cloned().ok_or(Since(state.changes))
    }

    /// Keeps a record that was read, if nothing was written meanwhile.
    pub(super) fn keep(&self, collection: &'static str, record: &Record, since: Since) {
        let mut state = lock(&self.0);
        let key = (collection, record.id.as_str().into());
        if state.changes == since.0 && !state.writing.contains_key(&key) {
            state.records.insert(key, record.clone());
        }
    }

    /// A record is about to be written.
    pub(super) fn write(self: &Arc<Self>, collection: &'static str, id: &str) -> Arc<Writing> {
        let key: Key = (collection, id.into());
        let mut state = lock(&self.0);
        state.changes += 1;
        state.records.remove(&key);
        *state.writing.entry(key.clone()).or_default() += 1;
        Arc::new(Writing { kept: self.clone(), key })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut state = lock(&self.kept.0);
        state.changes += 1;
        if let Some(count) = state.writing.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.writing.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(version: u64, expires_at: Option<u64>) -> Record {
        Record { id: "r".into(), version, body: "{}".into(), expires_at }
    }

    #[test]
    fn what_was_read_is_kept_until_it_is_written() {
        let kept = Arc::new(Kept::default());
        let since = kept.get("c", "r", 0).unwrap_err();
        kept.keep("c", &record(1, None), since);
        assert_eq!(kept.get("c", "r", 0).unwrap().version, 1);
        assert!(kept.get("d", "r", 0).is_err(), "another collection");

        let early = Since(since.0);
        let (one, two) = (kept.write("c", "r"), kept.write("c", "r"));
        let during = kept.get("c", "r", 0).unwrap_err();
        kept.keep("c", &record(1, None), during);
        assert!(kept.get("c", "r", 0).is_err(), "it is being written");
        drop(one);
        let during = kept.get("c", "r", 0).unwrap_err();
        kept.keep("c", &record(1, None), during);
        assert!(kept.get("c", "r", 0).is_err(), "by somebody else still");
        drop(two);
        for old in [early, during] {
            kept.keep("c", &record(1, None), old);
            assert!(kept.get("c", "r", 0).is_err(), "it was read before");
        }
        let now = kept.get("c", "r", 0).unwrap_err();
        kept.keep("c", &record(3, None), now);
        assert_eq!(kept.get("c", "r", 0).unwrap().version, 3);
        assert!(lock(&kept.0).writing.is_empty());
    }

    #[test]
    fn what_has_expired_is_not_there() {
        let kept = Arc::new(Kept::default());
        let since = kept.get("c", "r", 0).unwrap_err();
        kept.keep("c", &record(1, Some(10)), since);
        assert!(kept.get("c", "r", 9).is_ok() && kept.get("c", "r", 10).is_err());
    }
}
