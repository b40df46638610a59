//! One room's places, in the order of joining. A user has one for its connections that are seen and
//! one for those that are hidden.
use super::places::{Place, Places};
use crate::domain::{
    broker::Event,
    directory::Members,
    ids::{ConnectionId, Uid},
    presence::{Present, Visitor},
};

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
    places: Places,
    next: u64,
    /// Places that are held.
    held: u64,
}

impl Roster {
    /// Lets the visitor in, or changes how it is there; returns what the others are told.
    pub(super) fn enter(&mut self, visitor: &Visitor) -> Option<Event> {
        let before = self.places.of(visitor.connection);
        let was = before.and_then(|at| self.places.get(at)).map(|place| place.hidden);
        if was == Some(visitor.hidden) {
            return None;
        }
        // Whoever becomes visible joins now, as the others see it.
        let left = self.depart(visitor.connection).and_then(|departed| departed.left);
        if visitor.hidden {
            self.join(visitor);
            return left.map(|(uid, connections)| Event::Gone { uid, connections });
        }
        let seen = self.places.of_user(visitor.uid.as_str(), false);
        let held = seen.and_then(|at| self.places.get_mut(at));
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
        let at = match self.places.of_user(visitor.uid.as_str(), visitor.hidden) {
            Some(at) => {
                self.places.put(at, visitor.connection);
                at
            }
            None => {
                let at = self.next;
                self.next += 1;
                let place = Place {
                    uid: visitor.uid.clone(),
                    hidden: visitor.hidden,
                    held: false,
                    connections: vec![visitor.connection],
                };
                self.places.push(at, place);
                at
            }
        };
        self.places.get(at).map_or(1, Place::seen)
    }

    /// Frees the connection's place; nothing, if it had none.
    pub(super) fn depart(&mut self, connection: ConnectionId) -> Option<Departed> {
        let at = self.places.of(connection)?;
        self.places.take(at, connection);
        let place = self.places.get(at)?;
        let uid = place.uid.clone();
        let left = (!place.hidden).then(|| (uid.clone(), place.seen()));
        self.vacate(at);
        Some(Departed { left, connections: self.count(&uid) })
    }

    /// The user's connections here, hidden ones too.
    pub(super) fn count(&self, uid: &Uid) -> u64 {
        let places = [false, true].map(|hidden| self.places.of_user(uid.as_str(), hidden));
        let places = places.into_iter().flatten().filter_map(|at| self.places.get(at));
        places.map(|place| place.connections.len() as u64).sum()
    }

    /// Holds the connection's place for its uid; false if it has none that the others see.
    pub(super) fn hold(&mut self, connection: ConnectionId) -> bool {
        let Some(at) = self.places.of(connection) else { return false };
        let Some(place) = self.places.get_mut(at).filter(|p| !p.hidden) else { return false };
        self.held += u64::from(!std::mem::replace(&mut place.held, true));
        self.places.take(at, connection);
        true
    }

    /// Gives up the place held for the uid; returns whom the others will miss.
    pub(super) fn release(&mut self, uid: &Uid) -> Option<Left> {
        let at = self.places.of_user(uid.as_str(), false)?;
        let place = self.places.get_mut(at).filter(|place| place.held)?;
        place.held = false;
        self.held -= 1;
        let left = (place.uid.clone(), place.seen());
        self.vacate(at);
        Some(left)
    }

    /// Takes the user out with all that it has here; nothing, if that is nothing.
    pub(super) fn remove(&mut self, uid: &Uid) -> Option<Removed> {
        let [seen, hidden] = [false, true].map(|hidden| {
            let at = self.places.of_user(uid.as_str(), hidden)?;
            self.places.remove(at)
        });
        let is_seen = seen.is_some();
        let places: Vec<Place> = [seen, hidden].into_iter().flatten().collect();
        self.held -= places.iter().filter(|place| place.held).count() as u64;
        let is_there = !places.is_empty();
        let connections = places.into_iter().flat_map(|place| place.connections).collect();
        is_there.then_some(Removed { connections, seen: is_seen })
    }

    /// A place that nobody has goes.
    fn vacate(&mut self, at: u64) {
        if self.places.get(at).is_some_and(|place| place.seen() == 0) {
            self.places.remove(at);
        }
    }

    /// Everybody the others see but `uid`.
    pub(super) fn others(&self, uid: &Uid) -> Vec<Uid> {
        let places = self.places.behind(None).map(|(_, place)| place);
        places.filter(|p| !p.hidden && p.uid != *uid).map(|p| p.uid.clone()).collect()
    }

    /// Whether the others see this user.
    pub(super) fn shows(&self, uid: &str) -> bool {
        self.places.of_user(uid, false).is_some()
    }

    pub(super) fn present(&self) -> Vec<Present> {
        self.places.behind(None).map(|(_, place)| place.present()).collect()
    }

    /// Those behind this place, so many at most.
    pub(super) fn page(&self, after: Option<u64>, limit: usize) -> Members {
        let behind = self.places.behind(after).take(limit);
        Members {
            members: behind.map(|(at, place)| (at, place.present())).collect(),
            total: self.places.len() as u64,
        }
    }

    /// Whether the user has anything here.
    pub(super) fn has(&self, uid: &Uid) -> bool {
        [false, true].iter().any(|hidden| self.places.of_user(uid.as_str(), *hidden).is_some())
    }

    /// Connections and held places.
    pub(super) fn len(&self) -> u64 {
        self.places.connections() + self.held
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.len() == 0
    }
}
