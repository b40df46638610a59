//! Files in a folder: `ab/abcdef…`, and those that are on their way in `incoming`.
use std::{
    fs::DirBuilder,
    io::{self, ErrorKind},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use async_trait::async_trait;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::{
    fs::{self, File},
    io::AsyncReadExt,
};

use super::{super::message::Ts, Place};
use crate::throttle::throttled;

/// Below the folder: what is on its way.
const INCOMING: &str = "incoming";
/// Characters of a name that files are put together by.
const SHELF: usize = 2;
/// Bytes that are read at a time.
const CHUNK: usize = 64 << 10;

/// A folder.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// It is made where it is missing.
    ///
    /// # Errors
    /// It can't be.
    pub fn new(root: &Path) -> Result<Self, String> {
        let folder = Folder(root.to_owned());
        make(&folder.incoming())?;
        Ok(folder)
    }

    /// Where files are that are on their way.
    pub fn incoming(&self) -> PathBuf {
        self.0.join(INCOMING)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name.get(..SHELF).unwrap_or(name)).join(name)
    }

    async fn take(&self, name: &str, from: &Path) -> io::Result<()> {
        let path = self.path(name);
        let shelf = path.parent().unwrap_or(&self.0);
        match fs::rename(from, &path).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let new = shelf.to_owned();
                tokio::task::spawn_blocking(move || make(&new).map_err(io::Error::other))
                    .await
                    .map_err(io::Error::other)??;
                sync(&self.0).await?;
                fs::rename(from, &path).await?;
            }
            renamed => renamed?,
        }
        sync(shelf).await
    }
}

/// Makes a folder that others can't look into, where it is missing.
///
/// # Errors
/// It can't be made.
pub(super) fn make(folder: &Path) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| format!("the folder {} can't be used: {error}", folder.display()))
}

/// What is new in a folder is there after a crash, too.
async fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder).await?.sync_all().await
}

#[async_trait]
impl Place for Folder {
    async fn put(&self, name: &str, from: &Path, _: &str) -> Result<(), String> {
        self.take(name, from).await.map_err(|error| error.to_string())
    }

    async fn get(&self, name: &str) -> Result<Option<Body>, String> {
        match File::open(self.path(name)).await {
            Ok(file) => Ok(Some(Body::from_stream(stream::unfold(file, read)))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn delete(&self, name: &str) -> Result<(), String> {
        match fs::remove_file(self.path(name)).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.to_string()),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// The next bytes of a file, as long as there are some.
async fn read(mut file: File) -> Option<(io::Result<Bytes>, File)> {
    let mut chunk = BytesMut::with_capacity(CHUNK);
    match file.read_buf(&mut chunk).await {
        Ok(0) => None,
        Ok(_) => Some((Ok(chunk.freeze()), file)),
        Err(error) => Some((Err(error), file)),
    }
}

/// Deletes what was left here before that time by an upload that did not end.
pub(super) async fn clear(incoming: &Path, before: Ts) {
    if let Err(error) = clear_all(incoming, before).await {
        throttled!(warn, %error, "what uploads have left could not be deleted");
    }
}

async fn clear_all(incoming: &Path, before: Ts) -> io::Result<()> {
    let mut entries = fs::read_dir(incoming).await?;
    while let Some(entry) = entries.next_entry().await? {
        let Ok(about) = entry.metadata().await else { continue }; // it has just gone
        let since = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        if about.is_file() && since.as_millis() < u128::from(before.0) {
            let _ = fs::remove_file(entry.path()).await; // or another node has done so
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "abcdefghijklmnopqrstuv";

    async fn content(place: &Folder) -> Option<Vec<u8>> {
        let body = place.get(NAME).await.unwrap()?;
        Some(axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec())
    }

    #[tokio::test]
    async fn a_file_is_there_until_it_is_deleted() {
        let root = tempfile::tempdir().unwrap();
        let place = Folder::new(&root.path().join("new/files")).unwrap();
        assert_eq!(content(&place).await, None);
        for size in [0, 1, CHUNK, 3 * CHUNK + 1] {
            let from = place.incoming().join("x");
            let bytes = vec![b'x'; size];
            std::fs::write(&from, &bytes).unwrap();
            place.put(NAME, &from, "a/b").await.unwrap();
            assert!(!from.exists());
            assert_eq!(content(&place).await, Some(bytes));
            place.delete(NAME).await.unwrap();
            place.delete(NAME).await.unwrap();
            assert_eq!(content(&place).await, None);
        }
        assert!(place.put(NAME, &place.incoming().join("none"), "a/b").await.is_err());
    }

    #[tokio::test]
    async fn what_a_crash_has_left_is_deleted_once_it_is_old() {
        let root = tempfile::tempdir().unwrap();
        let place = Folder::new(root.path()).unwrap();
        let left = place.incoming().join("left");
        std::fs::write(&left, "x").unwrap();
        let written = left.metadata().unwrap().modified().unwrap();
        let written = written.duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        clear(&place.incoming(), Ts(written - 1000)).await;
        assert!(left.exists());
        clear(&place.incoming(), Ts(written + 1000)).await;
        assert!(!left.exists());
    }

    #[test]
    fn a_folder_that_can_not_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let why = Folder::new(file.path()).err().unwrap();
        assert!(why.contains(&file.path().display().to_string()), "{why}");
    }
}
