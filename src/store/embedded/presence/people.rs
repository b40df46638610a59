//! Sessions and the rooms they are in.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    super::rooms::Live,
    roster::{Departed, Left, Removed, Roster},
};
use crate::domain::{
    broker::Event,
    directory::{Counts, Members, Names, OnlineUser, Whereabouts},
    ids::{ConnectionId, RoomId, SocketId, Space, Uid},
    presence::{Claim, Online, Present, Revocations, Visitor},
};

/// Everybody.
#[derive(Default)]
pub(in super::super) struct People {
    /// Those with a connection, but for guests.
    users: BTreeMap<Uid, User>,
    rooms: BTreeMap<RoomId, Occupied>,
    /// Sessions among `users`, and shared ones among `rooms`: they are asked for all the time.
    counts: Counts,
    /// The rooms each connection is in.
    whereabouts: HashMap<ConnectionId, RoomSet>,
    /// The public names of connections that were told when they entered a room, until they end.
    sockets: HashMap<ConnectionId, SocketId>,
    /// The rooms held for each uid.
    holds: HashMap<Uid, RoomSet>,
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

/// The one node that there is.
const NODE: &str = super::super::cluster::NODE;

/// Some rooms, sorted. Most have one or two.
#[derive(Default)]
struct RoomSet(Vec<RoomId>);

impl RoomSet {
    fn insert(&mut self, room: RoomId) {
        if let Err(place) = self.0.binary_search(&room) {
            if self.0.is_empty() {
                self.0.reserve_exact(1);
            }
            self.0.insert(place, room);
        }
    }

    fn remove(&mut self, room: &RoomId) {
        if let Ok(place) = self.0.binary_search(room) {
            self.0.remove(place);
        }
    }

    fn contains(&self, room: &RoomId) -> bool {
        self.0.binary_search(room).is_ok()
    }
}

/// A user who is online.
#[derive(Default)]
struct User {
    session: Option<Session>,
    /// The session's, and those that never claim one; no evicted ones.
    connections: Vec<ConnectionId>,
}

impl User {
    fn has_session(&self, connection: ConnectionId) -> bool {
        self.session.as_ref().is_some_and(|session| session.connection == connection)
    }
}

struct Session {
    connection: ConnectionId,
    socket: SocketId,
}

/// A user came online by this, or went offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Turn {
    Online,
    Offline,
}

/// What became of a claim.
pub(super) struct Claimed {
    pub(super) claim: Claim,
    pub(super) evicted: Option<ConnectionId>,
    pub(super) turn: Option<Turn>,
}

/// A room with anybody in it; keeps its counters in memory.
struct Occupied {
    roster: Roster,
    _live: Arc<Live>,
}

impl People {
    pub(super) fn claim(
        &mut self,
        uid: &Uid,
        connection: ConnectionId,
        socket: &SocketId,
        checked: Option<Revocations>,
    ) -> Claimed {
        if self.was_revoked_since(uid, checked) {
            let claim = Claim::CheckAgain(self.revocations);
            return Claimed { claim, evicted: None, turn: None };
        }
        self.evicted.remove(&connection);
        let turn = self.appear(uid, connection);
        let session = Session { connection, socket: socket.clone() };
        let earlier = self.users.get_mut(uid).and_then(|user| user.session.replace(session));
        self.counts.users += u64::from(earlier.is_none());
        let evicted = earlier.map(|s| s.connection).filter(|c| *c != connection);
        if let Some(earlier) = evicted {
            self.evicted.insert(earlier);
            self.hold(uid, earlier);
            self.vanish(uid, earlier);
        }
        let held = self.holds.get(uid).map(|rooms| rooms.0.clone()).unwrap_or_default();
        Claimed { claim: Claim::Made(held), evicted, turn }
    }

    /// A connection of the user is there, perhaps for the first time.
    fn appear(&mut self, uid: &Uid, connection: ConnectionId) -> Option<Turn> {
        let user = self.users.entry(uid.clone()).or_default();
        let turn = user.connections.is_empty().then_some(Turn::Online);
        if !user.connections.contains(&connection) {
            user.connections.push(connection);
        }
        turn
    }

    /// It is not there any more.
    fn vanish(&mut self, uid: &Uid, connection: ConnectionId) -> Option<Turn> {
        let user = self.users.get_mut(uid)?;
        user.connections.retain(|other| *other != connection);
        user.connections.is_empty().then(|| {
            self.users.remove(uid);
            Turn::Offline
        })
    }

    pub(super) fn revocations(&self) -> Revocations {
        self.revocations
    }

    /// Whether credentials of the user were revoked since they were checked, if they were.
    pub(super) fn was_revoked_since(&self, uid: &Uid, checked: Option<Revocations>) -> bool {
        let revoked = self.revoked.get(uid).map(|(revoked, _)| *revoked);
        checked.is_some_and(|checked| revoked.is_some_and(|revoked| revoked > checked))
    }

