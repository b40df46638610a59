//! The words of the wire: what clients ask for, and answers, refusals and publications as finished
//! WebSocket text frames.
//!
//! A frame's text is an engine.io message packet (`4`) with a socket.io event (`2["name",payload]`)
//! or acknowledgement (`3id[payload]`) in it, the same in engine.io 3 and 4. Server frames are not
//! masked.
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

use crate::domain::{
    broker::{Event, Publication},
    gate::Refusal,
    ids::{RoomId, Uid},
    presence::Roster,
    subscriber::{Burst, Codec},
};
mod request;

pub(super) use crate::net::websocket::frame::HEAD;
use crate::net::websocket::frame::{self, Opcode};
use crate::reason::Label;
pub(super) use request::{Call, Credentials, JoinRequest, SyncRequest};

/// Whether a text can stand in a JSON string as it is.
const fn is_plain(text: &str) -> bool {
    let (bytes, mut at) = (text.as_bytes(), 0);
    while at < bytes.len() {
        if bytes[at] < b' ' || bytes[at] == b'"' || bytes[at] == b'\\' {
            return false;
        }
        at += 1;
    }
    true
}

/// `{"status":STATUS,"data":"TEXT"}`, whose text is checked when this is compiled.
macro_rules! status {
    ($status:literal, $text:literal) => {{
        const { assert!(is_plain($text), "it would have to be escaped") };
        concat!("{\"status\":", $status, ",\"data\":\"", $text, "\"}")
    }};
}

pub(super) const AUTH_SUCCESS: &str = status!(0, "auth success");
pub(super) const JOIN_SUCCESS: &str = status!(0, "join success");
pub(super) const MSG_SUCCESS: &str = status!(0, "msg success");
pub(super) const LEAVE_SUCCESS: &str = r#"{"status":0}"#;
/// Payload of `kickout`.
const KICKOUT: &str = "0";

/// Reasons that a client is told of by `{status:1, data:REASON}`.
macro_rules! failures {
    ($(#[$doc:meta])* $name:ident { $($reason:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[error("{}", self.label())]
        pub(super) enum $name { $($reason),+ }

        impl Label for $name {
            /// On the wire it is the same word.
            fn label(self) -> &'static str {
                match self { $($name::$reason => $text),+ }
            }
        }

        impl $name {
            #[cfg(test)]
            #[allow(dead_code, reason = "of some of them")]
            const ALL: &[$name] = &[$($name::$reason),+];

            /// The answer to the client, JSON.
            pub fn answer(self) -> &'static str {
                match self { $($name::$reason => status!(1, $text)),+ }
            }
        }
    };
}

failures! {
    /// Why a client is refused at `authenticate`.
    AuthRefusal {
        Wrong = "auth failed, uid or token is wrong",
        Expired = "token expired",
        NotAllowed = "not allowed",
        Timeout = "authentication timeout",
        RateLimit = "reach rate limit",
        // The same words: old clients know no others.
        TooManyFailures = "reach rate limit",
        Server = "server error",
    }
}

failures! {
    /// Why a join failed.
    JoinFailure {
        NoRoom = "join failed, require roomId",
        NotAllowed = "join failed, not allowed",
        TooOften = "join failed, too often",
        TooManyNew = "join failed, too many new rooms",
        TooManyRooms = "join failed, in too many rooms",
        Server = "server error",
    }
}

failures! {
    /// Why a message was not accepted, or not stored.
    MsgFailure {
        NotInRoom = "not in a room",
        Dummy = "dummy can not send",
        NotAllowed = "not allowed",
        TooLarge = "message too large",
        NotAnObject = "not an object",
        TooDeep = "too deep",
        TooManyUpdates = "too many updates",
        Unavailable = "store unavailable",
        Unknown = "outcome unknown",
    }
}

failures! {
    /// Why a log is not read.
    SyncFailure {
        NotAllowed = "not allowed",
    }
}

/// `{status:1, data:REASON}` with what a business server says of it, where it says anything.
pub(super) fn denial(reason: impl Label, by: Option<&Refusal>) -> String {
    let reason = reason.label();
    let error = by.map(|Refusal { code, message }| {
        format!(",\"error\":{{\"code\":{code},\"message\":{}}}", Value::from(&**message))
    });
    format!("{{\"status\":1,\"data\":\"{reason}\"{}}}", error.unwrap_or_default())
}

/// Appends one text frame made of `parts`.
fn frame(into: &mut BytesMut, parts: &[&[u8]]) {
    frame::text(into, parts);
}

/// Appends what stands before a text frame's payload of this length.
pub(super) fn head(into: &mut impl BufMut, length: usize) {
    frame::head(into, Opcode::Text, length);
}

