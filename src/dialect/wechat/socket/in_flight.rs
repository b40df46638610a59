//! How much a client has sent that is not settled: above a bound it is not read from any more,
//! until half of that is left.
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::lock::lock;

/// In flight above which nothing more is read from the client, and at which it is read again.
const MOST: Load = Load { frames: 256, bytes: 1 << 20 };
const CALM: Load = Load { frames: MOST.frames / 2, bytes: MOST.bytes / 2 };

#[derive(Debug, Clone, Copy, Default)]
struct Load {
    frames: usize,
    bytes: usize,
}

impl Load {
    fn exceeds(self, bound: Load) -> bool {
        self.frames >= bound.frames || self.bytes >= bound.bytes
    }
}

/// Frames of one client that are on their way. Its reading is stopped and let go under the lock: if
/// a frame is settled at the moment at which another one is too many, what is decided last holds.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    sent: Mutex<Sent>,
    /// None is on its way any more.
    settled: Notify,
}

#[derive(Debug, Default)]
struct Sent {
    load: Load,
    held: bool,
}

impl InFlight {
    /// A frame is sent on; `hold` is called if nothing more may be read behind it.
    pub(super) fn begin(&self, bytes: usize, hold: impl FnOnce()) {
        let mut sent = self.sent();
        sent.load.frames += 1;
        sent.load.bytes += bytes;
        if !sent.held && sent.load.exceeds(MOST) {
            sent.held = true;
            hold();
        }
    }

    /// Frames have ended; `resume` is called if reading may go on.
    pub(super) fn end(&self, frames: usize, bytes: usize, resume: impl FnOnce()) {
        let mut sent = self.sent();
        sent.load.frames = sent.load.frames.saturating_sub(frames);
        sent.load.bytes = sent.load.bytes.saturating_sub(bytes);
        if sent.held && !sent.load.exceeds(CALM) {
            sent.held = false;
            resume();
        }
        if sent.load.frames == 0 {
            self.settled.notify_waiters();
        }
    }

    /// Returns when none is on its way.
    pub(super) async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            if self.sent().load.frames == 0 {
                return;
            }
            settled.await;
        }
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        lock(&self.sent)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn it_is_settled_when_all_have_ended() {
        let sent = InFlight::default();
        assert!(sent.settled().now_or_never().is_some(), "nothing was sent");
        sent.begin(1, || ());
        sent.begin(1, || ());
        let mut settled = Box::pin(sent.settled());
        for _ in 0..2 {
            assert!(settled.as_mut().now_or_never().is_none());
            sent.end(1, 1, || ());
        }
        assert!(settled.now_or_never().is_some());
    }

    #[test]
    fn reading_stops_at_the_bound_and_goes_on_at_half_of_it() {
        for (frames, bytes) in [(256, 1), (4, 256 << 10), (1, 1 << 20)] {
            let sent = InFlight::default();
            let begin = || {
                let mut held = false;
                sent.begin(bytes, || held = true);
                held
            };
            for _ in 1..frames {
                assert!(!begin());
            }
            assert!(begin());
            assert!(!begin(), "it is held already");
            for left in (0..=frames).rev() {
                let mut resumed = false;
                sent.end(1, bytes, || resumed = true);
                assert_eq!(resumed, left + 1 == (frames / 2).max(1), "{left} of {frames}");
            }
        }
    }
}
