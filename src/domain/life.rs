//! The line of the log that tells of a connection when it has ended, with the target `connection`.
//! Its fields are described in the documents for operators: a program may rely on their names.
//!
//! It is off by default ([`Hub::logs_connections`](super::hub::Hub::logs_connections)), and then a
//! connection has nothing for it but an empty pointer.
use std::{
    net::IpAddr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::time::Instant;

use super::{hub::Hub, ids::Uid};
use crate::{metrics::Carriage, reason::Reason};

/// What the line about a connection says that is known before its end.
#[derive(Debug)]
pub struct Life {
    begun: Instant,
    /// Messages that came; counted by the one task that reads from the client.
    came: AtomicU64,
    /// Messages that were sent to it, by rooms too.
    went: AtomicU64,
    user: OnceLock<Uid>,
}

/// What is known at its end.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// What carried it.
    pub carriage: Carriage,
    /// Where it came from, if that was kept.
    pub address: Option<IpAddr>,
    /// Why it has ended.
    pub why: Reason,
    /// Bytes that came in, and that went out, on its WebSocket; none of a client that polls.
    pub bytes: Option<(u64, u64)>,
}

impl Life {
    /// Of a connection that begins; nothing where there is to be no line.
    pub fn begin(hub: &Hub) -> Option<Box<Life>> {
        let life = || Life {
            begun: Instant::now(),
            came: AtomicU64::new(0),
            went: AtomicU64::new(0),
            user: OnceLock::new(),
        };
        hub.logs_connections.load(Relaxed).then(|| Box::new(life()))
    }

    /// Its client has sent a message, or another event.
    pub fn came(&self) {
        // Nobody else writes it.
        self.came.store(self.came.load(Relaxed) + 1, Relaxed);
    }

    /// It was sent so many messages, or other events and answers.
    pub fn went(&self, messages: usize) {
        self.went.fetch_add(messages as u64, Relaxed);
    }

    /// Its client is this user.
    pub fn signed_in(&self, uid: &Uid) {
        let _ = self.user.set(uid.clone()); // and stays it
    }

    /// It has ended. Writes the line.
    pub fn tell(&self, End { carriage, address, why, bytes }: End) {
        let [dialect, carrier, version] = carriage.labels();
        tracing::info!(
            target: "connection",
            dialect,
            carrier,
            version,
            uid = self.user.get().map(Uid::as_str),
            address = address.map(tracing::field::display),
            why = why.label(),
            seconds = self.begun.elapsed().as_secs_f64(),
            messages_in = self.came.load(Relaxed),
            messages_out = self.went.load(Relaxed),
            bytes_in = bytes.map(|(received, _)| received),
            bytes_out = bytes.map(|(_, sent)| sent),
            "a connection has ended"
        );
    }
}
