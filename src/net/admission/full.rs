//! Why somebody is not let in, and what is said to them.
use http::StatusCode;

use crate::reason::Label;

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Full {
    /// There are as many connections as there may be.
    Connections,
    /// There are as many from this address as there may be.
    Address,
    /// Too many have come within the last moments.
    Rate,
    /// The process has as much memory as it may have.
    Memory,
    /// Too many HTTP requests have come from this address.
    Requests,
}

impl Full {
    /// All of them.
    pub const ALL: [Full; 5] =
        [Full::Connections, Full::Address, Full::Rate, Full::Memory, Full::Requests];

    /// The HTTP status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Full::Address | Full::Requests => StatusCode::TOO_MANY_REQUESTS,
            Full::Connections | Full::Rate | Full::Memory => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What the answer says.
    pub fn text(self) -> &'static str {
        match self {
            Full::Connections => "this server has as many connections as it may have",
            Full::Address => "too many connections from this address",
            Full::Rate => "too many new connections at once",
            Full::Memory => "this server has no memory to spare",
            Full::Requests => "too many requests from this address",
        }
    }

    /// Seconds after which trying again makes sense.
    pub fn retry_after(self) -> u32 {
        match self {
            Full::Rate | Full::Requests => 1,
            Full::Connections | Full::Memory => 5,
            Full::Address => 30,
        }
    }
}

impl Label for Full {
    fn label(self) -> &'static str {
        match self {
            Full::Connections => "connections",
            Full::Address => "address",
            Full::Rate => "rate",
            Full::Memory => "memory",
            Full::Requests => "requests",
        }
    }
}
