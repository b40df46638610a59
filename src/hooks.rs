//! Calls to the business server: hooks.
//!
//! They go out by [`crate::net::client`], and `sign` signs them as Standard Webhooks 1.0 has it.
//! `gate` asks the business server before something is done, and waits for its answer; `webhooks`
//! tell it what has happened; `calls` are those that a dialect makes by itself.
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::{
    domain::clock::{Clock, Rng},
    metrics::Metrics,
};

pub mod calls;
pub mod gate;
pub mod sign;
pub mod webhooks;

/// What calls that are waited for rest on.
pub struct Parts {
    /// Where connections run.
    pub tasks: TaskTracker,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// Where it is counted what becomes of them.
    pub metrics: Arc<Metrics>,
}
