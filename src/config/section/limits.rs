//! The section `[limits]`.

use crate::config::bound::{MOST, MOST_BYTES, MOST_OR_AUTO, Most};
use crate::config::network::{NETWORKS, Networks};
use crate::config::rate::{RATE, RateLimit};
use crate::config::setting::section;
use crate::config::size::ByteSize;

section! {
    /// What the server takes on. Who exceeds a limit is refused, and told why; nobody else notices.
    Limits("limits") {
        /// Connections at a time, of all listeners. auto: 95 of 100 files that the process may
        /// have open.
        connections: Most = "auto", MOST_OR_AUTO, "AO_LIMITS__CONNECTIONS";
        /// Connections at a time from one address; of IPv6, from one /64.
        connections_per_address: Most = "off", MOST, "AO_LIMITS__CONNECTIONS_PER_ADDRESS";
        /// How many new connections are let in.
        new_connections: RateLimit = "off", RATE, "AO_LIMITS__NEW_CONNECTIONS";
        /// Messages that one client may send. Who sends more is read later, and loses nothing.
        messages: RateLimit = "off", RATE, "AO_LIMITS__MESSAGES";
        /// Bytes of messages that one client may send, such as 1000000 in 1s; likewise.
        bytes: RateLimit = "off", RATE, "AO_LIMITS__BYTES";
        /// HTTP requests from one address, beside those of clients' connections and the questions
        /// about health.
        requests_per_address: RateLimit = "off", RATE, "AO_LIMITS__REQUESTS_PER_ADDRESS";
        /// TLS handshakes that are worked on at a time, so that clients who are there are served
        /// between them. auto: two for each core.
        handshakes: Most = "auto", MOST_OR_AUTO, "AO_LIMITS__HANDSHAKES";
        /// Memory of the process above which nobody new is let in, and clients that read slowly
        /// are dropped sooner.
        memory: Option<ByteSize> = "off", MOST_BYTES, "AO_LIMITS__MEMORY";
        /// Proxies whose X-Forwarded-For is believed: who is behind them is told apart by it.
        proxies: Networks = "", NETWORKS, "AO_LIMITS__PROXIES";
    }
}
