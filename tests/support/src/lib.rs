//! What the tests of the whole binary share: the server as a process of its own, a client that
//! speaks the wire by hand, and plain HTTP. Nothing here knows the crate's types, so a test sees
//! what a stranger would see.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, to fail is to panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test has no task tracker: what it spawns ends with it"
)]
#![allow(clippy::new_without_default, reason = "a test says what it makes")]

pub mod client;
pub mod database;
pub mod http;
pub mod mute;
pub mod own_redis;
pub mod ports;
pub mod receiver;
pub mod server;
pub mod stored;
pub mod tls;
pub mod wire;

use std::{future::Future, time::Duration};

/// The longest that a test waits for anything. A bound, not an expectation: everything that is
/// waited for is an event.
pub const BOUND: Duration = Duration::from_secs(60);

/// Waits for something, and fails with its name when it does not come.
#[track_caller]
pub fn soon<F: Future>(what: impl Into<String>, wanted: F) -> impl Future<Output = F::Output> {
    within(BOUND, what, wanted)
}

/// As [`soon`], with a bound of its own.
#[track_caller]
pub fn within<F: Future>(
    bound: Duration,
    what: impl Into<String>,
    wanted: F,
) -> impl Future<Output = F::Output> {
    let (what, caller) = (what.into(), std::panic::Location::caller());
    async move {
        match tokio::time::timeout(bound, wanted).await {
            Ok(value) => value,
            Err(_) => panic!("{caller}: waited {bound:?} in vain for {what}"),
        }
    }
}
