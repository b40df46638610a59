//! Presence in memory: who is where is known to this process alone, and ends with it.
//!
//! All of it is behind one lock, so that a claim, which touches many rooms, is atomic; whoever is
//! told is told after the lock is released. Joins and departures take the room's
//! [`Turn`](super::rooms::Turn), and so have their place among its messages.
mod people;
mod roster;

use async_trait::async_trait;

pub(super) use self::people::People;
use super::{Embedded, delivery::Delivery, lock, rooms::Turn};
use crate::domain::{
    broker::Event,
    error::StoreError,
    ids::{ConnectionId, RoomId, SocketId, Uid},
    presence::{Claim, Departure, Online, Presence, Present, Revocations, Roster, Visitor},
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
        let (evicted, claim) = lock(&self.people).claim(uid, connection, socket, checked);
        if let (Some(evicted), Some(sink)) = (evicted, self.slot.sink()) {
            sink.evict(evicted);
        }
        Ok(claim)
    }

    fn revocations(&self) -> Revocations {
        lock(&self.people).revocations()
    }

    async fn end(&self, uid: &Uid, connection: ConnectionId) -> Result<(), StoreError> {
        lock(&self.people).end(uid, connection);
        Ok(())
    }

    async fn enter(&self, room: &RoomId, visitor: &Visitor) -> Result<Roster, StoreError> {
        let turn = self.turn(room).await?;
        let mut people = lock(&self.people);
        let event = people.enter(room, visitor, turn.live());
        let others =
            if visitor.wants_roster { people.others(room, &visitor.uid) } else { Vec::new() };
        drop(people);
        let n = turn.counters().n + u64::from(event.is_some());
        if let Some(event) = event {
            self.announce(turn, event);
        }
        Ok(Roster { others, n })
    }

    async fn depart(
        &self,
        room: &RoomId,
        connection: ConnectionId,
        departure: Departure,
    ) -> Result<(), StoreError> {
        if !lock(&self.people).is_there(room, connection) {
            return Ok(());
        }
        let turn = self.departing(room).await?;
        let gone = lock(&self.people).depart(room, connection);
        if let Some(uid) = gone {
            let event = match departure {
                Departure::Left => Event::Left(uid),
                Departure::Gone => Event::Gone(uid),
            };
            self.announce(turn, event);
        }
        Ok(())
    }

    async fn release(&self, room: &RoomId, uid: &Uid, by: ConnectionId) -> Result<(), StoreError> {
        if !lock(&self.people).is_held(room, uid, by) {
            return Ok(());
        }
        let turn = self.departing(room).await?;
        let gone = lock(&self.people).release(room, uid, by);
        if let Some(uid) = gone {
            self.announce(turn, Event::Gone(uid));
        }
        Ok(())
    }

    async fn members(&self, room: &RoomId) -> Result<Vec<Present>, StoreError> {
        Ok(lock(&self.people).members(room))
    }

    async fn rooms(&self) -> Result<Vec<RoomId>, StoreError> {
        let mut rooms = lock(&self.people).rooms();
        rooms.sort_unstable();
        Ok(rooms)
    }

    async fn online(&self) -> Result<Vec<Online>, StoreError> {
        Ok(lock(&self.people).online())
    }
}
