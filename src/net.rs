//! TCP: the listener, and the wrapper around every connection.
mod handshake;
pub mod link;
pub mod listener;
pub mod outbound;
mod queue;
mod stream;

pub use link::{Closing, Link};
pub use queue::Until;
pub use stream::Stream;
