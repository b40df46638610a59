//! What a session has published that its rooms have not settled: above a bound it is not read from
//! any more, until half of that is left.

/// Publications in flight above which nothing more is read from the client, and at which it is read
/// again.
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

/// Publications that are on their way. Reading is stopped and let go under the lock: if one is
/// settled at the moment at which another one is too many, what is decided last holds.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    load: Load,
    held: bool,
}

impl InFlight {
    /// One more. True: no more is to be read.
    pub fn begin(&mut self, bytes: usize) -> bool {
        self.load.messages += 1;
        self.load.bytes += bytes;
        let hold = !self.held && self.load.exceeds(MOST);
        self.held |= hold;
        hold
    }

    /// So many have ended. True: reading may go on.
    pub fn end(&mut self, count: usize, bytes: usize) -> bool {
        self.load.messages = self.load.messages.saturating_sub(count);
        self.load.bytes = self.load.bytes.saturating_sub(bytes);
        let resume = self.held && !self.load.exceeds(CALM);
        self.held &= !resume;
        resume
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.load.messages == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_at_the_bound_and_goes_on_at_half_of_it() {
        for (messages, bytes) in [(256, 1), (4, 256 << 10)] {
            let mut in_flight = InFlight::default();
            for _ in 1..messages {
                assert!(!in_flight.begin(bytes));
            }
            assert!(in_flight.begin(bytes));
            assert!(!in_flight.begin(bytes), "it is held already");
            for left in (0..=messages).rev() {
                let resumed = in_flight.end(1, bytes);
                assert_eq!(resumed, left + 1 == messages / 2, "{left} of {messages}");
            }
            assert!(!in_flight.end(1, bytes), "nothing is in flight");
        }
    }
}
