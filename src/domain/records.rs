//! Records: what is neither a message nor a token. Users, settings of rooms, revocations, jobs.
//!
//! A record is a JSON object with an id, in a [`Collection`]. Its version changes with each writing,
//! and whoever read it writes it back only if nobody did so meanwhile ([`Expect::Version`]). A
//! collection declares by which fields its records are looked for.
//!
//! ```
//! # use always_online::domain::{error::StoreError, records::{Collection, Expect, Put, Records}};
//! const MEMBERSHIPS: Collection = Collection::new("memberships", &["uid"]);
//!
//! async fn join(records: &dyn Records, uid: &str, room: &str) -> Result<bool, StoreError> {
//!     let (id, body) = (format!("{uid}/{room}"), format!("{{\"uid\":\"{uid}\"}}"));
//!     let put = records.put(&MEMBERSHIPS, &id, body.into(), Expect::New, None).await?;
//!     Ok(matches!(put, Put::Done { .. }))
//! }
//!
//! async fn leave_all(records: &dyn Records, uid: &str) -> Result<(), StoreError> {
//!     let mut after = None;
//!     loop {
//!         let page = records.find(&MEMBERSHIPS, "uid", uid, after.as_deref(), 100).await?;
//!         for record in page.records {
//!             records.delete(&MEMBERSHIPS, &record.id, Some(record.version)).await?;
//!         }
//!         after = page.next;
//!         if after.is_none() {
//!             return Ok(());
//!         }
//!     }
//! }
//! ```
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::error::StoreError;

#[cfg(test)]
pub(crate) mod in_memory;

/// Most bytes of an id, and of a value that records are looked for by.
pub const MAX_ID: usize = 2048;
/// Most bytes of a body.
pub const MAX_BODY: usize = 1 << 20;
/// Most values that one record is found by.
pub const MAX_KEYS: usize = 256;
/// Most records of a page.
pub const MAX_PAGE: usize = 1000;
/// Bytes of bodies that end a page.
pub const PAGE_BYTES: usize = 4 << 20;

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collection {
    name: &'static str,
    indexes: &'static [&'static str],
    is_ours: bool,
}

impl Collection {
    /// Names are made of `a` to `z`, digits, `_` and `-`, and have 1 to 64 characters; those of
    /// indexes may have capital letters. An index is a field of the body: a record is found by its
    /// text, number or truth value, or by each of those in its array. An index that is declared later
    /// finds what was written since.
    ///
    /// # Panics
    /// A name is not as it has to be. A constant is checked while it is compiled.
    #[must_use]
    pub const fn new(name: &'static str, indexes: &'static [&'static str]) -> Self {
        assert!(is_name(name) && is_lower(name), "a collection can't have this name");
        let mut at = 0;
        while at < indexes.len() {
            assert!(is_name(indexes[at]), "an index can't have this name");
            at += 1;
        }
        Collection { name, indexes, is_ours: false }
    }

    /// Of records that nobody writes but servers: a store that is one server's alone may keep what
    /// it has read.
    #[must_use]
    pub const fn of_servers(mut self) -> Self {
        self.is_ours = true;
        self
    }

    /// Whether nobody writes such records but servers.
    #[must_use]
    pub const fn is_of_servers(&self) -> bool {
        self.is_ours
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The index of this name.
    ///
    /// # Errors
    /// It is not declared.
    pub fn index(&self, name: &str) -> Result<&'static str, StoreError> {
        self.indexes.iter().find(|index| **index == name).copied().ok_or_else(|| {
            StoreError::Unavailable(format!("records of {} have no index {name}", self.name))
        })
    }
}

const fn is_name(name: &str) -> bool {
    let name = name.as_bytes();
    let mut at = 0;
    while at < name.len() {
        if !(name[at].is_ascii_alphanumeric() || matches!(name[at], b'_' | b'-')) {
            return false;
        }
        at += 1;
    }
    !name.is_empty() && name.len() <= 64
}

const fn is_lower(name: &str) -> bool {
    let name = name.as_bytes();
    let mut at = 0;
    while at < name.len() {
        if name[at].is_ascii_uppercase() {
            return false;
        }
        at += 1;
    }
    true
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name in its collection.
    pub id: String,
    /// Another one after each writing, and no earlier one again: also where it was deleted and
    /// written anew. Below 2^53.
    pub version: u64,
    /// A JSON object, byte for byte as it was written.
    pub body: Bytes,
    /// From when on it is not there any more, in seconds since 1970.
    pub expires_at: Option<u64>,
}

/// What has to be there for a record to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// None of this id.
    New,
    /// This version of it.
    Version(u64),
    /// Whatever is there, if anything is.
    Any,
}

