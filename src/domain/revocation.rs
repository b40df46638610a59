//! Which JSON Web Tokens of a user are revoked. There is one record for each user of whom any ever
//! was.
//!
//! A token that says when it was issued (`iat`) is expired after the longest lifetime, and nobody
//! needs to know of it any more. One that does not say so may be as old as can be: it is accepted in
//! the last part of its life, however long that was, so a revocation of it has no end. It counts as
//! issued before every revocation of its user. The record has no end for this reason; names of
//! tokens, of which there may be many, are forgotten above a bound.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    access::Rights,
    error::StoreError,
    ids::Uid,
    records::{Collection, Expect, Put, Records},
};

const REVOCATIONS: Collection = Collection::new("revocations", &[]);
/// Most tokens of one user that are revoked by their names. With more all of them are.
const MOST: usize = 1000;
/// Most names of a user whose time is over, so that only tokens without an issue are concerned. With
/// more all of those are revoked.
const MOST_OVER: usize = 100;
/// Most bytes of names of one user, as [`MOST`]. Together they have to fit into a record.
const MOST_BYTES: usize = 128 << 10;
/// How often a writing is tried that others come before.
const ATTEMPTS: usize = 16;

/// Tokens of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation<'a> {
    /// Those that were issued before this second, or do not say when.
    pub issued_before: Option<u64>,
    /// The one of this name.
    pub jti: Option<&'a str>,
}

/// A record.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Revoked {
    /// As [`Revocation::issued_before`]; 0: none. At 1 it concerns tokens without an issue alone.
    before: u64,
    /// Names of tokens, each with the second when its time is over: those that were issued before are
    /// expired then, and one that is issued later has nothing to do with them.
    tokens: BTreeMap<String, u64>,
}

impl Revoked {
    fn add(&mut self, revocation: Revocation<'_>, now: u64, until: u64) {
        if let Some(before) = revocation.issued_before {
            self.before = self.before.max(before).max(1);
        }
        if let Some(jti) = revocation.jti {
            self.tokens.insert(jti.to_owned(), until);
        }
        self.forget(now);
        let bytes: usize = self.tokens.keys().map(String::len).sum();
        if self.tokens.len() > MOST || bytes > MOST_BYTES {
            self.tokens.clear();
            self.before = self.before.max(now.saturating_add(1));
        }
    }

    /// Forgets the oldest of the names whose time is over, if those are too many.
    fn forget(&mut self, now: u64) {
        let mut over: Vec<u64> = self.tokens.values().copied().filter(|at| *at <= now).collect();
        if over.len() > MOST_OVER {
            over.sort_unstable();
            let last = over[over.len() - MOST_OVER - 1];
            self.tokens.retain(|_, until| *until > last);
            self.before = self.before.max(1);
        }
    }

    fn covers(&self, rights: &Rights) -> bool {
        let until = rights.jti.as_deref().and_then(|jti| self.tokens.get(jti));
        match rights.issued_at {
            Some(at) => at < self.before || until.is_some_and(|until| at < *until),
            None => self.before > 0 || until.is_some(),
        }
    }
}

/// Notes a revocation. From `until` on tokens that were issued by now are expired, if they say when
/// that was. Times are Unix seconds.
///
/// # Errors
/// The store does not answer, or others write the same record all the time.
pub(crate) async fn note(
    records: &dyn Records,
    uid: &Uid,
    revocation: Revocation<'_>,
    now: u64,
    until: u64,
) -> Result<(), StoreError> {
    for _ in 0..ATTEMPTS {
        let known = records.get(&REVOCATIONS, uid.as_str()).await?;
        let expect = known.as_ref().map_or(Expect::New, |record| Expect::Version(record.version));
        let mut revoked = match &known {
            Some(record) => read(&record.body)?,
            None => Revoked::default(),
        };
        revoked.add(revocation, now, until);
        let body = serde_json::to_vec(&revoked).map_err(|e| unusable(&e))?;
        let put = records.put(&REVOCATIONS, uid.as_str(), body.into(), expect, None).await?;
        match put {
            Put::Done { .. } => return Ok(()),
            Put::Conflict { .. } => {}
            Put::Invalid(why) => return Err(StoreError::Unavailable(why.to_string())),
        }
    }
    Err(StoreError::Unavailable("a revocation is written by many at once".to_owned()))
}

/// Whether the token that gave these rights is revoked.
///
/// # Errors
/// The store does not answer, or what is there can't be read: then nobody knows.
pub(crate) async fn covers(
    records: &dyn Records,
    uid: &Uid,
    rights: &Rights,
) -> Result<bool, StoreError> {
    match records.get(&REVOCATIONS, uid.as_str()).await? {
        Some(record) => Ok(read(&record.body)?.covers(rights)),
        None => Ok(false),
    }
}