/// Appends an event; `payload` is JSON.
pub(super) fn event(into: &mut BytesMut, name: &str, payload: &str) {
    frame(into, &[b"42[\"", name.as_bytes(), b"\",", payload.as_bytes(), b"]"]);
}

/// Appends an acknowledgement; `payload` is JSON.
pub(super) fn ack(into: &mut BytesMut, id: i64, payload: &str) {
    ack_of(into, id, payload.as_bytes());
}

/// As [`ack`].
pub(super) fn ack_of(into: &mut BytesMut, id: i64, payload: &[u8]) {
    frame(into, &[b"43", id.to_string().as_bytes(), b"[", payload, b"]"]);
}

/// The answer to a request: an event's frame, and where one was asked for an acknowledgement with
/// the same payload. `payload` is JSON.
pub(super) fn answer(name: &str, ack_id: Option<i64>, payload: &str) -> Bytes {
    let mut frames = BytesMut::new();
    event(&mut frames, name, payload);
    if let Some(id) = ack_id {
        ack(&mut frames, id, payload);
    }
    frames.freeze()
}

/// An acknowledgement alone; `payload` is JSON.
pub(super) fn acknowledgement(id: i64, payload: &str) -> Bytes {
    let mut frames = BytesMut::new();
    ack(&mut frames, id, payload);
    frames.freeze()
}

/// The same uid has signed in elsewhere.
pub(super) fn kickout() -> Bytes {
    let mut frames = BytesMut::new();
    event(&mut frames, "kickout", KICKOUT);
    frames.freeze()
}

/// The token expires in so many seconds.
pub(super) fn expiring(seconds: u64) -> Bytes {
    let mut frames = BytesMut::new();
    event(&mut frames, "expiring", &format!("{{\"in\":{seconds}}}"));
    frames.freeze()
}

/// The answer to a join, and one `remote_join` for each who is there, in the order of their
/// joining.
pub(super) fn welcome(roster: &Roster, ack_id: Option<i64>) -> Bytes {
    let mut frames = BytesMut::with_capacity(128 + 64 * roster.others.len());
    event(&mut frames, "join", JOIN_SUCCESS);
    if let Some(id) = ack_id {
        ack(&mut frames, id, JOIN_SUCCESS);
    }
    for other in &roster.others {
        about(&mut frames, "remote_join", other);
    }
    frames.freeze()
}

/// Appends an event about another user.
pub(super) fn about(into: &mut BytesMut, name: &str, uid: &Uid) {
    frame(into, &[b"42[\"", name.as_bytes(), b"\",{\"uid\":", uid.json().as_bytes(), b"}]"]);
}

/// The frames of what happens in a room.
pub(super) struct Frames;

impl Codec for Frames {
    fn encode(&self, _: &RoomId, publications: &[Publication]) -> Burst {
        burst(publications)
    }
}

/// A room's publications, one part each.
pub(super) fn burst(publications: &[Publication]) -> Burst {
    let room: usize = publications
        .iter()
        .map(|p| if let Event::Message { body, .. } = &p.event { body.len() + 24 } else { 80 })
        .sum();
    let mut frames = BytesMut::with_capacity(room);
    let mut ends = Vec::with_capacity(publications.len());
    for publication in publications {
        match &publication.event {
            Event::Message { body, .. } => frame(&mut frames, &[b"42[\"msg\",", body, b"]"]),
            Event::System(content) => frame(&mut frames, &[b"42[\"system\",", content, b"]"]),
            // Users are told of, not their connections: each comes once and goes once.
            Event::Joined { uid, connections: 1 } => about(&mut frames, "remote_join", uid),
            Event::Left { uid, connections: 0 } => {
                about(&mut frames, "remote_leave", uid);
                about(&mut frames, "remote_disconnect", uid);
            }
            Event::Gone { uid, connections: 0 } | Event::Removed { uid, seen: true } => {
                about(&mut frames, "remote_disconnect", uid);
            }
            Event::Joined { .. }
            | Event::Left { .. }
            | Event::Gone { .. }
            | Event::Removed { seen: false, .. } => {}
            Event::Synced(uid) => about(&mut frames, "remote_sync", uid),
            // The original tells nobody.
            Event::Cleared | Event::Trimmed { .. } | Event::Recalled { .. } => {}
        }
        ends.push(frames.len());
    }
    Burst::new(frames.freeze(), ends)
}

