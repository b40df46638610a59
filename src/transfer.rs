//! What is stored, as a whole: read from one store and written to another by the command line. No
//! server serves from here.
//!
//! A copy is resumable by the data itself ([`messages`], [`receipts`], [`records`], [`accounts`]):
//! what is in the target already is compared, and the copy goes on behind it. So whatever ends a
//! copy, running it again ends with the same result.
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::domain::{
    broker::{PageLimit, Stored},
    erase::Job,
    error::StoreError,
    ids::RoomId,
    receipt::Kept,
    secret::Secret,
    token::Realm,
};

pub mod accounts;
pub mod messages;
pub mod receipts;
pub mod records;

/// Most bytes of a key that stores exchange: of longer ones each keeps a digest of its own kind.
pub const MAX_KEY: usize = 40;

/// How much of a room is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Entries of the log.
    pub inserts: u64,
    /// Updates, each id once.
    pub updates: u64,
}

/// An insert as it is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// Its message, also where it was recalled, and its time.
    pub entry: Stored,
    /// Its key, if that has no more than [`MAX_KEY`] bytes, and the room knows it.
    pub key: Option<Arc<str>>,
}

impl From<Stored> for Insert {
    fn from(entry: Stored) -> Self {
        Insert { entry, key: None }
    }
}

/// What belongs to a room's log beside its entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Index of the insert at offset 0, whether or not that is still there.
    pub origin: u64,
    /// Index of the first insert that is there; of the next one, if none is.
    pub start: u64,
    /// Names the log for readers that come back.
    pub epoch: u64,
    /// The last place in the room's order that is known.
    pub n: u64,
    /// When the log is to be forgotten, in milliseconds since 1970; none: it is not.
    pub ends_ms: Option<u64>,
}

impl Bounds {
    /// Whether the same index, and the same offset, means the same insert in both.
    pub fn agree(&self, other: &Bounds) -> bool {
        (self.origin, self.start) == (other.origin, other.start)
    }
}

/// An update by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// What it replaces: the update of the same id.
    pub id: Arc<str>,
    /// Its message and its time.
    pub entry: Stored,
}

/// The updates of a room.
#[derive(Debug, Default)]
pub struct Updates {
    /// In the order of their last writing, where that is known.
    pub updates: Vec<Update>,
    /// What can't be an update, with the reason. Printable.
    pub skipped: Vec<String>,
}

/// The rooms of a store.
#[derive(Debug, Default)]
pub struct Rooms {
    /// By name, each once. All of them at once: a million takes some 100 MB.
    pub rooms: Vec<RoomId>,
    /// What looks like a room and can't be one, with the reason. Printable.
    pub skipped: Vec<String>,
}

/// Where the logs of a store are among all indexes that were ever given.
#[async_trait]
pub trait Indexes: Send + Sync {
    /// What belongs to the room's log, as it is now.
    async fn bounds(&self, room: &RoomId) -> Result<Bounds, StoreError>;
    /// Has the log of a room that shows no inserts begin there. False: it shows some, and nothing
    /// was changed.
    async fn begin(&self, room: &RoomId, bounds: &Bounds) -> Result<bool, StoreError>;
    /// Once the room's entries are there: its order goes on behind `n`, and its log ends then. What
    /// has gone on already stays, and so does another end.
    async fn finish(&self, room: &RoomId, bounds: &Bounds) -> Result<(), StoreError>;
    /// Behind all indexes of rooms that have nothing stored any more.
    async fn floor(&self) -> Result<u64, StoreError>;
    /// Has rooms that are new begin there at least.
    async fn raise_floor(&self, floor: u64) -> Result<(), StoreError>;
}

/// All messages of a store: what readers are shown of them.
#[async_trait]
pub trait Archive: Indexes {
    /// The rooms with anything stored; and lives that had anything, as their messages count on.
    async fn rooms(&self) -> Result<Rooms, StoreError>;
    /// How much is stored of each of these; nothing of one that is unknown.
    async fn extents(&self, rooms: &[RoomId]) -> Result<Vec<Extent>, StoreError>;
    /// Inserts from this one on, counted from the first that is there: at least one if there is any,
    /// and no more than the limit.
    async fn read(
        &self,
        room: &RoomId,
        from: u64,
        limit: PageLimit,
    ) -> Result<Vec<Insert>, StoreError>;
    /// Puts inserts behind the room's log, all or none, if its length is `at`. False: it is not.
    async fn append(&self, room: &RoomId, at: u64, entries: &[Insert]) -> Result<bool, StoreError>;
    /// The room's updates, all at once.
    async fn updates(&self, room: &RoomId) -> Result<Updates, StoreError>;
    /// Writes updates in this order, behind those that are there; one with a known id replaces it.
    async fn put_updates(&self, room: &RoomId, updates: &[Update]) -> Result<(), StoreError>;
}

/// A receipt that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReceipt {
    /// What it is kept by.
    pub key: String,
    /// What was done once.
    pub kept: Kept,
    /// Until when it is kept, in milliseconds since 1970.
    pub ends_ms: u64,
}

/// A stretch of a store's receipts.
#[derive(Debug, Default)]
pub struct Receipts {
    /// In no order.
    pub receipts: Vec<KeptReceipt>,
    /// Where the next stretch begins; nothing: this was the last.
    pub next: Option<String>,
}

