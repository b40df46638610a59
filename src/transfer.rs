//! What is stored, as a whole: read from one store and written to another by the command line. No
//! server serves from here.
//!
//! A copy is resumable by the data itself ([`messages`], [`accounts`]): what is in the target
//! already is compared, and the copy goes on behind it. So whatever ends a copy, running it again
//! ends with the same result.
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::domain::{
    broker::{PageLimit, Stored},
    error::StoreError,
    ids::RoomId,
    secret::Secret,
    token::Realm,
};

pub mod accounts;
pub mod messages;

/// How much of a room is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Entries of the log.
    pub inserts: u64,
    /// Updates, each id once.
    pub updates: u64,
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

/// All messages of a store.
#[async_trait]
pub trait Archive: Send + Sync {
    /// The rooms with anything stored.
    async fn rooms(&self) -> Result<Rooms, StoreError>;
    /// How much is stored of each of these; nothing of one that is unknown.
    async fn extents(&self, rooms: &[RoomId]) -> Result<Vec<Extent>, StoreError>;
    /// Inserts from log index `from` on: at least one if there is any, and no more than the limit.
    async fn read(
        &self,
        room: &RoomId,
        from: u64,
        limit: PageLimit,
    ) -> Result<Vec<Stored>, StoreError>;
    /// Puts inserts behind the room's log, all or none, if its length is `at`. False: it is not.
    async fn append(&self, room: &RoomId, at: u64, entries: &[Stored]) -> Result<bool, StoreError>;
    /// The room's updates, all at once.
    async fn updates(&self, room: &RoomId) -> Result<Updates, StoreError>;
    /// Writes updates in this order, behind those that are there; one with a known id replaces it.
    async fn put_updates(&self, room: &RoomId, updates: &[Update]) -> Result<(), StoreError>;
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
