//! Sign-ins that fail. Who tries tokens is slowed down: after so many failures within a time, the
//! next sign-ins are refused without the credentials being looked at, for a time that doubles with
//! each further failure.
//!
//! Failures are counted by address and, of those, by account. By account alone anybody could keep a
//! user out by failing in its name, so they never are: a user who comes from elsewhere is let in
//! whatever others do. Addresses are those of households ([`household`]). What is kept is bounded,
//! and given up when it is old.
use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Mutex,
    time::Duration,
};

use quick_cache::unsync::Cache;
use tokio::time::Instant;

use super::token::Realm;
use crate::{household::household, lock::lock, pace::Rate};

/// Records of failures; beyond that the least used is forgotten. Some 100 bytes each.
const MOST: usize = 1 << 15;
/// How long sign-ins are refused at first, and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// Doublings from the first to beyond the longest.
const DOUBLINGS: u32 = 9;

/// Failures that are borne, as they are set now. By default any number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tolerance {
    /// Of one account, from one address.
    pub per_account: Rate,
    /// Of all accounts, from one address.
    pub per_address: Rate,
}

impl Tolerance {
    fn is_off(self) -> bool {
        self.per_account.is_off() && self.per_address.is_off()
    }
}

/// Whose failures: those of an address, or of one account from there. Of the account its hash is
/// kept: who is mistaken for another one is slowed down without a cause, at one address.
type Key = (IpAddr, Option<u64>);

/// Who has failed of late.
#[derive(Default)]
pub struct Attempts {
    kept: Mutex<Kept>,
    hashes: RandomState,
}

#[derive(Default)]
struct Kept {
    tolerance: Tolerance,
    /// None: nobody has failed.
    records: Option<Cache<Key, Record>>,
}

/// Failures.
#[derive(Debug, Clone, Copy)]
struct Record {
    failures: u32,
    /// When the first of them was.
    since: Instant,
    /// Until then nobody is let in.
    until: Option<Instant>,
}

impl Record {
    /// Whether it says nothing any more.
    fn is_over(&self, rate: Rate, now: Instant) -> bool {
        match self.until {
            None => now.saturating_duration_since(self.since) > rate.window,
            Some(until) => now.saturating_duration_since(until) > LONGEST,
        }
    }

    /// One more. Those that were under way when the wait began are of the same moment, and make it
    /// no longer.
    fn fail(before: Option<Record>, rate: Rate, now: Instant) -> Record {
        let before = before.filter(|record| !record.is_over(rate, now));
        let mut record = before.unwrap_or(Record { failures: 0, since: now, until: None });
        if record.until.is_some_and(|until| until > now) {
            return record;
        }
        record.failures = record.failures.saturating_add(1);
        if let Some(beyond) = record.failures.checked_sub(rate.count) {
            let pause = FIRST.saturating_mul(1 << beyond.min(DOUBLINGS));
            record.until = Some(now + pause.min(LONGEST));
        }
        record
    }
}

