//! TCP and TLS: the listener, and the wrapper around every connection; and the way out, by HTTP.
pub mod admission;
mod certificate;
pub mod client;
pub mod close;
pub mod connection;
mod handshake;
pub mod listener;
pub mod meter;
mod queue;
pub mod send_queue;
mod session;
mod socket;
mod stream;
pub mod tls;
pub mod upgrade;
pub mod websocket;

pub use connection::{Closing, Connection};
pub use stream::Stream;
pub use websocket::{Broken, End, Message, Over, WebSocket};
