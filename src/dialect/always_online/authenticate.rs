//! Who a client is, and whose session is the user's. Its token, and how often it signs in, is
//! looked at by the core's [`Doorman`].
use std::{net::IpAddr, sync::Arc};

use super::{
    AlwaysOnline,
    wire::{AuthRefusal, Credentials},
};
use crate::domain::{
    access::Rights,
    gate::{self, Changes},
    hub::Hub,
    ids::{ConnectionId, RoomId, SocketId},
    presence::Claim,
    sign_in::{Admitted, Doorman, Refused},
};

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

impl From<Refused> for AuthRefusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Wrong => AuthRefusal::Wrong,
            Refused::Expired => AuthRefusal::Expired,
            Refused::RateLimit => AuthRefusal::RateLimit,
            Refused::TooManyFailures => AuthRefusal::TooManyFailures,
            Refused::Server => AuthRefusal::Server,
        }
    }
}

/// The sign-in of one client.
pub(super) struct Authentication<'a> {
    hub: &'a Hub,
    doorman: Doorman<'a>,
}

impl<'a> Authentication<'a> {
    /// By credentials that come from this address. None: it is not kept, or their failures do not
    /// count.
    pub fn of(dialect: &'a AlwaysOnline, address: Option<IpAddr>) -> Self {
        let hub = &*dialect.hub;
        Authentication { hub, doorman: Doorman::new(hub, dialect.options.verifier.get(), address) }
    }

    /// Makes this connection, which `register` has registered, the user's session; an earlier one
    /// is evicted. Whose credentials are right is asked about by `ask` before. Returns the rooms
    /// that are held for the user, and what it is granted.
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
        let mut admitted = self.admit(credentials).await?;
        let changes = match ask(&granted(&admitted)).await {
            gate::Answer::Allowed(changes) => changes,
            denied => return Err(NotSignedIn::Denied(denied)),
        };
        register();
        let held = self.claim(credentials, connection, name, &mut admitted).await?;
        self.hub.metrics.signed_in(admitted.by());
        Ok((held, Granted { by_hook: changes, ..granted(&admitted) }))
    }

    /// Checks credentials once more, without consequences.
    pub async fn check_again(&self, credentials: &Credentials) -> Checked {
        let admitted = self.admit(credentials).await.map(|admitted| granted(&admitted));
        let by_jwt = self.doorman.knows_as_jwt(credentials.token.as_ref());
        Checked { granted: admitted, by_jwt }
    }

    async fn admit(&self, credentials: &Credentials) -> Result<Admitted, AuthRefusal> {
        Ok(self.doorman.admit(&credentials.uid, credentials.token.as_ref()).await?)
    }

    /// Returns the rooms that are held for the user. What it was admitted for is looked at anew, as
    /// often as the credentials have to be.
    async fn claim(
        &self,
        credentials: &Credentials,
        connection: ConnectionId,
        name: &SocketId,
        admitted: &mut Admitted,
    ) -> Result<Vec<RoomId>, AuthRefusal> {
        let (uid, token) = (&credentials.uid, credentials.token.as_ref());
        let mut checked = admitted.checked;
        for _ in 0..CHECKS {
            match self.hub.claim(uid, connection, name, checked).await {
                Ok(Claim::Made(held)) => return Ok(held),
                Ok(Claim::CheckAgain(now)) => {
                    admitted.rights = self.doorman.check(uid, token).await?;
                    admitted.now = self.hub.clock.unix();
                    checked = Some(now);
                }
                Err(error) => return Err(self.doorman.failed(&error).into()),
            }
        }
        tracing::warn!(
            "an authentication failed: the user's credentials are revoked again and again"
        );
        Err(AuthRefusal::Server)
    }
}

/// What is granted to a user who was admitted, before a hook changes anything of it.
fn granted(admitted: &Admitted) -> Granted {
    let Admitted { rights, now, .. } = admitted;
    Granted { rights: rights.clone(), by_hook: Changes::default(), now: *now }
}
