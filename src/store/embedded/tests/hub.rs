//! A hub on this store: what a member and a caller learn of what they send, and what the hub shows.
use std::sync::{Mutex, atomic::Ordering::Relaxed};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    domain::{
        broker::{Audience, Entry, Event, PageLimit, Position, Publication},
        hub::{Hub, LATE},
        ids::{ConnectionId, RoomId, Space, Uid},
        message::{Kind, Message},
        presence::Departure::Left,
        room::Room,
        services::{self, Services, Stores},
        subscriber::{Burst, Codec, Outcome, Settled, Subscriber},
        supervise::Supervisor,
    },
    metrics::Metrics,
    reason::Reason,
    store::contract::witness::{insert, keyed, room, visitor},
};

/// A line for each publication.
struct Lines;

impl Codec for Lines {
    fn encode(&self, _: &RoomId, publications: &[Publication]) -> Burst {
        let (mut lines, mut ends) = (String::new(), Vec::new());
        for publication in publications {
            lines += &match &publication.event {
                Event::Message { body, .. } => String::from_utf8_lossy(body).into_owned(),
                Event::Recalled { key } => format!("recalled {key}"),
                other => format!("{other:?}"),
            };
            lines.push('\n');
            ends.push(lines.len());
        }
        Burst::new(lines.into(), ends)
    }
}

/// What a member is told.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    Lines(String),
    Ended(Option<i64>, Outcome),
    Removed(RoomId),
    Refused(Reason),
    Dropped(Reason),
}

pub(super) struct Ear(Mutex<UnboundedSender<Told>>);

impl Ear {
    fn hear(&self, what: Told) {
        let _ = self.0.lock().unwrap().send(what);
    }
}

impl Subscriber for Ear {
    fn codec(&self) -> &'static dyn Codec {
        &Lines
    }
    fn deliver(&self, packets: Bytes) {
        self.hear(Told::Lines(String::from_utf8(packets.to_vec()).unwrap()));
    }
    fn settled(&self, messages: &[Settled]) {
        messages
            .iter()
            .for_each(|message| self.hear(Told::Ended(message.ack, unnamed(&message.outcome))));
    }
    fn evict(self: Arc<Self>) {}
    fn revoke(self: Arc<Self>) {
        self.hear(Told::Refused(Reason::Revoked));
    }
    fn removed(self: Arc<Self>, room: &RoomId) {
        self.hear(Told::Removed(room.clone()));
    }
    fn refuse(self: Arc<Self>, why: Reason) {
        self.hear(Told::Refused(why));
    }
    fn drop_connection(&self, why: Reason) {
        self.hear(Told::Dropped(why));
    }
}

/// Bytes that a room keeps for a store that is out.
const PENDING: usize = 1 << 20;

pub(super) fn hub(home: &DataFolder) -> Arc<Hub> {
    let store = home.open();
    hub_on(home, store.clone(), store)
}

/// One whose broker is another than its store.
pub(super) fn hub_on(home: &DataFolder, store: Arc<Embedded>, broker: Arc<dyn Broker>) -> Arc<Hub> {
    let tasks = TaskTracker::new();
    let metrics = Arc::new(Metrics::default());
    let services = Services {
        tokens: store.clone(),
        records: store.clone(),
        receipts: store.clone(),
        limits: store.clone(),
        parking: store.clone(),
        clock: home.watch.clone(),
        rng: Arc::new(SystemRng),
        metrics: metrics.clone(),
        supervisor: Supervisor::new(tasks.clone(), metrics),
        tasks,
        options: services::Options {
            patience: Duration::from_secs(10),
            pending: PENDING,
            token_lifetime: Duration::from_secs(60),
        },
    };
    let stores = Stores {
        broker,
        upkeep: store.clone(),
        walk: store.clone(),
        erasure: store.clone(),
        presence: store.clone(),
        cluster: store.clone(),
        nodes: store,
    };
    Hub::new(stores, services, false)
}

/// A connection in a room.
pub(super) struct Guest {
    ear: Arc<Ear>,
    told: UnboundedReceiver<Told>,
    room: Arc<Room>,
}

