//! Who is told what: a newcomer, of what happens while its join is on its way; and everybody.
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{
    super::{broker::Audience, subscriber::Codec},
    *,
};

/// Writes down the places of what it is sent.
#[derive(Default)]
struct Notebook {
    /// [`Places`], if none is named.
    codec: Option<&'static dyn Codec>,
    told: Mutex<Vec<u64>>,
    dropped: Mutex<Vec<Reason>>,
    /// How often it was taken out.
    removed: Mutex<usize>,
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
        self.codec.unwrap_or(&Places)
    }

    fn deliver(&self, packets: Bytes) {
        self.told.lock().unwrap().extend(packets.iter().map(|n| u64::from(*n)));
    }

    fn settled(&self, _: &[Settled]) {}
    fn evict(self: Arc<Self>) {}
    fn revoke(self: Arc<Self>) {}
    fn refuse(self: Arc<Self>, _: Reason) {}

    fn removed(self: Arc<Self>, room: &RoomId) {
        assert_eq!(room.name(), "class");
        *self.removed.lock().unwrap() += 1;
    }

    fn drop_connection(&self, why: Reason) {
        self.dropped.lock().unwrap().push(why);
    }
}

fn visitor(connection: u64, name: &str) -> Visitor {
    Visitor {
        connection: ConnectionId(connection),
        uid: Uid::text(name).unwrap(),
        hidden: false,
        wants_roster: true,
        guest: false,
        socket: None,
        checked: None,
    }
}

fn happened(n: u64, event: Event) -> Publication {
    Publication::told(n, event)
}

fn message(n: u64) -> Publication {
    happened(n, Event::System(Bytes::from_static(b"1")))
}

fn room() -> Arc<Room> {
    Room::new(RoomId::new("class").unwrap(), Weak::new(), Arc::default())
}

#[test]
fn what_comes_while_a_join_is_on_its_way_is_told_if_it_is_behind_it() {
    let (room, newcomer) = (room(), Arc::new(Notebook::default()));
    room.deliver(&[message(1)]);
    room.begin_join();
    room.deliver(&[message(2), message(3)]);
    room.deliver(&[
        happened(5, Event::Joined { uid: Uid::text("ann").unwrap(), connections: 1 }),
        message(6),
    ]);
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
    let cleared = room.generation();
    room.deliver(&[happened(3, Event::Recalled { key: "k".into() })]);
    assert_ne!(room.generation(), cleared);
}

#[test]
fn a_publication_reaches_its_audience() {
    let room = room();
    let members: Vec<_> = [(1, "ann"), (2, "ann"), (3, "ben")]
        .into_iter()
        .map(|(connection, name)| {
            let member = Arc::new(Notebook::default());
            room.admit(visitor(connection, name), member.clone(), 0, || {});
            member
        })
        .collect();
    let for_whom = |n, audience| Publication { audience, ..message(n) };
    room.deliver(&[
        for_whom(1, Audience::All),
        for_whom(2, Audience::ExceptConnection(ConnectionId(1))),
        for_whom(3, Audience::ExceptUser(Uid::number("7").unwrap())),
        for_whom(4, Audience::ExceptUser(Uid::text("ann").unwrap())),
    ]);
    for (member, told) in members.iter().zip([vec![1, 3], vec![1, 2, 3], vec![1, 2, 3, 4]]) {
        assert_eq!(*member.told.lock().unwrap(), told);
    }
}

#[test]
fn nobody_is_told_of_its_own_comings_and_goings() {
    let (room, ann, ben) = (room(), Arc::new(Notebook::default()), Arc::new(Notebook::default()));
    room.admit(visitor(1, "ann"), ann.clone(), 0, || {});
    room.admit(visitor(2, "ben"), ben.clone(), 0, || {});
    let uid = || Uid::text("ann").unwrap();
    room.deliver(&[
        happened(1, Event::Joined { uid: uid(), connections: 1 }),
        happened(2, Event::Left { uid: uid(), connections: 0 }),
        happened(3, Event::Gone { uid: uid(), connections: 0 }),
        happened(4, Event::Synced(uid())),
    ]);
    assert_eq!(*ann.told.lock().unwrap(), [4], "of its reading its other connections are told");
    assert_eq!(*ben.told.lock().unwrap(), [1, 2, 3, 4]);
}

