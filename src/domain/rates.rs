//! How often one household may do each of several things, such as to register, sign in and search:
//! who tries numbers or passwords, or fills the store with users, is slowed down. Each thing has an
//! allowance of its own, so that whoever has searched a lot can still sign in.
//!
//! Wrong passwords are counted besides, with the other sign-ins that fail
//! ([`attempts`](super::attempts)).
use std::{hash::Hash, net::IpAddr, sync::Mutex, time::Duration};

use quick_cache::unsync::Cache;
use tokio::time::Instant;

use crate::{
    household::household,
    lock::lock,
    pace::{Pace, Rate},
};

/// Allowances that are remembered; beyond that the least used is forgotten. Some 100 bytes each.
const MOST: usize = 1 << 15;

/// Who has done what of late. `A`: what is limited.
pub struct Rates<A> {
    rate: Rate,
    kept: Mutex<Cache<(IpAddr, A), Pace>>,
}

impl<A: Copy + Eq + Hash> Rates<A> {
    /// So often each, by household.
    pub fn new(rate: Rate) -> Self {
        Rates { rate, kept: Mutex::new(Cache::new(MOST)) }
    }

    /// Somebody from this address is about to do it once more.
    ///
    /// # Errors
    /// It may not yet: how long it has to wait at most.
    pub fn admit(&self, address: IpAddr, act: A, now: Instant) -> Result<(), Duration> {
        if self.rate.is_off() {
            return Ok(());
        }
        let (key, mut kept) = ((household(address), act), lock(&self.kept));
        let mut pace = kept.get(&key).cloned().unwrap_or_else(|| self.rate.into());
        let may = pace.admit(now);
        kept.insert(key, pace);
        if may { Ok(()) } else { Err(self.rate.window / self.rate.count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Eq, Hash)]
    enum Act {
        Register,
        LogIn,
        Search,
    }

    fn rates(count: u32) -> Rates<Act> {
        Rates::new(Rate { count, window: Duration::from_secs(60) })
    }

    #[test]
    fn each_household_has_an_allowance_for_each_act() {
        let (rates, now) = (rates(2), Instant::now());
        let [home, same, other] = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"];
        let may = |address: &str, act| rates.admit(address.parse().unwrap(), act, now).is_ok();
        assert!(may(home, Act::LogIn) && may(same, Act::LogIn));
        assert!(!may(home, Act::LogIn));
        assert!(may(other, Act::LogIn));
        assert!(may(home, Act::Search) && may(home, Act::Register));
    }

    #[test]
    fn who_has_waited_as_told_may_once_more() {
        let (rates, home, now) = (rates(2), "192.0.2.1".parse().unwrap(), Instant::now());
        assert!(rates.admit(home, Act::Register, now).is_ok());
        assert!(rates.admit(home, Act::Register, now).is_ok());
        let wait = rates.admit(home, Act::Register, now).unwrap_err();
        assert_eq!(wait, Duration::from_secs(30));
        assert!(rates.admit(home, Act::Register, now + wait).is_ok());
        assert!(rates.admit(home, Act::Register, now + wait).is_err());
    }

    #[test]
    fn off_is_any_number() {
        let (rates, home) = (Rates::new(Rate::default()), "192.0.2.1".parse().unwrap());
        assert!((0..1000).all(|_| rates.admit(home, Act::Search, Instant::now()).is_ok()));
    }
}
