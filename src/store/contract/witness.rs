//! A sink that remembers what it was told, and the names and messages of the stories.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::domain::{
    broker::{
        Audience, Broker, Entry, Event, PageLimit, Placed, Position, Publication, RoomSink, Stored,
        Updates,
    },
    cluster::NodeSink,
    directory::Ending,
    ids::{ConnectionId, RoomId, SocketId, Uid},
    message::{Kind, Message},
    nodes::Listeners,
    presence::{Claim, Presence, SessionSink, Visitor},
    receipt::Receipt,
    secret::Secret,
};

type Then = Box<dyn FnMut(&mut Vec<ConnectionId>) + Send>;

/// What a node's members would be told.
#[derive(Default)]
pub(crate) struct Witness {
    told: Mutex<Vec<(RoomId, Publication)>>,
    evicted: Mutex<Vec<ConnectionId>>,
    expelled: Mutex<Vec<ConnectionId>>,
    asked: Mutex<Vec<ConnectionId>>,
    lost: Mutex<Vec<RoomId>>,
    invalidated: Mutex<Vec<RoomId>>,
    invalidation: Notify,
    user_auth: Mutex<Vec<Option<bool>>>,
    /// What it says that its sessions are.
    pub(crate) sessions: Mutex<Vec<ConnectionId>>,
    /// What happens to them as soon as it has said so.
    pub(crate) then: Mutex<Option<Then>>,
    sent_back: Mutex<Vec<ConnectionId>>,
    disconnected: Mutex<Vec<(ConnectionId, Ending)>>,
    /// Who answers other nodes.
    pub(crate) listeners: Listeners,
}

impl RoomSink for Witness {
    fn deliver(&self, room: &RoomId, publications: Vec<Publication>) {
        self.told.lock().unwrap().extend(publications.into_iter().map(|p| (room.clone(), p)));
    }

    fn invalidate(&self, room: &RoomId) {
        self.invalidated.lock().unwrap().push(room.clone());
        self.invalidation.notify_waiters();
    }

    fn missed(&self, room: &RoomId, _: u64) {
        self.lost.lock().unwrap().push(room.clone());
    }
}

impl SessionSink for Witness {
    fn evict(&self, connection: ConnectionId) {
        self.evicted.lock().unwrap().push(connection);
    }

    fn revoke(&self, connection: ConnectionId) {
        self.expelled.lock().unwrap().push(connection);
    }

    fn recheck(&self, connection: ConnectionId) {
        self.asked.lock().unwrap().push(connection);
    }

    fn sessions(&self) -> Vec<ConnectionId> {
        let mut sessions = self.sessions.lock().unwrap();
        let said = sessions.clone();
        if let Some(then) = &mut *self.then.lock().unwrap() {
            then(&mut sessions);
        }
        said
    }

    fn send_back(&self, connection: ConnectionId) {
        self.sent_back.lock().unwrap().push(connection);
    }

    fn disconnect(&self, connection: ConnectionId, ending: Ending) {
        self.disconnected.lock().unwrap().push((connection, ending));
    }
}

impl NodeSink for Witness {
    fn force_user_auth(&self, on: Option<bool>) {
        self.user_auth.lock().unwrap().push(on);
    }

    fn open_connections(&self) -> u64 {
        7
    }

    fn asked(&self, question: Bytes) -> oneshot::Receiver<Bytes> {
        self.listeners.asked(&question)
    }

    fn told(&self, word: Bytes) {
        self.listeners.told(&word);
    }
}

impl Witness {
    /// One that the broker tells from now on.
    pub(crate) fn of(broker: &Arc<dyn Broker>) -> Arc<Self> {
        let witness = Arc::new(Witness::default());
        broker.start(witness.clone());
        witness
    }

    /// What was told of the room since it was last asked: n and event, like `3 joined ann`.
    pub(crate) fn heard(&self, room: &RoomId) -> Vec<String> {
        as_heard(&self.take(room))
    }

    /// The same without n.
    pub(crate) fn events(&self, room: &RoomId) -> Vec<String> {
        self.take(room).iter().map(|p| story(&p.event)).collect()
    }

    pub(crate) fn take(&self, room: &RoomId) -> Vec<Publication> {
        self.told.lock().unwrap().extract_if(.., |(r, _)| r == room).map(|(_, p)| p).collect()
    }

    /// Who has to look whether its token was revoked, since it was last asked.
    pub(crate) fn asked(&self) -> Vec<ConnectionId> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Who was expelled since it was last asked.
    pub(crate) fn expelled(&self) -> Vec<ConnectionId> {
        std::mem::take(&mut *self.expelled.lock().unwrap())
    }

