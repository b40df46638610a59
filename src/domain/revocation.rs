//! Which JSON Web Tokens of a user are revoked. There is one record for each such user, which is kept
//! for as long as one of the tokens could live, if it says when it was issued.
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
    /// As [`Revocation::issued_before`]; 0: none.
    before: u64,
    /// Names of tokens, each with the second from which on none of that name is valid any more.
    tokens: BTreeMap<String, u64>,
}

impl Revoked {
    fn add(&mut self, revocation: Revocation<'_>, now: u64, until: u64) {
        self.tokens.retain(|_, until| *until > now);
        self.before = self.before.max(revocation.issued_before.unwrap_or(0));
        if let Some(jti) = revocation.jti {
            self.tokens.insert(jti.to_owned(), until);
        }
        if self.tokens.len() > MOST {
            self.tokens.clear();
            self.before = self.before.max(now.saturating_add(1));
        }
    }

    fn covers(&self, rights: &Rights) -> bool {
        rights.issued_at.unwrap_or(0) < self.before
            || rights.jti.as_deref().is_some_and(|jti| self.tokens.contains_key(jti))
    }
}

/// Notes a revocation, which nobody needs to know of any more from `until` on. Times are Unix
/// seconds.
///
/// # Errors
/// The store does not answer, or others write the same record all the time.
pub(super) async fn note(
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
        let until = known.and_then(|record| record.expires_at).map_or(until, |at| at.max(until));
        let body = serde_json::to_vec(&revoked).map_err(|e| unusable(&e))?;
        let put = records.put(&REVOCATIONS, uid.as_str(), body.into(), expect, Some(until)).await?;
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
pub(super) async fn covers(
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

    fn token(issued_at: Option<u64>, jti: Option<&str>) -> Rights {
        Rights { issued_at, jti: jti.map(Into::into), ..Rights::default() }
    }

    #[test]
    fn tokens_are_revoked_by_their_issue_and_by_their_names() {
        let mut revoked = Revoked::default();
        assert!(!revoked.covers(&token(None, None)));
        revoked.add(Revocation { issued_before: None, jti: Some("a") }, 100, 200);
        for (token, expected) in [
            (token(Some(500), Some("a")), true),
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
    fn names_are_forgotten_in_time_and_too_many_revoke_all() {
        let mut revoked = Revoked::default();
        revoked.add(Revocation { issued_before: None, jti: Some("old") }, 100, 200);
        revoked.add(Revocation { issued_before: None, jti: Some("new") }, 200, 300);
        assert_eq!(revoked.tokens.keys().collect::<Vec<_>>(), ["new"]);
        for i in 0..MOST {
            let jti = i.to_string();
            revoked.add(Revocation { issued_before: None, jti: Some(&jti) }, 200, 300);
        }
        assert!(revoked.covers(&token(Some(200), Some("new"))), "by its issue now");
        assert!(revoked.tokens.is_empty());
    }
}
