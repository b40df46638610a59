//! What a client has sent that its room has not settled: how much that may be, and which
//! acknowledgements it is owed.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use crate::lock::lock;

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

/// Messages of one client that are on their way. Its reading is stopped and let go under the lock:
/// if a message is settled at the moment at which another one is too many, what is decided last
/// holds.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<Sent>);

/// What is under the lock.
#[derive(Debug, Default)]
pub(super) struct Sent {
    load: Load,
    /// Those that are acknowledged, in the order in which they were sent.
    uuids: VecDeque<(i64, Arc<str>)>,
    last: i64,
    held: bool,
}

impl InFlight {
    /// A message is sent on; `hold` is called if nothing more may be read behind it. Returns the id
    /// of its acknowledgement, if it gets one.
    pub(super) fn begin(
        &self,
        bytes: usize,
        uuid: Option<Arc<str>>,
        hold: impl FnOnce(),
    ) -> Option<i64> {
        let mut sent = self.sent();
        let id = sent.begin(bytes, uuid);
        if !sent.held && sent.load.exceeds(MOST) {
            sent.held = true;
            hold();
        }
        id
    }

    /// For [`Sent::end`]; then comes [`InFlight::resume`].
    pub(super) fn sent(&self) -> MutexGuard<'_, Sent> {
        lock(&self.0)
    }

    /// Messages have ended; `resume` is called if reading may go on.
    pub(super) fn resume(&self, resume: impl FnOnce()) {
        let mut sent = self.sent();
        if sent.held && !sent.load.exceeds(CALM) {
            sent.held = false;
            sent.uuids.shrink_to(0);
            resume();
        }
    }
}

impl Sent {
    fn begin(&mut self, bytes: usize, uuid: Option<Arc<str>>) -> Option<i64> {
        self.load.messages += 1;
        self.load.bytes += bytes;
        let uuid = uuid?;
        self.last += 1;
        self.uuids.push_back((self.last, uuid));
        Some(self.last)
    }

    /// A message ended. Returns the uuid of one that gets an acknowledgement.
    pub(super) fn end(&mut self, bytes: usize, ack: Option<i64>) -> Option<Arc<str>> {
        self.load.messages = self.load.messages.saturating_sub(1);
        self.load.bytes = self.load.bytes.saturating_sub(bytes);
        let at = self.uuids.iter().position(|(id, _)| Some(*id) == ack)?; // mostly the first
        self.uuids.remove(at).map(|(_, uuid)| uuid)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicBool, Ordering::SeqCst},
            mpsc,
        },
        thread,
    };

    use super::*;

    #[test]
    fn each_message_with_a_uuid_gets_its_own_back() {
        let sent = InFlight::default();
        let ids = ["a", "b", "a"].map(|uuid| sent.begin(1, Some(uuid.into()), || {}));
        assert_eq!(sent.begin(1, None, || {}), None);
        let mut sent = sent.sent();
        assert_eq!(sent.end(1, ids[1]).as_deref(), Some("b"));
        assert_eq!(sent.end(1, None), None);
        assert_eq!(sent.end(1, ids[0]).as_deref(), Some("a"));
        assert_eq!(sent.end(1, ids[0]), None);
        assert_eq!(sent.end(1, ids[2]).as_deref(), Some("a"));
    }

    #[test]
    fn reading_stops_at_the_bound_and_goes_on_at_half_of_it() {
        for (messages, bytes) in [(256, 1), (4, 256 << 10)] {
            let sent = InFlight::default();
            let begin = || {
                let mut held = false;
                sent.begin(bytes, None, || held = true);
                held
            };
            for _ in 1..messages {
                assert!(!begin());
            }
            assert!(begin());
            assert!(!begin(), "it is held already");
            for left in (0..=messages).rev() {
                sent.sent().end(bytes, None);
                let mut resumed = false;
                sent.resume(|| resumed = true);
                assert_eq!(resumed, left + 1 == messages / 2, "{left}");
            }
        }
    }

    /// A slow store settles all that is in flight at the very moment at which one more is too many.
    /// Were the two in the other order at the connection, it would never be read again.
    #[test]
    fn reading_goes_on_though_all_is_settled_while_it_is_stopped() {
        let (sent, held) = (Arc::new(InFlight::default()), Arc::new(AtomicBool::default()));
        for _ in 1..MOST.messages {
            sent.begin(1, None, || unreachable!("there is room for one more"));
        }
        let (about_to, settles) = mpsc::channel();
        let store = thread::spawn({
            let (sent, held) = (sent.clone(), held.clone());
            move || {
                settles.recv().unwrap();
                let mut ended = sent.sent();
                (0..MOST.messages).for_each(|_| drop(ended.end(1, None)));
                drop(ended);
                sent.resume(|| held.store(false, SeqCst));
            }
        });
        let mut waits = true;
        sent.begin(1, None, || {
            about_to.send(()).unwrap();
            // Time enough for the store's thread, if nothing kept it.
            for _ in 0..1000 {
                thread::yield_now();
                waits &= !store.is_finished();
            }
            held.store(true, SeqCst);
        });
        store.join().unwrap();
        assert!(waits, "it was settled before the reading was stopped");
        assert!(!held.load(SeqCst), "nothing is in flight, and the client is not read");
    }
}
