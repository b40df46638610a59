//! Topics that somebody on this node is attached to, and what is known of them here.
//!
//! A topic is a room, so the number of its last message and everybody's marks come with what the
//! room delivers. Who attaches first reads once, *behind* entering the room, what was there before
//! ([`Live::follow`]): between the two nothing is missed, as all of this only grows.
//!
//! A mark is an update of the room, one per member. Notes are published at once. What a sender has
//! read by sending is known here at once, and published in silence a little later ([`Flushes`]), or
//! when its session leaves: one small write per burst, not one per message. Where the room shows
//! less of somebody than is known here, because two nodes have published at the same time, it is
//! published once more; so all come to the same.
//!
//! `marks` is one topic's, `standing` what was there before, `sleepers` which groups nobody is in
//! any more.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::Deserialize;

use self::{
    marks::Marks,
    standing::{Before, read},
};
use super::{
    Tinode,
    attach::Attach,
    ids::{Key, UserId},
    message::{Code, Noted, Ts},
    publish::Awaited,
    record::TopicRecord,
    refusal::Done,
    stored::{self, Mark, RoomEvent},
};
use crate::{
    domain::{
        broker::Entry,
        deadline::Deadlines,
        ids::{ConnectionId, RoomId},
        subscriber::Outcome,
    },
    lock::lock,
};

mod marks;
mod sleepers;
mod standing;

pub(super) use self::{
    sleepers::{Sleepers, left},
    standing::{TopicStanding, standing},
};

/// How long a sender's own mark may wait to be published.
const FLUSH: Duration = Duration::from_millis(250);
/// Topics that are looked through for those that are gone, at least.
const SWEPT: usize = 64;

#[derive(Default)]
struct State {
    marks: Marks,
    /// Somebody who has been attached since all that was there before was read.
    witness: Weak<Attach>,
}

/// Marks that wait to be published.
type Waiting = Deadlines<(Arc<Live>, UserId)>;

/// A topic with sessions here.
pub(super) struct Live {
    pub key: Key,
    pub room: RoomId,
    pub life: Box<str>,
    /// Files of messages that are on their way into the room.
    pub awaited: Mutex<Awaited>,
    last: AtomicU64,
    state: Mutex<State>,
    /// Somebody reads what was there before.
    reading: tokio::sync::Mutex<()>,
    waiting: Arc<Waiting>,
    me: Weak<Live>,
}

impl Live {
    fn new(t: &TopicRecord, room: RoomId, waiting: Arc<Waiting>) -> Arc<Self> {
        Arc::new_cyclic(|me| Live {
            key: t.key,
            room,
            life: t.life.as_str().into(),
            awaited: Mutex::default(),
            last: AtomicU64::new(0),
            state: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            waiting,
            me: me.clone(),
        })
    }

    /// The number of the last message; 0: there was none.
    pub fn last(&self) -> u64 {
        self.last.load(Relaxed)
    }

    /// The room has delivered this message. All who are attached say so; the first counts.
    pub fn observe(&self, seq: u64, from: UserId) {
        if self.last() >= seq {
            return;
        }
        lock(&self.state).marks.raise(from, Mark::of(seq, seq));
        self.last.fetch_max(seq, Relaxed);
    }

    /// The room has delivered this mark.
    pub fn observe_mark(&self, user: UserId, mark: Mark) {
        let waits = {
            let marks = &mut lock(&self.state).marks;
            marks.show(user, mark);
            marks.wait(user)
        };
        self.push(waits, user);
    }

    /// Has somebody publish the mark later, if that has not been asked of it.
    fn push(&self, waits: bool, user: UserId) {
        if waits && let Some(live) = self.me.upgrade() {
            self.waiting.push((live, user));
        }
    }

    /// Raises a member's mark. Returns it as it is now; nothing, where that is not new.
    pub fn raise(&self, user: UserId, mark: Mark) -> Option<Mark> {
        lock(&self.state).marks.raise(user, mark)
    }

    /// This mark was published, and will not be delivered here.
    pub fn said(&self, user: UserId, mark: Mark) {
        lock(&self.state).marks.read(user, mark);
    }

    /// All marks.
    pub fn marks(&self) -> HashMap<UserId, Mark> {
        lock(&self.state).marks.known().collect()
    }

    /// Whether somebody is attached who has seen all since what was there before was read.
    fn is_witnessed(&self) -> bool {
        let witness = lock(&self.state).witness.upgrade();
        witness.is_some_and(|witness| {
            let now = witness.session.attached(&self.key);
            now.is_some_and(|now| Arc::ptr_eq(&now, &witness))
        })
    }

    /// Reads what was there before this session has entered the room, unless somebody is attached
    /// who has seen all since then.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn follow(&self, node: &Tinode, attach: &Arc<Attach>) -> Done<()> {
        if self.is_witnessed() {
            return Ok(());
        }
        // Of many who come at once one reads.
        let _turn = self.reading.lock().await;
        if self.is_witnessed() {
            return Ok(());
        }
        let Before { standing, sender } = read(node, &self.room).await?;
        self.last.fetch_max(standing.last, Relaxed);
        let mut state = lock(&self.state);
        for (user, mark) in standing.marks {
            state.marks.read(user, mark);
        }
        if let Some((user, mark)) = sender {
            state.marks.raise(user, mark);
        }
        state.witness = Arc::downgrade(attach);
        Ok(())
    }
}

