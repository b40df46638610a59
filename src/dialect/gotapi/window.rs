//! Which part of a room's log a request for its history means.

/// A stretch of the log, by offsets from its oldest message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) begin: u64,
    /// Behind its last message.
    pub(super) end: u64,
}

impl Window {
    /// `position` counts from the newest message, which is 0, to older ones; below 0 it counts from
    /// the oldest message, which is -1. From there `size` messages, each older than the one
    /// before: the part of them that exists, in a log of `length`.
    pub(super) fn of(length: u64, position: i64, size: u64) -> Self {
        let length = i128::from(length);
        let first = i128::from(position) + if position < 0 { length } else { 0 };
        let last = first + i128::from(size);
        let offset =
            |index: i128| u64::try_from(length - index.clamp(0, length)).unwrap_or_default();
        Window { begin: offset(last), end: offset(first) }
    }

    pub(super) fn length(self) -> u64 {
        self.end.saturating_sub(self.begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages of a window by their numbers, of a log in which the oldest is number 1.
    fn shown(length: u64, position: i64, size: u64) -> Vec<u64> {
        let Window { begin, end } = Window::of(length, position, size);
        (begin + 1..=end).rev().collect()
    }

    const NONE: [u64; 0] = [];

    #[test]
    fn from_0_on_the_newest_come_first() {
        assert_eq!(shown(5, 0, 1000), [5, 4, 3, 2, 1]);
        assert_eq!(shown(5, 0, 2), [5, 4]);
        assert_eq!(shown(5, 1, 3), [4, 3, 2]);
        assert_eq!(shown(5, 4, 3), [1]);
        assert_eq!(shown(5, 5, 3), NONE);
        assert_eq!(shown(0, 0, 10), NONE);
    }

    #[test]
    fn below_0_a_window_is_counted_from_the_oldest() {
        assert_eq!(shown(100, -50, 50), (1..=50).rev().collect::<Vec<_>>());
        assert_eq!(shown(5, -2, 2), [2, 1]);
        assert_eq!(shown(5, -2, 1), [2]);
        assert_eq!(shown(5, -1, 9), [1]);
        assert_eq!(shown(5, -5, 2), [5, 4]);
    }

    #[test]
    fn a_window_is_never_wrapped_round() {
        assert_eq!(shown(5, -7, 4), [5, 4], "two of them would be newer than the newest");
        assert_eq!(shown(5, -50, 50), [5, 4, 3, 2, 1]);
        assert_eq!(shown(5, -9, 3), NONE);
        assert_eq!(shown(5, 0, 0), NONE);
        for position in [i64::MIN, i64::MAX] {
            assert_eq!(shown(5, position, u64::MAX).len(), if position < 0 { 5 } else { 0 });
            assert_eq!(shown(u64::MAX, position, 0), NONE);
        }
    }
}
