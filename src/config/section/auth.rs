//! The section `[auth]`.

use std::time::Duration;

use crate::config::duration::DURATION;
use crate::config::kind::SWITCH;
use crate::config::rate::{RATE, RateLimit};
use crate::config::setting::section;

section! {
    /// How users prove who they are.
    Auth("auth") {
        /// Accept any token, for development. Then only pages of this machine may connect, unless
        /// websocket.origins is set.
        ignore: bool = "false", SWITCH, "AO_AUTH__IGNORE";
        /// Time a client has to authenticate after connecting.
        timeout: Duration = "10s", DURATION, "AO_AUTH__TIMEOUT";
        /// Time a client has to join a room after authenticating.
        join_timeout: Duration = "10s", DURATION, "AO_AUTH__JOIN_TIMEOUT";
        /// How often one user may authenticate.
        rate_limit: RateLimit = "30 in 60s", RATE, "AO_AUTH__RATE_LIMIT";
    }
}
