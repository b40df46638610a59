//! The administrator that is made at the very first start.
use std::{
    io,
    path::{Path, PathBuf},
};

use super::StartError;
use crate::domain::{
    clock::Rng,
    ids::Uid,
    secret::Secret,
    token::{Creation, Realm, Tokens},
};

/// Its uid.
const UID: &str = "admin";
/// The file in the data folder that keeps its credential.
pub const CREDENTIAL_FILE: &str = "admin-credential";

/// The administrator that was just made.
pub struct FirstAdmin {
    /// Its uid.
    pub uid: String,
    /// Its token, which is shown once.
    pub token: Secret,
    /// Where it is kept.
    pub file: PathBuf,
}

/// Makes the first administrator, and keeps its credential in a file that only the owner reads.
/// `None`: there is one already, as the command line was faster.
pub(super) async fn make(
    tokens: &dyn Tokens,
    rng: &dyn Rng,
    folder: &Path,
) -> Result<Option<FirstAdmin>, StartError> {
    let uid = Uid::text(UID).map_err(|e| StartError::Admin(e.to_string()))?;
    let token = Secret::random(rng)?;
    let file = folder.join(CREDENTIAL_FILE);
    write_secret(&file, &format!("uid: {UID}\ntoken: {}\n", token.reveal()))
        .map_err(|e| StartError::Admin(format!("{}: {e}", file.display())))?;
    match tokens.create(Realm::Admin, &uid, &token).await? {
        Creation::Created => Ok(Some(FirstAdmin { uid: UID.to_owned(), token, file })),
        Creation::Exists => Ok(None),
    }
}

fn write_secret(file: &Path, text: &str) -> io::Result<()> {
    use std::{fs, io::Write, os::unix::fs::OpenOptionsExt};
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()
}
