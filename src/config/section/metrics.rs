//! The section `[metrics]`.

use std::net::SocketAddr;

use crate::config::address::OPTIONAL_ADDRESS;
use crate::config::setting::section;

section! {
    /// Metrics for Prometheus.
    Metrics("metrics") {
        /// Address and port for /metrics. Empty: with the token API, on api.listen.
        listen: Option<SocketAddr> = "", OPTIONAL_ADDRESS, "AO_METRICS__LISTEN";
    }
}
