//! The codes of WebSocket Close frames (RFC 6455, 7.4.1, and the registry of IANA).
use crate::reason::Reason;

/// The code that tells a client why its connection ends; nothing where no frame is sent, as the
/// client reads nothing.
///
/// Most clients of the protocols above look at the frame, not at its code. The codes are for people
/// and for other clients. 1001 is what the RFC has for a server that goes
/// down, and all libraries know it. 1012, service restart, says the same in later words, but
/// ws 1, an old library, takes it for an error, and so do old libraries of phones. 1013 is
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
}
