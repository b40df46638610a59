//! What the nodes ask of each other and tell each other. Polls are asked of the node that has their
//! session; words go to all.
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Tinode, ids::NAME, polling, presence};
use crate::{
    domain::{cluster::Lost, nodes::Listener},
    throttle::throttled,
};

/// The dialect on this node, as the others reach it.
pub(super) struct Neighbour(Weak<Tinode>);

impl Neighbour {
    /// From now on this node answers.
    pub fn listen(node: &Arc<Tinode>) {
        node.hub.listen(NAME, Arc::new(Neighbour(Arc::downgrade(node))));
    }
}

#[async_trait]
impl Listener for Neighbour {
    async fn asked(&self, question: Bytes) -> Bytes {
        match self.0.upgrade() {
            Some(node) => polling::asked(&node, question).await,
            None => Bytes::new(), // nothing that anybody understands: the server ends
        }
    }

    fn hears(&self, word: &Bytes) -> bool {
        // Where the server ends nobody has to be told.
        self.0.upgrade().is_none_or(|node| node.post.hears(&node, word))
    }

    async fn told(&self, _: Bytes) {
        throttled!(warn, "another node told something that is not understood");
    }

    async fn lost(&self, lost: Arc<[Lost]>) {
        if let Some(node) = self.0.upgrade() {
            presence::lost(&node, &lost).await;
        }
    }
}