    /// Notes a revocation; returns the connections of the uid.
    pub(in super::super) fn revoke(&mut self, uid: &Uid, at: Revocations) -> Vec<ConnectionId> {
        self.revoked.retain(|_, (_, seen)| seen.elapsed() < REVOCATION);
        self.revoked.insert(uid.clone(), (at, Instant::now()));
        self.revocations = self.revocations.max(at);
        self.connections(uid)
    }

    /// Holds the places of a connection, but for those where it is hidden.
    fn hold(&mut self, uid: &Uid, connection: ConnectionId) {
        let hash_map::Entry::Occupied(mut whereabouts) = self.whereabouts.entry(connection) else {
            return;
        };
        let rooms = &mut self.rooms;
        let held = whereabouts
            .get_mut()
            .0
            .extract_if(.., |room| rooms.get_mut(room).is_some_and(|r| r.roster.hold(connection)));
        let held: Vec<RoomId> = held.collect();
        if whereabouts.get().0.is_empty() {
            whereabouts.remove();
        }
        if !held.is_empty() {
            let holds = self.holds.entry(uid.clone()).or_default();
            held.into_iter().for_each(|room| holds.insert(room));
        }
    }

    pub(super) fn end(&mut self, uid: &Uid, connection: ConnectionId) -> Option<Turn> {
        self.evicted.remove(&connection);
        self.sockets.remove(&connection);
        if let Some(user) = self.users.get_mut(uid)
            && user.has_session(connection)
        {
            user.session = None;
            self.counts.users -= 1;
        }
        self.vanish(uid, connection)
    }

    /// Returns what the others are told.
    pub(super) fn enter(
        &mut self,
        room: &RoomId,
        visitor: &Visitor,
        live: Arc<Live>,
    ) -> (Option<Event>, Option<Turn>) {
        if self.evicted.contains(&visitor.connection) {
            return (None, None);
        }
        let turn = match visitor.guest {
            true => None,
            false => {
                if let Some(socket) = &visitor.socket {
                    self.sockets.insert(visitor.connection, socket.clone());
                }
                self.appear(&visitor.uid, visitor.connection)
            }
        };
        self.whereabouts.entry(visitor.connection).or_default().insert(room.clone());
        let occupied = self.rooms.entry(room.clone()).or_insert_with(|| {
            self.counts.rooms += u64::from(room.is_shared());
            Occupied { roster: Roster::default(), _live: live }
        });
        let event = occupied.roster.enter(visitor);
        if !visitor.hidden {
            forget(&mut self.holds, &visitor.uid, room); // a held place is taken over now
        }
        (event, turn)
    }

    /// Takes all that the user has of the room.
    pub(super) fn remove(&mut self, room: &RoomId, uid: &Uid) -> Option<Removed> {
        let removed = self.rooms.get_mut(room)?.roster.remove(uid)?;
        for connection in &removed.connections {
            forget(&mut self.whereabouts, connection, room);
        }
        forget(&mut self.holds, uid, room);
        self.vacate(room);
        Some(removed)
    }

    /// Whether the user has anything of the room.
    pub(super) fn has_place(&self, room: &RoomId, uid: &Uid) -> bool {
        self.rooms.get(room).is_some_and(|occupied| occupied.roster.has(uid))
    }

    /// Takes the connection out of the room; nothing, if it was not there.
    pub(super) fn depart(&mut self, room: &RoomId, connection: ConnectionId) -> Option<Departed> {
        forget(&mut self.whereabouts, &connection, room);
        let gone = self.rooms.get_mut(room)?.roster.depart(connection);
        self.vacate(room);
        gone
    }

    /// Returns whom the others will miss: nobody, if another connection has the uid's session by
    /// now.
    pub(super) fn release(&mut self, room: &RoomId, uid: &Uid, by: ConnectionId) -> Option<Left> {
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
        let session = self.users.get(uid).and_then(|user| user.session.as_ref());
        session.is_none_or(|session| session.connection == by)
    }

    pub(super) fn is_held(&self, room: &RoomId, uid: &Uid, by: ConnectionId) -> bool {
        self.may_release(uid, by) && self.holds.get(uid).is_some_and(|rooms| rooms.contains(room))
    }

    fn vacate(&mut self, room: &RoomId) {
        if self.rooms.get(room).is_some_and(|r| r.roster.is_empty()) {
            self.rooms.remove(room);
            self.counts.rooms -= u64::from(room.is_shared());
        }
    }

