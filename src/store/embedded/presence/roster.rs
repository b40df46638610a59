//! One room's places, in the order of joining. A user has one for its connections that are seen and
//! one for those that are hidden.
use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use crate::domain::{
    broker::Event,
    directory::Members,
    ids::{ConnectionId, Uid},
    presence::{Present, Visitor},
};

/// A place that somebody has, or that is held.
struct Place {
    /// As the others were told it: a number or a text.
    uid: Uid,
    hidden: bool,
    /// For the session that kicked out the one that was here. At most once: one is enough.
    held: bool,
    /// Those who are here.
    connections: Vec<ConnectionId>,
}

impl Place {
    /// How many the others see.
    fn seen(&self) -> u64 {
        self.connections.len() as u64 + u64::from(self.held)
    }

    fn present(&self) -> Present {
        Present {
            uid: self.uid.clone(),
            hidden: self.hidden,
            held: self.connections.is_empty(),
            connections: self.connections.len() as u64,
        }
    }
}

/// Who was taken out.
pub(super) struct Removed {
    pub(super) connections: Vec<ConnectionId>,
    /// Whether the others saw it.
    pub(super) seen: bool,
}

/// Who is gone, and how many of its connections are left that the others see.
pub(super) type Left = (Uid, u64);

/// A connection was taken out.
pub(super) struct Departed {
    /// Whom the others will miss; nobody, if it was hidden.
    pub(super) left: Option<Left>,
    /// Connections of its user that are left, hidden ones too.
    pub(super) connections: u64,
}

/// The places of a room. Entering and leaving cost the logarithm of their number.
#[derive(Default)]
pub(super) struct Roster {
    /// By a number that grows with each joining.
    places: BTreeMap<u64, Place>,
    next: u64,
    connections: HashMap<ConnectionId, u64>,
    /// The place of each user: the one that is seen, and the hidden one.
    seen: HashMap<Uid, u64>,
    hidden: HashMap<Uid, u64>,
    /// Places that are held.
    held: u64,
}

impl Roster {
    /// Lets the visitor in, or changes how it is there; returns what the others are told.
    pub(super) fn enter(&mut self, visitor: &Visitor) -> Option<Event> {
        let before = self.connections.get(&visitor.connection).copied();
        let was = before.and_then(|at| self.places.get(&at)).map(|place| place.hidden);
        if was == Some(visitor.hidden) {
            return None;
        }
        // Whoever becomes visible joins now, as the others see it.
        let left = self.depart(visitor.connection).and_then(|departed| departed.left);
        if visitor.hidden {
            self.join(visitor);
            return left.map(|(uid, connections)| Event::Gone { uid, connections });
        }
        let held = self.seen.get(&visitor.uid).and_then(|at| self.places.get_mut(at));
        if let Some(place) = held.filter(|place| place.held) {
            place.held = false;
            self.held -= 1;
            self.join(visitor);
            return None;
        }
        let connections = self.join(visitor);
        Some(Event::Joined { uid: visitor.uid.clone(), connections })
    }

    /// Puts the connection into its user's place; returns how many are seen there now.
    fn join(&mut self, visitor: &Visitor) -> u64 {
        let Roster { places, next, connections, seen, hidden, held: _ } = self;
        let users = if visitor.hidden { hidden } else { seen };
        let at = *users.entry(visitor.uid.clone()).or_insert_with(|| {
            let at = *next;
            *next += 1;
            at
        });
        connections.insert(visitor.connection, at);
        let place = places.entry(at).or_insert_with(|| Place {
            uid: visitor.uid.clone(),
            hidden: visitor.hidden,
            held: false,
            connections: Vec::with_capacity(1),
        });
        place.connections.push(visitor.connection);
        place.seen()
    }

    /// Frees the connection's place; nothing, if it had none.
    pub(super) fn depart(&mut self, connection: ConnectionId) -> Option<Departed> {
        let at = self.connections.remove(&connection)?;
        let place = self.places.get_mut(&at)?;
        place.connections.retain(|other| *other != connection);
        let uid = place.uid.clone();
        let left = (!place.hidden).then(|| (uid.clone(), place.seen()));
        self.vacate(at);
        Some(Departed { left, connections: self.count(&uid) })
    }

    /// The user's connections here, hidden ones too.
    pub(super) fn count(&self, uid: &Uid) -> u64 {
        let places = [self.seen.get(uid), self.hidden.get(uid)].into_iter().flatten();
        let places = places.filter_map(|at| self.places.get(at));
        places.map(|place| place.connections.len() as u64).sum()
    }

    /// Holds the connection's place for its uid; false if it has none that the others see.
    pub(super) fn hold(&mut self, connection: ConnectionId) -> bool {
        let Some(at) = self.connections.get(&connection) else { return false };
        let Some(place) = self.places.get_mut(at).filter(|p| !p.hidden) else { return false };
        place.connections.retain(|other| *other != connection);
        self.held += u64::from(!std::mem::replace(&mut place.held, true));
        self.connections.remove(&connection);
        true
    }

    /// Gives up the place held for the uid; returns whom the others will miss.
    pub(super) fn release(&mut self, uid: &Uid) -> Option<Left> {
        let at = *self.seen.get(uid)?;
        let place = self.places.get_mut(&at).filter(|place| place.held)?;
        place.held = false;
        self.held -= 1;
        let left = (place.uid.clone(), place.seen());
        self.vacate(at);
        Some(left)
    }

    /// Takes the user out with all that it has here; nothing, if that is nothing.
    pub(super) fn remove(&mut self, uid: &Uid) -> Option<Removed> {
        let (seen, hidden) = (self.seen.remove(uid), self.hidden.remove(uid));
        let places = [seen, hidden].into_iter().flatten();
        let connections: Vec<_> = places
            .filter_map(|at| self.places.remove(&at))
            .inspect(|place| self.held -= u64::from(place.held))
            .flat_map(|place| place.connections)
            .collect();
        connections.iter().for_each(|connection| {
            self.connections.remove(connection);
        });
        (seen.is_some() || hidden.is_some())
            .then_some(Removed { connections, seen: seen.is_some() })
    }

    /// A place that nobody has goes.
    fn vacate(&mut self, at: u64) {
        if self.places.get(&at).is_some_and(|place| place.seen() == 0)
            && let Some(place) = self.places.remove(&at)
        {
            let users = if place.hidden { &mut self.hidden } else { &mut self.seen };
            users.remove(&place.uid);
        }
    }

    /// Everybody the others see but `uid`.
    pub(super) fn others(&self, uid: &Uid) -> Vec<Uid> {
        self.places.values().filter(|p| !p.hidden && p.uid != *uid).map(|p| p.uid.clone()).collect()
    }

    /// Whether the others see this user.
    pub(super) fn shows(&self, uid: &str) -> bool {
        self.seen.contains_key(uid)
    }

    pub(super) fn present(&self) -> Vec<Present> {
        self.places.values().map(Place::present).collect()
    }

    /// Those behind this place, so many at most.
    pub(super) fn page(&self, after: Option<u64>, limit: usize) -> Members {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.places.range((from, Bound::Unbounded)).take(limit);
        Members {
            members: behind.map(|(at, place)| (*at, place.present())).collect(),
            total: self.places.len() as u64,
        }
    }

    /// Whether the user has anything here.
    pub(super) fn has(&self, uid: &Uid) -> bool {
        self.seen.contains_key(uid) || self.hidden.contains_key(uid)
    }

    /// Connections and held places.
    pub(super) fn len(&self) -> u64 {
        self.connections.len() as u64 + self.held
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}
