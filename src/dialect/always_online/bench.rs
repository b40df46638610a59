//! The hot pieces, one by one, for `benches/`. No part of the interface.
use bytes::Bytes;

use super::{gzip, msg, sync, wire};
use crate::domain::{
    broker::{Publication, Stored},
    json::Call,
};
use crate::socketio::packet::Packet;

/// Reads a socket.io packet with a `msg` in it, and completes the message: its body's length.
/// Nothing, where it is none.
#[must_use]
pub fn receive(text: &str, uid: &str, max_units: usize) -> Option<usize> {
    let call = Call::parse(Packet::parse(text)?.data)?;
    Some(msg::complete(call.argument?.get(), uid, max_units).ok()?.body.len())
}

/// A room's publications as finished frames.
#[must_use]
pub fn encode(publications: &[Publication]) -> Bytes {
    wire::burst(publications).all()
}

/// A page's messages as JSON.
#[must_use]
pub fn page(bodies: &[Bytes]) -> String {
    let entries = bodies
        .iter()
        .map(|b| Stored { body: Some(b.clone()), at_ms: 0, recalled: false, n: None })
        .collect();
    let mut array = Vec::new();
    sync::write_array(&mut array, sync::readable(entries));
    String::from_utf8(array).unwrap_or_default()
}

/// Compresses pages.
#[derive(Default)]
pub struct Gzip(gzip::Gzip);

impl Gzip {
    /// As `sync` sends it.
    #[must_use]
    pub fn string(&self, json: &str) -> String {
        self.0.string(json)
    }
}
