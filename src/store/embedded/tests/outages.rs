//! A hub whose store is slow, or fails: what has to wait keeps its order, and the rest passes.
use std::{
    collections::VecDeque,
    sync::{Mutex, OnceLock},
};

use async_trait::async_trait;

use super::{
    hub::{Guest, Told, hub_on},
    *,
};
use crate::{
    domain::{
        broker::{Entry, Page, PageLimit, Placed, Position, Publication, Sink, Updates},
        error::StoreError,
        hub::Hub,
        ids::RoomId,
        message::Message,
        subscriber::Outcome,
    },
    store::contract::witness::{ignore, insert, room},
};

/// What happens to a call.
#[derive(Clone, Copy)]
enum Trouble {
    /// It takes so long.
    Slow(Duration),
    /// It fails.
    Out,
}

/// A broker that keeps nothing, and whose next calls to publish have trouble.
struct Troubled {
    store: Arc<dyn Broker>,
    sink: OnceLock<Arc<dyn Sink>>,
    troubles: Mutex<VecDeque<Trouble>>,
    /// Bodies of what was published.
    batches: Mutex<Vec<Vec<String>>>,
}

#[async_trait]
impl Broker for Troubled {
    fn start(&self, sink: Arc<dyn Sink>) {
        assert!(self.sink.set(sink.clone()).is_ok());
        self.store.start(sink);
    }

    async fn publish(
        &self,
        room: &RoomId,
        entries: Arc<[Entry]>,
    ) -> Result<Vec<Placed>, StoreError> {
        let trouble = self.troubles.lock().unwrap().pop_front();
        match trouble {
            Some(Trouble::Slow(time)) => tokio::time::sleep(time).await,
            Some(Trouble::Out) => return Err(StoreError::Unavailable("a test".into())),
            None => {}
        }
        self.batches.lock().unwrap().push(entries.iter().map(body).collect());
        let told = (1..).zip(entries.iter()).map(|(n, entry)| Publication::of(n, None, entry));
        self.sink.get().unwrap().deliver(room, told.collect());
        let at = |n| Placed::At(Position { n, index: None, at_ms: 0, epoch: None });
        Ok((1..).take(entries.len()).map(at).collect())
    }

    async fn page(&self, room: &RoomId, from: u64, limit: PageLimit) -> Result<Page, StoreError> {
        self.store.page(room, from, limit).await
    }
    async fn edition(&self, room: &RoomId) -> Result<u64, StoreError> {
        self.store.edition(room).await
    }
    async fn updates(&self, room: &RoomId, most: usize) -> Result<Updates, StoreError> {
        self.store.updates(room, most).await
    }
    async fn update_bytes(&self, room: &RoomId) -> Result<usize, StoreError> {
        self.store.update_bytes(room).await
    }
    async fn clear(&self, room: &RoomId) -> Result<(), StoreError> {
        self.store.clear(room).await
    }
    async fn attach(&self, room: &RoomId) -> Result<(), StoreError> {
        self.store.attach(room).await
    }
    fn detach(&self, room: &RoomId) {
        self.store.detach(room);
    }
    async fn check(&self) -> Result<(), StoreError> {
        self.store.check().await
    }
    async fn check_writing(&self) -> Result<(), StoreError> {
        self.store.check_writing().await
    }
    async fn close(&self) {
        self.store.close().await;
    }
}

fn body(entry: &Entry) -> String {
    let Entry::Message { message, .. } = entry else { panic!("{entry:?}") };
    String::from_utf8(message.body.to_vec()).unwrap()
}

/// A message of ann's that is not stored, and waits where others wait.
fn low(body: &str) -> Entry {
    match ignore(body) {
        Entry::Message { from, audience, message, receipt } => Entry::Message {
            from,
            audience,
            message: Message { may_pass: false, ..message },
            receipt,
        },
        other => other,
    }
}

/// Two members of a room, and its store.
struct Class {
    ann: Guest,
    ben: Guest,
    room: RoomId,
    broker: Arc<Troubled>,
    hub: Arc<Hub>,
    _home: DataFolder,
}

