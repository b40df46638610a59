//! always-online: a socket.io-compatible event server.
//!
//! The program is [`cli`], a server is [`app`]. Who may import whom is said, and enforced, in
//! `tests/architecture.rs`.
#![warn(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where nobody can be told: see `console`"
)]
#![deny(missing_docs)]

pub mod app;
pub mod cli;
pub mod config;
pub mod console;
pub mod dialect;
pub mod domain;
mod hex;
pub mod hooks;
mod household;
pub mod http;
pub mod jwt;
pub mod lifecycle;
pub mod live;
mod lock;
pub mod metrics;
pub mod net;
pub mod pace;
pub mod reason;
pub mod socketio;
pub mod store;
pub mod telemetry;
mod throttle;
mod trace;
pub mod transfer;