impl Guest {
    pub(super) async fn enters(hub: &Arc<Hub>, room: &RoomId, connection: u64, name: &str) -> Self {
        let (tell, told) = unbounded_channel();
        let ear = Arc::new(Ear(Mutex::new(tell)));
        let (visitor, answer) = (visitor(connection, name), Box::new(|_: &Result<_, _>| ()));
        let room = hub.enter(room, visitor, ear.clone(), answer).await.unwrap();
        Guest { ear, told, room }
    }

    pub(super) fn ear(&self) -> Arc<Ear> {
        self.ear.clone()
    }

    pub(super) fn is_in(&self, connection: u64) -> bool {
        self.room.has(ConnectionId(connection))
    }

    pub(super) async fn next(&mut self) -> Told {
        let next = tokio::time::timeout(Duration::from_secs(60), self.told.recv());
        next.await.expect("it is told").unwrap()
    }

    pub(super) async fn hears(&mut self, line: &str) {
        assert_eq!(self.next().await, Told::Lines(format!("{line}\n")));
    }

    pub(super) fn sends(&self, entry: Entry, ack: i64) {
        self.room.send(entry, 1, self.ear.clone(), Some(ack));
    }

    /// More than a room keeps for a store that is out.
    pub(super) fn sends_large(&self, entry: Entry, ack: i64) {
        self.room.send(entry, PENDING + 1, self.ear.clone(), Some(ack));
    }
}

fn at(n: u64, index: u64) -> Outcome {
    Outcome::Done(Position { n, index: Some(index), at_ms: 1_700_000_000_123, epoch: None })
}

/// Without the name of the log, which is random.
fn unnamed(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Done(position) => Outcome::Done(Position { epoch: None, ..*position }),
        other => other.clone(),
    }
}

/// What comes by another way than from a member.
fn posted(key: &str, body: &'static str) -> Entry {
    Entry::Message {
        from: None,
        audience: Audience::All,
        message: Message {
            kind: Kind::Insert,
            body: body.into(),
            key: Some(key.into()),
            may_pass: true,
        },
        receipt: None,
    }
}