    /// The user's connections in the room, hidden ones too.
    pub(super) fn count(&self, room: &RoomId, uid: &Uid) -> u64 {
        self.rooms.get(room).map_or(0, |occupied| occupied.roster.count(uid))
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
        let session = |(uid, user): (&Uid, &User)| {
            let socket = user.session.as_ref()?.socket.clone();
            Some(Online { uid: uid.clone(), socket })
        };
        self.users.iter().filter_map(session).collect()
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn members_page(&self, room: &RoomId, after: Option<u64>, limit: usize) -> Members {
        self.rooms.get(room).map_or_else(Members::default, |r| r.roster.page(after, limit))
    }

    pub(super) fn rooms_page(&self, names: &Names) -> Vec<(RoomId, u64)> {
        let rooms = self.rooms.range::<str, _>(behind(names));
        let rooms = rooms.take_while(|(room, _)| room.as_str().starts_with(&names.prefix));
        rooms.take(names.limit).map(|(room, here)| (room.clone(), here.roster.len())).collect()
    }

    pub(super) fn users_page(&self, names: &Names) -> Vec<OnlineUser> {
        let users = self.users.range::<str, _>(behind(names));
        let users = users.take_while(|(uid, _)| uid.as_str().starts_with(&names.prefix));
        let online = |(uid, user): (&Uid, &User)| {
            let rooms = user.connections.iter().flat_map(|connection| self.rooms_of(*connection));
            let rooms: BTreeSet<&RoomId> = rooms.collect();
            OnlineUser {
                uid: uid.clone(),
                socket: user.session.as_ref().map(|session| session.socket.clone()),
                rooms: rooms.into_iter().cloned().collect(),
                nodes: vec![NODE.into()],
            }
        };
        users.take(names.limit).map(online).collect()
    }

    pub(super) fn whereabouts(&self, uid: &Uid) -> Vec<Whereabouts> {
        let Some(user) = self.users.get(uid) else { return Vec::new() };
        let name = |connection: ConnectionId, rooms: &[RoomId]| {
            let session = user.session.as_ref().filter(|session| session.connection == connection);
            let visitor = || self.sockets.get(&connection).filter(|_| !rooms.is_empty());
            session.map(|session| &session.socket).or_else(visitor).cloned()
        };
        let whereabouts = |connection: ConnectionId| {
            let rooms: Vec<RoomId> = self.rooms_of(connection).cloned().collect();
            let socket = name(connection, &rooms);
            Whereabouts { node: NODE.into(), connection, socket, rooms }
        };
        let mut all: Vec<_> = user.connections.iter().copied().map(whereabouts).collect();
        all.sort_unstable_by_key(|one| one.connection);
        all
    }

    pub(super) fn connections(&self, uid: &Uid) -> Vec<ConnectionId> {
        self.users.get(uid).map_or_else(Vec::new, |user| user.connections.clone())
    }

    /// The rooms that a connection is in.
    pub(super) fn rooms_with(&self, connection: ConnectionId) -> Vec<RoomId> {
        self.rooms_of(connection).cloned().collect()
    }

    fn rooms_of(&self, connection: ConnectionId) -> impl Iterator<Item = &RoomId> {
        self.whereabouts.get(&connection).into_iter().flat_map(|rooms| &rooms.0)
    }

    /// Whether the others see this user in the room; of a user's own room, whether it is online.
    pub(in super::super) fn has(&self, room: &RoomId, uid: &str) -> bool {
        if room.is_in(Space::User) {
            return self.users.contains_key(uid);
        }
        self.rooms.get(room).is_some_and(|r| r.roster.shows(uid))
    }

    /// Who is seen where; who is online is in the user's own room.
    pub(in super::super) fn everywhere(&self) -> Vec<(RoomId, Uid)> {
        let own = |uid: &Uid| Some((RoomId::within(Space::User, uid.as_str()).ok()?, uid.clone()));
        let seen = self.rooms.iter().flat_map(|(room, occupied)| {
            let present = occupied.roster.present().into_iter().filter(|p| !p.hidden);
            present.map(|p| (room.clone(), p.uid))
        });
        seen.chain(self.users.keys().filter_map(own)).collect()
    }

    /// Whether nothing is remembered of anybody.
    #[cfg(test)]
    pub(in super::super) fn is_empty(&self) -> bool {
        let People {
            users,
            rooms,
            counts,
            whereabouts,
            sockets,
            holds,
            evicted,
            revoked: _,
            revocations: _,
        } = self;
        users.is_empty()
            && rooms.is_empty()
            && *counts == Counts::default()
            && whereabouts.is_empty()
            && sockets.is_empty()
            && holds.is_empty()
            && evicted.is_empty()
    }
}

/// Where a stretch of names begins.
fn behind(names: &Names) -> (Bound<&str>, Bound<&str>) {
    let from = match names.after.as_deref() {
        Some(after) if after >= names.prefix.as_str() => Bound::Excluded(after),
        _ => Bound::Included(names.prefix.as_str()),
    };
    (from, Bound::Unbounded)
}

/// Takes the room out of the set of `key`, and the set away with its last room.
fn forget<K: Eq + std::hash::Hash>(sets: &mut HashMap<K, RoomSet>, key: &K, room: &RoomId) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(room);
        if set.0.is_empty() {
            sets.remove(key);
        }
    }
}
