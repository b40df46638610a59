//! Revocation of credentials: of JSON Web Tokens, and of sessions whose token was taken away.
use super::Hub;
use crate::domain::{
    access::Rights,
    error::StoreError,
    ids::Uid,
    presence::Expulsion,
    revocation::{self, Revocation},
};

impl Hub {
    /// Revokes tokens of a user: those that were issued before this second and the one of this
    /// name, or all that were issued until now where neither is given. It is durable: who signs in
    /// by one of them from now on is refused. Sessions that rest on one of them are ended at once,
    /// on every node; where neither is given, all of the user's are, whatever they rest on. Returns
    /// how many sessions were told.
    ///
    /// # Errors
    /// Those of the store. Where the outcome is unknown it may have been done in part, and has to
    /// be tried again.
    pub async fn revoke(
        &self,
        uid: &Uid,
        issued_before: Option<u64>,
        jti: Option<&str>,
    ) -> Result<u64, StoreError> {
        let now = self.clock.unix();
        let all = issued_before.is_none() && jti.is_none();
        // Of the second that has begun no token is known to be newer than this.
        let issued_before = if all { Some(now.saturating_add(1)) } else { issued_before };
        // Tokens that are yet to be issued may be meant, too.
        let last = issued_before.map_or(now, |before| before.max(now));
        let until = last.saturating_add(self.options.token_lifetime.as_secs());
        let revocation = Revocation { issued_before, jti };
        revocation::note(&*self.records, uid, revocation, now, until).await?;
        let what = if all { Expulsion::End } else { Expulsion::Ask };
        let told = self.stores.presence.expel(uid, what).await;
        told.map_err(StoreError::behind_a_change)
    }

    /// Ends the user's sessions, on whatever nodes they are, as the plain token was revoked, which
    /// has been done: a sign-in that was checked before is checked again. Returns how many sessions
    /// were told.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn expel(&self, uid: &Uid) -> Result<u64, StoreError> {
        self.stores.presence.expel(uid, Expulsion::End).await
    }

    /// Whether the token that gave these rights is revoked.
    ///
    /// # Errors
    /// Those of the store: then nobody knows.
    pub async fn is_revoked(&self, uid: &Uid, rights: &Rights) -> Result<bool, StoreError> {
        revocation::covers(&*self.records, uid, rights).await
    }
}