    /// Rooms that were lost since it was last asked.
    pub(crate) fn lost(&self) -> Vec<RoomId> {
        std::mem::take(&mut *self.lost.lock().unwrap())
    }

    /// Whether what is known of the room's log was called out of date since it was last asked.
    pub(crate) fn invalidated(&self, room: &RoomId) -> bool {
        self.invalidated.lock().unwrap().extract_if(.., |r| r == room).count() > 0
    }

    /// Waits until what is known of the room's log is called out of date.
    pub(crate) async fn invalidation(&self, room: &RoomId) {
        let wait = async {
            loop {
                let mut next = std::pin::pin!(self.invalidation.notified());
                next.as_mut().enable(); // from now on, also before it is polled
                if self.invalidated(room) {
                    return;
                }
                next.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait)
            .await
            .expect("it is called out of date");
    }

    /// Who was sent back since it was last asked.
    pub(crate) fn sent_back(&self) -> Vec<ConnectionId> {
        std::mem::take(&mut *self.sent_back.lock().unwrap())
    }

    /// Waits until so many connections were ended by an administrator since it was last asked;
    /// returns them in the order of their names, each once.
    pub(crate) async fn disconnections(&self, count: usize) -> Vec<(ConnectionId, Ending)> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            {
                let mut ended = self.disconnected.lock().unwrap();
                ended.sort_by_key(|(connection, _)| *connection);
                ended.dedup();
                if ended.len() >= count {
                    return std::mem::take(&mut *ended);
                }
            }
            assert!(tokio::time::Instant::now() < deadline, "in vain: {count} are ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How user authentication was switched since it was last asked.
    pub(crate) fn user_auth(&self) -> Vec<Option<bool>> {
        std::mem::take(&mut *self.user_auth.lock().unwrap())
    }

    /// Who was evicted since it was last asked.
    pub(crate) fn evicted(&self) -> Vec<ConnectionId> {
        std::mem::take(&mut *self.evicted.lock().unwrap())
    }
}

/// Publications as [`Witness::heard`] tells them.
pub(crate) fn as_heard(told: &[Publication]) -> Vec<String> {
    told.iter().map(|p| format!("{} {}", p.n, story(&p.event))).collect()
}

fn story(event: &Event) -> String {
    match event {
        Event::Message { kind: Kind::Insert, body } => format!("insert {}", text(body)),
        Event::Message { kind: Kind::Update { id }, body } => format!("update {id} {}", text(body)),
        Event::Message { kind: Kind::Ignore, body } => format!("ignore {}", text(body)),
        // The number of connections where it is not the usual one.
        Event::Joined { uid, connections: 1 } => format!("joined {uid}"),
        Event::Joined { uid, connections } => format!("joined {uid} ({connections})"),
        Event::Left { uid, connections: 0 } => format!("left {uid}"),
        Event::Left { uid, connections } => format!("left {uid} ({connections})"),
        Event::Gone { uid, connections: 0 } => format!("gone {uid}"),
        Event::Gone { uid, connections } => format!("gone {uid} ({connections})"),
        Event::Removed { uid, seen: true } => format!("removed {uid}"),
        Event::Removed { uid, seen: false } => format!("removed {uid}, unseen"),
        Event::Synced(uid) => format!("synced {uid}"),
        Event::System(content) => format!("system {}", text(content)),
        Event::Cleared => "cleared".into(),
        Event::Trimmed { start } => format!("trimmed {start}"),
        Event::Recalled { key } => format!("recalled {key}"),
    }
}

pub(crate) const EVERYTHING: PageLimit =
    PageLimit { entries: usize::MAX >> 1, bytes: usize::MAX >> 1 };

/// A room whose name no other test has: backends may share a server.
pub(crate) fn room(name: &str) -> RoomId {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    RoomId::new(&format!("{name} {}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
        .unwrap()
}

pub(crate) fn uid(text: &str) -> Uid {
    Uid::text(text).unwrap()
}

/// Everybody but this user.
pub(crate) fn except(name: &str) -> Audience {
    Audience::ExceptUser(uid(name))
}

pub(crate) fn token(text: &str) -> Secret {
    Secret::presented(text)
}

pub(crate) fn socket(connection: u64) -> SocketId {
    SocketId(format!("socket of {connection}").into())
}

/// The connection becomes the session of the user, whose credentials nobody checks; returns the
/// rooms that are held for it.
pub(crate) async fn claim(
    presence: &Arc<dyn Presence>,
    name: &str,
    connection: u64,
) -> Vec<RoomId> {
    match presence
        .claim(&uid(name), ConnectionId(connection), &socket(connection), None)
        .await
        .unwrap()
    {
        Claim::Made(held) => held,
        again => panic!("{again:?}"),
    }
}

pub(crate) fn visitor(connection: u64, name: &str) -> Visitor {
    Visitor {
        connection: ConnectionId(connection),
        uid: uid(name),
        hidden: false,
        wants_roster: true,
        guest: false,
        socket: None,
        checked: None,
    }
}

pub(crate) fn hidden(connection: u64, name: &str) -> Visitor {
    Visitor { hidden: true, ..visitor(connection, name) }
}

/// A body is JSON. What is none stands for itself as a JSON string.
fn body(text: &str) -> Bytes {
    let json = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
    Bytes::from(if json { text.to_owned() } else { serde_json::Value::from(text).to_string() })
}

/// What [`body`] was made from.
fn text(body: &Bytes) -> String {
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8(body.to_vec()).unwrap())
}

fn message(kind: Kind, text: &str) -> Entry {
    let from = ConnectionId(7001);
    Entry::Message {
        from: Some(from),
        audience: Audience::ExceptConnection(from),
        message: Message { kind, body: body(text), key: None, may_pass: true },
        receipt: None,
    }
}

pub(crate) fn insert(body: &str) -> Entry {
    message(Kind::Insert, body)
}

/// An insert with a key.
pub(crate) fn keyed(key: &str, body: &str) -> Entry {
    match insert(body) {
        Entry::Message { from, audience, message, receipt } => Entry::Message {
            from,
            audience,
            message: Message { key: Some(key.into()), ..message },
            receipt,
        },
        other => other,
    }
}

/// A receipt whose digest is this byte all over.
pub(crate) fn receipt(key: &str, digest: u8, note: &str) -> Receipt {
    let note = Bytes::copy_from_slice(note.as_bytes());
    Receipt { key: key.into(), digest: [digest; 32], note }
}

/// A message that is done once.
pub(crate) fn with_receipt(receipt: Receipt, entry: Entry) -> Entry {
    match entry {
        Entry::Message { from, audience, message, .. } => {
            Entry::Message { from, audience, message, receipt: Some(Arc::new(receipt)) }
        }
        other => other,
    }
}

pub(crate) fn update(id: &str, body: &str) -> Entry {
    message(Kind::Update { id: id.into() }, body)
}

pub(crate) fn ignore(body: &str) -> Entry {
    message(Kind::Ignore, body)
}

/// Publishes a batch all of which must be placed; returns where.
pub(crate) async fn publish(
    broker: &Arc<dyn Broker>,
    room: &RoomId,
    entries: impl IntoIterator<Item = Entry>,
) -> Vec<Position> {
    let at = |placed| match placed {
        Placed::At(position) => position,
        other => panic!("{other:?}"),
    };
    let entries: Arc<[Entry]> = entries.into_iter().collect();
    let placed = broker.publish(room, entries.clone()).await.unwrap();
    assert_eq!(placed.len(), entries.len(), "one for each");
    placed.into_iter().map(at).collect()
}

/// Publishes a batch; returns which of it the room had no place for.
pub(crate) async fn refused(
    broker: &Arc<dyn Broker>,
    room: &RoomId,
    entries: impl IntoIterator<Item = Entry>,
) -> Vec<usize> {
    let placed = broker.publish(room, entries.into_iter().collect()).await.unwrap();
    (0..placed.len()).filter(|at| placed[*at] == Placed::Full).collect()
}

/// All inserts of a room.
pub(crate) async fn log(broker: &Arc<dyn Broker>, room: &RoomId) -> Vec<String> {
    bodies(&broker.page(room, 0, EVERYTHING).await.unwrap().entries)
}

/// All updates of a room.
pub(crate) async fn updates(broker: &Arc<dyn Broker>, room: &RoomId) -> Vec<String> {
    let Updates::All(updates) = broker.updates(room, usize::MAX).await.unwrap() else {
        panic!("more than everything")
    };
    bodies(&updates)
}

pub(crate) fn bodies(entries: &[Stored]) -> Vec<String> {
    entries.iter().map(|e| text(e.body.as_ref().unwrap())).collect()
}

pub(crate) fn names(uids: &[Uid]) -> Vec<&str> {
    uids.iter().map(Uid::as_str).collect()
}
