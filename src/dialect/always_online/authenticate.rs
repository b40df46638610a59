//! `authenticate`: from guest to somebody.
use std::sync::Arc;

use serde_json::value::RawValue;

use super::{
    post::Desk,
    session::{Phase, Session, lock},
    wire::{self, AuthRefusal},
};
use crate::domain::{
    error::StoreError,
    ids::{RoomId, Uid},
    json::{self, Object},
    secret::Secret,
    token::Realm,
};

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
    async fn authenticate(self, session: &Arc<Session>, credentials: Credentials) -> Result<Authenticated, AuthRefusal> {
        let hub = &session.dialect.hub;
        session.admit(&credentials).await?;
        let _ = session.uid.set(credentials.uid.clone());
        hub.register(session.id, session.clone());
        match hub.presence.claim(&credentials.uid, session.id, &session.public).await {
            Ok(held) => Ok(Authenticated { uid: credentials.uid, held }),
            Err(error) => Err(failed(&error)),
        }
    }
}

fn failed(error: &StoreError) -> AuthRefusal {
    tracing::warn!(%error, "an authentication failed");
    AuthRefusal::Server
}

impl Session {
    /// Checks token and rate.
    async fn admit(&self, credentials: &Credentials) -> Result<(), AuthRefusal> {
        let hub = &self.dialect.hub;
        if hub.force_user_auth() {
            let token = credentials.token.as_ref().ok_or(AuthRefusal::Wrong)?;
            if !hub.tokens.verify(Realm::User, &credentials.uid, token).await.map_err(|e| failed(&e))? {
                return Err(AuthRefusal::Wrong);
            }
        }
        match hub.limits.admit(&credentials.uid).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(AuthRefusal::RateLimit),
            Err(error) => Err(failed(&error)),
        }
    }

    pub(super) async fn authenticate(self: &Arc<Self>, guest: Guest, argument: Option<&RawValue>, ack: Option<i64>) -> Phase {
        let Some(credentials) = Credentials::parse(argument) else {
            return self.refuse_authentication(ack, AuthRefusal::Wrong);
        };
        match guest.authenticate(self, credentials).await {
            Ok(authenticated) => {
                {
                    let mut desk = lock(&self.desk);
                    // Unless the next session of the uid has kicked this one out already; who does that now waits for the desk, and tells it behind
                    // this answer.
                    if !self.evicted.load(std::sync::atomic::Ordering::SeqCst) {
                        *desk = Desk::Lobby;
                        self.answer("authenticate", ack, wire::AUTH_SUCCESS);
                    }
                }
                self.dialect.roomless.push(self.id);
                Phase::Authenticated(authenticated)
            }
            Err(refusal) => self.refuse_authentication(ack, refusal),
        }
    }

    /// The same uid is checked and answered again, and nothing else changes; another one is refused.
    pub(super) async fn authenticate_again(self: &Arc<Self>, phase: Phase, argument: Option<&RawValue>, ack: Option<i64>) -> Phase {
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
            Ok(()) => {
                self.answer("authenticate", ack, wire::AUTH_SUCCESS);
                phase
            }
            Err(refusal) => {
                self.answer("authenticate", ack, &wire::failure(&refusal));
                self.refuse(reason(refusal));
                self.end(phase).await
            }
        }
    }

    pub(super) fn refuse_authentication(self: &Arc<Self>, ack: Option<i64>, refusal: AuthRefusal) -> Phase {
        self.answer("authenticate", ack, &wire::failure(&refusal));
        self.dialect.hub.unregister(self.id);
        self.refuse(reason(refusal));
        Phase::Ended
    }
}

fn reason(refusal: AuthRefusal) -> &'static str {
    match refusal {
        AuthRefusal::Wrong => "wrong credentials",
        AuthRefusal::Timeout => "authentication timeout",
        AuthRefusal::RateLimit => "rate limit",
        AuthRefusal::Server => "server error",
    }
}
