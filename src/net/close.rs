//! WebSocket Close frames (RFC 6455, 5.5.1), and their codes (7.4.1, and the registry of IANA).
use bytes::Bytes;

use crate::reason::Reason;

/// The code that tells a client why its connection ends; nothing where no frame is sent, as the
/// client reads nothing.
///
/// socket.io clients look at the frame, not at its code: DISCONNECT alone keeps them away. The
/// codes are for people and for other clients. 1001 is what the RFC has for a server that goes
/// down, and all libraries know it. 1012, service restart, says the same in later words, but
/// ws 1 (socket.io-client 1) takes it for an error, and so do old libraries of phones. 1013 is
/// needed, as none of the old ones says "later"; the same libraries report an error there, and come
/// back in any case.
pub fn code(reason: Reason) -> Option<u16> {
    match reason {
        Reason::Leave | Reason::ClosedByClient => Some(1000),
        Reason::Drain => Some(1001),
        Reason::Malformed => Some(1002),
        Reason::NotUtf8 => Some(1007),
        Reason::WrongCredentials
        | Reason::AuthenticationTimeout
        | Reason::RateLimit
        | Reason::JoinTimeout
        | Reason::Kickout
        | Reason::Revoked
        | Reason::Flood
        | Reason::NotConnected
        | Reason::PingTimeout => Some(1008),
        Reason::TooLarge => Some(1009),
        Reason::Failure => Some(1011),
        Reason::LostSession | Reason::MissedMessages | Reason::StoreUnavailable => Some(1013),
        Reason::Slow | Reason::Stalled => None,
    }
}

/// A Close frame, with a code or without.
pub(super) fn frame(code: Option<u16>) -> Bytes {
    match code.map(u16::to_be_bytes) {
        Some([high, low]) => Bytes::copy_from_slice(&[0x88, 2, high, low]),
        None => Bytes::from_static(&[0x88, 0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Kind;

    /// What it means to the client, and its code.
    #[test]
    fn every_reason_is_documented_with_its_code() {
        let document =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PROTOCOL.md"))
                .unwrap();
        let table = document
            .split("### Why, and with which code")
            .nth(1)
            .and_then(|rest| rest.split("\n#").next())
            .expect("the table");
        for reason in Reason::ALL {
            let kind = match reason.kind() {
                Kind::Refused => "refused",
                Kind::Dropped => "dropped",
                Kind::Own => continue,
            };
            let code = code(reason).map_or("none".to_owned(), |code| code.to_string());
            let row = format!("| `{}` | {kind} | {code} |", reason.label());
            assert!(table.contains(&row), "PROTOCOL.md lacks {row}");
        }
    }

    #[test]
    fn a_frame_has_a_code_or_nothing() {
        assert_eq!(
            (frame(Some(1001)), frame(None)),
            (Bytes::from_static(b"\x88\x02\x03\xe9"), Bytes::from_static(b"\x88\x00"))
        );
    }
}
