//! TCP: the listener, and the wrapper around every connection.
mod handshake;
pub mod link;
pub mod listener;
pub mod outbound;
mod queue;
mod stream;
mod websocket;

pub use link::{Closing, Link};
pub use stream::Stream;
pub use websocket::{End, Message, WebSocket};
