//! Receipts: publishing once, however often it is asked for.
//!
//! Whoever publishes with a receipt and gets no answer asks again with the same key. The store has
//! kept, together with what it stored, what it would have answered, and answers that: nothing is
//! stored or told again. That holds on all nodes, for two who ask at the same time, and after a
//! crash between storing and answering.
//!
//! What is done once and publishes nothing has no entry to carry its receipt. Where its key is
//! among those of entries, it is taken without one ([`Receipts`]), so that one key never stands for
//! two things.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    broker::{Placed, Position},
    error::StoreError,
};

/// How long a receipt is kept.
pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What an entry is published with so that it is published once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What tells this entry from all others of the last [`KEPT`], in whatever room. Short: it is kept
    /// as it is.
    pub key: Arc<str>,
    /// The SHA-256 of what was asked for: who asks for something else with the same key has made a
    /// mistake.
    pub digest: [u8; 32],
    /// What belongs to the answer besides the position. It comes back with it.
    pub note: Bytes,
}

/// A receipt as a store has kept it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Of what was asked for then.
    pub digest: [u8; 32],
    /// Where that was placed.
    pub position: Position,
    /// What belonged to that answer.
    pub note: Bytes,
}

impl Kept {
    /// The receipt of an entry that is placed now.
    pub fn new(receipt: &Receipt, position: Position) -> Self {
        Kept { digest: receipt.digest, position, note: receipt.note.clone() }
    }

    /// What becomes of an entry that comes with the same key.
    pub fn answer(&self, receipt: &Receipt) -> Placed {
        if self.digest == receipt.digest {
            Placed::Replayed { position: self.position, note: self.note.clone() }
        } else {
            Placed::Reused
        }
    }
}

/// Keys of receipts that are for no entry. The store of messages has it: whether a key is free is
/// known where entries leave their receipts, and nowhere else.
#[async_trait]
pub trait Receipts: Send + Sync {
    /// Takes a key for what has this digest, for [`KEPT`], unless it is taken. Whether it is this
    /// one's now: of two at the same time, on whatever nodes, with different digests, one has it.
    /// An entry that comes with it then is [`Placed::Reused`].
    async fn take_key(&self, key: &str, digest: &[u8; 32]) -> Result<bool, StoreError>;

    /// Gives a key back, if it was taken for what has this digest: that was not done.
    async fn give_back_key(&self, key: &str, digest: &[u8; 32]) -> Result<(), StoreError>;
}
