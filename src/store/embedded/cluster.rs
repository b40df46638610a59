//! A cluster of one.
use async_trait::async_trait;
use bytes::Bytes;

use super::Embedded;
use crate::domain::{
    cluster::{Cluster, Node},
    error::StoreError,
    nodes::{NoAnswer, Nodes},
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

#[async_trait]
impl Nodes for Embedded {
    async fn ask(&self, node: &str, question: Bytes) -> Result<Bytes, NoAnswer> {
        if node != NODE {
            return Err(NoAnswer::Gone);
        }
        let closed = || StoreError::Unavailable("the store is closed".into());
        let sink = self.slot.sink().ok_or_else(closed)?;
        sink.asked(question).await.map_err(|_| NoAnswer::Late)
    }

    async fn tell_all(&self, word: Bytes) -> Result<(), StoreError> {
        if let Some(sink) = self.slot.sink() {
            sink.told(word);
        }
        Ok(())
    }
}
