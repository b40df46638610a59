//! A cluster of one.
use async_trait::async_trait;

use super::Embedded;
use crate::domain::{
    cluster::{Cluster, Node},
    error::StoreError,
};

/// The name of the one node.
pub(super) const NODE: &str = "embedded";

#[async_trait]
impl Cluster for Embedded {
    async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        let sink = self.slot.sink();
        let connections = sink.as_ref().map_or(0, |sink| sink.open_connections());
        let figures = sink.and_then(|sink| sink.figures());
        Ok(vec![Node { id: NODE.into(), this: true, connections, figures }])
    }

    async fn force_user_auth(&self, on: bool) -> Result<(), StoreError> {
        if let Some(sink) = self.slot.sink() {
            sink.force_user_auth(Some(on));
        }
        Ok(())
    }
}
