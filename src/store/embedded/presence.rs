//! Presence in memory: who is where is known to this process alone, and ends with it.
//!
//! All of it is behind one lock, so that a claim, which touches many rooms, is atomic; whoever is
//! told is told after the lock is released. Joins and departures take the room's
//! [`Turn`], and so have their place among its messages.
mod people;
mod places;
mod roster;

use async_trait::async_trait;

pub(super) use self::people::People;
use self::people::Turn as Turned;
use super::{Embedded, delivery::Delivery, lock, rooms::Turn};
use crate::domain::{
    broker::Event,
    directory::{Counts, Directory, Ending, Members, Names, OnlineUser, Whereabouts},
    error::StoreError,
    ids::{ConnectionId, RoomId, SocketId, Uid},
    outbox::Absence,
    presence::{
        Claim, Departure, Expulsion, Online, Presence, Present, Revocations, Roster, Visitor,
    },
};

impl Embedded {
    /// The turn for a departure. It waits as long as it takes: a departure that gave up would leave
    /// a ghost. Of a room that somebody is in the counters are loaded, so no disk is asked.
    async fn departing(&self, room: &RoomId) -> Result<Turn, StoreError> {
        self.rooms.turn(room, &self.readers, None).await
    }

    /// Gives the event its place in the room's order and tells it.
    fn announce(&self, mut turn: Turn, event: Event) {
        let mut counters = turn.counters();
        counters.n += 1;
        turn.set(counters);
        drop(Delivery::one(&self.slot, turn, event));
    }

    /// A user came online, or went offline. The one place where that is known: what is told of it
    /// beyond rooms is to be written here. Called under the lock of `people`, so that what is said
    /// of a user is in its order; it must not block.
    fn turned(&self, uid: &Uid, turned: Option<Turned>) {
        match turned {
            None => {}
            Some(Turned::Online) => self.tell_session(uid, None),
            Some(Turned::Offline) => self.tell_session(uid, Some(Absence::Gone)),
        }
    }
}

#[async_trait]
impl Presence for Embedded {
    async fn claim(
        &self,
        uid: &Uid,
        connection: ConnectionId,
        socket: &SocketId,
        checked: Option<Revocations>,
    ) -> Result<Claim, StoreError> {
        let claimed = {
            let mut people = lock(&self.people);
            let claimed = people.claim(uid, connection, socket, checked);
            self.turned(uid, claimed.turn);
            claimed
        };
        if let (Some(evicted), Some(sink)) = (claimed.evicted, self.slot.sink()) {
            sink.evict(evicted);
        }
        Ok(claimed.claim)
    }

    fn revocations(&self) -> Revocations {
        lock(&self.people).revocations()
    }

    async fn expel(&self, uid: &Uid, expulsion: Expulsion) -> Result<u64, StoreError> {
        self.tell_expelled(uid, expulsion).await
    }

    async fn end(&self, uid: &Uid, connection: ConnectionId) -> Result<(), StoreError> {
        // Its rooms were left before; should one have been forgotten, it is not for ever.
        let forgotten = lock(&self.people).rooms_with(connection);
        for room in forgotten {
            self.depart(&room, connection, Departure::Gone).await?;
        }
        let mut people = lock(&self.people);
        let turned = people.end(uid, connection);
        self.turned(uid, turned);
        Ok(())
    }

    async fn enter(&self, room: &RoomId, visitor: &Visitor) -> Result<Roster, StoreError> {
        let turn = self.turn(room).await?;
        if !visitor.hidden {
            self.tell_arrival(room, &visitor.uid).await;
        }
        let mut people = lock(&self.people);
        let (event, turned) = people.enter(room, visitor, turn.live());
        self.turned(&visitor.uid, turned);
        let others =
            if visitor.wants_roster { people.others(room, &visitor.uid) } else { Vec::new() };
        let is_there = people.is_there(room, visitor.connection);
        let connections = match visitor.guest {
            true => 1,
            false => people.count(room, &visitor.uid),
        };
        let check_again = people.was_revoked_since(&visitor.uid, visitor.checked);
        drop(people);
        if visitor.hidden || !is_there {
            self.tell_absence(room, &visitor.uid, Absence::Gone);
        }
        let n = turn.counters().n + u64::from(event.is_some());
        if let Some(event) = event {
            self.announce(turn, event);
        }
        Ok(Roster { others, n, connections, check_again })
    }

