//! Whole servers, each a process of its own: what operators, integrators and clients on one node or
//! several see of them. Bad input has tests of its own, in `tests/hostile`, because these run
//! twice: the second time under TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, to fail is to panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test has no task tracker: what it spawns ends with it"
)]

mod api;
mod cluster;
mod console;
mod crash;
mod gotapi;
mod hooks;
mod http;
mod jwt;
mod operation;
mod retention;
mod scripts;
mod trials;
mod webhooks;
mod wechat;
