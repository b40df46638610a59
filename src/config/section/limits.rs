//! The section `[limits]`.

use crate::config::bound::{MOST, MOST_BYTES, MOST_OR_AUTO, Most};
use crate::config::network::{NETWORKS, Networks};
use crate::config::rate::{RATE, RateLimit};
use crate::config::setting::section;
use crate::config::size::ByteSize;

section! {
    /// What the server takes on. Who exceeds a limit is refused, and told why; nobody else notices.
    Limits("limits") {
        /// Connections at a time, of all listeners, and sessions that poll whose connection is
        /// gone. auto: 95 of 100 files that the process may have open.
        connections: Most = "auto", MOST_OR_AUTO, "AO_LIMITS__CONNECTIONS";
        /// Connections at a time from one address, and sessions that poll whose connection is gone;
        /// of IPv6, from one /64.
        connections_per_address: Most = "off", MOST, "AO_LIMITS__CONNECTIONS_PER_ADDRESS";
        /// How many new connections are let in.
        new_connections: RateLimit = "off", RATE, "AO_LIMITS__NEW_CONNECTIONS";
        /// Messages that one client may send. Who sends more is read later, and loses nothing.
        /// Who polls, and posts on while it owes more than half of `websocket.ping_timeout`, is
        /// dropped.
        messages: RateLimit = "off", RATE, "AO_LIMITS__MESSAGES";
        /// Bytes of messages that one client may send, such as 1000000 in 1s; likewise.
        bytes: RateLimit = "off", RATE, "AO_LIMITS__BYTES";
        /// How often one connection may join a room, also one that it is in already. Beyond that
        /// joins are refused: `join failed, too often`. Of gotapi-ws each connection joins one
        /// room.
        joins: RateLimit = "off", RATE, "AO_LIMITS__JOINS";
        /// How often one connection may join a room that has no member on this instance: `join
        /// failed, too many new rooms`.
        new_rooms: RateLimit = "off", RATE, "AO_LIMITS__NEW_ROOMS";
        /// Rooms that one connection may be in: `join failed, in too many rooms`.
        rooms_per_connection: Most = "1000", MOST, "AO_LIMITS__ROOMS_PER_CONNECTION";
        /// Sign-ins of one account from one address that may fail; then they are refused for a
        /// second, after the next failure for two, and so on up to five minutes. Of administrators
        /// too. Their clients come back by themselves. Connections that began before it was set do
        /// not count. Set `proxies` where there are some, or all clients have one address.
        failed_sign_ins: RateLimit = "off", RATE, "AO_LIMITS__FAILED_SIGN_INS";
        /// The same of all accounts together: many who share an address may be kept out by one of
        /// them.
        failed_sign_ins_per_address: RateLimit = "off", RATE,
            "AO_LIMITS__FAILED_SIGN_INS_PER_ADDRESS";
        /// HTTP requests from one address on the listeners of clients, beside those of socket.io
        /// and the questions about health. The listeners of the API, administration and metrics
        /// have no such bound.
        requests_per_address: RateLimit = "off", RATE, "AO_LIMITS__REQUESTS_PER_ADDRESS";
        /// Memory of the process above which nobody new is let in, and clients that read slowly
        /// are dropped sooner.
        memory: Option<ByteSize> = "off", MOST_BYTES, "AO_LIMITS__MEMORY";
        /// Proxies whose X-Forwarded-For is believed: who is behind them is told apart by it.
        proxies: Networks = "", NETWORKS, "AO_LIMITS__PROXIES";
    }
}
