//! What a node has to say, as the script that publishes it is given it.
use std::fmt::Write;

use bytes::Bytes;

use super::{super::receipts::Once, Epoch, Told};
use crate::{
    domain::{
        broker::{Audience, Entry, Position, Publication},
        ids::ConnectionId,
        message::Kind,
    },
    hex,
};

/// What a batch looks like to the script that publishes it.
pub(in crate::store::redis) struct Batch {
    /// The second line.
    pub(in crate::store::redis) meta: String,
    /// A letter per entry.
    pub(in crate::store::redis) kinds: String,
    /// Ids and bodies.
    pub(in crate::store::redis) parts: Vec<Bytes>,
    /// What is to be done once.
    pub(in crate::store::redis) once: Once,
}

impl Batch {
    pub(in crate::store::redis) fn encode(entries: &[Entry]) -> Self {
        let mut batch = Batch {
            meta: String::with_capacity(entries.len() * 12),
            kinds: String::new(),
            parts: Vec::new(),
            once: Once::default(),
        };
        for entry in entries {
            match entry {
                Entry::Message { from, audience, message, receipt } => {
                    let body = message.body.clone();
                    match &message.kind {
                        Kind::Insert => {
                            batch.add('i', *from, message.key.as_deref(), body);
                            if message.key.is_some() {
                                batch.kinds.pop();
                                batch.kinds.push('k');
                            }
                        }
                        Kind::Update { id } => batch.add('u', *from, Some(id), body),
                        Kind::Ignore => batch.add('g', *from, None, body),
                    }
                    batch.tell(*from, audience);
                    if let Some(receipt) = receipt {
                        batch.once.add(batch.kinds.len(), receipt);
                    }
                }
                Entry::Synced { by, uid } => {
                    batch.add('s', Some(*by), None, Bytes::from(uid.json().into_owned()))
                }
                Entry::System { content } => batch.add('y', None, None, content.clone()),
            }
        }
        batch
    }

    fn add(&mut self, kind: char, from: Option<ConnectionId>, id: Option<&str>, body: Bytes) {
        let separator = if self.kinds.is_empty() { "" } else { ";" };
        let from = from.map_or_else(|| "-".into(), |c| c.0.to_string());
        // Writing to a string never fails.
        let _ =
            write!(self.meta, "{separator}{kind}{from},{},{}", id.map_or(0, str::len), body.len());
        self.kinds.push(kind);
        self.parts.extend(id.map(|id| Bytes::copy_from_slice(id.as_bytes())));
        self.parts.push(body);
    }

    /// Who is told of what was just added, where it is not all but its sender.
    fn tell(&mut self, from: Option<ConnectionId>, audience: &Audience) {
        match audience {
            Audience::ExceptConnection(connection) if from == Some(*connection) => {}
            Audience::ExceptConnection(connection) => {
                let _ = write!(self.meta, ",o{}", connection.0);
            }
            Audience::All if from.is_none() => {}
            Audience::All => self.meta.push_str(",a"),
            Audience::ExceptUser(uid) => {
                self.meta.push_str(",x");
                self.meta.push_str(&hex::encode(uid.json().as_bytes()));
            }
        }
    }

    /// What this node's members are told, once the script has given the places: that of the first
    /// entry, and the index of the first insert.
    pub(in crate::store::redis) fn told(entries: &[Entry], epoch: Epoch, first: &Position) -> Told {
        Told {
            epoch,
            first: first.n,
            count: entries.len() as u64,
            publications: Publication::of_batch(first.n, first.index, entries),
            invalidates: false,
        }
    }
}
