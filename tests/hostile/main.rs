//! Bad input by the socket server's port: events, packets, frames, polling bodies and requests that
//! no proper client sends. In every case the process lives, bystanders notice nothing, and the
//! sender gets what the protocol says or loses its own connection.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, to fail is to panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test has no task tracker: what it spawns ends with it"
)]

mod binary;
mod bodies;
mod changing;
mod closing;
mod deadlines;
mod edges;
mod events;
mod fields;
mod flood;
mod frames;
mod packets;
mod payloads;
mod queries;
mod requests;
mod scene;
mod sizes;
mod slow;
mod successors;
mod updates;
mod upgrades;
