//! Who a client is: its token, how often it signs in, and whose session is the user's.
use std::{net::IpAddr, sync::Arc};

use tokio::time::Instant;

use super::{
    AlwaysOnline,
    wire::{AuthRefusal, Credentials},
};
use crate::domain::{
    access::{self, NotVerified, Rights, TokenFault, Verifier},
    error::StoreError,
    gate::{self, Changes},
    hub::Hub,
    ids::{ConnectionId, RoomId, SocketId},
    presence::{Claim, Revocations},
    token::Realm,
};
use crate::metrics::{Call, SignIn};
use crate::reason::Label;
use crate::throttle::throttled;

/// How often credentials are checked for one claim. Each further time takes another revocation of
/// the same user's.
const CHECKS: usize = 4;

/// What credentials grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Granted {
    /// By a JSON Web Token; none by a plain one.
    pub rights: Option<Arc<Rights>>,
    /// What a hook changes of it.
    pub by_hook: Changes,
    /// When that was found out, Unix seconds.
    pub now: u64,
}

/// Why somebody has no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotSignedIn {
    /// By this server.
    Refused(AuthRefusal),
    /// By a hook, or as there is no answer of it.
    Denied(gate::Answer),
}

impl From<AuthRefusal> for NotSignedIn {
    fn from(refusal: AuthRefusal) -> Self {
        NotSignedIn::Refused(refusal)
    }
}

/// What became of credentials that a user with a session presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    pub granted: Result<Granted, AuthRefusal>,
    /// They are a JSON Web Token.
    pub by_jwt: bool,
}

impl Checked {
    /// They are another user's.
    pub const WRONG: Checked = Checked { granted: Err(AuthRefusal::Wrong), by_jwt: false };
}

/// Checks credentials.
pub(super) struct Doorman<'a> {
    hub: &'a Hub,
    /// None: there are no JSON Web Tokens.
    verifier: Option<Arc<dyn Verifier>>,
    /// Where they come from, if their failures count.
    address: Option<IpAddr>,
}

impl<'a> Doorman<'a> {
    /// For credentials that come from this address. None: it is not kept, or their failures do not
    /// count.
    pub fn of(dialect: &'a AlwaysOnline, address: Option<IpAddr>) -> Self {
        Doorman { hub: &dialect.hub, verifier: dialect.options.verifier.get(), address }
    }

    /// Makes this connection, which `register` has registered, the user's session; an earlier one is
    /// evicted. Whose credentials are right is asked about by `ask` before. Returns the rooms that are held for the user, and what it is granted.
    ///
    /// # Errors
    /// Why the client is not the user, or may not sign in now.
    pub async fn sign_in(
        &self,
        credentials: &Credentials,
        connection: ConnectionId,
        name: &SocketId,
        ask: impl AsyncFnOnce(&Granted) -> gate::Answer,
        register: impl FnOnce(),
    ) -> Result<(Vec<RoomId>, Granted), NotSignedIn> {
        let (checked, granted) = self.admit(credentials).await?;
        let changes = match ask(&granted).await {
            gate::Answer::Allowed(changes) => changes,
            denied => return Err(NotSignedIn::Denied(denied)),
        };
        register();
        let mut claimed = self.claim(credentials, connection, name, checked, granted).await?;
        let kind = match (&claimed.1.rights, checked) {
            (Some(_), _) => SignIn::Jwt,
            (None, Some(_)) => SignIn::Token,
            (None, None) => SignIn::Unchecked,
        };
        self.hub.metrics.signed_in(kind);
        claimed.1.by_hook = changes;
        Ok(claimed)
    }

    /// Checks credentials once more, without consequences.
    pub async fn check_again(&self, credentials: &Credentials) -> Checked {
        let granted = self.admit(credentials).await.map(|(_, granted)| granted);
        Checked { granted, by_jwt: self.jwt(credentials).is_some() }
    }

