//! `msg`: checks a message, has it completed, and tells its sender what became of it.
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::wire::{self, MsgFailure};
use crate::domain::{
    message::{
        Message,
        fields::{self, Unfit},
    },
    room::Room,
    subscriber::{Outcome, Settled},
};

/// Where a session's messages go.
pub(super) enum Target {
    /// It is not authenticated, or has ended: no effect, no answer.
    Nowhere,
    /// It may not send.
    Refused(MsgFailure),
    Room {
        /// The sender's uid, as JSON.
        uid: Arc<str>,
        room: Arc<Room>,
    },
}

/// What became of messages that a client sent.
pub(super) struct Ended {
    /// The acknowledgements that were asked for, as finished frames.
    pub acks: Bytes,
    /// The messages' size.
    pub bytes: usize,
    /// A message was lost whose sender did not ask: it has to come back and learn what is stored.
    pub lost: bool,
}

/// Acknowledges messages that ended, in one piece.
pub(super) fn ended(messages: &[Settled]) -> Ended {
    let (mut acks, mut bytes, mut lost) = (BytesMut::new(), 0, false);
    for message in messages {
        bytes += message.bytes;
        match (failure(&message.outcome), message.ack) {
            (None, Some(id)) => wire::ack(&mut acks, id, wire::MSG_SUCCESS),
            (Some(failure), Some(id)) => wire::ack(&mut acks, id, failure.answer()),
            // Of an update that the room has no place for nothing is learnt by coming back.
            (None | Some(MsgFailure::TooManyUpdates), None) => {}
            (Some(_), None) => lost = true,
        }
    }
    Ended { acks: acks.freeze(), bytes, lost }
}

/// Why a message failed, if it did.
pub(super) fn failure(outcome: &Outcome) -> Option<MsgFailure> {
    match outcome {
        Outcome::Done(_) | Outcome::Duplicate | Outcome::Replayed { .. } => None,
        Outcome::Unavailable => Some(MsgFailure::Unavailable),
        Outcome::Full => Some(MsgFailure::TooManyUpdates),
        Outcome::Unknown | Outcome::Reused => Some(MsgFailure::Unknown),
    }
}

/// The message as the others get it: see [`fields::complete`]. `uid` is JSON.
pub(super) fn complete(json: &str, uid: &str, max_units: usize) -> Result<Message, MsgFailure> {
    fields::complete(json, uid, max_units).map_err(|unfit| match unfit {
        Unfit::NotAnObject => MsgFailure::NotAnObject,
        Unfit::TooLarge => MsgFailure::TooLarge,
        Unfit::TooDeep => MsgFailure::TooDeep,
    })
}

#[cfg(test)]
mod tests;
