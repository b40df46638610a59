//! The section `[metrics]`.

use std::net::SocketAddr;

use super::address::OPTIONAL_ADDRESS;
use super::setting::section;

section! {
    /// Metrics for Prometheus.
    Metrics("metrics") {
        /// Address and port for /metrics. Empty: with the token API, on api.listen.
        listen: Option<SocketAddr> = "", OPTIONAL_ADDRESS, "AO_METRICS__LISTEN";
    }
}
