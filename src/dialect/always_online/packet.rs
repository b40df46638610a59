//! A socket.io packet as it comes in: `TYPE[ATTACHMENTS-][/NAMESPACE,][ACK]DATA`, the same in
//! protocol 4 (socket.io 2) and 5.
use std::time::Duration;

use tokio::time::Instant;

/// Most bytes of a namespace's name. It is said again in the answer to who asks for it.
const MOST_NAMESPACE: usize = 256;
/// Most attachments of one packet. No client of ours has a use for any; the engine's work grows
/// with their square.
pub(super) const MOST_ATTACHMENTS: usize = 1_000;
/// Time that the attachments of a packet may take, as the engine has it.
pub(super) const ATTACHMENTS_WITHIN: Duration = Duration::from_secs(60);
/// Most times that one connection may connect to the namespace, so that sessions can't come and go
/// without end in a few bytes each.
pub(super) const MOST_CONNECTS: usize = 1_000;

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    Disconnect,
    Event,
    /// An acknowledgement; nothing here asks for one.
    Ack,
}

/// A packet, without its attachments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub kind: Kind,
    /// Binary messages that belong to it and follow.
    pub attachments: usize,
    pub namespace: &'a str,
    pub ack: Option<i64>,
    /// JSON, unchecked.
    pub data: &'a str,
}

impl<'a> Packet<'a> {
    /// Nothing, where it is none that a client may send.
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
        let mut namespace = "/";
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
            if namespace.len() > MOST_NAMESPACE {
                return None;
            }
        }
        let (id, data) = digits(rest);
        let ack = if data.starts_with(['[', '{']) { id.parse().ok() } else { None };
        if kind == Kind::Ack && ack.is_none() {
            return None;
        }
        Some(Packet { kind, attachments, namespace, ack, data })
    }
}

/// The answer to a client that connects to a namespace other than ours.
pub(super) fn no_such_namespace(name: &str) -> String {
    format!(r#"44{name},{{"message":"Invalid namespace"}}"#)
}

/// A packet whose attachments are on their way. What is in them is of no use to anybody here, so
/// they are only counted.
pub(super) struct Partial {
    /// Its JSON and acknowledgement, if it is an event for us.
    event: Option<(Box<str>, Option<i64>)>,
    missing: usize,
    bytes: usize,
    since: Instant,
}

impl Partial {
    /// Returns `None` where the packet has too many attachments.
    pub fn of(packet: &Packet<'_>) -> Option<Self> {
        let ours = packet.namespace == "/" && packet.kind == Kind::Event;
        (packet.attachments <= MOST_ATTACHMENTS).then(|| Partial {
            event: ours.then(|| (packet.data.into(), packet.ack)),
            missing: packet.attachments,
            bytes: 0,
            since: Instant::now(),
        })
    }

    /// Counts an attachment. Returns `None` where it makes all of them larger than `most` bytes, or
    /// comes too late; else whether it was the last.
    pub fn attach(&mut self, bytes: usize, most: usize) -> Option<bool> {
        self.bytes += bytes;
        self.missing -= 1;
        (self.bytes <= most && !self.is_late()).then_some(self.missing == 0)
    }

    /// When all of them must have come.
    pub fn due(&self) -> Instant {
        self.since + ATTACHMENTS_WITHIN
    }

    pub fn is_late(&self) -> bool {
        self.due() <= Instant::now()
    }

    /// The event, once it is whole.
    pub fn into_event(self) -> Option<(Box<str>, Option<i64>)> {
        self.event
    }
}

/// The digits at the beginning, and what follows them.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_every_kind_are_read() {
        let packet = |kind, attachments, namespace, ack, data| {
            Some(Packet { kind, attachments, namespace, ack, data })
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
    fn names_of_namespaces_are_bounded() {
        let name = format!("/{}", "x".repeat(MOST_NAMESPACE - 1));
        for (text, named) in [
            (format!("0{name},"), true),
            (format!("1{name}"), true),
            (format!("0{name}x,"), false),
            (format!("2{name}x,[]"), false),
        ] {
            assert_eq!(
                Packet::parse(&text).map(|p| p.namespace),
                named.then_some(name.as_str()),
                "{text:.20}"
            );
        }
    }
}
