//! Several servers on one Redis: what clients on different nodes see of each other, while nodes and
//! Redis itself are killed, paused, cut off and starved. Every server is a process of its own; a
//! Redis that a test harms is the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, to fail is to panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test has no task tracker: what it spawns ends with it"
)]

mod support;

#[path = "cluster/answers.rs"]
mod answers;
#[path = "cluster/interest.rs"]
mod interest;
#[path = "cluster/load.rs"]
mod load;
#[path = "cluster/losses.rs"]
mod losses;
#[path = "cluster/nodes.rs"]
mod nodes;
#[path = "cluster/oddities.rs"]
mod oddities;
#[path = "cluster/original.rs"]
mod original;
#[path = "cluster/outages.rs"]
mod outages;
#[path = "cluster/revocations.rs"]
mod revocations;
#[path = "cluster/starts.rs"]
mod starts;
#[path = "cluster/verdict.rs"]
mod verdict;
