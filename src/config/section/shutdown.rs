//! The section `[shutdown]`.

use std::time::Duration;

use crate::config::duration::DURATION_OR_ZERO;
use crate::config::kind::{Kind, Shape};
use crate::config::setting::section;

const CLIENTS: Kind<u32> = Kind {
    name: "NUMBER",
    values: "a number of clients, 1 or more",
    shape: Shape::Number,
    secret: false,
    words: &[],
    parse: |text| match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("expected a number, 1 or more".into()),
    },
    print: u32::to_string,
};

section! {
    /// How the server ends after SIGTERM or SIGINT: clients are dropped bit by bit, so that
    /// they do not all come back at once.
    Shutdown("shutdown") {
        /// Time after which the process ends in any case (and half a second for the store).
        deadline: Duration = "20s", DURATION_OR_ZERO, "AO_SHUTDOWN__DEADLINE";
        /// Clients dropped at a time.
        batch: u32 = "100", CLIENTS, "AO_SHUTDOWN__BATCH";
        /// Time over which the drops are spread, batch by batch; less for fewer than ten batches.
        jitter: Duration = "2s", DURATION_OR_ZERO, "AO_SHUTDOWN__JITTER";
    }
}
