//! Whose turn it is: one node takes over at a time. Not every node of a cluster serves this dialect,
//! so the one that does what one node does for all (`Walk::is_chosen`) may be none that can.
//!
//! It is a lease. Should it end while its node still works, as where a store is slow or clocks
//! differ, two nodes store the same twice, which is once.
use std::sync::Arc;

use bytes::Bytes;

use crate::{
    dialect::wechat::error::Failure,
    domain::{
        clock::{Clock, Rng, alphanumeric},
        records::{Collection, Expect, Put, Records},
    },
    throttle::throttled,
};

/// Of one record: whose turn it is.
pub(super) const TURNS: Collection = Collection::new("wechat-takeover", &[]);
const ID: &str = "turn";
/// Seconds until another node may have its turn.
const LASTS: u64 = 15;
/// Characters of a node's name.
const NAME: usize = 16;

/// The turn of this node, if it is its own.
pub(super) struct Turn {
    records: Arc<dyn Records>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// The record, as this node writes it.
    ours: Option<Bytes>,
    /// The version that this node wrote last.
    version: Option<u64>,
}

impl Turn {
    pub(super) fn new(records: Arc<dyn Records>, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Turn { records, clock, rng, ours: None, version: None }
    }

    /// Whether it is this node's turn, for a while from now on unless this is called again.
    ///
    /// # Errors
    /// The store does not answer, or there is no randomness.
    pub(super) async fn take(&mut self) -> Result<bool, Failure> {
        let ours = self.ours()?;
        let expect = match self.records.get(&TURNS, ID).await? {
            None => Expect::New,
            Some(there) if there.body == ours => Expect::Version(there.version),
            Some(_) => return Ok(false),
        };
        let until = self.clock.unix().saturating_add(LASTS);
        match self.records.put(&TURNS, ID, ours, expect, Some(until)).await? {
            Put::Done { version } => {
                self.version = Some(version);
                Ok(true)
            }
            Put::Conflict { .. } => Ok(false),
            Put::Invalid(why) => {
                throttled!(error, %why, "whose turn it is to take over can't be kept");
                Err(Failure::Internal)
            }
        }
    }

    /// The next one need not wait until this turn is over.
    pub(super) async fn end(&mut self) {
        let Some(version) = self.version.take() else { return };
        if let Err(error) = self.records.delete(&TURNS, ID, Some(version)).await {
            tracing::debug!(%error, "the turn of this node ends by itself");
        }
    }

    fn ours(&mut self) -> Result<Bytes, Failure> {
        if let Some(ours) = &self.ours {
            return Ok(ours.clone());
        }
        let name = alphanumeric(&*self.rng, NAME)?;
        let ours = Bytes::from(format!(r#"{{"node":"{name}"}}"#));
        self.ours = Some(ours.clone());
        Ok(ours)
    }
}
