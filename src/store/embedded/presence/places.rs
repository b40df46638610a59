//! The places of a room, and how they are found: by their number, by a connection, by a user.
//!
//! Most rooms have few, and many have one: that of a user's own connections. There a list is looked
//! through, and takes what is in it. Where there are more, each way has a map of its own.
use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use crate::domain::{
    ids::{ConnectionId, Uid},
    presence::Present,
};

/// Most places of a list.
const FEW: usize = 8;

/// A place that somebody has, or that is held.
pub(super) struct Place {
    /// As the others were told it: a number or a text.
    pub(super) uid: Uid,
    pub(super) hidden: bool,
    /// For the session that kicked out the one that was here. At most once: one is enough.
    pub(super) held: bool,
    /// Those who are here.
    pub(super) connections: Vec<ConnectionId>,
}

impl Place {
    /// How many the others see.
    pub(super) fn seen(&self) -> u64 {
        self.connections.len() as u64 + u64::from(self.held)
    }

    pub(super) fn present(&self) -> Present {
        Present {
            uid: self.uid.clone(),
            hidden: self.hidden,
            held: self.connections.is_empty(),
            connections: self.connections.len() as u64,
        }
    }
}

/// Places by their number, which grows with each joining.
pub(super) enum Places {
    /// Sorted by their number.
    Few(Vec<(u64, Place)>),
    /// As there have been more than a few.
    Many(Box<Many>),
}

#[derive(Default)]
pub(super) struct Many {
    places: BTreeMap<u64, Place>,
    connections: HashMap<ConnectionId, u64>,
    /// The place of each user: the one that is seen, and the hidden one.
    seen: HashMap<Uid, u64>,
    hidden: HashMap<Uid, u64>,
}

impl Many {
    fn users(&mut self, hidden: bool) -> &mut HashMap<Uid, u64> {
        if hidden { &mut self.hidden } else { &mut self.seen }
    }

    fn insert(&mut self, at: u64, place: Place) {
        self.users(place.hidden).insert(place.uid.clone(), at);
        self.connections.extend(place.connections.iter().map(|connection| (*connection, at)));
        self.places.insert(at, place);
    }
}

impl Default for Places {
    fn default() -> Self {
        Places::Few(Vec::new())
    }
}

impl Places {
    /// The number of the connection's place.
    pub(super) fn of(&self, connection: ConnectionId) -> Option<u64> {
        match self {
            Places::Few(places) => {
                let has = |place: &Place| place.connections.contains(&connection);
                places.iter().find(|(_, place)| has(place)).map(|(at, _)| *at)
            }
            Places::Many(many) => many.connections.get(&connection).copied(),
        }
    }

    /// The number of the user's place, of the one that is seen or of the hidden one.
    pub(super) fn of_user(&self, uid: &str, hidden: bool) -> Option<u64> {
        match self {
            Places::Few(places) => {
                let is_it = |place: &Place| place.hidden == hidden && place.uid.as_str() == uid;
                places.iter().find(|(_, place)| is_it(place)).map(|(at, _)| *at)
            }
            Places::Many(many) => {
                let users = if hidden { &many.hidden } else { &many.seen };
                users.get(uid).copied()
            }
        }
    }

    pub(super) fn get(&self, at: u64) -> Option<&Place> {
        match self {
            Places::Few(places) => {
                places.iter().find(|(number, _)| *number == at).map(|(_, place)| place)
            }
            Places::Many(many) => many.places.get(&at),
        }
    }

    /// A place, whose user and connections stay: those are changed by the others.
    pub(super) fn get_mut(&mut self, at: u64) -> Option<&mut Place> {
        match self {
            Places::Few(places) => {
                places.iter_mut().find(|(number, _)| *number == at).map(|(_, place)| place)
            }
            Places::Many(many) => many.places.get_mut(&at),
        }
    }

