//! The keys that a room knows: those of its newest [`KNOWN_KEYS`] inserts that have one.
//!
//! They are stored with their inserts, in the same rows, and so come and go with them. In memory,
//! where each insert with a key is looked up, they are kept by their hashes, 32 bytes each, as long
//! as anybody uses the room; a room that has none has nothing here.
//!
//! Whoever comes with a key while nobody uses the room has a thousand of them read, so a long one is
//! stored by its hash.
use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
};

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::{chunk, column};
use crate::{domain::broker::KNOWN_KEYS, hex};

/// Most bytes of a key that is stored as it is.
const SHORT: usize = 40;

/// The key as it is stored: a long one is `#` and the first 20 bytes of its SHA-256 in hex. No
/// short one is as long as that.
pub(super) fn short(key: &str) -> Cow<'_, str> {
    if key.len() <= SHORT {
        return Cow::Borrowed(key);
    }
    let digest = hex::encode(&Sha256::digest(key)[..SHORT / 2]);
    Cow::Owned(format!("#{digest}"))
}

/// Half of the SHA-256 of a key as it is stored.
pub(super) type Hash = u128;

pub(super) fn hash(short: &str) -> Hash {
    let digest = Sha256::digest(short);
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
    /// Whether the key is one of them.
    pub(super) fn contains(&self, key: &str) -> bool {
        self.numbers.contains_key(&hash(&short(key)))
    }

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
        let hash = hash(&short(key));
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

/// Reads the keys of a room's log from offset ?2 on, the newest first.
pub(super) const KEYS: &str = "SELECT keys, pos & 0xffffffff FROM log INDEXED BY log_with_keys
     WHERE keys IS NOT NULL AND pos BETWEEN ?1 << 32 | ?2 AND ?1 << 32 | 0xffffffff ORDER BY pos DESC";

/// The keys in a row, as they are stored now. Earlier builds stored long ones whole.
pub(super) fn of_row(text: &str) -> Vec<Option<String>> {
    let keys: Vec<Option<String>> = serde_json::from_str(text).unwrap_or_default(); // somebody else wrote it
    let is_short =
        |key: &str| key.len() <= SHORT || (key.len() == SHORT + 1 && key.starts_with('#'));
    let as_stored = |key: String| if is_short(&key) { key } else { short(&key).into_owned() };
    keys.into_iter().map(|key| key.map(as_stored)).collect()
}

/// Reads the keys that a room knows whose log begins at this offset.
pub(super) fn read(db: &Connection, row: i64, start: u64) -> rusqlite::Result<Keys> {
    let mut select = db.prepare_cached(KEYS)?;
    // The first insert may be in a row that begins before.
    let lowest = column(start.saturating_sub(chunk::MOST));
    let (mut rows, mut newest) = (select.query([row, lowest])?, Vec::new());
    while newest.len() < KNOWN_KEYS
        && let Some(row) = rows.next()?
    {
        let keys = of_row(row.get_ref(0)?.as_str()?);
        let gone = start.saturating_sub(row.get::<_, i64>(1)?.unsigned_abs());
        let gone = usize::try_from(gone).unwrap_or(usize::MAX).min(keys.len());
        newest.extend(keys[gone..].iter().rev().flatten().map(|key| hash(key)));
    }
    newest.truncate(KNOWN_KEYS);
    let mut keys = Keys::default();
    newest.into_iter().rev().for_each(|hash| keys.add(hash));
    Ok(keys)
}
