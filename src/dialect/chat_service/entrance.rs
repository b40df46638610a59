//! Who is let in by a token, where no hook decides that, and for how long.
//!
//! A client shows its token once, when it connects, and there is no event by which it could show
//! another one. So where its JSON Web Token expires, or is revoked, it is told DISCONNECT, and may
//! connect again with a new one. Clients that a hook let in have no token here, and none of this
//! concerns them.
use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use super::{chat::Chat, error::Error, login::Credentials, names};
use crate::{
    domain::{
        access::{LiveVerifier, Rights, TokenFault},
        deadline::Appointments,
        ids::{ConnectionId, Uid},
        presence::Revocations,
        secret::Secret,
        sign_in::{Admitted, Doorman, Refused},
    },
    lock::lock,
    reason::Label,
};

/// The longest time until a look at an expiry: then it is looked at again.
const FAR: Duration = Duration::from_secs(86_400);

/// What the check of tokens rests on.
pub(super) struct Entrance {
    /// Who checks JSON Web Tokens; none: there are no such tokens.
    pub verifier: LiveVerifier,
    /// When clients' tokens are to be looked at, as they may be expired then.
    pub expiries: Arc<Appointments<ConnectionId>>,
}

impl Entrance {
    /// Where tokens are checked by this verifier. Nobody is there yet.
    pub fn new(verifier: LiveVerifier) -> Self {
        Entrance { verifier, expiries: Appointments::new() }
    }
}

/// What a client's being there rests on, which a revocation may take away.
#[derive(Default)]
pub(super) struct Grounds(Mutex<Known>);

/// The JSON Web Token of a user that is to be looked at.
type Look = (Uid, Arc<Rights>);

enum Known {
    /// It is being found out.
    NotYet {
        /// Tokens of the user were revoked meanwhile.
        revoked: bool,
    },
    /// No JSON Web Token: revocations of such do not concern it.
    Nothing,
    Token(Look),
}

impl Default for Known {
    fn default() -> Self {
        Known::NotYet { revoked: false }
    }
}

impl Grounds {
    /// The user has signed in by a token that grants these rights; none of a plain one. Returns
    /// what is to be looked at because of what was revoked while that was not known.
    pub fn are(&self, user: &Uid, rights: Option<Arc<Rights>>) -> Option<Look> {
        let now = rights.map_or(Known::Nothing, |rights| Known::Token((user.clone(), rights)));
        let before = std::mem::replace(&mut *lock(&self.0), now);
        match before {
            Known::NotYet { revoked: true } => self.look(),
            Known::NotYet { revoked: false } | Known::Nothing | Known::Token(_) => None,
        }
    }

    /// Tokens of the user were revoked. Returns what is to be looked at now.
    pub fn may_be_lost(&self) -> Option<Look> {
        if let Known::NotYet { revoked } = &mut *lock(&self.0) {
            *revoked = true;
        }
        self.look()
    }

    /// What the client's token grants, if it is a JSON Web Token.
    pub fn rights(&self) -> Option<Arc<Rights>> {
        self.look().map(|(_, rights)| rights)
    }

    fn look(&self) -> Option<Look> {
        match &*lock(&self.0) {
            Known::Token(look) => Some(look.clone()),
            Known::NotYet { .. } | Known::Nothing => None,
        }
    }
}

/// Somebody whose token is right, and who is not in the user's inbox yet.
pub(super) struct Admission {
    pub user: Uid,
    token: Secret,
    admitted: Admitted,
    begun: Instant,
}

impl Admission {
    /// What a [`Visitor`](crate::domain::presence::Visitor) says of it that enters the inbox.
    pub fn checked(&self) -> Option<Revocations> {
        self.admitted.checked
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Wrong | Refused::Expired | Refused::RateLimit | Refused::TooManyFailures => {
                Error::NotAllowed
            }
            Refused::Server => Error::Timeout,
        }
    }
}