    async fn depart(
        &self,
        room: &RoomId,
        connection: ConnectionId,
        departure: Departure,
    ) -> Result<Option<u64>, StoreError> {
        if !lock(&self.people).is_there(room, connection) {
            return Ok(None);
        }
        let turn = self.departing(room).await?;
        let departed = lock(&self.people).depart(room, connection);
        let Some(departed) = departed else { return Ok(None) };
        if let Some((uid, connections)) = departed.left {
            if connections == 0 {
                self.tell_absence(room, &uid, departure.into());
            }
            let event = match departure {
                Departure::Left => Event::Left { uid, connections },
                Departure::Gone => Event::Gone { uid, connections },
            };
            self.announce(turn, event);
        }
        Ok(Some(departed.connections))
    }

    async fn release(&self, room: &RoomId, uid: &Uid, by: ConnectionId) -> Result<(), StoreError> {
        if !lock(&self.people).is_held(room, uid, by) {
            return Ok(());
        }
        let turn = self.departing(room).await?;
        let gone = lock(&self.people).release(room, uid, by);
        if let Some((uid, connections)) = gone {
            if connections == 0 {
                self.tell_absence(room, &uid, Absence::Gone);
            }
            self.announce(turn, Event::Gone { uid, connections });
        }
        Ok(())
    }

    async fn remove(&self, room: &RoomId, uid: &Uid) -> Result<u64, StoreError> {
        if !lock(&self.people).has_place(room, uid) {
            return Ok(0);
        }
        let turn = self.departing(room).await?;
        let removed = lock(&self.people).remove(room, uid);
        let Some(removed) = removed else { return Ok(0) };
        if removed.seen {
            self.tell_absence(room, uid, Absence::Removed);
        }
        self.announce(turn, Event::Removed { uid: uid.clone(), seen: removed.seen });
        Ok(removed.connections.len() as u64)
    }

    async fn members(&self, room: &RoomId) -> Result<Vec<Present>, StoreError> {
        Ok(lock(&self.people).members(room))
    }

    async fn rooms(&self) -> Result<Vec<RoomId>, StoreError> {
        Ok(lock(&self.people).rooms())
    }

    async fn online(&self) -> Result<Vec<Online>, StoreError> {
        Ok(lock(&self.people).online())
    }
}

#[async_trait]
impl Directory for Embedded {
    async fn whereabouts(&self, uid: &Uid) -> Result<Vec<Whereabouts>, StoreError> {
        Ok(lock(&self.people).whereabouts(uid))
    }

    async fn members_page(
        &self,
        room: &RoomId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Members, StoreError> {
        Ok(lock(&self.people).members_page(room, after, limit))
    }

    async fn rooms_page(&self, names: &Names) -> Result<Vec<(RoomId, u64)>, StoreError> {
        Ok(lock(&self.people).rooms_page(names))
    }

    async fn users_page(&self, names: &Names) -> Result<Vec<OnlineUser>, StoreError> {
        Ok(lock(&self.people).users_page(names))
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        Ok(lock(&self.people).counts())
    }

    async fn disconnect(&self, uid: &Uid, ending: Ending) -> Result<u64, StoreError> {
        let connections = lock(&self.people).connections(uid);
        if let Some(sink) = self.slot.sink() {
            connections.iter().for_each(|connection| sink.disconnect(*connection, ending));
        }
        Ok(connections.len() as u64)
    }
}
