//! What dialects ask of other nodes.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::Hub;
use crate::domain::{
    error::StoreError,
    nodes::{self, Listener, NoAnswer},
};

impl Hub {
    /// What is asked and told of this dialect is for this listener from now on.
    pub fn listen(&self, dialect: &'static str, listener: Arc<dyn Listener>) {
        self.listeners.add(dialect, listener);
    }

    /// Asks a dialect on a node ([`Hub::nodes`]), or on this one, and waits so long for its answer.
    ///
    /// # Errors
    /// There is none. Only of [`NoAnswer::Gone`] and [`NoAnswer::Busy`] it is known that nothing
    /// was done.
    pub async fn ask(
        &self,
        node: &str,
        dialect: &'static str,
        question: Bytes,
        within: Duration,
    ) -> Result<Bytes, NoAnswer> {
        nodes::ask(&*self.stores.nodes, node, dialect, &question, within).await
    }

    /// Tells a dialect on all nodes, this one too. Returns before they have heard it.
    ///
    /// # Errors
    /// Those of the store; some may hear it.
    pub async fn tell_nodes(&self, dialect: &'static str, word: Bytes) -> Result<(), StoreError> {
        nodes::tell(&*self.stores.nodes, dialect, &word).await
    }
}
