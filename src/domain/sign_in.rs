//! Who a user is: its token, of either kind, how often it signs in, and how often it has failed.
//! What a dialect makes of a sign-in, and what it calls a refusal, is its own business.
//!
//! Credentials can be revoked while they are checked. A dialect whose users have one session each
//! hands [`Admitted::checked`] to [`Hub::claim`], any other enters a room with it
//! ([`Visitor::checked`](super::presence::Visitor::checked)). Either finds out whether that may
//! have happened; then the token is looked at once more, by [`Doorman::check`].
use std::{net::IpAddr, sync::Arc};

use tokio::time::Instant;

use super::{
    access::{self, NotVerified, Rights, TokenFault, Verifier},
    error::StoreError,
    hub::Hub,
    ids::Uid,
    presence::Revocations,
    secret::Secret,
    token::Realm,
};
use crate::{
    metrics::{Call, SignIn},
    reason::Label,
    throttle::throttled,
};

/// What credentials grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// What was known of revocations before they were checked. None: no token is needed now.
    pub checked: Option<Revocations>,
    /// By a JSON Web Token; none by a plain one.
    pub rights: Option<Arc<Rights>>,
    /// When that was found out, in seconds since 1970.
    pub now: u64,
}

impl Admitted {
    /// By what the user signs in, for metrics.
    pub fn by(&self) -> SignIn {
        match (&self.rights, self.checked) {
            (Some(_), _) => SignIn::Jwt,
            (None, Some(_)) => SignIn::Token,
            (None, None) => SignIn::Unchecked,
        }
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The token is wrong, or missing.
    #[error("the token is wrong")]
    Wrong,
    /// The token is expired.
    #[error("the token is expired")]
    Expired,
    /// The user signs in too often.
    #[error("the user signs in too often")]
    RateLimit,
    /// Too many tokens were wrong before: this one was not looked at.
    #[error("too many tokens were wrong")]
    TooManyFailures,
    /// That can't be found out now.
    #[error("tokens can't be checked now")]
    Server,
}

/// Checks credentials.
pub struct Doorman<'a> {
    hub: &'a Hub,
    /// None: there are no JSON Web Tokens.
    verifier: Option<Arc<dyn Verifier>>,
    /// Where they come from, if their failures count.
    address: Option<IpAddr>,
}

impl<'a> Doorman<'a> {
    /// For credentials that come from this address. None: it is not kept, or their failures do not
    /// count. Without a verifier there are no JSON Web Tokens.
    pub fn new(hub: &'a Hub, verifier: Option<Arc<dyn Verifier>>, address: Option<IpAddr>) -> Self {
        Doorman { hub, verifier, address }
    }

