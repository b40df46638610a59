//! The command `backup`: the embedded store into a new file. A server may be running.
use std::path::Path;

use super::result;
use crate::{
    app::StartError,
    config::Config,
    store::embedded::{self, BackupError},
};

/// Writes the file, and tells what is in it.
pub(super) fn run(config: &Config, file: &Path) -> anyhow::Result<u8> {
    let backup = embedded::backup(&config.store.path, file).map_err(|error| match error {
        BackupError::Store(error) => anyhow::Error::from(StartError::Store(error.into())),
        other => other.into(),
    })?;
    let lines = [
        ("rooms", backup.rooms),
        ("messages", backup.messages),
        ("accounts", backup.accounts),
        ("bytes", backup.bytes),
    ];
    result(lines.map(|(what, count)| format!("{what}: {count}\n")).concat())
}
