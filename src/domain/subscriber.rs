//! The way out to one connection. A dialect implements it; rooms deliver through it and know no
//! wire.
use std::{
    any::{Any, TypeId},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};

use super::{
    broker::{Position, Publication},
    ids::RoomId,
};
use crate::reason::Reason;

/// How publications become frames. It has no state: members of a room whose codecs have the same
/// type get the same bytes, so that a room's publications are encoded once for all of them.
///
/// ```
/// # use always_online::domain::{broker::Publication, ids::RoomId, subscriber::{Burst, Codec}};
/// struct Names; // tells of every event the room's name and its place, in a line
///
/// impl Codec for Names {
///     fn encode(&self, room: &RoomId, publications: &[Publication]) -> Burst {
///         let (mut lines, mut ends) = (Vec::new(), Vec::new());
///         for publication in publications {
///             lines.extend(format!("{} {}\n", room.name(), publication.n).bytes());
///             ends.push(lines.len());
///         }
///         Burst::new(lines.into(), ends)
///     }
/// }
/// ```
pub trait Codec: Any + Send + Sync {
    /// The publications' frames, one part each. A part may be empty: then nobody is told.
    fn encode(&self, room: &RoomId, publications: &[Publication]) -> Burst;
}

/// What tells a codec from others.
pub(super) fn codec_type(codec: &'static dyn Codec) -> TypeId {
    let codec: &dyn Any = codec;
    codec.type_id()
}

/// How a message that a connection sent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Stored, if it is to be stored, and delivered.
    Done(Position),
    /// It was there before, as its key says: neither stored nor delivered again.
    Duplicate,
    /// It was done before, as its receipt says: neither stored nor delivered again.
    Replayed {
        /// Its place then.
        position: Position,
        /// The note of the receipt that was kept.
        note: Bytes,
    },
    /// Neither: something else was done before with a receipt of the same key.
    Reused,
    /// Not stored, not delivered.
    Unavailable,
    /// Neither, because the room has no place for this update.
    Full,
    /// It can't be learnt.
    Unknown,
}

/// A message that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// What [`super::room::Room::send`] was given.
    pub ack: Option<i64>,
    /// Its size.
    pub bytes: usize,
    /// How it ended.
    pub outcome: Outcome,
}

/// One connection, as rooms see it. Nothing here blocks.
pub trait Subscriber: Send + Sync {
    /// How this connection's frames are made.
    fn codec(&self) -> &'static dyn Codec;
    /// Sends encoded packets, behind all that was sent before.
    fn deliver(&self, packets: Bytes);
    /// Messages of this connection ended, in this order. Those of a batch come in one call, so that
    /// their acknowledgements can go in one write.
    fn settled(&self, messages: &[Settled]);
    /// A newer session of the same user has taken over.
    fn evict(self: Arc<Self>);
    /// The user's credentials were revoked.
    fn revoke(self: Arc<Self>);
    /// It is out of this room, taken out by an administrator: nothing of the room is delivered any
    /// more, and nothing that it sends there is to be taken. May be told of a room that the
    /// connection has left, or is only about to learn that it has entered.
    fn removed(self: Arc<Self>, room: &RoomId);
    /// Closes the connection in a way that makes the client stay away.
    fn refuse(self: Arc<Self>, why: Reason);
    /// Some tokens of the user were revoked: it ends if it rests on one of them.
    fn recheck(self: Arc<Self>) {}
    /// Closes the connection in a way that makes the client come back.
    fn drop_connection(&self, why: Reason);
}

/// Several publications, encoded, one part each, in one piece of memory.
#[derive(Debug, Clone, Default)]
pub struct Burst {
    bytes: Bytes,
    ends: Vec<usize>,
    /// Parts that are not empty.
    parts: usize,
}

impl Burst {
    /// `ends[i]` is where the i-th publication's packets end in `bytes`.
    pub fn new(bytes: Bytes, ends: Vec<usize>) -> Self {
        let starts = std::iter::once(&0).chain(&ends);
        let parts = starts.zip(&ends).filter(|(start, end)| start != end).count();
        Burst { bytes, ends, parts }
    }

    /// All of it, without copying.
    pub fn all(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The parts that `wanted` chooses, and how many of them are not empty; copied only where some
    /// are left out.
    pub fn select(&self, wanted: impl Fn(usize) -> bool) -> (Bytes, usize) {
        if (0..self.ends.len()).all(&wanted) {
            return (self.all(), self.parts);
        }
        let (mut chosen, mut parts) = (BytesMut::new(), 0);
        for i in (0..self.ends.len()).filter(|i| wanted(*i)) {
            let start = if i == 0 { 0 } else { self.ends[i - 1] };
            chosen.extend_from_slice(&self.bytes[start..self.ends[i]]);
            parts += usize::from(start < self.ends[i]);
        }
        (chosen.freeze(), parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_keeps_the_order_and_leaves_the_rest_out() {
        let burst = Burst::new(Bytes::from_static(b"aabbbc"), vec![2, 5, 5, 6]);
        let select = |wanted: fn(usize) -> bool| {
            let (chosen, parts) = burst.select(wanted);
            (String::from_utf8(chosen.to_vec()).unwrap(), parts)
        };
        assert_eq!(select(|_| true), ("aabbbc".into(), 3), "an empty part is told to nobody");
        assert_eq!(select(|i| i != 1), ("aac".into(), 2));
        assert_eq!(select(|_| false), (String::new(), 0));
    }
}
