//! Calls to the business server: hooks.
//!
//! `client` is the one way out by HTTP, `sign` signs what goes there as Standard Webhooks 1.0 has
//! it. `gate` asks the business server before something is done, and waits for its answer.
pub mod client;
pub mod gate;
pub mod sign;
pub mod webhooks;