/// What became of a [`Records::put`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is written.
    Done {
        /// Its version now.
        version: u64,
    },
    /// Nothing was changed: something else is there than was expected.
    Conflict {
        /// The version that is there; nothing where there is no such record.
        version: Option<u64>,
    },
    /// Nothing was changed: no record can be like this.
    Invalid(BadRecord),
}

/// Why something is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Its id.
    #[error("the id of a record has 1 to {MAX_ID} bytes")]
    Id,
    /// What it is.
    #[error("a record is a JSON object")]
    Form,
    /// How large it is.
    #[error("a record has {MAX_BODY} bytes at most")]
    Size,
    /// What it is to be found by.
    #[error("a record is found by {MAX_KEYS} values at most, of {MAX_ID} bytes each")]
    Keys,
}

/// Some of the records of a collection, in the order of their ids, by bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordPage {
    /// As many as were asked for, or fewer: [`PAGE_BYTES`] end a page, and so may a stretch of records
    /// that have just expired.
    pub records: Vec<Record>,
    /// The id behind which the next page begins; nothing where this is the last.
    pub next: Option<String>,
    bytes: usize,
}

impl RecordPage {
    /// Adds a record that was read; false: there is no place for it, and the page is full.
    pub fn add(&mut self, record: Record, limit: usize) -> bool {
        let bytes = self.bytes + record.body.len();
        let is_full = self.records.len() >= page_limit(limit)
            || (!self.records.is_empty() && bytes > PAGE_BYTES);
        if is_full {
            self.next = self.records.last().map(|last| last.id.clone());
        } else {
            self.bytes = bytes;
            self.records.push(record);
        }
        !is_full
    }
}

/// How many records a page has that is asked for so many.
#[must_use]
pub fn page_limit(limit: usize) -> usize {
    limit.clamp(1, MAX_PAGE)
}

/// Documents by collection and id. What was answered is stored as an acknowledged message is.
#[async_trait]
pub trait Records: Send + Sync {
    /// The record, unless it has expired. Nobody is found by an id that no record can have.
    async fn get(&self, collection: &Collection, id: &str) -> Result<Option<Record>, StoreError>;

    /// Writes a record, if what is there is as expected: of concurrent calls that expect the same
    /// version, or none, one is done. It is not there any more from `expires_at` on, in seconds since
    /// 1970; an earlier word about that is replaced.
    async fn put(
        &self,
        collection: &Collection,
        id: &str,
        body: Bytes,
        expect: Expect,
        expires_at: Option<u64>,
    ) -> Result<Put, StoreError>;

    /// Deletes a record, if it has this version, or any where none is named. True: it was there.
    async fn delete(
        &self,
        collection: &Collection,
        id: &str,
        version: Option<u64>,
    ) -> Result<bool, StoreError>;

