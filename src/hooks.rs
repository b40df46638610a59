//! Calls to the business server: hooks.
//!
//! They go out by [`crate::net::client`], and `sign` signs them as Standard Webhooks 1.0 has it.
//! `gate` asks the business server before something is done, and waits for its answer; `webhooks`
//! tell it what has happened; `calls` are those that a dialect makes by itself.
pub mod calls;
pub mod gate;
pub mod sign;
pub mod webhooks;
