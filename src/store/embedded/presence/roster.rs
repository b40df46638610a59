//! One room's places, in the order of joining.
use std::collections::{BTreeMap, HashMap, hash_map};

use crate::domain::{
    broker::Event,
    ids::{ConnectionId, Uid},
    presence::{Present, Visitor},
};

/// A place that somebody has, or that is held.
struct Place {
    /// As the others were told it: a number or a text.
    uid: Uid,
    hidden: bool,
    held: bool,
}

/// The places of a room. Entering and leaving cost the logarithm of their number.
#[derive(Default)]
pub(super) struct Roster {
    /// By a number that grows with each joining.
    places: BTreeMap<u64, Place>,
    next: u64,
    connections: HashMap<ConnectionId, u64>,
    /// Places held for a uid; one at most.
    held: HashMap<Uid, u64>,
}

impl Roster {
    /// Lets the visitor in, or changes how it is there; returns what the others are told.
    pub(super) fn enter(&mut self, visitor: &Visitor) -> Option<Event> {
        let before = self.connections.get(&visitor.connection).copied();
        let seen = before.is_some_and(|at| self.places.get(&at).is_some_and(|p| !p.hidden));
        match (seen, visitor.hidden) {
            (true, false) => None,
            (true, true) => {
                let place = self.places.get_mut(&before?)?;
                place.hidden = true;
                Some(Event::Gone(place.uid.clone()))
            }
            (false, true) => {
                if before.is_none() {
                    self.join(visitor);
                }
                None
            }
            (false, false) => {
                // Whoever becomes visible joins now, as the others see it.
                before.map(|hidden| self.places.remove(&hidden));
                if let Some(at) = self.held.remove(&visitor.uid) {
                    self.connections.insert(visitor.connection, at);
                    self.places.get_mut(&at)?.held = false;
                    return None;
                }
                self.join(visitor);
                Some(Event::Joined(visitor.uid.clone()))
            }
        }
    }

    fn join(&mut self, visitor: &Visitor) {
        self.places.insert(
            self.next,
            Place { uid: visitor.uid.clone(), hidden: visitor.hidden, held: false },
        );
        self.connections.insert(visitor.connection, self.next);
        self.next += 1;
    }

    /// Frees the connection's place; returns whom the others will miss.
    pub(super) fn depart(&mut self, connection: ConnectionId) -> Option<Uid> {
        let place = self.places.remove(&self.connections.remove(&connection)?)?;
        (!place.hidden).then_some(place.uid)
    }

    /// Holds the connection's place for its uid; false if it has none that the others see.
    pub(super) fn hold(&mut self, connection: ConnectionId) -> bool {
        let hash_map::Entry::Occupied(entry) = self.connections.entry(connection) else {
            return false;
        };
        let at = *entry.get();
        let Some(place) = self.places.get_mut(&at).filter(|p| !p.hidden) else { return false };
        entry.remove();
        place.held = true;
        // A second connection of a uid that never claimed the session can leave a second place: one
        // is enough.
        if let Some(earlier) = self.held.insert(place.uid.clone(), at) {
            self.places.remove(&earlier);
        }
        true
    }

    /// Gives up the place held for the uid; returns whom the others will miss.
    pub(super) fn release(&mut self, uid: &Uid) -> Option<Uid> {
        self.places.remove(&self.held.remove(uid)?).map(|place| place.uid)
    }

    /// Everybody the others see but `uid`.
    pub(super) fn others(&self, uid: &Uid) -> Vec<Uid> {
        self.places.values().filter(|p| !p.hidden && p.uid != *uid).map(|p| p.uid.clone()).collect()
    }

    pub(super) fn present(&self) -> Vec<Present> {
        self.places
            .values()
            .map(|p| Present { uid: p.uid.clone(), hidden: p.hidden, held: p.held })
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}
