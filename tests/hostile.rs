//! Bad input by the socket server's port: events, packets, frames, polling bodies and requests that
//! no proper client sends. In every case the process lives, bystanders notice nothing, and the
//! sender gets what the protocol says or loses its own connection.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, to fail is to panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test has no task tracker: what it spawns ends with it"
)]

mod support;
mod support_wire;

#[path = "hostile/binary.rs"]
mod binary;
#[path = "hostile/bodies.rs"]
mod bodies;
#[path = "hostile/closing.rs"]
mod closing;
#[path = "hostile/deadlines.rs"]
mod deadlines;
#[path = "hostile/edges.rs"]
mod edges;
#[path = "hostile/events.rs"]
mod events;
#[path = "hostile/fields.rs"]
mod fields;
#[path = "hostile/flood.rs"]
mod flood;
#[path = "hostile/frames.rs"]
mod frames;
#[path = "hostile/packets.rs"]
mod packets;
#[path = "hostile/payloads.rs"]
mod payloads;
#[path = "hostile/queries.rs"]
mod queries;
#[path = "hostile/requests.rs"]
mod requests;
#[path = "hostile/sizes.rs"]
mod sizes;
#[path = "hostile/slow.rs"]
mod slow;
#[path = "hostile/successors.rs"]
mod successors;
#[path = "hostile/updates.rs"]
mod updates;
#[path = "hostile/upgrades.rs"]
mod upgrades;
