//! What one client may send. Whoever sends more is read later, and loses nothing.
use std::time::Duration;

use tokio::time::Instant;

use crate::pace::Pace;

/// So many frames at once, and on the average so many in such a time. A call has some dozens of
/// candidates; ten thousand at once disturb nobody else.
const FRAMES: (u32, Duration) = (500, Duration::from_millis(2500));
/// The same in bytes, by units of which each that is begun counts: 8 MiB at once, and 1 MiB in a
/// second.
const UNITS: (u32, Duration) = (8 << 10, Duration::from_secs(8));
const UNIT: usize = 1 << 10;

/// What is used up of it.
#[derive(Debug)]
pub(super) struct Allowance {
    frames: Pace,
    units: Pace,
}

impl Default for Allowance {
    fn default() -> Self {
        let pace = |(count, window)| Pace::new(count, window);
        Allowance { frames: pace(FRAMES), units: pace(UNITS) }
    }
}

impl Allowance {
    /// So many frames have come, or what costs as much, with so many bytes. `Some`: nothing of it
    /// is to be looked at before that.
    pub(super) fn charge(&mut self, frames: u32, bytes: usize, now: Instant) -> Option<Instant> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        self.frames.charge(frames, now).max(self.units.charge(units, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_frames_and_bytes_may_come_at_once_and_the_next_one_later() {
        const KB: usize = 1 << 10;
        for (frames, bytes, at_once, wait_ms) in [
            (1, 0, 500, 5),
            (1, 16 * KB, 500, 5),
            (10, 0, 50, 50),
            (1, 1024 * KB, 8, 1000),
            (1, 1000 * KB + 1, 8, 798), // 1001 units
        ] {
            let (begin, mut allowance) = (Instant::now(), Allowance::default());
            for _ in 0..at_once {
                assert_eq!(allowance.charge(frames, bytes, begin), None, "{frames}, {bytes}");
            }
            let until = allowance.charge(frames, bytes, begin).expect("it is too much");
            assert_eq!((until - begin).as_micros().div_ceil(1000), wait_ms, "{frames}, {bytes}");
        }
    }
}
