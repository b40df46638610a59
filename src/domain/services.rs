//! What the core rests on. Rooms and the hub use it; it knows neither.
use std::{sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;

use super::{
    broker::{Broker, Upkeep},
    clock::{Clock, Rng},
    cluster::Cluster,
    erase::Erasure,
    limit::Limits,
    nodes::Nodes,
    outbox::Parking,
    presence::Presence,
    receipt::Receipts,
    records::Records,
    retention::Walk,
    supervise::Supervisor,
    token::Tokens,
};
use crate::metrics::Metrics;

/// The stores that share a room's order. Only rooms and the hub call them: their calls have an order,
/// too.
pub struct Stores {
    /// The log, and publish/subscribe.
    pub broker: Arc<dyn Broker>,
    /// Recalling, trimming and expiry.
    pub upkeep: Arc<dyn Upkeep>,
    /// All rooms with messages.
    pub walk: Arc<dyn Walk>,
    /// Erasing.
    pub erasure: Arc<dyn Erasure>,
    /// Sessions, and who is where.
    pub presence: Arc<dyn Presence>,
    /// All nodes.
    pub cluster: Arc<dyn Cluster>,
    /// Questions from node to node.
    pub nodes: Arc<dyn Nodes>,
}

/// What has no order: everybody uses it.
pub struct Services {
    /// The accounts of users.
    pub tokens: Arc<dyn Tokens>,
    /// What is neither message nor token.
    pub records: Arc<dyn Records>,
    /// Keys of what is done once.
    pub receipts: Arc<dyn Receipts>,
    /// How often a user may sign in.
    pub limits: Arc<dyn Limits>,
    /// Webhooks that were put aside.
    pub parking: Arc<dyn Parking>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// Counters for whoever watches the server.
    pub metrics: Arc<Metrics>,
    /// Where every task of the core is spawned.
    pub tasks: TaskTracker,
    /// Keeps those alive that must live as long as the server.
    pub supervisor: Supervisor,
    /// How long rooms wait for a store.
    pub options: Options,
}

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a message waits for a store that is out.
    pub patience: Duration,
    /// Bytes that a room keeps for a store that is out.
    pub pending: usize,
    /// The longest time that a JSON Web Token is accepted, from its issue on.
    pub token_lifetime: Duration,
}
