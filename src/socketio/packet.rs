//! Packets of socket.io: `TYPE[ATTACHMENTS-][/NAMESPACE,][ACK]DATA`, the same in protocol 4
//! (socket.io 2) and 5. <https://socket.io/docs/v4/socket-io-protocol/>
use std::{fmt::Write, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::Version;
use crate::net::websocket::frame;

/// Most bytes of a namespace's name, without its query. It is said again in the answer to who asks
/// for it.
const MOST_NAMESPACE: usize = 256;
/// Most bytes of that query, which a dialect may keep: a URL, which may say the same, has no more.
const MOST_QUERY: usize = 16 << 10;
/// Most attachments of one packet.
const MOST_ATTACHMENTS: usize = 1_000;
/// Time that the attachments of a packet may take.
const ATTACHMENTS_WITHIN: Duration = Duration::from_secs(60);
/// Most times that one connection may connect to namespaces, so that clients can't come and go
/// without end in a few bytes each.
pub(super) const MOST_CONNECTS: usize = 1_000;
/// The namespace of most clients.
pub(super) const ROOT: &str = "/";

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Disconnect,
    Event,
    /// An acknowledgement; nothing here asks for one.
    Ack,
}

/// A packet as it comes in, without its attachments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub kind: Kind,
    /// Binary messages that belong to it and follow.
    pub attachments: usize,
    pub namespace: &'a str,
    /// What stands behind a `?` in the namespace's name, as clients of socket.io 2 say it.
    pub query: &'a str,
    pub ack: Option<i64>,
    /// JSON, unchecked.
    pub data: &'a str,
}

impl<'a> Packet<'a> {
    /// Returns `None` for what is no packet that a client may send.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (kind, binary) = match text.as_bytes().first()? {
            b'0' => (Kind::Connect, false),
            b'1' => (Kind::Disconnect, false),
            b'2' => (Kind::Event, false),
            b'3' => (Kind::Ack, false),
            b'5' => (Kind::Event, true),
            b'6' => (Kind::Ack, true),
            _ => return None,
        };
        let mut rest = &text[1..];
        let mut attachments = 0;
        if binary {
            let (count, behind) = digits(rest);
            rest = behind.strip_prefix('-')?;
            attachments = count.parse().ok()?;
        }
        let (mut namespace, mut query) = (ROOT, "");
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
            (namespace, query) = namespace.split_once('?').unwrap_or((namespace, ""));
            if namespace.len() > MOST_NAMESPACE || query.len() > MOST_QUERY {
                return None;
            }
        }
        let (id, data) = digits(rest);
        let ack = if data.starts_with(['[', '{']) { id.parse().ok() } else { None };
        if kind == Kind::Ack && ack.is_none() {
            return None;
        }
        Some(Packet { kind, attachments, namespace, query, ack, data })
    }
}

/// An event whose attachments are on their way.
pub(super) struct Partial {
    pub namespace: Box<str>,
    /// `None`: it is none, and of no use to anybody.
    pub event: Option<(Box<str>, Option<i64>)>,
    pub attachments: Vec<Bytes>,
    missing: usize,
    bytes: usize,
    since: Instant,
}

impl Partial {
    /// Returns `None` where the packet has too many attachments.
    pub fn of(packet: &Packet<'_>) -> Option<Self> {
        (packet.attachments <= MOST_ATTACHMENTS).then(|| Partial {
            namespace: packet.namespace.into(),
            event: (packet.kind == Kind::Event).then(|| (packet.data.into(), packet.ack)),
            attachments: Vec::new(),
            missing: packet.attachments,
            bytes: 0,
            since: Instant::now(),
        })
    }

    /// Takes an attachment. Returns `None` where it makes all of them larger than `most` bytes, or
    /// comes too late; else whether it was the last.
    pub fn attach(&mut self, bytes: Bytes, most: usize) -> Option<bool> {
        self.bytes += bytes.len();
        self.missing = self.missing.checked_sub(1)?;
        if self.event.is_some() {
            self.attachments.push(bytes);
        }
        (self.bytes <= most && !self.is_late()).then_some(self.missing == 0)
    }

