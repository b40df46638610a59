//! TCP and TLS: the listener, and the wrapper around every connection.
pub mod close;
mod handshake;
mod leftovers;
pub mod link;
pub mod listener;
pub mod outbound;
mod queue;
mod socket;
mod stream;
pub mod tls;
pub mod upgrade;
mod websocket;

pub use link::{Closing, Link};
pub use stream::Stream;
pub use websocket::{Broken, End, Message, WebSocket};
