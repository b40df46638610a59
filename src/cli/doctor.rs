//! The command `doctor`: says what of the machine, the stores and the proxy should be changed.
use super::exit;
use crate::{
    app::{self, State},
    config::Config,
    console,
};

/// Looks, and prints what was found. Fails where something will not work.
pub(super) fn run(config: &Config, proxy: Option<&str>) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(app::examine(config, proxy));
    for finding in &findings {
        console::print_line(finding)?;
    }
    let worst = findings.iter().map(|finding| finding.state).max();
    Ok(if worst == Some(State::Bad) { exit::FAILED } else { 0 })
}
