//! The section `[websocket]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::address::ADDRESS;
use crate::config::duration::DURATION;
use crate::config::kind::OPTIONAL_PATH;
use crate::config::origins::{ORIGINS, Origins};
use crate::config::setting::section;
use crate::config::size::{ByteSize, SIZE};
use crate::config::tls::TlsFiles;

section! {
    /// Where socket.io clients connect, and how patient the server is with them.
    Websocket("websocket") {
        /// Address and port for socket.io, and for /admin unless that has its own.
        listen: SocketAddr = "0.0.0.0:3000", ADDRESS, "AO_WEBSOCKET__LISTEN";
        /// PEM file with the certificate for TLS, and those that lead to its authority behind it.
        /// Read again when it changes. Empty: no TLS.
        tls_certificate: Option<PathBuf> = "", OPTIONAL_PATH, "AO_WEBSOCKET__TLS_CERTIFICATE";
        /// PEM file with the certificate's private key.
        tls_key: Option<PathBuf> = "", OPTIONAL_PATH, "AO_WEBSOCKET__TLS_KEY";
        /// Pages that may connect, by their origin. When auth.ignore is true and nobody set this,
        /// it is loopback.
        origins: Origins = "*", ORIGINS, "AO_WEBSOCKET__ORIGINS";
        /// Time between two pings to a client.
        ping_interval: Duration = "25s", DURATION, "AO_WEBSOCKET__PING_INTERVAL";
        /// Time a client has for the answer to a ping before it counts as gone.
        ping_timeout: Duration = "20s", DURATION, "AO_WEBSOCKET__PING_TIMEOUT";
        /// Time a client has for TLS, and again for the head of its request.
        header_timeout: Duration = "10s", DURATION, "AO_WEBSOCKET__HEADER_TIMEOUT";
        /// Time without any progress in writing to a client after which it is dropped.
        write_stall: Duration = "15s", DURATION, "AO_WEBSOCKET__WRITE_STALL";
        /// Bytes that may wait to be read by a client; who stays above for 4 s, or is 4 MiB above,
        /// is dropped as too slow.
        backlog: ByteSize = "1 MiB", SIZE, "AO_WEBSOCKET__BACKLOG";
        /// File served as /socket.io/socket.io.js, and FILE.map as its source map. Empty: none.
        client_script: Option<PathBuf> = "", OPTIONAL_PATH, "AO_WEBSOCKET__CLIENT_SCRIPT";
    }
}

impl Websocket {
    /// TLS here and on the listener of /admin.
    pub fn tls(&self) -> Option<TlsFiles> {
        TlsFiles::of(&self.tls_certificate, &self.tls_key)
    }
}