impl Class {
    /// One in which time passes when everybody waits.
    async fn with(troubles: &[Trouble]) -> Self {
        let (home, room) = (DataFolder::new(), room("class"));
        let store = home.open();
        let broker = Arc::new(Troubled {
            store: store.broker(),
            sink: OnceLock::new(),
            troubles: Mutex::new(troubles.iter().copied().collect()),
            batches: Mutex::default(),
        });
        let hub = hub_on(&home, store, broker.clone());
        let mut ann = Guest::enters(&hub, &room, 7001, "ann").await;
        let ben = Guest::enters(&hub, &room, 7002, "ben").await;
        ann.hears(r#"Joined { uid: "ben", connections: 1 }"#).await;
        tokio::time::pause();
        Class { ann, ben, room, broker, hub, _home: home }
    }

    /// The next of ann's messages that ends is this one; whether it was delivered.
    async fn is_done(&mut self, ack: i64) -> bool {
        match self.ann.next().await {
            Told::Ended(ended, outcome) => {
                assert_eq!(ended, Some(ack));
                assert!(matches!(outcome, Outcome::Done(_) | Outcome::Unavailable), "{outcome:?}");
                outcome != Outcome::Unavailable
            }
            other => panic!("{other:?}"),
        }
    }

    fn batches(&self) -> Vec<Vec<String>> {
        self.broker.batches.lock().unwrap().clone()
    }
}

/// Longer than a call may take before its store is out.
const LONG: Duration = Duration::from_millis(300);

/// What comes while the store has these troubles keeps its order, and reaches all nodes.
async fn keeps_the_order(troubles: &[Trouble]) {
    let mut class = Class::with(troubles).await;
    class.ann.sends(insert("1"), 1);
    tokio::time::sleep(LONG).await;
    class.ann.sends(low("2"), 2);
    tokio::time::sleep(Duration::from_millis(1)).await;
    class.ann.sends(insert("3"), 3);
    class.ben.hears("1").await;
    class.ben.hears("2\n3").await;
    assert_eq!(class.batches(), [vec!["1"], vec!["2", "3"]]);
    for ack in 1..=3 {
        assert!(class.is_done(ack).await);
    }
}

#[tokio::test]
async fn what_may_not_pass_keeps_its_place_while_the_store_is_slow() {
    keeps_the_order(&[Trouble::Slow(Duration::from_secs(1))]).await;
}

#[tokio::test]
async fn what_may_not_pass_keeps_its_place_while_the_store_fails() {
    keeps_the_order(&[Trouble::Out; 4]).await;
}

#[tokio::test]
async fn a_batch_that_failed_is_published_as_it_was() {
    let mut class = Class::with(&[Trouble::Out; 2]).await;
    class.ann.sends(insert("1"), 1);
    class.ann.sends(low("2"), 2);
    class.ann.sends(insert("3"), 3);
    class.ben.hears("1\n2\n3").await;
    assert_eq!(class.batches(), [["1", "2", "3"]]);
    for ack in 1..=3 {
        assert!(class.is_done(ack).await);
    }
}

#[tokio::test]
async fn what_may_not_pass_is_given_up_when_the_patience_is_over() {
    let mut class = Class::with(&[Trouble::Out; 100]).await;
    class.ann.sends(low("1"), 1);
    class.ann.sends(insert("2"), 2);
    let posted = class.hub.publish(&class.room, low("3"), 1).await;
    assert_eq!(posted, Outcome::Unavailable);
    for ack in 1..=2 {
        assert!(!class.is_done(ack).await);
    }
    class.broker.troubles.lock().unwrap().clear();
    class.ann.sends(low("4"), 4);
    class.ben.hears("4").await;
    assert!(class.is_done(4).await);
}

#[tokio::test]
async fn what_waits_is_bounded_and_what_may_pass_passes_it() {
    let mut class = Class::with(&[Trouble::Slow(Duration::from_secs(1))]).await;
    class.ann.sends(insert("1"), 1);
    tokio::time::sleep(LONG).await;
    class.ann.sends_large(low("2"), 2);
    assert!(!class.is_done(2).await, "at once");
    class.ann.sends_large(ignore("3"), 3);
    class.ben.hears("3").await;
    assert!(class.is_done(3).await);
    class.ben.hears("1").await;
    assert!(class.is_done(1).await);
    assert_eq!(class.batches(), [["1"]]);
}
