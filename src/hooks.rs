//! Calls to the business server: hooks.
//!
//! `client` is the one way out by HTTP, `sign` signs what goes there as Standard Webhooks 1.0 has
//! it.
pub mod client;
pub mod sign;
pub mod webhooks;