    /// When all of them must have come.
    pub fn due(&self) -> Instant {
        self.since + ATTACHMENTS_WITHIN
    }

    pub fn is_late(&self) -> bool {
        self.due() <= Instant::now()
    }
}

/// The digits at the beginning, and what follows them.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// What stands before a packet's data: its type, and its namespace where that is not the root.
fn begin(kind: &str, namespace: &str) -> String {
    let mut text = format!("4{kind}");
    if namespace != ROOT {
        text.extend([namespace, ","]);
    }
    text
}

/// CONNECT, the answer to who connects.
pub(super) fn connected(version: Version, namespace: &str, sid: &str) -> Bytes {
    let mut text = begin("0", namespace);
    if version == Version::V4 {
        let _ = write!(text, r#"{{"sid":"{sid}"}}"#);
    }
    text_frame(&text)
}

/// CONNECT_ERROR, the answer to who may not. In protocol 4 it is a bare string.
pub(super) fn connect_error(version: Version, namespace: &str, message: &str) -> Bytes {
    let message = serde_json::Value::from(message);
    let mut text = begin("4", namespace);
    let _ = match version {
        Version::V3 => write!(text, "{message}"),
        Version::V4 => write!(text, r#"{{"message":{message}}}"#),
    };
    text_frame(&text)
}

/// DISCONNECT.
pub(super) fn disconnect(namespace: &str) -> Bytes {
    text_frame(&begin("1", namespace))
}

/// An event, `elements` being its name and arguments as JSON.
pub(super) fn event(namespace: &str, elements: &[&str]) -> Bytes {
    with_data(begin("2", namespace), elements)
}

/// An acknowledgement; `arguments` are JSON.
pub(crate) fn ack(namespace: &str, id: i64, arguments: &[&str]) -> Bytes {
    with_data(begin("3", namespace) + &id.to_string(), arguments)
}

/// As [`event`] and, with an `id`, [`ack`], with attachments behind it.
pub(super) fn binary(
    version: Version,
    namespace: &str,
    id: Option<i64>,
    elements: &[&str],
    attachments: &[Bytes],
) -> Bytes {
    let kind = format!("{}{}-", if id.is_some() { 6 } else { 5 }, attachments.len());
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    let mut frames = BytesMut::from(with_data(begin(&kind, namespace) + &id, elements));
    for attachment in attachments {
        frame::binary(&mut frames, &[version.binary_prefix(), attachment]);
    }
    frames.freeze()
}

fn with_data(head: String, elements: &[&str]) -> Bytes {
    let mut frame = BytesMut::new();
    // They may be large: each is copied once.
    let mut parts: Vec<&[u8]> = Vec::with_capacity(2 * elements.len() + 3);
    parts.extend([head.as_bytes(), b"["]);
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            parts.push(b",");
        }
        parts.push(element.as_bytes());
    }
    parts.push(b"]");
    frame::text(&mut frame, &parts);
    frame.freeze()
}

