//! socket.io as a layer: whoever registers a [`Namespace`] gets clients of engine.io 3 and 4 and
//! socket.io 1 to 4, by WebSocket or polling, and need not know which.
//!
//! A namespace is told of each client that connects to it, with a [`Socket`], its way out, and
//! gives back a [`Client`], which gets what comes in. It knows no rooms, users or stores.
mod namespace;
pub mod packet;
mod socket;

pub use namespace::{Client, Connect, Event, Namespace, Refusal};
pub use socket::{Carry, Socket};
