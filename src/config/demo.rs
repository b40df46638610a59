//! The section `[demo]`.

use std::net::SocketAddr;

use super::address::ADDRESS;
use super::setting::section;

section! {
    /// Demo pages, to try the server with a browser.
    Demo("demo") {
        /// Address and port for the demo pages.
        listen: SocketAddr = "127.0.0.1:5000", ADDRESS, "AO_DEMO__LISTEN";
    }
}
