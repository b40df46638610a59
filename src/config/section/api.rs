//! The section `[api]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::address::ADDRESS;
use crate::config::kind::{OPTIONAL_PATH, words};
use crate::config::setting::section;
use crate::config::tls::TlsFiles;

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
        /// PEM file with the certificate for TLS, as websocket.tls_certificate. Empty: no TLS.
        tls_certificate: Option<PathBuf> = "", OPTIONAL_PATH, "AO_API__TLS_CERTIFICATE";
        /// PEM file with the certificate's private key.
        tls_key: Option<PathBuf> = "", OPTIONAL_PATH, "AO_API__TLS_KEY";
        /// Whether it works without an admin's uid and token. auto: only in development, for
        /// requests made directly from this machine.
        open: Open = "auto", OPEN, "AO_API__OPEN";
    }
}

impl Api {
    /// TLS here.
    pub fn tls(&self) -> Option<TlsFiles> {
        TlsFiles::of(&self.tls_certificate, &self.tls_key)
    }
}
