//! The section `[store]`.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::backend::{Backend, MESSAGES, TOKENS};
use crate::config::duration::{self, DURATION, DURATION_OR_OFF, DURATION_OR_ZERO};
use crate::config::kind::{Kind, PATH, SWITCH, Shape, words};
use crate::config::setting::section;
use crate::config::size::{ByteSize, SIZE};

words! {
    /// What an acknowledged message survives.
    Durability as DURABILITY {
        /// The end of the process, even by kill -9.
        Process = "process",
        /// A power cut as well; costs an fsync per commit.
        Power = "power",
    }
}

/// What all keys of a Redis begin with.
const PREFIX: Kind<String> = Kind {
    name: "TEXT",
    values: "up to 64 letters, digits and :._-, or empty",
    shape: Shape::Text,
    secret: false,
    words: &[],
    parse: |text| {
        let good = |c: char| c.is_ascii_alphanumeric() || ":._-".contains(c);
        if text.len() <= 64 && text.chars().all(good) {
            Ok(text.into())
        } else {
            Err(format!("expected {}", PREFIX.values))
        }
    },
    print: String::clone,
};

/// The shortest lease: with less, a moment's delay on the way to Redis would count as a death.
pub const LEAST_LEASE: Duration = Duration::from_secs(1);

/// A lease.
const LEASE: Kind<Duration> = Kind {
    values: "a duration of 1s or more: 10s, 2m, 1h, 1d, or whole seconds",
    parse: |text| match duration::parse(text)? {
        lease if lease < LEAST_LEASE => Err("expected a duration of 1s or more".into()),
        lease => Ok(lease),
    },
    ..DURATION
};

/// Updates of a room.
const UPDATES: Kind<u64> = Kind {
    name: "NUMBER",
    values: "a number of updates, 1 or more",
    shape: Shape::Number,
    secret: false,
    words: &[],
    parse: |text| match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("expected a number, 1 or more".into()),
    },
    print: u64::to_string,
};

section! {
    /// Where messages and tokens are kept, and what happens while the store is down.
    Store("store") {
        /// Folder of the embedded store. It is created if missing.
        path: PathBuf = "data", PATH, "AO_STORE__PATH";
        /// Where messages are kept.
        messages: Backend = "embedded", MESSAGES, "AO_STORE__MESSAGES";
        /// Where users, admins and their tokens are kept.
        tokens: Backend = "embedded", TOKENS, "AO_STORE__TOKENS";
        /// What acknowledged messages survive in the embedded store. process: kill -9. power: loss
        /// of power too, for an fsync per commit.
        durability: Durability = "process", DURABILITY, "AO_STORE__DURABILITY";
        /// Time a message waits for a store that is down before it is refused.
        patience: Duration = "10s", DURATION_OR_ZERO, "AO_STORE__PATIENCE";
        /// Bytes per room that may wait for the store; what exceeds them is refused at once.
        pending: ByteSize = "16 MiB", SIZE, "AO_STORE__PENDING";
        /// Time one call to the store may take. Must be below websocket.ping_timeout.
        deadline: Duration = "8s", DURATION, "AO_STORE__DEADLINE";
        /// Memory for pages of sync that are kept ready.
        page_cache: ByteSize = "64 MiB", SIZE, "AO_STORE__PAGE_CACHE";
        /// Updates that a room may have. They are read all at once.
        updates: u64 = "10000", UPDATES, "AO_STORE__UPDATES";
        /// Bytes that a room's updates may have together. An update that would exceed either is
        /// refused; one that is not larger than what it replaces never is.
        update_bytes: ByteSize = "16 MiB", SIZE, "AO_STORE__UPDATE_BYTES";
        /// What all keys in Redis begin with, where several services share it. The original has
        /// none.
        key_prefix: String = "", PREFIX, "AO_STORE__KEY_PREFIX";
        /// Keep copies of updates and of messages that are not stored in Redis for ever, as the
        /// original does.
        backups: bool = "false", SWITCH, "AO_STORE__BACKUPS";
        /// Time after which an instance without a sign of life is dead for the others. It gives one
        /// every third of this time. With chat-service, its heartbeat_timeout counts if it is
        /// shorter.
        lease: Duration = "9s", LEASE, "AO_STORE__LEASE";
        /// Time after which an unused room is deleted with its messages.
        room_expiry: Option<Duration> = "off", DURATION_OR_OFF, "AO_STORE__ROOM_EXPIRY";
    }
}
