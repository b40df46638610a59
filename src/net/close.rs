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
        | Reason::TurnedAway
        | Reason::RefusedByHook
        | Reason::DroppedByHook
        | Reason::TokenExpired
        | Reason::NotAllowed
        | Reason::Flood
        | Reason::NotConnected
        | Reason::PingTimeout => Some(1008),
        Reason::TooLarge => Some(1009),
        Reason::Failure => Some(1011),
        Reason::LostSession
        | Reason::MissedMessages
        | Reason::StoreUnavailable
        | Reason::TooManyFailures
        | Reason::Disconnected
        | Reason::Removed => Some(1013),
        Reason::Slow | Reason::Stalled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Kind;

    const PROTOCOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PROTOCOL.md");
    const HEAD: &str = "| reason | | code | when |\n|---|---|---|---|\n";

    fn word(kind: Kind) -> Option<&'static str> {
        match kind {
            Kind::Refused => Some("refused"),
            Kind::Dropped => Some("dropped"),
            Kind::Own => None,
        }
    }

    /// The rows of the document's table: what an end means to the client, its code, and when.
    fn rows() -> String {
        let row = |reason: &Reason| {
            let code = code(*reason).map_or("none".to_owned(), |code| code.to_string());
            let (kind, when) = (word(reason.kind())?, reason.when());
            Some(format!("| `{}` | {kind} | {code} | {when} |\n", reason.label()))
        };
        Reason::ALL.iter().filter_map(row).collect()
    }

    /// The document with the table as it should be.
    fn updated(document: &str) -> String {
        let (before, rest) = document.split_once(HEAD).expect("the table of reasons");
        let (_, after) = rest.split_once("\n\n").expect("something behind the table");
        format!("{before}{HEAD}{}\n{after}", rows())
    }

    /// Rows that are missing, superfluous or different: `AO_UPDATE_DOCS=1` with this test writes
    /// them anew.
    #[test]
    fn the_document_has_every_reason_with_its_code_and_no_other() {
        let document = std::fs::read_to_string(PROTOCOL).unwrap();
        let updated = updated(&document);
        if std::env::var_os("AO_UPDATE_DOCS").is_some() {
            return std::fs::write(PROTOCOL, updated).unwrap();
        }
        for (is, should) in document.lines().zip(updated.lines()) {
            assert_eq!(is, should, "PROTOCOL.md is stale: run this test with AO_UPDATE_DOCS=1");
        }
        assert_eq!(document.len(), updated.len(), "PROTOCOL.md is stale: see above");
    }

    #[test]
    fn a_row_too_few_and_a_row_too_many_are_both_noticed() {
        let document = updated(&std::fs::read_to_string(PROTOCOL).unwrap());
        let row = "| `kickout` | refused | 1008 |";
        let line = document.lines().find(|line| line.starts_with(row)).expect("its row");
        let too_few = document.replace(&format!("{line}\n"), "");
        let too_many = document.replace(line, &format!("{line}\n| `boredom` | refused | 1008 | |"));
        for (what, changed) in [("few", too_few), ("many", too_many)] {
            assert!(changed != document, "{what}: nothing was changed");
            assert!(updated(&changed) == document, "{what}: not mended");
        }
    }
}
