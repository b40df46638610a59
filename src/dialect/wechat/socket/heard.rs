//! What is known of a client whose pong is waited for, by what came from it.
use crate::dialect::wechat::inbox::delivery::Line;

/// Bytes that a whole control frame of WebSockets has at most (RFC 6455, 5.5), with its header and
/// with what TLS adds. So few tell of no message that is under way: clients may send pings.
const CONTROL: u64 = 160;

/// What came from the client since it was last asked for its pong.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Bytes that had come by then, all in all.
    bytes: u64,
    /// A whole message.
    pub(super) message: bool,
    /// What had to wait, as it was more than it may send, or as the store was asked about it: what
    /// is behind that was read later.
    pub(super) much: bool,
}

impl Heard {
    /// What there is to know of the line, where so many bytes have come by now, all in all. A
    /// message of which only a part has come may take long on a slow line.
    pub(super) fn line(&mut self, bytes: u64) -> Line {
        let Heard { bytes: before, message, much } =
            std::mem::replace(self, Heard { bytes, ..Heard::default() });
        let midway = bytes.saturating_sub(before) > CONTROL && !message;
        Line { unread: much, midway, unsent: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_may_be_behind_what_is_read_later_and_behind_the_rest_of_a_message() {
        let mut heard = Heard::default();
        for (bytes, message, much, unread, midway) in [
            (0, false, false, false, false),
            (6, false, false, false, false),   // an empty ping
            (166, false, false, false, false), // the longest one
            (327, false, false, false, true),  // a part of a message
            (327, false, false, false, false),
            (900, true, false, false, false), // the rest of it
            (9000, true, true, true, false),
            (9999, false, true, true, true),
            (9999, false, false, false, false),
        ] {
            (heard.message, heard.much) = (message, much);
            assert_eq!(heard.line(bytes), Line { unread, midway, unsent: false }, "{bytes}");
        }
    }
}
