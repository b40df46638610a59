//! What every store must do: one suite per trait, run against each backend.
//!
//! A backend's tests say, once per trait, how one test's store is made:
//!
//! ```text
//! broker_contract!(embedded, DataFolder::new());
//! ```
//!
//! The expression is evaluated anew for each test and implements the trait that the suite asks for
//! ([`BrokerHome`], …). A backend whose server is not there fails; it does not skip.
#![allow(clippy::disallowed_methods)] // tests spawn freely
use std::{future::Future, sync::Arc, time::Duration};

use crate::domain::{
    broker::{Broker, UpdateLimit, Upkeep},
    erase::Erasure,
    ids::Uid,
    limit::Limits,
    outbox::Interest,
    presence::{Expelled, Presence},
    receipt::Receipts,
    records::Records,
    retention::{Rules, Walk},
    token::Tokens,
};

pub(crate) mod broker;
pub(crate) mod connections;
pub(crate) mod directory;
pub(crate) mod erase;
pub(crate) mod keys;
pub(crate) mod kickout;
pub(crate) mod limits;
pub(crate) mod lives;
pub(crate) mod nodes;
pub(crate) mod order;
pub(crate) mod outbox;
pub(crate) mod positions;
pub(crate) mod presence;
pub(crate) mod receipts;
pub(crate) mod records;
pub(crate) mod remove;
pub(crate) mod retention;
pub(crate) mod revocations;
pub(crate) mod spaces;
mod suites;
pub(crate) mod tokens;
pub(crate) mod trim;
pub(crate) mod updates;
pub(crate) mod upkeep;
pub(crate) mod witness;

pub(crate) use suites::{
    broker_contract, limits_contract, nodes_contract, outbox_bounds_contract, outbox_contract,
    presence_contract, records_contract, suite, tokens_contract, upkeep_contract,
};

/// The bound on a room's updates that each home sets. Bytes are counted as a store keeps them, with
/// up to 64 around each update.
pub(crate) const UPDATES: UpdateLimit = UpdateLimit { entries: 1000, bytes: 8 << 20 };

/// Where one test's log is. Opened again after [`Broker::close`] it is the same log.
pub(crate) trait BrokerHome {
    fn open(&self) -> impl Future<Output = Arc<dyn Broker>> + Send;
}

/// Where one test's log is, and how time passes for it.
pub(crate) trait UpkeepHome {
    fn open(&self) -> impl Future<Output = (Arc<dyn Broker>, Arc<dyn Upkeep>)> + Send;
    /// The same, where these rules of retention hold.
    fn ruled(
        &self,
        rules: Rules,
    ) -> impl Future<Output = (Arc<dyn Broker>, Arc<dyn Upkeep>, Arc<dyn Walk>)> + Send;
    /// The same, with the keys of its receipts.
    fn receipts(&self) -> impl Future<Output = (Arc<dyn Broker>, Arc<dyn Receipts>)> + Send;
    /// The same, to be erased from; copies are kept of what is replaced.
    fn erasing(&self) -> impl Future<Output = Erasing> + Send;
    /// Whether this text is anywhere in what the store keeps.
    fn contains(&self, text: &str) -> impl Future<Output = bool> + Send;
    /// Lets time pass for what is to be forgotten.
    fn pass(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// What an erasing needs.
pub(crate) type Erasing = (Arc<dyn Broker>, Arc<dyn Upkeep>, Arc<dyn Erasure>, Arc<dyn Walk>);

/// Where one test's presence is, and the broker that its publications share an order with.
pub(crate) trait PresenceHome {
    fn open(&self) -> impl Future<Output = (Arc<dyn Broker>, Arc<dyn Presence>)> + Send;
    /// Revokes a user's token, as the command line does beside what was opened.
    fn revoke(&self, uid: &Uid) -> impl Future<Output = Expelled> + Send;
}

/// Where one test's outbox is, with what is told there. Opened again after [`Broker::close`] it is
/// the same.
pub(crate) trait OutboxHome {
    fn open(&self, interest: Interest) -> impl Future<Output = outbox::Parts> + Send;
    /// Lets time pass for what waits.
    fn pass(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// Where one test's outbox is, and how something there is damaged.
pub(crate) trait BoundsHome: OutboxHome {
    /// Makes unreadable what the batch with this id says.
    fn spoil(&self, id: &str) -> impl Future<Output = ()> + Send;
}

/// Where the nodes of one test are: two, where the store has many, else one.
pub(crate) trait NodesHome {
    fn open(&self) -> impl Future<Output = Vec<nodes::Parts>> + Send;
}

/// Where one test's accounts are.
pub(crate) trait TokensHome {
    fn open(&self) -> impl Future<Output = Arc<dyn Tokens>> + Send;
}

/// Where one test's records are, and how time passes for them.
pub(crate) trait RecordsHome {
    fn open(&self) -> impl Future<Output = Arc<dyn Records>> + Send;
    /// Seconds since 1970.
    fn now(&self) -> u64;
    /// Lets so many seconds pass for what expires.
    fn pass(&self, seconds: u64) -> impl Future<Output = ()> + Send;
}

/// Where one test's limits are.
pub(crate) trait LimitsHome {
    /// Limits of so many successes per window; none: no limit.
    fn open(&self, rate: Option<(u32, Duration)>) -> impl Future<Output = Arc<dyn Limits>> + Send;
    /// Lets time pass for the limits.
    fn pass(&self, time: Duration) -> impl Future<Output = ()> + Send;
}
