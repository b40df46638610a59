//! What a newcomer is told of what happens while its join is on its way.
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{super::subscriber::Codec, *};

/// Writes down the places of what it is sent.
#[derive(Default)]
struct Notebook {
    told: Mutex<Vec<u64>>,
    dropped: Mutex<Vec<Reason>>,
}

/// A byte for each publication: its place.
struct Places;

impl Codec for Places {
    fn encode(&self, _: &RoomId, publications: &[Publication]) -> Burst {
        let bytes: Vec<u8> = publications.iter().map(|p| p.n as u8).collect();
        Burst::new(bytes.into(), (1..=publications.len()).collect())
    }
}

impl Subscriber for Notebook {
    fn codec(&self) -> &'static dyn Codec {
        &Places
    }

    fn deliver(&self, packets: Bytes) {
        self.told.lock().unwrap().extend(packets.iter().map(|n| u64::from(*n)));
    }

    fn settled(&self, _: &[Settled]) {}
    fn evict(self: Arc<Self>) {}
    fn revoke(self: Arc<Self>) {}

    fn drop_connection(&self, why: Reason) {
        self.dropped.lock().unwrap().push(why);
    }
}

fn visitor(connection: u64, name: &str) -> Visitor {
    Visitor { connection: ConnectionId(connection), uid: Uid::text(name).unwrap(), hidden: false }
}

fn happened(n: u64, event: Event) -> Publication {
    Publication::told(n, event)
}

fn message(n: u64) -> Publication {
    happened(n, Event::System(Bytes::from_static(b"1")))
}

fn room() -> Arc<Room> {
    Room::new(RoomId::new("class").unwrap(), Weak::new())
}

#[test]
fn what_comes_while_a_join_is_on_its_way_is_told_if_it_is_behind_it() {
    let (room, newcomer) = (room(), Arc::new(Notebook::default()));
    room.deliver(&[message(1)]);
    room.begin_join();
    room.deliver(&[message(2), message(3)]);
    room.deliver(&[happened(5, Event::Joined(Uid::text("ann").unwrap())), message(6)]);
    let told = newcomer.clone();
    room.admit(visitor(1, "ben"), newcomer.clone(), 4, move || {
        assert!(told.told.lock().unwrap().is_empty(), "the answer comes first")
    });
    room.deliver(&[message(7)]);
    assert_eq!(*newcomer.told.lock().unwrap(), [5, 6, 7]);
}

#[test]
fn who_joins_again_is_told_nothing_twice() {
    let (room, member) = (room(), Arc::new(Notebook::default()));
    room.admit(visitor(1, "ben"), member.clone(), 1, || {});
    room.begin_join();
    room.deliver(&[message(2), message(4)]);
    room.admit(visitor(1, "ben"), member.clone(), 3, || {});
    assert_eq!(*member.told.lock().unwrap(), [2, 4]);
}

#[test]
fn a_join_in_vain_keeps_nothing() {
    let (room, newcomer) = (room(), Arc::new(Notebook::default()));
    room.begin_join();
    room.deliver(&[message(2)]);
    room.abandon_join();
    room.deliver(&[message(3)]);
    room.admit(visitor(1, "ben"), newcomer.clone(), 1, || {});
    assert_eq!(*newcomer.told.lock().unwrap(), [0; 0]);
}

#[test]
fn who_has_missed_something_is_sent_back_and_pages_are_read_anew() {
    let (room, member) = (room(), Arc::new(Notebook::default()));
    room.admit(visitor(1, "ben"), member.clone(), 1, || {});
    let before = room.generation();
    room.missed(7);
    assert_eq!(*member.dropped.lock().unwrap(), [Reason::MissedMessages]);
    assert_ne!(room.generation(), before);
    let lost = room.generation();
    room.deliver(&[happened(2, Event::Cleared)]);
    assert_ne!(room.generation(), lost);
}