/// A text as a finished frame.
pub(super) fn text_frame(text: &str) -> Bytes {
    let mut frame = BytesMut::new();
    frame::text(&mut frame, &[text.as_bytes()]);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_every_kind_are_read() {
        let packet = |kind, attachments, namespace, ack, data| {
            Some(Packet { kind, attachments, namespace, query: "", ack, data })
        };
        for (text, expected) in [
            ("0", packet(Kind::Connect, 0, "/", None, "")),
            (r#"0{"token":1}"#, packet(Kind::Connect, 0, "/", None, r#"{"token":1}"#)),
            ("0/chat", packet(Kind::Connect, 0, "/chat", None, "")),
            ("0/chat,", packet(Kind::Connect, 0, "/chat", None, "")),
            ("1", packet(Kind::Disconnect, 0, "/", None, "")),
            ("1/chat,", packet(Kind::Disconnect, 0, "/chat", None, "")),
            (r#"2["msg",{}]"#, packet(Kind::Event, 0, "/", None, r#"["msg",{}]"#)),
            (r#"217["msg",{}]"#, packet(Kind::Event, 0, "/", Some(17), r#"["msg",{}]"#)),
            (r#"2/chat,1["é"]"#, packet(Kind::Event, 0, "/chat", Some(1), r#"["é"]"#)),
            ("37[]", packet(Kind::Ack, 0, "/", Some(7), "[]")),
            (r#"52-3["msg"]"#, packet(Kind::Event, 2, "/", Some(3), r#"["msg"]"#)),
            (r#"51-/é,["msg"]"#, packet(Kind::Event, 1, "/é", None, r#"["msg"]"#)),
            ("60-1[]", packet(Kind::Ack, 0, "/", Some(1), "[]")),
            // An id beyond 64 bits is none.
            ("299999999999999999999[]", packet(Kind::Event, 0, "/", None, "[]")),
        ] {
            assert_eq!(Packet::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_packet_is_known() {
        for text in [
            "",
            "4",
            "7",
            "é",
            "3[]",
            "3",
            "5",
            "5[]",
            "5-[]",
            "5x-[]",
            "51",
            "51é",
            "6-1[]",
            "599999999999999999999-[]",
        ] {
            assert_eq!(Packet::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_query_is_no_part_of_a_namespaces_name() {
        for (text, namespace, query, data) in [
            ("0/chat?user=u1,", "/chat", "user=u1", ""),
            ("0/chat?user=u1", "/chat", "user=u1", ""),
            ("0/chat?a=b?c=%2C&d,{}", "/chat", "a=b?c=%2C&d", "{}"),
            ("0/chat?,", "/chat", "", ""),
            ("0/?a=b,", "/", "a=b", ""),
            (r#"2/chat?a=b,["x"]"#, "/chat", "a=b", r#"["x"]"#),
        ] {
            let packet = Packet::parse(text).unwrap();
            assert_eq!((packet.namespace, packet.query, packet.data), (namespace, query, data));
        }
    }

    #[test]
    fn who_may_not_connect_is_told_so_in_its_version() {
        for (version, namespace, said) in [
            (Version::V3, "/", r#"44"no entry""#),
            (Version::V3, "/chat", r#"44/chat,"no entry""#),
            (Version::V4, "/", r#"44{"message":"no entry"}"#),
            (Version::V4, "/chat", r#"44/chat,{"message":"no entry"}"#),
        ] {
            assert_eq!(connect_error(version, namespace, "no entry"), text_frame(said));
        }
    }

    #[test]
    fn names_of_namespaces_and_their_queries_are_bounded() {
        let name = format!("/{}", "x".repeat(MOST_NAMESPACE - 1));
        let query = "x".repeat(MOST_QUERY);
        for (text, named) in [
            (format!("0{name},"), true),
            (format!("0{name}?{query},"), true),
            (format!("1{name}"), true),
            (format!("0{name}x,"), false),
            (format!("0{name}x?y,"), false),
            (format!("0{name}?{query}x,"), false),
            (format!("2{name}x,[]"), false),
        ] {
            assert_eq!(
                Packet::parse(&text).map(|p| p.namespace),
                named.then_some(name.as_str()),
                "{text:.20}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn attachments_that_come_too_late_are_refused() {
        let packet = Packet::parse(r#"52-["msg"]"#).unwrap();
        let mut partial = Partial::of(&packet).unwrap();
        tokio::time::advance(ATTACHMENTS_WITHIN - Duration::from_millis(1)).await;
        assert!(!partial.is_late());
        let one = Bytes::from_static(b"x");
        assert_eq!(partial.attach(one.clone(), 10), Some(false), "one is missing");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(partial.due(), Instant::now());
        assert!(partial.is_late(), "all of them have this time, not each");
        assert_eq!(partial.attach(one, 10), None);
    }
}
