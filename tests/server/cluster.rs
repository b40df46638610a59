//! Several servers on one Redis: what clients on different nodes see of each other, while nodes and
//! Redis itself are killed, paused, cut off and starved. Every server is a process of its own; a
//! Redis that a test harms is the test's own.

mod answers;
mod interest;
mod load;
mod losses;
mod nodes;
mod oddities;
mod original;
mod outages;
mod revocations;
mod starts;
mod verdict;
mod webhooks;

pub use nodes::{eventually, readiness, try_come, two};