#[tokio::test]
async fn a_sender_learns_where_its_message_is_and_a_resent_one_is_acknowledged() {
    let (home, room) = (DataFolder::new(), room("chat"));
    let hub = hub(&home);
    let mut ann = Guest::enters(&hub, &room, 7001, "ann").await;
    let mut ben = Guest::enters(&hub, &room, 7002, "ben").await;
    ann.hears(r#"Joined { uid: "ben", connections: 1 }"#).await;
    ann.sends(keyed("k", "1"), 5);
    assert_eq!(ann.next().await, Told::Ended(Some(5), at(3, 0)));
    ann.sends(keyed("k", "1"), 6);
    assert_eq!(ann.next().await, Told::Ended(Some(6), Outcome::Duplicate));
    ann.sends(insert("2"), 7);
    assert_eq!(ann.next().await, Told::Ended(Some(7), at(4, 1)));
    ben.hears("1").await;
    ben.hears("2").await;
    let counted = hub.metrics.text();
    assert!(counted.contains(r#"messages_total{storage="insert"} 2"#), "{counted}");
}

#[tokio::test]
async fn what_no_member_sent_reaches_all_and_its_caller_learns_where_it_is() {
    let (home, room) = (DataFolder::new(), room("chat"));
    let hub = hub(&home);
    let first = hub.publish(&room, posted("a", "0"), 1).await;
    assert_eq!(unnamed(&first), at(1, 0), "nobody is there");
    let mut ann = Guest::enters(&hub, &room, 1, "ann").await;
    assert!(
        matches!(hub.publish(&room, posted("b", "1"), 1).await, Outcome::Done(p) if p.index == Some(1))
    );
    assert_eq!(hub.publish(&room, posted("a", "2"), 1).await, Outcome::Duplicate);
    ann.hears("1").await;
    assert_eq!(hub.depart(&room, ConnectionId(1), Left).await, Ok(Some(0)));
    hub.close().await;
    assert_eq!(hub.publish(&room, insert("3"), 1).await, Outcome::Unavailable);
}

#[tokio::test]
async fn members_are_told_of_a_recall_and_kept_pages_are_read_anew() {
    let (home, room) = (DataFolder::new(), room("chat"));
    let hub = hub(&home);
    let mut ann = Guest::enters(&hub, &room, 1, "ann").await;
    hub.publish(&room, posted("k", "1"), 1).await;
    ann.hears("1").await;
    let before = ann.room.generation();
    assert_eq!(hub.recall(&room, "k", 200).await.unwrap().unwrap(), "1");
    ann.hears("recalled k").await;
    let recalled = ann.room.generation();
    assert_ne!(before, recalled);
    hub.expire(&room, Duration::from_secs(10)).await.unwrap();
    assert_eq!(ann.room.generation(), recalled, "not yet");
    home.watch.0.fetch_add(10_000, Relaxed);
    hub.publish(&room, posted("k", "2"), 1).await;
    ann.hears("2").await;
    assert_ne!(ann.room.generation(), recalled);
}

#[tokio::test]
async fn rooms_are_listed_by_their_space() {
    let home = DataFolder::new();
    let (hub, talk) = (hub(&home), Space::Dialect("talk"));
    let shared = room("class");
    let other = RoomId::within(talk, shared.name()).unwrap();
    let _ann = Guest::enters(&hub, &shared, 1, "ann").await;
    let _ben = Guest::enters(&hub, &other, 2, "ben").await;
    assert_eq!(hub.occupied(Space::Shared).await.unwrap(), [shared]);
    assert_eq!(hub.occupied(talk).await.unwrap(), [other]);
    assert_eq!(hub.occupied(Space::User).await.unwrap(), []);
}

#[tokio::test]
async fn inboxes_are_not_counted_as_rooms() {
    let home = DataFolder::new();
    let (hub, class) = (hub(&home), room("class"));
    let inbox = RoomId::within(Space::Inboxes("talk"), "ann").unwrap();
    let _ann = Guest::enters(&hub, &inbox, 1, "ann").await;
    let counted = || {
        hub.take_stock();
        (hub.figures().rooms, hub.metrics.node.rooms.get(), hub.metrics.node.members.get())
    };
    assert_eq!((counted(), hub.local_rooms()), ((0, 0, 0), 1));
    let _ben = Guest::enters(&hub, &class, 2, "ben").await;
    assert_eq!((counted(), hub.local_rooms()), ((1, 1, 1), 2));
    hub.depart(&inbox, ConnectionId(1), Left).await.unwrap();
    let gone = async {
        while hub.local_rooms() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("the inbox is not kept");
    assert_eq!(counted(), (1, 1, 1));
}

#[tokio::test]
async fn a_room_that_has_ended_is_forgotten_and_its_successor_begins_anew() {
    let home = DataFolder::new();
    let hub = hub(&home);
    let life = |name| RoomId::within(Space::Lives("talk"), name).unwrap();
    let (first, second) = (life("r:1"), life("r:2"));
    let mut ann = Guest::enters(&hub, &first, 1, "ann").await;
    hub.publish(&first, posted("k", "1"), 1).await;
    ann.hears("1").await;
    hub.remove(&first, &Uid::text("ann").unwrap()).await.unwrap();
    assert_eq!(ann.next().await, Told::Removed(first.clone()));
    hub.forget(&first).await.unwrap();
    let limit = PageLimit { entries: 9, bytes: 999 };
    assert_eq!(hub.page(&first, 0, limit).await.unwrap().log_length, 0);
    let said = hub.publish(&second, posted("k", "2"), 1).await;
    assert_eq!(unnamed(&said), at(1, 0));
    home.watch.advance(LATE);
    let gone = async {
        while hub.page(&first, 0, limit).await.unwrap().base > 0 {
            hub.check().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("it is forgotten");
    assert_eq!(hub.page(&second, 0, limit).await.unwrap().log_length, 1);
}
