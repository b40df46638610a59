//! What the tests of bad input need beyond `support`: clients of both engine.io versions by both
//! transports that show every packet as text, frames and bodies byte by byte, and bystanders who
//! notice whatever goes wrong for others.

pub mod bystanders;
pub mod peer;
pub mod polling;
pub mod raw;
pub mod socket;

use std::sync::atomic::{AtomicU32, Ordering};

use crate::{
    http,
    server::{Server, Setup},
};

/// A version of engine.io: 3 is what socket.io 1 and 2 speak, 4 what 3 and 4 speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Three,
    Four,
}

impl Version {
    pub fn eio(self) -> u8 {
        match self {
            Version::Three => 3,
            Version::Four => 4,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Websocket,
    Polling,
}

/// How a client comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub version: Version,
    pub transport: Transport,
}

pub const WEBSOCKET_4: Way = Way { version: Version::Four, transport: Transport::Websocket };
pub const WEBSOCKET_3: Way = Way { version: Version::Three, transport: Transport::Websocket };
pub const POLLING_4: Way = Way { version: Version::Four, transport: Transport::Polling };
pub const POLLING_3: Way = Way { version: Version::Three, transport: Transport::Polling };

pub const WAYS: [Way; 4] = [WEBSOCKET_4, WEBSOCKET_3, POLLING_4, POLLING_3];

/// The answer to who connects to a namespace that there is not.
pub fn no_such_namespace(version: Version, name: &str) -> String {
    match version {
        Version::Three => format!(r#"44{name},"Invalid namespace""#),
        Version::Four => format!(r#"44{name},{{"message":"Invalid namespace"}}"#),
    }
}

/// A uid that nobody else has.
pub fn stranger() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("mallory-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A server that has patience with clients who take their time between two steps: the tests of its
/// deadlines set their own.
pub fn patient() -> Setup {
    Setup::new().env("AO_AUTH__TIMEOUT", "120s").env("AO_AUTH__JOIN_TIMEOUT", "120s")
}

/// The server answers, and none of its tasks has panicked.
pub async fn unharmed(server: &Server) {
    for listener in ["websocket", "api", "demo"] {
        assert_eq!(http::get(server.address(listener), "/readyz").await.status, 200, "{listener}");
    }
    assert!(!server.stderr().contains("panicked"), "a task panicked");
}
