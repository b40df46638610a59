//! `authenticate`: from guest to somebody.
use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use serde_json::value::RawValue;

use super::{
    msg::Target,
    session::{Phase, Session, lock},
    wire::{self, AuthRefusal},
};
use crate::domain::{
    error::StoreError,
    ids::{RoomId, Uid},
    json::{self, Object},
    presence::{Claim, Revocations},
    secret::Secret,
    token::Realm,
};
use crate::reason::Reason;
use crate::throttle::throttled;

/// How often credentials are checked for one claim. Each further time takes another revocation of
/// the same user's.
const CHECKS: usize = 4;

/// Who a client says it is.
pub(super) struct Credentials {
    uid: Uid,
    token: Option<Secret>,
}

impl Credentials {
    /// Nothing, where the uid is missing or can't be one.
    fn parse(argument: Option<&RawValue>) -> Option<Self> {
        let object = Object::parse(argument?.get())?;
        let uid = json::uid(object.get("uid")?)?;
        let token = object.get("token").and_then(|t| match json::string(t) {
            Some(text) => Some(Secret::presented(text)),
            None => json::number(t).map(|n| Secret::presented(json::number_text(n))),
        });
        Some(Credentials { uid, token })
    }
}

/// Nobody yet.
pub(super) struct Guest;

/// Somebody, in no room yet.
pub(super) struct Authenticated {
    pub uid: Uid,
    /// Rooms held for it since an earlier session was kicked out.
    pub held: Vec<RoomId>,
}

impl Guest {
    /// Makes this connection the user's session; an earlier one is kicked out.
    async fn authenticate(
        self,
        session: &Arc<Session>,
        credentials: Credentials,
    ) -> Result<Authenticated, AuthRefusal> {
        let hub = &session.dialect.hub;
        let mut checked = session.admit(&credentials).await?;
        let _ = session.uid.set(credentials.uid.clone());
        hub.register(session.id, session.clone());
        for _ in 0..CHECKS {
            match hub.presence.claim(&credentials.uid, session.id, &session.public, checked).await {
                Ok(Claim::Made(held)) => return Ok(Authenticated { uid: credentials.uid, held }),
                Ok(Claim::CheckAgain(now)) => {
                    session.check(&credentials).await?;
                    checked = Some(now);
                }
                Err(error) => return Err(failed(&error)),
            }
        }
        tracing::warn!(
            "an authentication failed: the user's credentials are revoked again and again"
        );
        Err(AuthRefusal::Server)
    }
}

fn failed(error: &StoreError) -> AuthRefusal {
    throttled!(warn, %error, "an authentication failed");
    AuthRefusal::Server
}

impl Session {
    /// Checks the token.
    async fn check(&self, credentials: &Credentials) -> Result<(), AuthRefusal> {
        let token = credentials.token.as_ref().ok_or(AuthRefusal::Wrong)?;
        match self.dialect.hub.tokens.verify(Realm::User, &credentials.uid, token).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(AuthRefusal::Wrong),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Checks token and rate; returns what was known of revocations before, or nothing where no
    /// token is needed.
    async fn admit(&self, credentials: &Credentials) -> Result<Option<Revocations>, AuthRefusal> {
        let hub = &self.dialect.hub;
        let checked = hub.force_user_auth().then(|| hub.presence.revocations());
        if checked.is_some() {
            self.check(credentials).await?;
        }
        match hub.limits.admit(&credentials.uid).await {
            Ok(true) => Ok(checked),
            Ok(false) => Err(AuthRefusal::RateLimit),
            Err(error) => Err(failed(&error)),
        }
    }

    pub(super) async fn authenticate(
        self: &Arc<Self>,
        guest: Guest,
        argument: Option<&RawValue>,
        ack: Option<i64>,
    ) -> Phase {
        let Some(credentials) = Credentials::parse(argument) else {
            return self.refuse_authentication(ack, AuthRefusal::Wrong);
        };
        match guest.authenticate(self, credentials).await {
            Ok(authenticated) => {
                let answer = wire::answer("authenticate", ack, wire::AUTH_SUCCESS);
                {
                    let mut target = lock(&self.target);
                    // Unless the next session of the uid has kicked this one out already; who does
                    // that now waits for the target, and tells it behind
                    // this answer.
                    if !self.evicted.load(SeqCst) && self.socket.is_open() {
                        *target = Target::Lobby;
                        self.emit(&answer);
                    }
                }
                self.dialect.roomless.push(self.id);
                Phase::Authenticated(authenticated)
            }
            Err(refusal) => self.refuse_authentication(ack, refusal),
        }
    }

    /// The same uid is checked and answered again, and nothing else changes; another one is
    /// refused.
    pub(super) async fn authenticate_again(
        self: &Arc<Self>,
        phase: Phase,
        argument: Option<&RawValue>,
        ack: Option<i64>,
    ) -> Phase {
        let uid = match &phase {
            Phase::Authenticated(who) => Some(&who.uid),
            Phase::Member(member) => Some(&member.uid),
            Phase::Guest(_) | Phase::Ended => None,
        };
        let admitted = match Credentials::parse(argument).filter(|c| Some(&c.uid) == uid) {
            Some(credentials) => self.admit(&credentials).await,
            None => Err(AuthRefusal::Wrong),
        };
        match admitted {
            Ok(_) => {
                self.answer("authenticate", ack, wire::AUTH_SUCCESS);
                phase
            }
            Err(refusal) => {
                self.answer("authenticate", ack, &wire::failure(&refusal));
                self.turn_away(refusal);
                self.end(phase).await
            }
        }
    }

    pub(super) fn refuse_authentication(
        self: &Arc<Self>,
        ack: Option<i64>,
        refusal: AuthRefusal,
    ) -> Phase {
        self.answer("authenticate", ack, &wire::failure(&refusal));
        self.dialect.hub.unregister(self.id);
        self.turn_away(refusal);
        Phase::Ended
    }

    /// Refuses, but for a fault of ours: a client that is refused stays away for good, and a store
    /// that is out comes back.
    fn turn_away(self: &Arc<Self>, refusal: AuthRefusal) {
        self.refuse(match refusal {
            AuthRefusal::Wrong => Reason::WrongCredentials,
            AuthRefusal::Timeout => Reason::AuthenticationTimeout,
            AuthRefusal::RateLimit => Reason::RateLimit,
            AuthRefusal::Server => return self.drop_later(),
        });
    }

    /// Drops the client after 1 to 5 s, as many would come back at once and all the time.
    fn drop_later(self: &Arc<Self>) {
        self.leave_target();
        let (session, hub) = (Arc::downgrade(self), &self.dialect.hub);
        let mut random = [0; 1];
        let _ = hub.rng.fill(&mut random); // without randomness: all after the same time
        let pause = Duration::from_secs(1) + Duration::from_millis(16) * u32::from(random[0]);
        hub.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            if let Some(session) = session.upgrade() {
                session.drop_connection(Reason::StoreUnavailable);
            }
        });
    }
}
