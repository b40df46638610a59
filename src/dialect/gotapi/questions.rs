//! What a business server is asked about clients here, where it wants to be: whether one may enter
//! a room, and whether a message may go there.
//!
//! Nobody signs in, so a question names the connection where others name a user. The protocol has a
//! status for a handshake that is refused, and no word for a refused message: that is dropped, and
//! not acknowledged.
use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use serde_json::Value;

use super::Gotapi;
use crate::{
    domain::{
        gate::{Answer, Caller, Gate, Question},
        ids::{ConnectionId, RoomId},
    },
    reason::Reason,
    throttle::throttled,
};

/// What a business server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may; of a message this is what is sent.
    Yes(Bytes),
    /// It may not.
    No,
    /// It may not, and its connection ends.
    End(Reason),
    /// There is no valid answer.
    Failed,
}

impl Gotapi {
    /// Who is to be asked this of this room, if anybody is.
    fn asked(&self, question: Question, room: &RoomId) -> Option<Arc<dyn Gate>> {
        self.gate.get().filter(|gate| gate.asks(question, Some(room)))
    }

    /// Whether a connection may enter the room.
    pub(super) async fn may_enter(
        &self,
        connection: ConnectionId,
        address: IpAddr,
        room: &RoomId,
    ) -> Verdict {
        let Some(gate) = self.asked(Question::Join, room) else {
            return Verdict::Yes(Bytes::new());
        };
        let Some(caller) = self.caller(connection, address) else { return Verdict::Failed };
        verdict(gate.join(&caller, room, false).await, Bytes::new())
    }

    /// Whether this may be sent into the room. One that is no JSON object is asked about as a text;
    /// what is no text can't be asked about, and is for the gate to say.
    pub(super) async fn may_send(
        &self,
        connection: ConnectionId,
        address: IpAddr,
        room: &RoomId,
        body: Bytes,
    ) -> Verdict {
        let Some(gate) = self.asked(Question::Message, room) else { return Verdict::Yes(body) };
        let Some(caller) = self.caller(connection, address) else { return Verdict::Failed };
        match verdict(gate.message(&caller, room, question(&body)).await, body) {
            Verdict::Yes(body) if body.len() > self.options.max_message => {
                throttled!(warn, "a hook gives a message that is larger than one may be");
                Verdict::Failed
            }
            verdict => verdict,
        }
    }

    fn caller(&self, connection: ConnectionId, address: IpAddr) -> Option<Caller> {
        let uid = self.uid(connection).ok()?;
        Some(Caller { connection: uid.as_str().into(), uid, address, meta: None })
    }
}

/// A message as questions have it.
fn question(body: &Bytes) -> Bytes {
    let Ok(text) = std::str::from_utf8(body) else { return body.clone() };
    let is_object = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
        && text.trim_ascii_start().starts_with('{');
    if is_object { body.clone() } else { Value::from(text).to_string().into() }
}

/// Sessions have no rights here: what an answer says of them has no effect.
fn verdict(answer: Answer, body: Bytes) -> Verdict {
    match answer {
        Answer::Allowed(changes) => Verdict::Yes(changes.message.unwrap_or(body)),
        Answer::Refused(_) => Verdict::No,
        Answer::Disconnect { reconnect: true, .. } => Verdict::End(Reason::DroppedByHook),
        Answer::Disconnect { reconnect: false, .. } => Verdict::End(Reason::RefusedByHook),
        Answer::Failed => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_is_asked_about_as_a_text() {
        for (body, asked) in [
            (r#"{"type":2,"uuid":"a"}"#, r#"{"type":2,"uuid":"a"}"#),
            (" {\"a\" : 1} ", " {\"a\" : 1} "),
            ("hello \"all\"", r#""hello \"all\"""#),
            ("[1]", r#""[1]""#),
            ("{\"a\":", r#""{\"a\":""#),
            ("", r#""""#),
        ] {
            assert_eq!(question(&Bytes::from(body)), asked, "{body}");
        }
        assert_eq!(question(&Bytes::from_static(b"\xff")), &b"\xff"[..]);
    }
}
