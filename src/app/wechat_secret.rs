//! The secret that tokens of react-wechat are signed with, where none is set: made at the first
//! start, and kept in the data folder, so that tokens stay good over restarts.
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::domain::{
    clock::{NoRandomness, Rng},
    secret::Secret,
};

/// The file in the data folder.
const FILE: &str = "wechat-secret";
/// What it is called until it is written whole.
const UNFINISHED: &str = "wechat-secret.new";
/// Random bytes of a secret.
const BYTES: usize = 32;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSecret {
    /// The file can't be read, or written.
    #[error("{}: {why}: mend it, or set AO_WECHAT__JWT_SECRET", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: io::Error,
    },
    /// There is no randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// The secret that is kept in this folder, which one server alone has open.
///
/// # Errors
/// It can't be read, or none can be made and kept.
pub(super) fn kept(folder: &Path, rng: &dyn Rng) -> Result<Secret, NoSecret> {
    let file = folder.join(FILE);
    let failed = |why| NoSecret::File { file: file.clone(), why };
    match fs::read_to_string(&file) {
        Ok(text) if !text.trim().is_empty() => return Ok(Secret::presented(text.trim())),
        Ok(_) => return Err(failed(io::Error::other("it is empty"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut bytes = [0; BYTES];
    rng.fill(&mut bytes)?;
    let secret = URL_SAFE_NO_PAD.encode(bytes);
    write(folder, &file, &secret).map_err(failed)?;
    tracing::info!(file = %file.display(), "a secret for tokens of react-wechat was made");
    Ok(Secret::presented(secret))
}

/// Writes it whole or not at all: with half of a secret every token would be forged easily, or none
/// be good after the next start.
fn write(folder: &Path, file: &Path, secret: &str) -> io::Result<()> {
    let unfinished = folder.join(UNFINISHED);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    out.write_all(secret.as_bytes())?;
    out.sync_all()?;
    fs::rename(&unfinished, file)?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::domain::clock::SystemRng;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let secret = |folder: &Path| kept(folder, &SystemRng).map(|s| s.reveal().to_owned());
        let first = secret(folder.path()).unwrap();
        assert_eq!(first.len(), 43);
        assert_eq!(secret(folder.path()).unwrap(), first);
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(secret(other.path()).unwrap(), first);
    }

    #[test]
    fn a_file_that_has_no_secret_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "\n").unwrap();
        let why = kept(folder.path(), &SystemRng).err().unwrap().to_string();
        assert!(why.contains("AO_WECHAT__JWT_SECRET"), "{why}");
        fs::write(folder.path().join(UNFINISHED), "half").unwrap();
        fs::remove_file(folder.path().join(FILE)).unwrap();
        assert_eq!(kept(folder.path(), &SystemRng).unwrap().reveal().len(), 43);
    }
}