    /// The records that have this value in an index, behind the id `after`.
    async fn find(
        &self,
        collection: &Collection,
        index: &str,
        value: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RecordPage, StoreError>;

    /// All records, behind the id `after`. Whoever was there all the time is met exactly once,
    /// whatever is written meanwhile.
    async fn list(
        &self,
        collection: &Collection,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RecordPage, StoreError>;
}

/// A record that is to be written, as it was checked for a store.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The name of its collection.
    pub collection: &'static str,
    /// Its id.
    pub id: String,
    /// Its body.
    pub body: Bytes,
    /// What it is found by: index and value, each once.
    pub keys: Vec<(&'static str, String)>,
}

impl Draft {
    /// Looks whether it can be a record.
    ///
    /// # Errors
    /// It can't.
    pub fn new(collection: &Collection, id: &str, body: Bytes) -> Result<Self, BadRecord> {
        if !is_id(id) {
            return Err(BadRecord::Id);
        }
        if body.len() > MAX_BODY {
            return Err(BadRecord::Size);
        }
        let fields: BTreeMap<String, &RawValue> =
            serde_json::from_slice(&body).map_err(|_| BadRecord::Form)?;
        let mut keys = BTreeSet::new();
        for index in collection.indexes {
            let Some(field) = fields.get(*index) else { continue };
            let several: Option<Vec<&RawValue>> = serde_json::from_str(field.get()).ok();
            let values = several.unwrap_or_else(|| vec![*field]);
            keys.extend(values.into_iter().filter_map(value).map(|value| (*index, value)));
        }
        if keys.len() > MAX_KEYS || keys.iter().any(|(_, value)| value.len() > MAX_ID) {
            return Err(BadRecord::Keys);
        }
        let keys = keys.into_iter().collect();
        Ok(Draft { collection: collection.name, id: id.to_owned(), body, keys })
    }
}

/// Whether a record can have this id.
#[must_use]
pub fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID
}

/// What a record is found by that has this in an index.
fn value(raw: &RawValue) -> Option<String> {
    match raw.get().as_bytes().first()? {
        b'"' => serde_json::from_str(raw.get()).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(raw.get().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEOPLE: Collection = Collection::new("people", &["uid", "tags", "Age"]);

    fn keys(body: &str) -> Result<Vec<String>, BadRecord> {
        let draft = Draft::new(&PEOPLE, "1", Bytes::copy_from_slice(body.as_bytes()))?;
        Ok(draft.keys.iter().map(|(index, value)| format!("{index}={value}")).collect())
    }

    #[test]
    fn a_record_is_found_by_what_is_declared() {
        assert_eq!(keys("{}").unwrap(), [""; 0]);
        assert_eq!(keys(r#"{"x":"ann","uid":null,"tags":{"a":"b"}}"#).unwrap(), [""; 0]);
        assert_eq!(
            keys(r#"{"uid":"a\u00e9\"","tags":["b","a","b",1.50,[2],null,true],"Age":7}"#).unwrap(),
            ["Age=7", "tags=1.50", "tags=a", "tags=b", "tags=true", "uid=aé\""]
        );
        assert_eq!(keys(r#"{"uid":"a","uid":"b"}"#).unwrap(), ["uid=b"], "as others read it");
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for body in ["", "1", "[]", "null", "{} x", "{\"a\"}", "{\"a\":\"\\", "\"{}\""] {
            assert_eq!(keys(body), Err(BadRecord::Form), "{body}");
        }
        let not_utf8 = Bytes::from_static(b"{\"a\":\"\xff\"}");
        assert_eq!(Draft::new(&PEOPLE, "1", not_utf8).err(), Some(BadRecord::Form));
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(keys(&deep), Err(BadRecord::Form));
        let of_size = |bytes| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert_eq!(keys(&of_size(MAX_BODY)).unwrap(), [""; 0]);
        assert_eq!(keys(&of_size(MAX_BODY + 1)), Err(BadRecord::Size));
        let of_keys = |n: usize| format!("{{\"tags\":{:?}}}", (0..n).collect::<Vec<_>>());
        assert_eq!(keys(&of_keys(MAX_KEYS)).unwrap().len(), MAX_KEYS);
        assert_eq!(keys(&of_keys(MAX_KEYS + 1)), Err(BadRecord::Keys));
        assert_eq!(keys(&format!("{{\"uid\":{:?}}}", "x".repeat(2049))), Err(BadRecord::Keys));
        for id in [String::new(), "x".repeat(MAX_ID + 1)] {
            assert_eq!(Draft::new(&PEOPLE, &id, "{}".into()).err(), Some(BadRecord::Id));
        }
    }

    #[test]
    fn names_that_stores_could_mistake_are_refused() {
        for name in ["", "a/b", "a:b", "a b", "People", "é", "a\n"] {
            assert!(std::panic::catch_unwind(|| Collection::new(name, &[])).is_err(), "{name}");
        }
        assert!(std::panic::catch_unwind(|| Collection::new("a", &["b", "c:d"])).is_err());
        assert!(PEOPLE.index("uid").is_ok() && PEOPLE.index("age").is_err());
    }

    #[test]
    fn a_page_ends_at_its_number_or_its_bytes() {
        let record = |id: usize, bytes| Record {
            id: id.to_string(),
            version: 1,
            body: vec![b'x'; bytes].into(),
            expires_at: None,
        };
        let mut page = RecordPage::default();
        assert!(page.add(record(1, 1), 2) && page.add(record(2, 1), 2));
        assert!(page.next.is_none() && !page.add(record(3, 1), 2));
        assert_eq!(page.next.as_deref(), Some("2"));
        let mut page = RecordPage::default();
        assert!(page.add(record(1, PAGE_BYTES + 1), 0), "one is in it however large it is");
        assert!(!page.add(record(2, 1), 9));
    }
}
