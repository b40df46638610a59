//! Who is told of a revocation.
use std::sync::{Mutex, OnceLock};

use super::*;
use crate::{
    domain::{
        broker::{Publication, RoomSink},
        cluster::NodeSink,
        directory::Ending,
        ids::{ConnectionId, RoomId},
        presence::{Online, SessionSink},
    },
    store::contract::witness::{claim, uid},
};

/// One that, told to refuse a connection, ends its session before it returns, as it may.
#[derive(Default)]
struct Prompt {
    store: OnceLock<Arc<Embedded>>,
    /// Who was online afterwards.
    left: Mutex<Option<Vec<Online>>>,
}

impl SessionSink for Prompt {
    fn revoke(&self, connection: ConnectionId) {
        let presence = self.store.get().unwrap().presence();
        let left = futures_util::future::FutureExt::now_or_never(async {
            presence.end(&uid("ann"), connection).await.unwrap();
            presence.online().await.unwrap()
        });
        *self.left.lock().unwrap() = left;
    }

    fn evict(&self, _: ConnectionId) {}
    fn sessions(&self) -> Vec<ConnectionId> {
        Vec::new()
    }
    fn send_back(&self, _: ConnectionId) {}
    fn disconnect(&self, _: ConnectionId, _: Ending) {}
}

impl RoomSink for Prompt {
    fn deliver(&self, _: &RoomId, _: Vec<Publication>) {}
    fn invalidate(&self, _: &RoomId) {}
    fn missed(&self, _: &RoomId, _: u64) {}
}

impl NodeSink for Prompt {
    fn force_user_auth(&self, _: Option<bool>) {}
    fn open_connections(&self) -> u64 {
        0
    }
}

#[tokio::test]
async fn who_is_told_of_a_revocation_may_ask_at_once_who_is_there() {
    let home = DataFolder::new();
    let (store, prompt) = (home.open(), Arc::new(Prompt::default()));
    assert!(prompt.store.set(store.clone()).is_ok());
    store.start(prompt.clone());
    claim(&store.presence(), "ann", 1).await;
    let expelled = home.revoke(&uid("ann")).await;
    assert!(matches!(expelled, Expelled::Ended { connections: 1, .. }), "{expelled:?}");
    assert_eq!(*prompt.left.lock().unwrap(), Some(vec![]));
    store.close().await;
}
