//! The nodes that behave as one server.
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    error::StoreError,
    ids::{RoomId, SocketId, Uid},
};

/// One of them, as administrators see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name; where there are many, never the same for two starts of a server.
    pub id: String,
    /// The one that was asked.
    pub this: bool,
    /// Its connections, authenticated or not, as of its last sign of life.
    pub connections: u64,
    /// What else it tells of itself; nothing where it is of a build that does not.
    pub figures: Option<Figures>,
}

/// What a node tells of itself with each sign of life. Counters begin with it and only grow, so
/// that two of these make a rate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Figures {
    /// When this was so, by its own clock, in milliseconds since 1970.
    pub at: u64,
    /// Its version.
    pub version: String,
    /// Seconds since it began.
    pub uptime: f64,
    /// Users whose session is here.
    pub users: u64,
    /// Rooms with members here, or with something to be done.
    pub rooms: u64,
    /// Messages that were published here, stored or not.
    pub messages: u64,
    /// Messages, and news of rooms, that were handed to connections.
    pub deliveries: u64,
    /// Batches of messages that were timed, from the arrival of the oldest to the last delivery
    /// here.
    pub latency_count: u64,
    /// How long that took for all of them together, seconds.
    pub latency_sum: f64,
    /// Bytes that came from connections.
    pub bytes_in: u64,
    /// Bytes that were sent to connections.
    pub bytes_out: u64,
    /// Resident memory of the process, bytes; 0 where the system does not tell.
    pub memory: u64,
    /// CPU time of the process, seconds; 0 where the system does not tell.
    pub cpu: f64,
    /// Whether it sends its clients elsewhere.
    pub draining: bool,
}

/// A connection that is gone with its node, which had a public name and never claimed its user
/// ([`Visitor::socket`](super::presence::Visitor::socket)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Its user.
    pub uid: Uid,
    /// Its public name.
    pub socket: SocketId,
    /// The rooms that it was in, and how many connections of its user are left in each, as of when
    /// it was taken out.
    pub rooms: Vec<(RoomId, u64)>,
}

/// What a store tells its node of the cluster, and asks it. Nothing here may block.
pub trait NodeSink: Send + Sync {
    /// Whether users must present a valid token, from now on; none: as this node is configured.
    fn force_user_auth(&self, on: Option<bool>);
    /// Connections of this node, authenticated or not.
    fn open_connections(&self) -> u64;
    /// What this node tells of itself.
    fn figures(&self) -> Option<Figures> {
        None
    }
    /// There are jobs that are not done ([`Erasure::open_jobs`](super::erase::Erasure::open_jobs)),
    /// which may have been given elsewhere. May be said again and again.
    fn jobs_are_open(&self) {}
    /// A node asks, maybe this one ([`Nodes::ask`](super::nodes::Nodes::ask)). The answer comes by
    /// what is returned; nothing comes where there is none.
    fn asked(&self, _: Bytes) -> oneshot::Receiver<Bytes> {
        oneshot::channel().1
    }
    /// A node tells all nodes ([`Nodes::tell_all`](super::nodes::Nodes::tell_all)).
    fn told(&self, _: Bytes) {}
    /// Connections of a dead node were taken out, and their rooms were told. One node is told so of
    /// each, or none, where that dies as well.
    fn lost(&self, _: Vec<Lost>) {}
}

/// What concerns all nodes.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// The nodes that are alive, by id.
    async fn nodes(&self) -> Result<Vec<Node>, StoreError>;

    /// Switches on all nodes whether users must present a valid token
    /// ([`NodeSink::force_user_auth`]). It holds as long as any node has not ended;
    /// where that can't be told, users must authenticate, or it is as configured.
    async fn force_user_auth(&self, on: bool) -> Result<(), StoreError>;
}