fn removal(n: u64, name: &str) -> Publication {
    happened(n, Event::Removed { uid: Uid::text(name).unwrap(), seen: true })
}

fn removed(member: &Notebook) -> usize {
    *member.removed.lock().unwrap()
}

#[test]
fn who_is_removed_gets_what_was_said_before_and_nothing_behind() {
    let room = room();
    let [ann, also_ann, ben] = [(1, "ann"), (2, "ann"), (3, "ben")].map(|(connection, name)| {
        let member = Arc::new(Notebook::default());
        room.admit(visitor(connection, name), member.clone(), 0, || {});
        member
    });
    room.deliver(&[message(1), removal(2, "ann"), message(3), removal(4, "cat"), message(5)]);
    for gone in [&ann, &also_ann] {
        assert_eq!((&*gone.told.lock().unwrap(), removed(gone)), (&vec![1], 1));
    }
    assert_eq!((&*ben.told.lock().unwrap(), removed(&ben)), (&vec![1, 2, 3, 4, 5], 0));
    assert!(!room.has(ConnectionId(1)) && room.has(ConnectionId(3)));
}

#[test]
fn a_removal_from_before_a_join_concerns_nobody() {
    let (room, ann) = (room(), Arc::new(Notebook::default()));
    room.begin_join();
    room.deliver(&[removal(2, "ann")]);
    room.admit(visitor(1, "ann"), ann.clone(), 3, || {});
    room.deliver(&[removal(3, "ann"), message(4)]);
    assert_eq!((&*ann.told.lock().unwrap(), removed(&ann)), (&vec![4], 0));
}

#[test]
fn who_is_removed_while_its_join_is_on_its_way_is_answered_and_is_out() {
    let (room, ann) = (room(), Arc::new(Notebook::default()));
    room.begin_join();
    room.deliver(&[message(4), removal(5, "ann"), message(6)]);
    let mut answered = false;
    room.admit(visitor(1, "ann"), ann.clone(), 3, || answered = true);
    room.deliver(&[message(7)]);
    assert_eq!((answered, &*ann.told.lock().unwrap(), removed(&ann)), (true, &vec![4], 1));
    assert!(!room.has(ConnectionId(1)));
}

/// A codec of another type, with its own frames: a place is ten times what it is. Counts its calls.
struct Tens;

static TENS: AtomicU64 = AtomicU64::new(0);

impl Codec for Tens {
    fn encode(&self, room: &RoomId, publications: &[Publication]) -> Burst {
        assert_eq!(room.name(), "class");
        TENS.fetch_add(1, Relaxed);
        let bytes: Vec<u8> = publications.iter().map(|p| p.n as u8 * 10).collect();
        Burst::new(bytes.into(), (1..=publications.len()).collect())
    }
}

#[test]
fn a_batch_is_encoded_once_for_each_codec() {
    let (room, ones) = (room(), Arc::new(Notebook::default()));
    room.admit(visitor(1, "ann"), ones.clone(), 0, || {});
    let tens: Vec<_> = (2..50)
        .map(|connection| {
            let member = Arc::new(Notebook { codec: Some(&Tens), ..Notebook::default() });
            room.admit(visitor(connection, "ben"), member.clone(), 0, || {});
            member
        })
        .collect();
    room.deliver(&[message(1), message(2)]);
    assert_eq!(*ones.told.lock().unwrap(), [1, 2]);
    assert!(tens.iter().all(|member| *member.told.lock().unwrap() == [10, 20]));
    assert_eq!(TENS.load(Relaxed), 1);
}
