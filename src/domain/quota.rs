//! How many rooms one connection may be in, and how fast it may come into them. Whoever joins
//! makes the store put a roster together, and tells everybody in the room: who does that all the
//! time is refused, and nobody else notices.
//!
//! A dialect asks before it calls [`Hub::enter`](super::hub::Hub::enter), with what it knows of the
//! connection: [`Hub::may_enter`](super::hub::Hub::may_enter).
use tokio::time::Instant;

use crate::{
    pace::{Pace, Rate},
    reason::Label,
};

/// What one connection may do, as it is set now. By default anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// How often it may join, a room that it is in already too.
    pub joins: Rate,
    /// How often it may join a room that is not there: that has no member on this node.
    pub new_rooms: Rate,
    /// In how many rooms it may be; `None`: in any number.
    pub rooms: Option<usize>,
}

/// Why a join is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// The connection joins too often.
    Joins,
    /// It makes rooms too often.
    NewRooms,
    /// It is in as many rooms as it may be.
    Rooms,
}

impl Excess {
    /// All of them.
    pub const ALL: [Excess; 3] = [Excess::Joins, Excess::NewRooms, Excess::Rooms];
}

impl Label for Excess {
    fn label(self) -> &'static str {
        match self {
            Excess::Joins => "joins",
            Excess::NewRooms => "new rooms",
            Excess::Rooms => "rooms per connection",
        }
    }
}

/// What a connection has used up. It takes no memory until a rate is set.
#[derive(Debug, Default)]
pub struct Used(Option<Box<Paces>>);

#[derive(Debug)]
struct Paces {
    /// What they were made of: others begin anew.
    of: Quotas,
    joins: Pace,
    new_rooms: Pace,
}

impl Used {
    /// The connection, which is in `rooms` others, is about to join a room. `is_new`: whether that
    /// is not there yet. Who is refused uses nothing up.
    pub(super) fn join(
        &mut self,
        quotas: Quotas,
        rooms: usize,
        is_new: impl FnOnce() -> bool,
        now: Instant,
    ) -> Result<(), Excess> {
        if quotas.rooms.is_some_and(|most| rooms >= most) {
            return Err(Excess::Rooms);
        }
        if quotas.joins.is_off() && quotas.new_rooms.is_off() {
            self.0 = None;
            return Ok(());
        }
        let fresh = || {
            let (joins, new_rooms) = (quotas.joins.into(), quotas.new_rooms.into());
            Box::new(Paces { of: quotas, joins, new_rooms })
        };
        let paces = match &mut self.0 {
            Some(paces) if paces.of == quotas => paces,
            other => other.insert(fresh()),
        };
        if !paces.joins.would_admit(now) {
            return Err(Excess::Joins);
        }
        if !quotas.new_rooms.is_off() && is_new() && !paces.new_rooms.admit(now) {
            return Err(Excess::NewRooms);
        }
        paces.joins.admit(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rate(count: u32) -> Rate {
        Rate { count, window: Duration::from_secs(10) }
    }

    #[test]
    fn metrics_know_every_reason() {
        let words = Excess::ALL.map(|excess| excess.label());
        assert_eq!(words, crate::metrics::words::JOIN_REFUSALS);
    }

    #[test]
    fn who_joins_too_often_waits_and_may_then_join_again() {
        let (begin, mut used) = (Instant::now(), Used::default());
        let quotas = Quotas { joins: rate(2), ..Quotas::default() };
        let mut at = |seconds| used.join(quotas, 0, || true, begin + Duration::from_secs(seconds));
        assert_eq!(
            [0, 0, 0, 4].map(&mut at),
            [Ok(()), Ok(()), Err(Excess::Joins), Err(Excess::Joins)]
        );
        assert_eq!([5, 5].map(&mut at), [Ok(()), Err(Excess::Joins)]);
    }

    #[test]
    fn rooms_that_are_there_are_no_new_ones() {
        let (now, mut used) = (Instant::now(), Used::default());
        let quotas = Quotas { new_rooms: rate(1), ..Quotas::default() };
        let mut join = |new| used.join(quotas, 0, || new, now);
        assert_eq!(
            [false, true, true, false].map(&mut join),
            [Ok(()), Ok(()), Err(Excess::NewRooms), Ok(())]
        );
    }

    #[test]
    fn who_is_refused_a_room_uses_nothing_up() {
        let (now, mut used) = (Instant::now(), Used::default());
        let quotas = Quotas { joins: rate(2), new_rooms: rate(1), rooms: Some(3) };
        for (rooms, new, outcome) in [
            (3, true, Err(Excess::Rooms)),
            (2, true, Ok(())),
            (2, true, Err(Excess::NewRooms)),
            (2, false, Ok(())),
            (2, false, Err(Excess::Joins)),
        ] {
            assert_eq!(used.join(quotas, rooms, || new, now), outcome, "{rooms} {new}");
        }
    }

    #[test]
    fn quotas_that_change_begin_anew_and_without_a_rate_nothing_is_kept() {
        let (now, mut used) = (Instant::now(), Used::default());
        let quotas = |count| Quotas { joins: rate(count), ..Quotas::default() };
        assert_eq!(used.join(quotas(1), 0, || true, now), Ok(()));
        assert_eq!(used.join(quotas(1), 0, || true, now), Err(Excess::Joins));
        assert_eq!(used.join(quotas(2), 0, || true, now), Ok(()));
        assert!(used.0.is_some());
        assert_eq!(used.join(Quotas::default(), 9999, || true, now), Ok(()));
        assert!(used.0.is_none());
    }
}