    /// Checks a user's token, if tokens are checked, and then whether it signs in too often. A
    /// refusal is counted; who is let in is counted by the dialect when it has let it in.
    ///
    /// # Errors
    /// Why the client is not the user, or may not sign in now.
    pub async fn admit(&self, uid: &Uid, token: Option<&Secret>) -> Result<Admitted, Refused> {
        let hub = self.hub;
        let checked = hub.force_user_auth().then(|| hub.revocations());
        let rights = match checked {
            Some(_) => self.attempt(uid, token).await?,
            None => None,
        };
        match hub.metrics.store.timed(Call::Admit, hub.limits.admit(uid)).await {
            Ok(true) => Ok(Admitted { checked, rights, now: hub.clock.unix() }),
            Ok(false) => {
                hub.metrics.sign_in_refused("rate limit");
                Err(Refused::RateLimit)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Checks the token, of either kind, and nothing else. Returns what a JSON Web Token grants; of
    /// a plain one that is nothing.
    ///
    /// # Errors
    /// Why the client is not the user.
    pub async fn check(
        &self,
        uid: &Uid,
        token: Option<&Secret>,
    ) -> Result<Option<Arc<Rights>>, Refused> {
        match self.jwt(token) {
            Some((token, verifier)) => match verifier.verify(uid, token).await {
                Ok(rights) => self.not_revoked(uid, rights).await.map(Some),
                Err(refusal) => Err(self.not_verified(refusal)),
            },
            None => self.check_plain(uid, token).await.map(|()| None),
        }
    }

    /// Whether the token is a JSON Web Token, and there are such tokens.
    pub fn knows_as_jwt(&self, token: Option<&Secret>) -> bool {
        self.jwt(token).is_some()
    }

    /// A store did not answer on which a sign-in depends. It is logged and counted.
    pub fn failed(&self, error: &StoreError) -> Refused {
        throttled!(warn, %error, "an authentication failed");
        self.hub.metrics.sign_in_refused("store unavailable");
        Refused::Server
    }

    /// The token, and who verifies it, if it is a JSON Web Token.
    fn jwt<'t>(&'t self, token: Option<&'t Secret>) -> Option<(&'t str, &'t dyn Verifier)> {
        let token = token?.reveal();
        self.verifier.as_deref().filter(|_| access::is_jwt(token)).map(|verifier| (token, verifier))
    }

    /// Checks the token, unless too many were wrong before; whether this one is counts as well.
    async fn attempt(
        &self,
        uid: &Uid,
        token: Option<&Secret>,
    ) -> Result<Option<Arc<Rights>>, Refused> {
        let (attempts, account) = (&self.hub.attempts, uid.as_str());
        let Some(address) = self.address else { return self.check(uid, token).await };
        if attempts.may(address, Realm::User, account, Instant::now()).is_err() {
            self.hub.metrics.sign_in_refused("too many failures");
            return Err(Refused::TooManyFailures);
        }
        let checked = self.check(uid, token).await;
        match &checked {
            Ok(_) => attempts.succeeded(address, Realm::User, account),
            Err(Refused::Wrong) => {
                attempts.failed(address, Realm::User, account, Instant::now());
            }
            // Nobody tries tokens by old ones, and of a store that is out nothing is learnt.
            Err(
                Refused::Expired | Refused::RateLimit | Refused::TooManyFailures | Refused::Server,
            ) => {}
        }
        checked
    }

    /// The rights, unless their token was revoked.
    async fn not_revoked(&self, uid: &Uid, rights: Rights) -> Result<Arc<Rights>, Refused> {
        match self.hub.is_revoked(uid, &rights).await {
            Ok(false) => Ok(Arc::new(rights)),
            Ok(true) => Err(self.not_verified(NotVerified::Refused(TokenFault::Revoked))),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn not_verified(&self, refusal: NotVerified) -> Refused {
        match refusal {
            NotVerified::Refused(fault) => {
                self.hub.metrics.sign_in_refused(fault.label());
                match fault {
                    TokenFault::Expired => Refused::Expired,
                    TokenFault::Malformed
                    | TokenFault::Algorithm
                    | TokenFault::UnknownKey
                    | TokenFault::Signature
                    | TokenFault::NotYet
                    | TokenFault::NoExpiry
                    | TokenFault::Lifetime
                    | TokenFault::Audience
                    | TokenFault::Issuer
                    | TokenFault::Subject
                    | TokenFault::Claims
                    | TokenFault::Revoked => Refused::Wrong,
                }
            }
            NotVerified::Unavailable => {
                self.hub.metrics.sign_in_refused("keys unavailable");
                Refused::Server
            }
        }
    }

    async fn check_plain(&self, uid: &Uid, token: Option<&Secret>) -> Result<(), Refused> {
        let tokens = &self.hub.tokens;
        let verified = match token {
            Some(token) => {
                let verify = tokens.verify(Realm::User, uid, token);
                self.hub.metrics.store.timed(Call::Verify, verify).await
            }
            None => Ok(false),
        };
        match verified {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.hub.metrics.sign_in_refused("wrong token");
                Err(Refused::Wrong)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }
}
