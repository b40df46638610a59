//! The section `[gotapi]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::address::OPTIONAL_ADDRESS;
use crate::config::kind::OPTIONAL_PATH;
use crate::config::secret::{SECRET, SecretText};
use crate::config::setting::section;
use crate::config::size::ByteSize;
use crate::config::tls::TlsFiles;

use super::message::MAX_SIZE;

section! {
    /// Where clients of gotapi-ws connect.
    Gotapi("gotapi") {
        /// Address and port for gotapi-ws, such as 127.0.0.1:8080. Empty: it is not served.
        listen: Option<SocketAddr> = "", OPTIONAL_ADDRESS, "AO_GOTAPI__LISTEN";
        /// PEM file with the certificate for TLS, as websocket.tls_certificate. Empty: no TLS.
        tls_certificate: Option<PathBuf> = "", OPTIONAL_PATH, "AO_GOTAPI__TLS_CERTIFICATE";
        /// PEM file with the certificate's private key.
        tls_key: Option<PathBuf> = "", OPTIONAL_PATH, "AO_GOTAPI__TLS_KEY";
        /// Secret for the list of rooms, /__/groups. Empty: nobody gets that list.
        secret: SecretText = "", SECRET, "AO_GOTAPI__SECRET";
        /// Size above which a message or a request's body is refused, in bytes.
        max_message: ByteSize = "32 KiB", MAX_SIZE, "AO_GOTAPI__MAX_MESSAGE";
    }
}

impl Gotapi {
    /// TLS here.
    pub fn tls(&self) -> Option<TlsFiles> {
        TlsFiles::of(&self.tls_certificate, &self.tls_key)
    }
}
