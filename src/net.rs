//! TCP: the listener, and the wrapper around every connection.
pub mod link;
pub mod listener;
mod queue;
mod stream;

pub use link::{Closing, Link};
