//! always-online: a socket.io-compatible event server.
//!
//! Who may import whom: `config`, `metrics`, `lifecycle`, `health` and `console` nothing of ours;
//! `domain` only `metrics`; `telemetry`, `store`, `dialect`, `http` and `net` import `domain`,
//! `config` and `metrics`, never each other, but that a dialect knows the connections of `net` that
//! it lives on; `app` everything. `tests/architecture.rs` enforces it.
#![warn(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where nobody can be told: see `console`"
)]

pub mod app;
pub mod config;
pub mod console;
pub mod dialect;
pub mod domain;
pub mod health;
pub mod http;
pub mod lifecycle;
mod lock;
pub mod metrics;
pub mod net;
pub mod reason;
pub mod socketio;
pub mod store;
pub mod telemetry;
mod throttle;