impl Chat {
    fn doorman(&self, address: Option<IpAddr>) -> Doorman<'_> {
        Doorman::new(&self.hub, self.entrance.verifier.get(), address)
    }

    /// Checks the token of a client that comes from this address; `None`: that is not kept. Who is
    /// admitted enters the user's inbox, and then is looked at by [`Chat::confirm`].
    ///
    /// # Errors
    /// The client is not the user, signs in too often, or that can't be found out now.
    pub async fn check_token(
        &self,
        said: &Credentials,
        address: Option<IpAddr>,
    ) -> Result<Admission, Error> {
        let begun = Instant::now();
        let user = names::uid(&said.user)?;
        match self.admit(&user, &said.token, address).await {
            Ok(admitted) => Ok(Admission { user, token: said.token.clone(), admitted, begun }),
            Err(refused) => {
                self.hub.metrics.sign_ins.seconds.took(begun.elapsed());
                Err(refused.into())
            }
        }
    }

    async fn admit(
        &self,
        user: &Uid,
        token: &Secret,
        address: Option<IpAddr>,
    ) -> Result<Admitted, Refused> {
        let admitted = self.doorman(address).admit(user, Some(token)).await?;
        // Within the leeway of clocks it would be right, and over at once.
        if admitted.rights.as_ref().is_some_and(|rights| is_expired(rights, admitted.now)) {
            self.hub.metrics.sign_in_refused(TokenFault::Expired.label());
            return Err(Refused::Expired);
        }
        Ok(admitted)
    }

    /// The client is in the user's inbox now; `check_again` is what the core said then
    /// ([`Roster::check_again`](crate::domain::presence::Roster::check_again)). Returns what is to
    /// be kept of its token for as long as it is there: what a JSON Web Token grants.
    ///
    /// # Errors
    /// The token was revoked meanwhile, or that can't be found out now: the client has to leave the
    /// inbox.
    pub async fn confirm(
        &self,
        admission: Admission,
        check_again: bool,
    ) -> Result<Option<Arc<Rights>>, Error> {
        let Admission { user, token, mut admitted, begun } = admission;
        let rights = if check_again {
            // Whoever was admitted tries no tokens.
            self.doorman(None).check(&user, Some(&token)).await
        } else {
            Ok(admitted.rights.take())
        };
        self.hub.metrics.sign_ins.seconds.took(begun.elapsed());
        admitted.rights = rights?;
        self.hub.metrics.signed_in(admitted.by());
        Ok(admitted.rights)
    }

    /// Whether the token of a client that is there is expired. If it is not, the client's
    /// connection comes out of [`Entrance::expiries`] when it is to be looked at again.
    pub fn has_expired(&self, connection: ConnectionId, rights: &Rights) -> bool {
        if is_expired(rights, self.hub.clock.unix()) {
            return true;
        }
        self.await_expiry(connection, rights);
        false
    }

    /// A client is gone: nobody looks at its token any more.
    pub fn forget_expiry(&self, connection: ConnectionId) {
        self.entrance.expiries.cancel(connection);
    }

    /// The token is looked at when it expires, or in a day.
    fn await_expiry(&self, connection: ConnectionId, rights: &Rights) {
        let Some(at) = rights.expires_at else { return };
        let now = self.hub.clock.unix_ms();
        let pause = Duration::from_millis(at.saturating_mul(1000).saturating_sub(now));
        self.entrance.expiries.set(connection, Instant::now() + pause.min(FAR));
    }
}

/// Whether the token that gave these rights is expired now, in seconds since 1970.
fn is_expired(rights: &Rights, now: u64) -> bool {
    rights.expires_at.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_expired_from_the_second_on_that_it_names() {
        let rights = |expires_at| Rights { expires_at, ..Rights::default() };
        for (at, now, expected) in [
            (Some(100), 99, false),
            (Some(100), 100, true),
            (Some(100), 101, true),
            (None, 9, false),
        ] {
            assert_eq!(is_expired(&rights(at), now), expected, "{at:?} at {now}");
        }
    }

    #[test]
    fn a_revocation_is_looked_at_also_where_it_comes_before_the_token_is_known() {
        let (ann, rights) = (Uid::text("ann").unwrap(), Arc::new(Rights::default()));
        let look = Some((ann.clone(), rights.clone()));
        let grounds = Grounds::default();
        assert_eq!(grounds.are(&ann, Some(rights.clone())), None, "nothing was revoked");
        assert_eq!((grounds.may_be_lost(), grounds.rights()), (look.clone(), Some(rights.clone())));
        let grounds = Grounds::default();
        assert_eq!(grounds.may_be_lost(), None, "it is not known yet");
        assert_eq!(grounds.are(&ann, Some(rights)), look);
        let grounds = Grounds::default();
        assert_eq!(grounds.may_be_lost(), None);
        assert_eq!(grounds.are(&ann, None), None, "a plain token");
        assert_eq!((grounds.may_be_lost(), grounds.rights()), (None, None));
    }

    #[test]
    fn who_is_refused_learns_nothing_of_the_reason_but_where_it_is_ours() {
        use Refused::*;
        for (refused, expected) in [
            (Wrong, Error::NotAllowed),
            (Expired, Error::NotAllowed),
            (RateLimit, Error::NotAllowed),
            (TooManyFailures, Error::NotAllowed),
            (Server, Error::Timeout),
        ] {
            assert_eq!(Error::from(refused), expected, "{refused:?}");
        }
    }
}
