//! The keys that a room knows: those of its newest [`KNOWN_KEYS`] inserts that have one.
//!
//! They are stored with their inserts, in the same rows, and so come and go with them. In memory,
//! where each insert with a key is looked up, they are kept by their hashes, 32 bytes each, as long
//! as anybody uses the room; a room that has none has nothing here.
use std::collections::{HashMap, VecDeque};

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::domain::broker::KNOWN_KEYS;

/// Half of a key's SHA-256.
pub(super) type Hash = u128;

pub(super) fn hash(key: &str) -> Hash {
    let digest = Sha256::digest(key);
    digest.iter().take(16).fold(0, |hash, byte| hash << 8 | Hash::from(*byte))
}

/// The keys of a room.
#[derive(Default)]
pub(super) struct Keys {
    /// In the order of their inserts; the last one's number is `next` less one.
    order: VecDeque<Hash>,
    /// Their numbers.
    numbers: HashMap<Hash, u64>,
    next: u64,
}

impl Keys {
    /// Adds the key of an insert; the oldest is forgotten.
    pub(super) fn add(&mut self, hash: Hash) {
        self.order.push_back(hash);
        self.numbers.insert(hash, self.next);
        self.next += 1;
        if self.order.len() > KNOWN_KEYS
            && let Some(oldest) = self.order.pop_front()
        {
            let number = self.next - 1 - KNOWN_KEYS as u64;
            if self.numbers.get(&oldest) == Some(&number) {
                self.numbers.remove(&oldest);
            }
        }
    }
}

/// The keys of a room while a batch is written, which may have to be undone.
pub(super) struct Batch<'a> {
    known: Option<&'a Keys>,
    new: HashMap<Hash, u64>,
    next: u64,
    order: Vec<Hash>,
}

impl<'a> Batch<'a> {
    /// Of a room that knows these, or none.
    pub(super) fn new(known: Option<&'a Keys>) -> Self {
        let next = known.map_or(0, |known| known.next);
        Batch { known, new: HashMap::new(), next, order: Vec::new() }
    }

    /// Takes the key of one more insert; false: it is known.
    pub(super) fn admit(&mut self, key: &str) -> bool {
        let hash = hash(key);
        let before = || self.known.and_then(|known| known.numbers.get(&hash));
        let number = self.new.get(&hash).or_else(before);
        if number.is_some_and(|number| number + KNOWN_KEYS as u64 >= self.next) {
            return false;
        }
        self.new.insert(hash, self.next);
        self.next += 1;
        self.order.push(hash);
        true
    }

    /// Those that came in, in their order.
    pub(super) fn admitted(self) -> Vec<Hash> {
        self.order
    }
}

/// Reads the keys of a room's log, the newest first.
pub(super) const KEYS: &str = "SELECT keys FROM log INDEXED BY log_with_keys
     WHERE keys IS NOT NULL AND pos BETWEEN ?1 << 32 AND ?1 << 32 | 0xffffffff ORDER BY pos DESC";

/// The keys in a row.
pub(super) fn of_row(text: &str) -> Vec<Option<String>> {
    serde_json::from_str(text).unwrap_or_default() // somebody else wrote it
}

/// Reads the keys that a room knows.
pub(super) fn read(db: &Connection, row: i64) -> rusqlite::Result<Keys> {
    let mut select = db.prepare_cached(KEYS)?;
    let (mut rows, mut newest) = (select.query([row])?, Vec::new());
    while newest.len() < KNOWN_KEYS
        && let Some(row) = rows.next()?
    {
        let keys = of_row(row.get_ref(0)?.as_str()?);
        newest.extend(keys.iter().rev().flatten().map(|key| hash(key)));
    }
    newest.truncate(KNOWN_KEYS);
    let mut keys = Keys::default();
    newest.into_iter().rev().for_each(|hash| keys.add(hash));
    Ok(keys)
}
