//! Logs: to standard error, as text for people or JSON for machines.
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Format};

/// Installs the subscriber. Called once, by `main`.
pub fn install(config: &Config) {
    let filter = EnvFilter::try_new(&config.log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match config.log.format {
        Format::Json => builder.json().init(),
        Format::Text => builder.init(),
    }
}
