//! The section `[demo]`.

use std::net::SocketAddr;

use crate::config::address::OPTIONAL_ADDRESS;
use crate::config::setting::section;

section! {
    /// Demo pages, to try the server with a browser.
    Demo("demo") {
        /// Address and port for the demo pages, which give tokens to their visitors. Empty: none.
        listen: Option<SocketAddr> = "127.0.0.1:5000", OPTIONAL_ADDRESS, "AO_DEMO__LISTEN";
    }
}