/// Whole seconds after which such a wait is over: what `Retry-After` says.
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl Attempts {
    /// Bears this many failures from now on. What was counted is forgotten, unless that is what was
    /// borne before.
    pub fn tolerate(&self, tolerance: Tolerance) {
        let mut kept = lock(&self.kept);
        if kept.tolerance != tolerance {
            *kept = Kept { tolerance, records: None };
        }
    }

    /// Whether failures are counted at all: else nobody needs to know where clients come from.
    pub fn are_counted(&self) -> bool {
        !lock(&self.kept).tolerance.is_off()
    }

    /// Somebody from this address wants to sign in to this account.
    ///
    /// # Errors
    /// Too many have failed: how long it has to wait.
    pub fn may(
        &self,
        address: IpAddr,
        realm: Realm,
        account: &str,
        now: Instant,
    ) -> Result<(), Duration> {
        let kept = lock(&self.kept);
        let Some(records) = &kept.records else { return Ok(()) };
        let wait = self.keys(address, realm, account).into_iter().filter_map(|key| {
            let until = records.get(&key)?.until?;
            Some(until.saturating_duration_since(now))
        });
        wait.max().filter(|wait| !wait.is_zero()).map_or(Ok(()), Err)
    }

    /// Its credentials were wrong.
    pub fn failed(&self, address: IpAddr, realm: Realm, account: &str, now: Instant) {
        let mut kept = lock(&self.kept);
        let Kept { tolerance, records } = &mut *kept;
        let rates = [tolerance.per_address, tolerance.per_account];
        for (key, rate) in self.keys(address, realm, account).into_iter().zip(rates) {
            if !rate.is_off() {
                let records = records.get_or_insert_with(|| Cache::new(MOST));
                let record = Record::fail(records.get(&key).copied(), rate, now);
                records.insert(key, record);
            }
        }
    }

    /// They were right: the account has failed no more. Its address has, as there others may be,
    /// and who tries tokens may have one of its own.
    pub fn succeeded(&self, address: IpAddr, realm: Realm, account: &str) {
        if let Some(records) = &mut lock(&self.kept).records {
            let [_, account] = self.keys(address, realm, account);
            records.remove(&account);
        }
    }

    /// Records that are kept.
    pub fn records(&self) -> usize {
        lock(&self.kept).records.as_ref().map_or(0, Cache::len)
    }

    fn keys(&self, address: IpAddr, realm: Realm, account: &str) -> [Key; 2] {
        let address = household(address);
        [(address, None), (address, Some(self.hashes.hash_one((realm, account))))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn attempts(per_account: u32, per_address: u32) -> Attempts {
        let rate = |count| Rate { count, window: WINDOW };
        let attempts = Attempts::default();
        attempts
            .tolerate(Tolerance { per_account: rate(per_account), per_address: rate(per_address) });
        attempts
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn after_too_many_failures_the_wait_doubles_up_to_five_minutes() {
        let (attempts, home, mut now) = (attempts(3, 0), ip("192.0.2.1"), Instant::now());
        let may = |now| attempts.may(home, Realm::User, "anna", now);
        let fail = |now| attempts.failed(home, Realm::User, "anna", now);
        fail(now);
        fail(now);
        assert_eq!(may(now), Ok(()), "two are borne");
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            fail(now);
            assert_eq!(may(now), Err(Duration::from_secs(seconds)));
            now += Duration::from_secs(seconds);
            assert_eq!(may(now), Ok(()), "one more try");
        }
        now += LONGEST + Duration::from_secs(1);
        fail(now);
        assert_eq!(may(now), Ok(()), "it begins anew");
    }

    #[test]
    fn failures_that_were_under_way_together_make_the_wait_no_longer() {
        let (attempts, home, mut now) = (attempts(3, 0), ip("192.0.2.1"), Instant::now());
        for seconds in [1, 2] {
            for _ in 0..20 {
                attempts.failed(home, Realm::User, "anna", now);
            }
            let wait = Duration::from_secs(seconds);
            assert_eq!(attempts.may(home, Realm::User, "anna", now), Err(wait));
            now += wait;
        }
    }

    #[test]
    fn failures_that_are_far_apart_are_borne() {
        let (attempts, home, mut now) = (attempts(2, 0), ip("192.0.2.1"), Instant::now());
        for _ in 0..10 {
            attempts.failed(home, Realm::User, "anna", now);
            assert_eq!(attempts.may(home, Realm::User, "anna", now), Ok(()));
            now += WINDOW + Duration::from_secs(1);
        }
    }

    #[test]
    fn nobody_keeps_a_user_out_who_comes_from_elsewhere() {
        let (attempts, now) = (attempts(1, 3), Instant::now());
        let may = |address, account| attempts.may(ip(address), Realm::User, account, now).is_ok();
        let fail = |account| attempts.failed(ip("2001:db8::1"), Realm::User, account, now);
        fail("anna");
        assert!(!may("2001:db8::2", "anna"), "one household is one");
        assert!(may("2001:db8:0:1::1", "anna"));
        assert!(may("2001:db8::1", "ben"), "another user of the same household");
        assert!(attempts.may(ip("2001:db8::1"), Realm::Admin, "anna", now).is_ok());
        fail("carl");
        fail("dora");
        assert!(!may("2001:db8::1", "ben"), "the household has tried too many");
        assert!(may("2001:db8:0:1::1", "ben"));
    }

    #[test]
    fn a_success_clears_the_account_and_not_what_its_address_has_tried() {
        let (attempts, home, now) = (attempts(2, 3), ip("192.0.2.1"), Instant::now());
        let fail = |account| attempts.failed(home, Realm::User, account, now);
        fail("anna");
        attempts.succeeded(home, Realm::User, "anna");
        assert_eq!(attempts.records(), 1, "the address");
        fail("anna");
        assert!(attempts.may(home, Realm::User, "anna", now).is_ok());
        attempts.succeeded(home, Realm::User, "mallory");
        fail("ben");
        assert!(attempts.may(home, Realm::User, "carl", now).is_err());
    }

    #[test]
    fn what_is_kept_is_bounded_and_nothing_where_nothing_is_set() {
        let (bounded, now) = (attempts(1, 0), Instant::now());
        for number in 0..2 * MOST {
            bounded.failed(ip("192.0.2.1"), Realm::User, &number.to_string(), now);
        }
        assert!(bounded.records() <= MOST);
        assert!(bounded.are_counted());
        bounded.tolerate(Tolerance::default());
        assert_eq!((bounded.records(), bounded.are_counted()), (0, false));
        bounded.failed(ip("192.0.2.1"), Realm::User, "anna", now);
        assert_eq!(bounded.records(), 0);
    }
}
