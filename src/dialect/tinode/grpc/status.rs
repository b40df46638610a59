//! How a call has ended, as gRPC says it: by headers behind all messages, or without any.
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::reason::{Kind, Reason};

/// How it has ended. The numbers are those of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok = 0,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

impl Status {
    /// What the end of a session means to its client.
    pub fn of(why: Reason) -> Self {
        if matches!(why, Reason::Slow | Reason::Stalled | Reason::TooLarge | Reason::Flood) {
            return Status::ResourceExhausted;
        }
        match why.kind() {
            Kind::Refused => Status::PermissionDenied,
            Kind::Dropped => Status::Unavailable,
            Kind::Own => Status::Ok,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Status::Ok => "",
            Status::PermissionDenied => "the session was ended",
            Status::ResourceExhausted => "too much at once",
            Status::Unimplemented => "not implemented",
            Status::Internal => "malformed",
            Status::Unavailable => "come back later",
        }
    }

    /// The headers that say so.
    pub fn headers(self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(2);
        let (status, message) = ("grpc-status", "grpc-message");
        headers.insert(HeaderName::from_static(status), HeaderValue::from(self as u16));
        if !self.text().is_empty() {
            let text = HeaderValue::from_static(self.text());
            headers.insert(HeaderName::from_static(message), text);
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_session_has_a_status() {
        for (why, status) in [
            (Reason::Slow, "8"),
            (Reason::TooLarge, "8"),
            (Reason::Drain, "14"),
            (Reason::MissedMessages, "14"),
            (Reason::Failure, "14"),
            (Reason::Kickout, "7"),
            (Reason::Revoked, "7"),
            (Reason::ClosedByClient, "0"),
        ] {
            let headers = Status::of(why).headers();
            assert_eq!(headers["grpc-status"], status, "{why:?}");
            assert_eq!(headers.contains_key("grpc-message"), status != "0", "{why:?}");
        }
    }
}