/// The texts of finished frames.
#[cfg(test)]
pub(super) fn texts(frames: &[u8]) -> impl Iterator<Item = &str> {
    frame::payloads(frames).filter_map(|(_, text)| std::str::from_utf8(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::Kind;

    #[test]
    fn metrics_have_a_row_for_each_failure_of_a_message() {
        let known = crate::metrics::words::MESSAGE_REFUSALS;
        assert!(MsgFailure::ALL.iter().all(|failure| known.contains(&failure.label())));
    }

    #[test]
    fn a_burst_has_one_part_for_each_publication() {
        let (ann, seven) = (Uid::text("ann").unwrap(), Uid::number("7").unwrap());
        let publication = |event| Publication::told(1, event);
        let burst = burst(&[
            publication(Event::Joined { uid: ann.clone(), connections: 1 }),
            publication(Event::Message {
                kind: Kind::Insert,
                body: Bytes::from_static(br#"{"s":0,"2":"ann"}"#),
            }),
            publication(Event::Cleared),
            publication(Event::Left { uid: seven, connections: 0 }),
        ]);
        let all = burst.all();
        let texts_of_all: Vec<&str> = texts(&all).collect();
        assert_eq!(
            texts_of_all,
            [
                r#"42["remote_join",{"uid":"ann"}]"#,
                r#"42["msg",{"s":0,"2":"ann"}]"#,
                r#"42["remote_leave",{"uid":7}]"#,
                r#"42["remote_disconnect",{"uid":7}]"#,
            ]
        );
        let (some, _) = burst.select(|i| i == 3);
        assert_eq!(texts(&some).count(), 2);
    }

    #[test]
    fn a_user_is_told_of_when_its_first_connection_comes_and_its_last_one_goes() {
        let uid = || Uid::text("ann").unwrap();
        let publications = [
            Event::Joined { uid: uid(), connections: 2 },
            Event::Left { uid: uid(), connections: 2 },
            Event::Gone { uid: uid(), connections: 1 },
            Event::Removed { uid: uid(), seen: false },
            Event::Removed { uid: uid(), seen: true },
        ]
        .map(|event| Publication::told(1, event));
        let all = burst(&publications).all();
        assert_eq!(
            texts(&all).collect::<Vec<_>>(),
            [r#"42["remote_disconnect",{"uid":"ann"}]"#],
            "of the last one alone"
        );
    }

    #[test]
    fn answers_are_json() {
        for (answer, status, data) in [
            (AUTH_SUCCESS, 0, "auth success"),
            (AuthRefusal::Wrong.answer(), 1, "auth failed, uid or token is wrong"),
            (JoinFailure::NoRoom.answer(), 1, "join failed, require roomId"),
            (MsgFailure::Dummy.answer(), 1, "dummy can not send"),
        ] {
            let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
            assert_eq!(answer, serde_json::json!({ "status": status, "data": data }));
        }
        let by = Refusal { code: -4, message: "say \"please\"".into() };
        assert_eq!(denial(MsgFailure::NotAllowed, None), MsgFailure::NotAllowed.answer());
        assert_eq!(
            serde_json::from_str::<Value>(&denial(MsgFailure::NotAllowed, Some(&by))).unwrap(),
            serde_json::json!({
                "status": 1,
                "data": "not allowed",
                "error": { "code": -4, "message": "say \"please\"" },
            })
        );
        for text in ["\"", "\\", "\n", "a\u{1}"] {
            assert!(!is_plain(text), "{text:?}");
        }
        assert!(is_plain("é, and all else"));
    }

    fn request(json: &str) -> SyncRequest {
        SyncRequest::parse(Some(serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn the_log_is_read_from_the_start_only_when_asked_in_so_many_words() {
        for json in [r#"{"offset":0}"#, r#"{"offset":"0"}"#, r#"{"offset":-0.0}"#] {
            assert!(request(json).from_start, "{json}");
        }
        for json in
            ["{}", r#"{"offset":"abc"}"#, r#"{"offset":-1}"#, r#"{"offset":null}"#, "null", "[]"]
        {
            let r = request(json);
            assert_eq!((r.offset, r.from_start), (0, false), "{json}");
        }
        assert_eq!(request(r#"{"offset":"200"}"#).offset, 200);
    }

    #[test]
    fn frames_of_every_length_are_read_back() {
        for length in [0, 1, 100, 125, 126, 65_535, 65_536, 70_000] {
            let payload = format!("\"{}\"", "é".repeat(length / 2));
            let mut frames = BytesMut::new();
            event(&mut frames, "e", &payload);
            ack(&mut frames, 12, &payload);
            let frames = frames.freeze();
            let read: Vec<&str> = texts(&frames).collect();
            assert_eq!(read, [format!(r#"42["e",{payload}]"#), format!("4312[{payload}]")]);
        }
    }
}
