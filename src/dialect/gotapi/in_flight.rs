//! What a client has sent that its room has not settled: how much that may be, and which
//! acknowledgements it is owed.
use std::{collections::VecDeque, sync::Arc};

/// In flight above which nothing more is read from the client, and at which it is read again.
const MOST: Load = Load { messages: 256, bytes: 1 << 20 };
const CALM: Load = Load { messages: MOST.messages / 2, bytes: MOST.bytes / 2 };

#[derive(Debug, Clone, Copy, Default)]
struct Load {
    messages: usize,
    bytes: usize,
}

impl Load {
    fn exceeds(self, bound: Load) -> bool {
        self.messages >= bound.messages || self.bytes >= bound.bytes
    }
}

/// Messages of one client that are on their way.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    load: Load,
    /// Those that are acknowledged, in the order in which they were sent.
    uuids: VecDeque<(i64, Arc<str>)>,
    last: i64,
    held: bool,
}

/// What a change of the load calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Reading goes on as it is.
    Unchanged,
    /// Nothing more may be read.
    Hold,
    /// It may go on.
    Resume,
}

impl InFlight {
    /// A message is sent on. Returns the id of its acknowledgement, if it gets one.
    pub(super) fn begin(&mut self, bytes: usize, uuid: Option<Arc<str>>) -> (Option<i64>, Reading) {
        self.load.messages += 1;
        self.load.bytes += bytes;
        let id = uuid.map(|uuid| {
            self.last += 1;
            self.uuids.push_back((self.last, uuid));
            self.last
        });
        if !self.held && self.load.exceeds(MOST) {
            self.held = true;
            return (id, Reading::Hold);
        }
        (id, Reading::Unchanged)
    }

    /// A message ended. Returns the uuid of one that gets an acknowledgement.
    pub(super) fn end(&mut self, bytes: usize, ack: Option<i64>) -> Option<Arc<str>> {
        self.load.messages = self.load.messages.saturating_sub(1);
        self.load.bytes = self.load.bytes.saturating_sub(bytes);
        let at = self.uuids.iter().position(|(id, _)| Some(*id) == ack)?; // mostly the first
        self.uuids.remove(at).map(|(_, uuid)| uuid)
    }

    /// Whether reading may go on now.
    pub(super) fn resume(&mut self) -> Reading {
        if !self.held || self.load.exceeds(CALM) {
            return Reading::Unchanged;
        }
        self.held = false;
        self.uuids.shrink_to(0);
        Reading::Resume
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_with_a_uuid_gets_its_own_back() {
        let mut sent = InFlight::default();
        let ids: Vec<_> = ["a", "b", "a"].map(|u| sent.begin(1, Some(u.into())).0).into();
        assert_eq!(sent.begin(1, None), (None, Reading::Unchanged));
        assert_eq!(sent.end(1, ids[1]).as_deref(), Some("b"));
        assert_eq!(sent.end(1, None), None);
        assert_eq!(sent.end(1, ids[0]).as_deref(), Some("a"));
        assert_eq!(sent.end(1, ids[0]), None);
        assert_eq!(sent.end(1, ids[2]).as_deref(), Some("a"));
    }

    #[test]
    fn reading_stops_at_the_bound_and_goes_on_at_half_of_it() {
        for (messages, bytes) in [(256, 1), (4, 256 << 10)] {
            let mut sent = InFlight::default();
            for _ in 1..messages {
                assert_eq!(sent.begin(bytes, None).1, Reading::Unchanged);
            }
            assert_eq!(sent.begin(bytes, None).1, Reading::Hold);
            assert_eq!(sent.begin(bytes, None).1, Reading::Unchanged, "it is held already");
            for left in (0..=messages).rev() {
                sent.end(bytes, None);
                let resumed = sent.resume() == Reading::Resume;
                assert_eq!(resumed, left + 1 == messages / 2, "{left}");
            }
        }
    }
}