    /// Adds a place behind all others.
    pub(super) fn push(&mut self, at: u64, place: Place) {
        match self {
            Places::Few(places) if places.len() < FEW => {
                places.reserve_exact(1);
                places.push((at, place));
            }
            Places::Few(places) => {
                let mut many = Box::<Many>::default();
                places.drain(..).for_each(|(at, place)| many.insert(at, place));
                many.insert(at, place);
                *self = Places::Many(many);
            }
            Places::Many(many) => many.insert(at, place),
        }
    }

    /// Puts a connection into a place.
    pub(super) fn put(&mut self, at: u64, connection: ConnectionId) {
        if let Places::Many(many) = self {
            many.connections.insert(connection, at);
        }
        if let Some(place) = self.get_mut(at) {
            place.connections.push(connection);
        }
    }

    /// Takes a connection out of its place.
    pub(super) fn take(&mut self, at: u64, connection: ConnectionId) {
        if let Places::Many(many) = self {
            many.connections.remove(&connection);
        }
        if let Some(place) = self.get_mut(at) {
            place.connections.retain(|other| *other != connection);
        }
    }

    /// Takes a place away, with those who are there.
    pub(super) fn remove(&mut self, at: u64) -> Option<Place> {
        match self {
            Places::Few(places) => {
                let index = places.iter().position(|(number, _)| *number == at)?;
                Some(places.remove(index).1)
            }
            Places::Many(many) => {
                let place = many.places.remove(&at)?;
                many.users(place.hidden).remove(&place.uid);
                place.connections.iter().for_each(|connection| {
                    many.connections.remove(connection);
                });
                Some(place)
            }
        }
    }

    /// All of them behind this number, in their order.
    pub(super) fn behind(
        &self,
        after: Option<u64>,
    ) -> Box<dyn Iterator<Item = (u64, &Place)> + '_> {
        match self {
            Places::Few(places) => Box::new(
                places
                    .iter()
                    .filter(move |(at, _)| after.is_none_or(|after| *at > after))
                    .map(|(at, place)| (*at, place)),
            ),
            Places::Many(many) => {
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                let behind = many.places.range((from, Bound::Unbounded));
                Box::new(behind.map(|(at, place)| (*at, place)))
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Places::Few(places) => places.len(),
            Places::Many(many) => many.places.len(),
        }
    }

    /// Connections in all of them.
    pub(super) fn connections(&self) -> u64 {
        match self {
            Places::Few(places) => {
                places.iter().map(|(_, place)| place.connections.len() as u64).sum()
            }
            Places::Many(many) => many.connections.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_found_alike() {
        let mut places = Places::default();
        let uid = |n: u64| Uid::text(&format!("u{n}")).unwrap();
        for n in 0..20 {
            let place = Place {
                uid: uid(n),
                hidden: n % 3 == 0,
                held: false,
                connections: vec![ConnectionId(n)],
            };
            places.push(n, place);
            places.put(n, ConnectionId(100 + n));
            assert_eq!(matches!(places, Places::Few(_)), n < FEW as u64);
            for n in 0..=n {
                let is_hidden = n % 3 == 0;
                assert_eq!(places.of_user(&format!("u{n}"), is_hidden), Some(n));
                assert_eq!(places.of_user(&format!("u{n}"), !is_hidden), None);
                let of = [n, 100 + n].map(|n| places.of(ConnectionId(n)));
                assert_eq!(of, [Some(n), Some(n)]);
            }
            assert_eq!((places.len() as u64, places.connections()), (n + 1, 2 * (n + 1)));
        }
        let behind: Vec<u64> = places.behind(Some(16)).map(|(at, _)| at).collect();
        assert_eq!(behind, [17, 18, 19]);
        places.take(3, ConnectionId(3));
        assert_eq!(places.of(ConnectionId(3)), None);
        let removed = places.remove(3).unwrap();
        assert_eq!((removed.uid, removed.connections), (uid(3), vec![ConnectionId(103)]));
        assert!(places.of(ConnectionId(103)).is_none() && places.of_user("u3", true).is_none());
        assert_eq!((places.len(), places.connections()), (19, 38));
    }
}
