//! What hooks are asked about a client.
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::Session;
use crate::{
    dialect::always_online::{
        authenticate::{Authentication, Granted},
        msg::{self, Target},
        state::{Answer, Denied, Pending},
        wire::{Credentials, JoinRequest},
    },
    domain::{
        gate::{self, Caller, Changes, Gate, Question},
        ids::Uid,
    },
    throttle::throttled,
};

impl Session {
    fn gate(&self) -> Option<Arc<dyn Gate>> {
        self.dialect.options.gate.get()
    }

    /// Whether a hook wants to be asked about messages there.
    pub(super) fn is_asked_about(&self, target: &Target) -> bool {
        match (self.gate(), target) {
            (Some(gate), Target::Room { room, .. }) => gate.asks(Question::Message, Some(&room.id)),
            _ => false,
        }
    }

    /// Whether a hook wants to be asked about this join.
    pub(super) fn is_asked_before(&self, request: &JoinRequest) -> bool {
        self.gate().is_some_and(|gate| gate.asks(Question::Join, Some(&request.room)))
    }

    /// Asks whether the user, whose credentials are right, may have a session.
    pub(super) async fn may_connect(&self, uid: &Uid, granted: &Granted) -> gate::Answer {
        let Some(gate) = self.gate().filter(|gate| gate.asks(Question::Connect, None)) else {
            return gate::Answer::Allowed(Changes::default());
        };
        let meta = granted.rights.as_ref().and_then(|rights| rights.meta.clone());
        let answer = gate.connect(&self.caller(uid.clone(), meta)).await;
        self.log_end(&answer);
        answer
    }

    /// Checks the user's credentials once more, which a hook is asked about as the first time.
    pub(super) async fn check_again(&self, credentials: &Credentials, ack: Option<i64>) -> Answer {
        // Whoever has a session tries no tokens: with a wrong one it ends.
        let mut checked = Authentication::of(&self.dialect, None).check_again(credentials).await;
        if let Ok(granted) = &mut checked.granted {
            match self.may_connect(&credentials.uid, granted).await {
                gate::Answer::Allowed(changes) => granted.by_hook = changes,
                by => return Answer::Denied { what: Denied::Renewal, by, ack },
            }
        }
        Answer::CheckedAgain { checked, ack }
    }

    /// Asks whether it may enter the room.
    pub(super) async fn may_enter(
        &self,
        uid: Uid,
        request: JoinRequest,
        ack: Option<i64>,
    ) -> Answer {
        let Some(gate) = self.gate() else { return Answer::Failed };
        let caller = self.caller(uid, self.meta());
        let answer = gate.join(&caller, &request.room, request.dummy).await;
        self.log_end(&answer);
        match answer {
            gate::Answer::Allowed(changes) => {
                Answer::MayEnter { request, ack, changes, now: self.dialect.hub.clock.unix() }
            }
            by => Answer::Denied { what: Denied::Join, by, ack },
        }
    }

    /// Asks whether it may send the message, which the hook may replace.
    pub(super) async fn may_send(&self, mut message: Pending) -> Answer {
        let ack = message.ack;
        let known = self.state().known();
        let (Some(gate), Some((uid, meta))) = (self.gate(), known) else { return Answer::Failed };
        let caller = self.caller(uid, meta);
        let body = message.message.body.clone();
        let answer = gate.message(&caller, &message.room.id, body).await;
        self.log_end(&answer);
        let changes = match answer {
            gate::Answer::Allowed(changes) => changes,
            by => return Answer::Denied { what: Denied::Message, by, ack },
        };
        if let Some(other) = &changes.message {
            let max_units = self.dialect.options.max_message;
            let json = std::str::from_utf8(other).unwrap_or_default();
            match msg::complete(json, &message.uid, max_units) {
                Ok(other) => message.message = other,
                // The gate looks at it as we do.
                Err(_) => {
                    let by = gate::Answer::Failed;
                    return Answer::Denied { what: Denied::Message, by, ack };
                }
            }
        }
        Answer::MaySend { message, changes, now: self.dialect.hub.clock.unix() }
    }

    fn meta(&self) -> Option<Arc<str>> {
        self.state().known().and_then(|(_, meta)| meta)
    }

    fn caller(&self, uid: Uid, meta: Option<Arc<str>>) -> Caller {
        let address = self.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Caller { uid, connection: self.name.0.clone(), address, meta }
    }

    fn log_end(&self, answer: &gate::Answer) {
        if let gate::Answer::Disconnect { reason, reconnect } = answer {
            throttled!(info, socket = %self.name.0, ?reason, reconnect, "a hook ends a connection");
        }
    }
}