    /// Checks token and rate. Returns what was known of revocations before, or nothing where no
    /// token is needed.
    async fn admit(
        &self,
        credentials: &Credentials,
    ) -> Result<(Option<Revocations>, Granted), AuthRefusal> {
        let hub = self.hub;
        let checked = hub.force_user_auth().then(|| hub.revocations());
        let rights = match checked {
            Some(_) => self.attempt(credentials).await?,
            None => None,
        };
        match hub.metrics.store.timed(Call::Admit, hub.limits.admit(&credentials.uid)).await {
            Ok(true) => Ok((checked, self.granted(rights))),
            Ok(false) => {
                hub.metrics.sign_in_refused("rate limit");
                Err(AuthRefusal::RateLimit)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// `checked` is what was known of revocations before the credentials were checked.
    async fn claim(
        &self,
        credentials: &Credentials,
        connection: ConnectionId,
        name: &SocketId,
        mut checked: Option<Revocations>,
        mut granted: Granted,
    ) -> Result<(Vec<RoomId>, Granted), AuthRefusal> {
        for _ in 0..CHECKS {
            match self.hub.claim(&credentials.uid, connection, name, checked).await {
                Ok(Claim::Made(held)) => return Ok((held, granted)),
                Ok(Claim::CheckAgain(now)) => {
                    granted = self.granted(self.check(credentials).await?);
                    checked = Some(now);
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        tracing::warn!(
            "an authentication failed: the user's credentials are revoked again and again"
        );
        Err(AuthRefusal::Server)
    }

    fn granted(&self, rights: Option<Arc<Rights>>) -> Granted {
        Granted { rights, by_hook: Changes::default(), now: self.hub.clock.unix() }
    }

    /// The token, and who verifies it, if it is a JSON Web Token.
    fn jwt<'c>(&'c self, credentials: &'c Credentials) -> Option<(&'c str, &'c dyn Verifier)> {
        let token = credentials.token.as_ref()?.reveal();
        self.verifier.as_deref().filter(|_| access::is_jwt(token)).map(|verifier| (token, verifier))
    }

    /// Checks the token, unless too many were wrong before; whether this one is counts as well.
    async fn attempt(&self, credentials: &Credentials) -> Result<Option<Arc<Rights>>, AuthRefusal> {
        let (attempts, uid) = (&self.hub.attempts, credentials.uid.as_str());
        let Some(address) = self.address else { return self.check(credentials).await };
        if attempts.may(address, Realm::User, uid, Instant::now()).is_err() {
            self.hub.metrics.sign_in_refused("too many failures");
            return Err(AuthRefusal::TooManyFailures);
        }
        let checked = self.check(credentials).await;
        match &checked {
            Ok(_) => attempts.succeeded(address, Realm::User, uid),
            Err(AuthRefusal::Wrong) => {
                attempts.failed(address, Realm::User, uid, Instant::now());
            }
            // Nobody tries tokens by old ones, and of a store that is out nothing is learnt.
            Err(_) => {}
        }
        checked
    }

    /// Checks the token, of either kind.
    async fn check(&self, credentials: &Credentials) -> Result<Option<Arc<Rights>>, AuthRefusal> {
        match self.jwt(credentials) {
            Some((token, verifier)) => match verifier.verify(&credentials.uid, token).await {
                Ok(rights) => self.not_revoked(credentials, rights).await.map(Some),
                Err(refusal) => Err(self.not_verified(refusal)),
            },
            None => self.check_plain(credentials).await.map(|()| None),
        }
    }

    /// The rights, unless their token was revoked.
    async fn not_revoked(
        &self,
        credentials: &Credentials,
        rights: Rights,
    ) -> Result<Arc<Rights>, AuthRefusal> {
        match self.hub.is_revoked(&credentials.uid, &rights).await {
            Ok(false) => Ok(Arc::new(rights)),
            Ok(true) => Err(self.not_verified(NotVerified::Refused(TokenFault::Revoked))),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn not_verified(&self, refusal: NotVerified) -> AuthRefusal {
        match refusal {
            NotVerified::Refused(fault) => {
                self.hub.metrics.sign_in_refused(fault.label());
                match fault {
                    TokenFault::Expired => AuthRefusal::Expired,
                    _ => AuthRefusal::Wrong,
                }
            }
            NotVerified::Unavailable => {
                self.hub.metrics.sign_in_refused("keys unavailable");
                AuthRefusal::Server
            }
        }
    }

    async fn check_plain(&self, credentials: &Credentials) -> Result<(), AuthRefusal> {
        let tokens = &self.hub.tokens;
        let verified = match &credentials.token {
            Some(token) => {
                let verify = tokens.verify(Realm::User, &credentials.uid, token);
                self.hub.metrics.store.timed(Call::Verify, verify).await
            }
            None => Ok(false),
        };
        match verified {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.hub.metrics.sign_in_refused("wrong token");
                Err(AuthRefusal::Wrong)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &StoreError) -> AuthRefusal {
        throttled!(warn, %error, "an authentication failed");
        self.hub.metrics.sign_in_refused("store unavailable");
        AuthRefusal::Server
    }
}