/// What a store keeps of publications beside the messages.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Some of the receipts, about as many, from where a stretch before said. One that is there all
    /// the time is met, hardly ever twice.
    async fn receipts(&self, from: Option<&str>, most: usize) -> Result<Receipts, StoreError>;
    /// Whether there are receipts with these keys whose time is not over.
    async fn have(&self, keys: &[String]) -> Result<Vec<bool>, StoreError>;
    /// Adds receipts. One whose key exists stays as it is, until its time is over.
    async fn keep(&self, receipts: &[KeptReceipt]) -> Result<(), StoreError>;
    /// The erasings that are not done.
    async fn erasings(&self) -> Result<Vec<Job>, StoreError>;
    /// Adds an erasing that is to be done; nothing is changed where it is known.
    async fn erase(&self, job: &Job) -> Result<(), StoreError>;
    /// Bytes that webhooks have still to tell.
    async fn untold(&self) -> Result<u64, StoreError>;
}

/// A record with all that a store keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filed {
    /// Its collection's name.
    pub collection: String,
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: u64,
    /// A JSON object.
    pub body: Bytes,
    /// What it is found by: index and value.
    pub keys: Vec<(String, String)>,
    /// From when on it is not there any more, in seconds since 1970.
    pub expires_at: Option<u64>,
}

/// A stretch of a store's records.
#[derive(Debug, Default)]
pub struct Drawer {
    /// In the order of their collections, and of their ids there.
    pub records: Vec<Filed>,
    /// Behind which collection and id the next stretch begins; nothing: this was the last.
    pub next: Option<(String, String)>,
}

/// All records of a store but those that have expired.
#[async_trait]
pub trait Cabinet: Send + Sync {
    /// Records behind this collection and id, so many at most.
    async fn records(&self, after: Option<(&str, &str)>, most: usize)
    -> Result<Drawer, StoreError>;
    /// The versions of records of these names, collection and id, as far as there are such.
    async fn versions(&self, names: &[(String, String)]) -> Result<Vec<Option<u64>>, StoreError>;
    /// Writes records as they are, in place of those that are there.
    async fn file(&self, records: &[Filed]) -> Result<(), StoreError>;
}

/// What an account's owner has to know.
#[derive(Debug, Clone)]
pub enum Proof {
    /// The token itself.
    Plain(Secret),
    /// The token's SHA-256.
    Sha256([u8; 32]),
}

impl Proof {
    /// The token's SHA-256.
    pub fn digest(&self) -> [u8; 32] {
        match self {
            Proof::Plain(token) => Sha256::digest(token.reveal()).into(),
            Proof::Sha256(digest) => *digest,
        }
    }
}

/// An account with its secret.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its uid; a number is its text.
    pub uid: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Seconds since 1970 of the last change of its token.
    pub updated: u64,
    /// Its token, or the hash of it.
    pub proof: Proof,
}

/// A stretch of a store's accounts, by uid.
#[derive(Debug, Default)]
pub struct Records {
    /// In the order of their uids.
    pub records: Vec<Record>,
    /// Accounts that can't be read, with the reason. Printable, without secrets.
    pub skipped: Vec<String>,
    /// Where the next stretch begins; nothing: this was the last.
    pub next: Option<String>,
}

/// A uid that more than one account of a store has: which of them is meant can't be told. A number
/// counts as its text, as for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguous {
    /// The uid, as text.
    pub uid: String,
    /// How many accounts have it.
    pub accounts: u64,
    /// They have it in one type, so that the store can't be told to keep uids unique, and nothing
    /// can be added.
    pub alike: bool,
}

/// All accounts of a store.
#[async_trait]
pub trait Vault: Send + Sync {
    /// How many there are, also of those that can't be read.
    async fn count(&self, realm: Realm) -> Result<u64, StoreError>;
    /// The uids that more than one account has.
    async fn ambiguous(&self, realm: Realm) -> Result<Vec<Ambiguous>, StoreError>;
    /// Accounts whose uid is behind this one.
    async fn accounts(
        &self,
        realm: Realm,
        after: Option<&str>,
        most: usize,
    ) -> Result<Records, StoreError>;
    /// The accounts with these uids, as far as there are any.
    async fn find(&self, realm: Realm, uids: &[String]) -> Result<Vec<Record>, StoreError>;
    /// Adds accounts. One whose uid exists stays as it is.
    async fn add(&self, realm: Realm, records: &[Record]) -> Result<(), StoreError>;
}

/// Where a copy says how far it is.
pub trait Progress: Send + Sync {
    /// So many of these are to be copied.
    fn begin(&self, what: &str, total: u64);
    /// So many more are done.
    fn advance(&self, by: u64);
    /// What was begun has ended.
    fn end(&self);
    /// Something that the operator should know.
    fn warn(&self, text: &str);
}

/// How many are on both sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Both {
    /// In the source.
    pub from: u64,
    /// Of these, in the target.
    pub to: u64,
}

impl Both {
    /// Whether all that the source has is in the target.
    pub fn agree(self) -> bool {
        self.from == self.to
    }
}

/// A stored body if it is JSON, without space around it; nothing if it is not, or null. What one
/// store can't read, no store can: so entries are equal on both sides.
pub fn readable(body: &Bytes) -> Option<Bytes> {
    let value: &RawValue = serde_json::from_slice(body).ok()?;
    (value.get() != "null").then(|| body.slice_ref(value.get().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_not_readable() {
        let read = |text: &'static str| readable(&Bytes::from(text));
        assert_eq!(read(" {\"a\": 1}\n").unwrap(), "{\"a\": 1}");
        assert_eq!(read("[1e999]").unwrap(), "[1e999]");
        for text in ["", "null", "{", "{} {}", "NaN"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(readable(&Bytes::from_static(b"\"\xff\"")), None);
    }

    #[test]
    fn a_proof_is_what_its_hash_is() {
        let plain = Proof::Plain(Secret::presented("abc"));
        assert_eq!(plain.digest()[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(Proof::Sha256(plain.digest()).digest(), plain.digest());
        assert!(!format!("{plain:?}").contains("abc"));
    }
}
