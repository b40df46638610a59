//! Whose turn it is: one node takes over at a time. Not every node of a cluster serves this dialect,
//! so the one that does what one node does for all (`Walk::is_chosen`) may be none that can.
//!
//! It is a lease. Where it has ended, another node may have taken over everything by now, and let
//! people in, who have read and erased what waited: to store that again would bring it back, as the
//! keys of messages are known for a while only. So its node looks at it ahead of each thing that it
//! stores, and stops where it is no longer its own, or was not for a moment: what it has read
//! before may be outdated. That leaves a node that stands still for most of a lease between this
//! look and the writing, and clocks that differ by as much.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

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
pub(super) const LASTS: u64 = 15;
/// For so long it is not written anew.
pub(super) const FRESH: Duration = Duration::from_secs(LASTS / 3);
/// Characters of a node's name.
const NAME: usize = 16;

/// The turn of this node, if it is its own.
pub(super) struct Turn {
    records: Arc<dyn Records>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// The record, as this node writes it.
    ours: Option<Bytes>,
    /// What this node wrote last, if nobody else has since, as far as it knows.
    held: Option<Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    version: u64,
    /// When it was written, or a little before.
    since: Instant,
}

impl Turn {
    pub(super) fn new(records: Arc<dyn Records>, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Turn { records, clock, rng, ours: None, held: None }
    }

    /// Whether this node has taken its turn, and has not found that it is over: [`Turn::keep`]
    /// finds that.
    pub(super) fn is_ours(&self) -> bool {
        self.held.is_some()
    }

    /// Takes the turn for this node, unless it is another's. What was read before may have been
    /// taken over meanwhile.
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
        self.write(expect).await
    }

    /// Whether it has been this node's turn ever since that was taken, and is for a while from now
    /// on.
    ///
    /// # Errors
    /// The store does not answer, or there is no randomness.
    pub(super) async fn keep(&mut self) -> Result<bool, Failure> {
        match self.held {
            None => Ok(false),
            Some(held) if held.since.elapsed() < FRESH => Ok(true),
            Some(held) => self.write(Expect::Version(held.version)).await,
        }
    }

    async fn write(&mut self, expect: Expect) -> Result<bool, Failure> {
        let (ours, since) = (self.ours()?, Instant::now());
        let until = self.clock.unix().saturating_add(LASTS);
        match self.records.put(&TURNS, ID, ours, expect, Some(until)).await? {
            Put::Done { version } => {
                self.held = Some(Held { version, since });
                Ok(true)
            }
            Put::Conflict { .. } => {
                self.held = None;
                Ok(false)
            }
            Put::Invalid(why) => {
                throttled!(error, %why, "whose turn it is to take over can't be kept");
                Err(Failure::Internal)
            }
        }
    }

    /// The next one need not wait until this turn is over.
    pub(super) async fn end(&mut self) {
        let Some(Held { version, .. }) = self.held.take() else { return };
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
