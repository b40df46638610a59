//! Messages on their way from a client to its room.
use std::sync::Arc;

use serde_json::value::RawValue;

use super::Session;
use crate::{
    dialect::always_online::{
        msg::{self, Target},
        state::{Ask, Pending, Route},
        wire::{self, Call, MsgFailure},
    },
    domain::{
        broker::{Audience, Entry},
        gate::Refusal,
    },
    metrics::{Event, Outcome},
    reason::Reason,
};

impl Session {
    pub(super) fn msg(
        self: &Arc<Self>,
        argument: Option<&RawValue>,
        ack: Option<i64>,
        bytes: usize,
    ) {
        let route = self.state().route(self.unread());
        match route {
            Route::Now(target) if !self.is_asked_about(&target) => {
                self.post(target, argument, ack, false);
            }
            Route::Now(_) | Route::Wait => {
                self.call(Call::Msg(argument.map(ToOwned::to_owned)), ack, bytes)
            }
            Route::Flood => self.drop_client(Reason::Flood),
        }
    }

    /// Hands a message to its room, or, where a hook is to be asked before, returns that. It is
    /// acknowledged, where that was asked for, after it is stored; what is refused without being
    /// asked is dropped.
    pub(super) fn post(
        self: &Arc<Self>,
        target: Target,
        argument: Option<&RawValue>,
        ack: Option<i64>,
        asked: bool,
    ) -> Option<Ask> {
        let (uid, room) = match target {
            Target::Nowhere => {
                self.dialect.hub.metrics.messages.handled(Event::Msg, Outcome::Ignored, 1);
                return None;
            }
            Target::Refused(failure) => {
                self.refuse_msg(failure, None, ack);
                return None;
            }
            Target::Room { uid, room } => (uid, room),
        };
        let message = argument
            .ok_or(MsgFailure::NotAnObject)
            .and_then(|m| msg::complete(m.get(), &uid, self.dialect.options.max_message));
        match message {
            Ok(message) => {
                let pending = Pending { uid, room, message, ack };
                if asked {
                    return Some(Ask::MaySend(pending));
                }
                self.hand_over(pending);
            }
            Err(failure) => self.refuse_msg(failure, None, ack),
        }
        None
    }

    pub(super) fn hand_over(self: &Arc<Self>, Pending { room, message, ack, .. }: Pending) {
        let bytes = message.body.len();
        {
            let mut state = self.state();
            if state.sent(bytes) {
                self.socket.hold_reading(true); // under the lock, as in `perform`
            }
        }
        let entry = Entry::Message {
            from: Some(self.id),
            audience: Audience::ExceptConnection(self.id),
            message,
            receipt: None,
        };
        room.send(entry, bytes, self.clone(), ack);
    }

    pub(super) fn count_refusal(&self, failure: MsgFailure) {
        let metrics = &self.dialect.hub.metrics;
        metrics.message_refused(failure);
        let outcome = match failure {
            MsgFailure::Unavailable | MsgFailure::Unknown => Outcome::Failed,
            MsgFailure::NotInRoom
            | MsgFailure::Dummy
            | MsgFailure::NotAllowed
            | MsgFailure::TooLarge
            | MsgFailure::NotAnObject
            | MsgFailure::TooDeep
            | MsgFailure::TooManyUpdates => Outcome::Refused,
        };
        metrics.messages.handled(Event::Msg, outcome, 1);
    }

    pub(super) fn refuse_msg(&self, failure: MsgFailure, by: Option<&Refusal>, ack: Option<i64>) {
        self.count_refusal(failure);
        if let Some(id) = ack {
            self.send(match by {
                None => wire::acknowledgement(id, failure.answer()),
                by => wire::acknowledgement(id, &wire::denial(failure, by)),
            });
        }
    }
}
