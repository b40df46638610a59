//! The section `[api]`.

use std::net::SocketAddr;

use super::address::ADDRESS;
use super::kind::words;
use super::setting::section;

words! {
    /// Whether the token API works without credentials. Wrong ones are refused in any case.
    Open as OPEN {
        /// Only where nobody else can reach it; the API decides that for each request.
        Auto = "auto",
        /// Always.
        True = "true",
        /// Never.
        False = "false",
    }
}

section! {
    /// The token API /user/*, for the business server.
    Api("api") {
        /// Address and port for /user.
        listen: SocketAddr = "127.0.0.1:4000", ADDRESS, "AO_API__LISTEN";
        /// Whether it works without an admin's uid and token. auto: only in development, for requests made directly from this machine.
        open: Open = "auto", OPEN, "AO_API__OPEN";
    }
}
