//! The section `[log]`. The filter is what one sets most, so it is plain `AO_LOG` and `--log`.

use tracing_subscriber::EnvFilter;

use crate::config::kind::{Kind, SWITCH, Shape, words};
use crate::config::setting::section;

words! {
    /// How a line of the log looks.
    Format as FORMAT {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

/// The directives of tracing-subscriber's `EnvFilter`.
const FILTER: Kind<String> = Kind {
    name: "FILTER",
    values: "error, warn, info, debug or trace, also by module: info,always_online::store=debug",
    shape: Shape::Text,
    secret: false,
    words: &["error", "warn", "info", "debug", "trace"],
    parse: |text| match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.into()),
        Err(_) => Err(format!("expected {}", FILTER.values)),
    },
    print: String::clone,
};

section! {
    /// What is logged, to standard error.
    Log("log") {
        /// Which events are logged.
        filter: String = "info", FILTER, "AO_LOG";
        /// How a line looks.
        format: Format = "text", FORMAT, "AO_LOG__FORMAT";
        /// Whether a line tells of each connection of a client that has ended. Many clients make
        /// many lines.
        connections: bool = "false", SWITCH, "AO_LOG__CONNECTIONS";
    }
}
