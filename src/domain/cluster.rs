//! The nodes that behave as one server.
use async_trait::async_trait;

use super::error::StoreError;

/// One of them, as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name; where there are many, never the same for two starts of a server.
    pub id: String,
    /// The one that was asked.
    pub this: bool,
    /// Its connections, authenticated or not, as of its last sign of life.
    pub connections: u64,
}

/// What a store tells its node of the cluster, and asks it. Nothing here may block.
pub trait NodeSink: Send + Sync {
    /// Whether users must present a valid token, from now on; none: as this node is configured.
    fn force_user_auth(&self, on: Option<bool>);
    /// Connections of this node, authenticated or not.
    fn open_connections(&self) -> u64;
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
