//! A socket.io packet as it comes in: `TYPE[ATTACHMENTS-][/NAMESPACE,][ACK]DATA`, the same in protocol 4 (socket.io 2) and 5.

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
        }
        let (id, data) = digits(rest);
        let ack = if data.starts_with(['[', '{']) { id.parse().ok() } else { None };
        if kind == Kind::Ack && ack.is_none() {
            return None;
        }
        Some(Packet { kind, attachments, namespace, ack, data })
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
        let packet = |kind, attachments, namespace, ack, data| Some(Packet { kind, attachments, namespace, ack, data });
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
        for text in ["", "4", "7", "é", "3[]", "3", "5", "5[]", "5-[]", "5x-[]", "51", "51é", "6-1[]", "599999999999999999999-[]"] {
            assert_eq!(Packet::parse(text), None, "{text}");
        }
    }
}
