//! The section `[message]`.

use crate::config::kind::Kind;
use crate::config::setting::section;
use crate::config::size::{self, ByteSize};

/// The size of a message. Below a KiB not even the server's own fields are sure to fit, above 16
/// MiB one message fills a room's store queue.
pub(super) const MAX_SIZE: Kind<ByteSize> = Kind {
    values: "a size from 1 KiB to 16 MiB, such as 500 KiB (KB and MB count in thousands)",
    parse: |text| {
        size::parse(text, 1 << 10, 16 << 20).ok_or_else(|| format!("expected {}", MAX_SIZE.values))
    },
    ..size::SIZE
};

section! {
    /// Limits on messages.
    Message("message") {
        /// Size above which a message is refused, in UTF-16 units of its JSON text, as JavaScript
        /// counts.
        max_size: ByteSize = "500 KiB", MAX_SIZE, "AO_MESSAGE__MAX_SIZE";
    }
}
