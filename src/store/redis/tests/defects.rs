//! A defect of the server, as a sink that panics once: what must live lives on, and what was lost
//! by it is told.
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{Keys, Options, Redis};
use crate::{
    domain::{
        broker::{Publication, RoomSink},
        cluster::NodeSink,
        directory::Ending,
        ids::{ConnectionId, RoomId},
        presence::SessionSink,
    },
    store::contract::witness::*,
};

/// Hands on what it is told, but panics at the next call of the one method that is named.
#[derive(Default)]
struct Clumsy {
    witness: Witness,
    breaks: Mutex<Option<&'static str>>,
    beats: AtomicU64,
}

impl Clumsy {
    /// Breaks at the next of these.
    fn breaks_at(&self, method: &'static str) {
        *self.breaks.lock().unwrap() = Some(method);
    }

    async fn broke(&self) {
        until("the panic", || self.breaks.lock().unwrap().is_none()).await;
    }

    fn at(&self, method: &str) {
        let breaks = self.breaks.lock().unwrap().take_if(|breaks| *breaks == method).is_some();
        assert!(!breaks, "a defect in {method}");
    }
}

impl RoomSink for Clumsy {
    fn deliver(&self, room: &RoomId, publications: Vec<Publication>) {
        self.at("deliver");
        self.witness.deliver(room, publications);
    }
    fn invalidate(&self, room: &RoomId) {
        self.witness.invalidate(room);
    }
    fn missed(&self, room: &RoomId, upto: u64) {
        self.witness.missed(room, upto);
    }
}

impl SessionSink for Clumsy {
    fn evict(&self, connection: ConnectionId) {
        self.at("evict");
        self.witness.evict(connection);
    }
    fn revoke(&self, connection: ConnectionId) {
        self.witness.revoke(connection);
    }
    fn sessions(&self) -> Vec<ConnectionId> {
        self.witness.sessions()
    }
    fn send_back(&self, connection: ConnectionId) {
        self.witness.send_back(connection);
    }
    fn disconnect(&self, connection: ConnectionId, ending: Ending) {
        self.witness.disconnect(connection, ending);
    }
}

impl NodeSink for Clumsy {
    fn force_user_auth(&self, on: Option<bool>) {
        self.witness.force_user_auth(on);
    }
    fn open_connections(&self) -> u64 {
        self.at("open_connections");
        self.beats.fetch_add(1, SeqCst)
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A node with a defect, and another one.
async fn nodes(keys: &Keys) -> (Arc<Redis>, Arc<Clumsy>, Arc<Redis>) {
    let options = || Options { lease: Duration::from_millis(1500), ..keys.options() };
    let (node, other) =
        (Redis::open(options()).await.unwrap(), Redis::open(options()).await.unwrap());
    let clumsy = Arc::new(Clumsy::default());
    node.broker().start(clumsy.clone());
    (node, clumsy, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn listening_goes_on_after_a_panic() {
    let keys = Keys::new();
    let ((node, clumsy, other), room) = (nodes(&keys).await, room("class"));
    node.broker().attach(&room).await.unwrap();
    let kick = |connection: u64| {
        let channel = format!("{}node:{}", node.channels, node.node());
        redis::cmd("PUBLISH")
            .arg(channel)
            .arg(format!("evict {connection}"))
            .exec(&mut keys.connection())
            .unwrap();
    };
    clumsy.breaks_at("evict");
    kick(1);
    clumsy.broke().await;
    until("a kick that is heard", || {
        kick(2);
        clumsy.witness.evicted().contains(&ConnectionId(2))
    })
    .await;
    publish(&other.broker(), &room, [insert("still there?")]).await;
    until("a publication", || clumsy.witness.heard(&room) == ["1 insert still there?"]).await;
    node.broker().check().await.unwrap();
    assert_eq!(node.options.supervisor.down(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_of_life_go_on_after_a_panic() {
    let keys = Keys::new();
    let (_node, clumsy, _other) = nodes(&keys).await;
    clumsy.breaks_at("open_connections");
    clumsy.broke().await;
    let before = clumsy.beats.load(SeqCst);
    until("signs of life", || clumsy.beats.load(SeqCst) > before + 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_whose_delivery_panics_loses_its_clients_and_hears_what_comes_next() {
    let keys = Keys::new();
    let ((node, clumsy, other), room) = (nodes(&keys).await, room("class"));
    node.broker().attach(&room).await.unwrap();
    clumsy.breaks_at("deliver");
    publish(&other.broker(), &room, [insert("lost")]).await;
    clumsy.broke().await;
    until("the news", || clumsy.witness.lost() == [room.clone()]).await;
    publish(&other.broker(), &room, [insert("next")]).await;
    until("the next", || clumsy.witness.heard(&room) == ["2 insert next"]).await;
}
