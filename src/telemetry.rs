//! Logs: to standard error, as text for people or JSON for machines.
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, Format};

/// Installs the subscriber. Called once, by `main`.
pub fn install(config: &Config) {
    let filter = EnvFilter::try_new(&config.log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match config.log.format {
        Format::Json => builder.json().init(),
        Format::Text => builder.init(),
    }
    // At `trace`, tungstenite would log what clients send, tokens too, and the engine's session ids. It uses the crate `log`; we do not.
    log::set_max_level(log::max_level().min(log::LevelFilter::Debug));
}