fn read(body: &[u8]) -> Result<Revoked, StoreError> {
    serde_json::from_slice(body).map_err(|error| unusable(&error))
}

fn unusable(error: &serde_json::Error) -> StoreError {
    StoreError::Unavailable(format!("a record of revocations can't be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::records::MAX_BODY;

    fn token(issued_at: Option<u64>, jti: Option<&str>) -> Rights {
        Rights { issued_at, jti: jti.map(Into::into), ..Rights::default() }
    }

    #[test]
    fn tokens_are_revoked_by_their_issue_and_by_their_names() {
        let mut revoked = Revoked::default();
        assert!(!revoked.covers(&token(None, None)));
        revoked.add(Revocation { issued_before: None, jti: Some("a") }, 100, 200);
        for (token, expected) in [
            (token(Some(150), Some("a")), true),
            (token(None, Some("a")), true),
            (token(Some(1), Some("b")), false),
            (token(None, None), false),
        ] {
            assert_eq!(revoked.covers(&token), expected, "{token:?}");
        }
        revoked.add(Revocation { issued_before: Some(150), jti: None }, 100, 200);
        revoked.add(Revocation { issued_before: Some(120), jti: None }, 100, 200);
        for (issued_at, expected) in [(Some(149), true), (Some(150), false), (None, true)] {
            assert_eq!(revoked.covers(&token(issued_at, None)), expected, "{issued_at:?}");
        }
    }

    #[test]
    fn a_token_without_an_issue_is_older_than_every_revocation() {
        let undated = |jti| token(None, jti);
        for issued_before in [0, 1, 150] {
            let mut revoked = Revoked::default();
            revoked.add(Revocation { issued_before: Some(issued_before), jti: None }, 100, 200);
            assert!(revoked.covers(&undated(None)) && revoked.covers(&undated(Some("a"))));
        }
        // By its name, which is of no other token, for ever.
        let mut revoked = Revoked::default();
        revoked.add(Revocation { issued_before: None, jti: Some("a") }, 100, 200);
        revoked.add(Revocation { issued_before: None, jti: Some("b") }, 5000, 5100);
        assert!(revoked.covers(&undated(Some("a"))) && !revoked.covers(&undated(Some("c"))));
        assert!(!revoked.covers(&undated(None)));
    }

    #[test]
    fn a_name_may_be_used_again_when_its_time_is_over() {
        let mut revoked = Revoked::default();
        revoked.add(Revocation { issued_before: None, jti: Some("phone") }, 100, 200);
        for (issued_at, expected) in [(50, true), (199, true), (200, false), (300, false)] {
            let phone = token(Some(issued_at), Some("phone"));
            assert_eq!(revoked.covers(&phone), expected, "{issued_at}");
        }
    }

    #[test]
    fn old_names_are_bounded_and_the_oldest_are_forgotten_to_the_safe_side() {
        let mut revoked = Revoked::default();
        for i in 0..=MOST_OVER as u64 {
            let jti = i.to_string();
            revoked.add(Revocation { issued_before: None, jti: Some(&jti) }, i, i + 10);
        }
        assert!(!revoked.covers(&token(None, Some("other"))));
        revoked.add(Revocation { issued_before: None, jti: Some("new") }, 5000, 5010);
        assert_eq!(revoked.tokens.len(), MOST_OVER + 1, "and the new one");
        assert!(!revoked.tokens.contains_key("0") && revoked.tokens.contains_key("1"));
        assert!(revoked.covers(&token(None, Some("0"))) && revoked.covers(&token(None, None)));
        assert!(!revoked.covers(&token(Some(4990), Some("other"))), "that was no revocation");
    }

    #[test]
    fn too_many_names_revoke_all() {
        let mut revoked = Revoked::default();
        revoked.add(Revocation { issued_before: None, jti: Some("new") }, 200, 300);
        for i in 0..MOST {
            let jti = i.to_string();
            revoked.add(Revocation { issued_before: None, jti: Some(&jti) }, 200, 300);
        }
        assert!(revoked.covers(&token(Some(200), Some("new"))), "by its issue now");
        assert!(revoked.tokens.is_empty());
    }

    #[test]
    fn what_is_known_of_a_user_fits_into_a_record() {
        let mut revoked = Revoked::default();
        for i in 0..MOST {
            let jti = format!("{i}{}", "\u{1}".repeat(2000));
            revoked.add(Revocation { issued_before: None, jti: Some(&jti) }, 200, 300);
            assert!(serde_json::to_vec(&revoked).unwrap().len() <= MAX_BODY);
        }
        assert!(revoked.covers(&token(Some(200), None)), "all are revoked");
    }
}
