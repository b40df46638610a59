//! Sessions and the rooms they are in.
use std::{
    collections::{BTreeSet, HashMap, HashSet, hash_map},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{super::rooms::Live, roster::Roster};
use crate::domain::{
    broker::Event,
    ids::{ConnectionId, RoomId, SocketId, Uid},
    presence::{Claim, Online, Present, Revocations, Visitor},
};

/// Everybody.
#[derive(Default)]
pub(in super::super) struct People {
    sessions: HashMap<Uid, Session>,
    rooms: HashMap<RoomId, Occupied>,
    /// The rooms each connection is in.
    whereabouts: HashMap<ConnectionId, BTreeSet<RoomId>>,
    /// The rooms held for each uid.
    holds: HashMap<Uid, BTreeSet<RoomId>>,
    /// Connections whose session was taken over and that have not ended yet. What they had on its
    /// way must not put them anywhere.
    evicted: HashSet<ConnectionId>,
    /// The last revocation of a uid's credentials, and when it was seen; kept for longer than a
    /// check of credentials and a claim take.
    revoked: HashMap<Uid, (Revocations, Instant)>,
    /// The last revocation of all.
    revocations: Revocations,
}

/// How long a revocation is kept.
const REVOCATION: Duration = Duration::from_secs(600);

struct Session {
    connection: ConnectionId,
    socket: SocketId,
}

/// A room with anybody in it; keeps its counters in memory.
struct Occupied {
    roster: Roster,
    _live: Arc<Live>,
}

impl People {
    /// Returns the connection that is evicted, and the answer.
    pub(super) fn claim(
        &mut self,
        uid: &Uid,
        connection: ConnectionId,
        socket: &SocketId,
        checked: Option<Revocations>,
    ) -> (Option<ConnectionId>, Claim) {
        if checked.is_some_and(|checked| {
            self.revoked.get(uid).is_some_and(|(revoked, _)| *revoked > checked)
        }) {
            return (None, Claim::CheckAgain(self.revocations));
        }
        self.evicted.remove(&connection);
        let session = Session { connection, socket: socket.clone() };
        let earlier = self
            .sessions
            .insert(uid.clone(), session)
            .map(|s| s.connection)
            .filter(|c| *c != connection);
        if let Some(earlier) = earlier {
            self.evicted.insert(earlier);
            self.hold(uid, earlier);
        }
        (earlier, Claim::Made(self.holds.get(uid).into_iter().flatten().cloned().collect()))
    }

    pub(super) fn revocations(&self) -> Revocations {
        self.revocations
    }

    /// Notes a revocation; returns the connection that has the uid's session.
    pub(in super::super) fn revoke(&mut self, uid: &Uid, at: Revocations) -> Option<ConnectionId> {
        self.revoked.retain(|_, (_, seen)| seen.elapsed() < REVOCATION);
        self.revoked.insert(uid.clone(), (at, Instant::now()));
        self.revocations = self.revocations.max(at);
        self.sessions.get(uid).map(|session| session.connection)
    }

    /// Holds the places of a connection, but for those where it is hidden.
    fn hold(&mut self, uid: &Uid, connection: ConnectionId) {
        let hash_map::Entry::Occupied(mut whereabouts) = self.whereabouts.entry(connection) else {
            return;
        };
        let rooms = &mut self.rooms;
        let held = whereabouts
            .get_mut()
            .extract_if(.., |room| rooms.get_mut(room).is_some_and(|r| r.roster.hold(connection)));
        let held: Vec<RoomId> = held.collect();
        if whereabouts.get().is_empty() {
            whereabouts.remove();
        }
        if !held.is_empty() {
            self.holds.entry(uid.clone()).or_default().extend(held);
        }
    }

    pub(super) fn end(&mut self, uid: &Uid, connection: ConnectionId) {
        self.evicted.remove(&connection);
        if self.sessions.get(uid).is_some_and(|s| s.connection == connection) {
            self.sessions.remove(uid);
        }
    }

    /// Returns what the others are told.
    pub(super) fn enter(
        &mut self,
        room: &RoomId,
        visitor: &Visitor,
        live: Arc<Live>,
    ) -> Option<Event> {
        if self.evicted.contains(&visitor.connection) {
            return None;
        }
        self.whereabouts.entry(visitor.connection).or_default().insert(room.clone());
        let occupied = self
            .rooms
            .entry(room.clone())
            .or_insert_with(|| Occupied { roster: Roster::default(), _live: live });
        let event = occupied.roster.enter(visitor);
        if !visitor.hidden {
            forget(&mut self.holds, &visitor.uid, room); // a held place is taken over now
        }
        event
    }

    /// Returns whom the others will miss.
    pub(super) fn depart(&mut self, room: &RoomId, connection: ConnectionId) -> Option<Uid> {
        forget(&mut self.whereabouts, &connection, room);
        let gone = self.rooms.get_mut(room)?.roster.depart(connection);
        self.vacate(room);
        gone
    }

    /// Returns whom the others will miss: nobody, if another connection has the uid's session by
    /// now.
    pub(super) fn release(&mut self, room: &RoomId, uid: &Uid, by: ConnectionId) -> Option<Uid> {
        if !self.may_release(uid, by) {
            return None;
        }
        forget(&mut self.holds, uid, room);
        let gone = self.rooms.get_mut(room)?.roster.release(uid);
        self.vacate(room);
        gone
    }

    pub(super) fn is_there(&self, room: &RoomId, connection: ConnectionId) -> bool {
        self.whereabouts.get(&connection).is_some_and(|rooms| rooms.contains(room))
    }

    fn may_release(&self, uid: &Uid, by: ConnectionId) -> bool {
        self.sessions.get(uid).is_none_or(|session| session.connection == by)
    }

    pub(super) fn is_held(&self, room: &RoomId, uid: &Uid, by: ConnectionId) -> bool {
        self.may_release(uid, by) && self.holds.get(uid).is_some_and(|rooms| rooms.contains(room))
    }

    fn vacate(&mut self, room: &RoomId) {
        if self.rooms.get(room).is_some_and(|r| r.roster.is_empty()) {
            self.rooms.remove(room);
        }
    }

    pub(super) fn others(&self, room: &RoomId, uid: &Uid) -> Vec<Uid> {
        self.rooms.get(room).map_or_else(Vec::new, |r| r.roster.others(uid))
    }

    pub(super) fn members(&self, room: &RoomId) -> Vec<Present> {
        self.rooms.get(room).map_or_else(Vec::new, |r| r.roster.present())
    }

    pub(super) fn rooms(&self) -> Vec<RoomId> {
        self.rooms.keys().cloned().collect()
    }

    pub(super) fn online(&self) -> Vec<Online> {
        self.sessions
            .iter()
            .map(|(uid, session)| Online { uid: uid.clone(), socket: session.socket.clone() })
            .collect()
    }

    /// Whether nothing is remembered of anybody.
    #[cfg(test)]
    pub(in super::super) fn is_empty(&self) -> bool {
        let People { sessions, rooms, whereabouts, holds, evicted, revoked: _, revocations: _ } =
            self;
        sessions.is_empty()
            && rooms.is_empty()
            && whereabouts.is_empty()
            && holds.is_empty()
            && evicted.is_empty()
    }
}

/// Takes the room out of the set of `key`, and the set away with its last room.
fn forget<K: Eq + std::hash::Hash>(
    sets: &mut HashMap<K, BTreeSet<RoomId>>,
    key: &K,
    room: &RoomId,
) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(room);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}