#[derive(Default)]
struct Lives {
    by_key: HashMap<Key, Weak<Live>>,
    /// With so many, those that are gone are looked for.
    most: usize,
}

/// The topics with sessions here.
#[derive(Default)]
pub(super) struct Topics(Mutex<Lives>);

impl Topics {
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known here of this topic. Whoever enters its room calls [`Live::follow`] then.
    ///
    /// # Errors
    /// The record is not as we write it.
    pub fn live(&self, node: &Tinode, t: &TopicRecord) -> Done<Arc<Live>> {
        let new = Live::new(t, t.room()?, node.flushes.waiting.clone());
        let mut lives = lock(&self.0);
        let there = lives.by_key.get(&t.key).and_then(Weak::upgrade);
        if let Some(live) = there.filter(|live| *live.life == *t.life) {
            return Ok(live);
        }
        lives.by_key.insert(t.key, Arc::downgrade(&new));
        if lives.by_key.len() > lives.most {
            lives.by_key.retain(|_, live| live.strong_count() > 0);
            lives.most = SWEPT.max(2 * lives.by_key.len());
        }
        drop(lives);
        Ok(new)
    }

    /// The topic, if somebody here is attached.
    pub fn known(&self, key: &Key) -> Option<Arc<Live>> {
        lock(&self.0).by_key.get(key).and_then(Weak::upgrade)
    }
}

/// Tells all who are attached of an event, on all nodes, in the room's order. `except`: a connection
/// of this node that is not told.
///
/// # Errors
/// The store does not answer.
pub(super) async fn tell(
    node: &Tinode,
    room: &RoomId,
    event: &RoomEvent,
    except: Option<ConnectionId>,
) -> Done<()> {
    let entry = stored::event(event, except);
    let bytes = match &entry {
        Entry::Message { message, .. } => message.body.len(),
        Entry::System { content } => content.len(),
        Entry::Synced { .. } => 0,
    };
    match node.hub.publish(room, entry, bytes).await {
        Outcome::Done(_) | Outcome::Duplicate | Outcome::Replayed { .. } | Outcome::Reused => {
            Ok(())
        }
        Outcome::Full | Outcome::Unavailable | Outcome::Unknown => Err(Code::Unavailable.into()),
    }
}

/// A member has left for good: if it comes back, it has read nothing.
pub(super) fn begin_anew(node: &Tinode, room: &RoomId, user: UserId, now: Ts) {
    let mark = Mark { since: now.0, ..Mark::default() };
    node.hub.announce(room, update(user, mark, None));
}

/// A member's mark, as it is published. `told`: what the others are told, if anything. Updates are
/// read without their ids, so it says itself whose it is.
pub(super) fn update(user: UserId, mark: Mark, told: Option<Noted>) -> Entry {
    let rest = stored::mark(mark, told);
    let mut body = format!(r#"{{"u":"{user}","#).into_bytes();
    body.extend_from_slice(rest.get(1..).unwrap_or_default());
    stored::update(user, body.into())
}

#[derive(Deserialize)]
struct Whose {
    u: UserId,
}

fn read_update(body: &[u8]) -> Option<(UserId, Mark)> {
    let Whose { u } = serde_json::from_slice(body).ok()?;
    stored::read_mark(body).map(|(mark, _)| (u, mark))
}

/// Publishes marks that nobody has to be told of: those that senders have by sending.
pub(super) struct Flushes {
    waiting: Arc<Waiting>,
}

impl Flushes {
    pub fn new() -> Self {
        Flushes { waiting: Deadlines::new(FLUSH) }
    }

    /// Publishes what is known of this member in a moment, if the room shows less.
    pub fn later(&self, live: &Arc<Live>, user: UserId) {
        let waits = lock(&live.state).marks.wait(user);
        live.push(waits, user);
    }

    /// Does so now.
    pub fn now(&self, node: &Tinode, live: &Live, user: UserId) {
        let mark = lock(&live.state).marks.take(user);
        if let Some(mark) = mark {
            node.hub.announce(&live.room, update(user, mark, None));
        }
    }

    /// Does what is due, for ever.
    pub async fn run(node: Arc<Tinode>) {
        loop {
            let (live, user) = node.flushes.waiting.next().await;
            node.flushes.now(&node, &live, user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::Kind;

    fn user() -> UserId {
        UserId::of_number(7).unwrap()
    }

    fn mark(read: u64, recv: u64) -> Mark {
        Mark::of(read, recv)
    }

    #[test]
    fn a_mark_that_is_published_says_whose_it_is() {
        for told in [None, Some(Noted::Read)] {
            let entry = update(user(), mark(3, 5), told);
            let Entry::Message { message, .. } = entry else { panic!("no message") };
            assert_eq!(message.kind, Kind::Update { id: user().to_string().into() });
            assert_eq!(read_update(&message.body), Some((user(), mark(3, 5))));
            assert_eq!(stored::read_mark(&message.body), Some((mark(3, 5), told)));
        }
        assert_eq!(read_update(br#"{"r":1,"v":1,"n":""}"#), None);
    }
}
