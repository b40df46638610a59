//! A form (`multipart/form-data`) with a file, read while it comes. The file goes to a temporary
//! one, which is gone again with whoever holds it.
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::header::CONTENT_TYPE;
use multer::{Constraints, Field, Multipart, SizeLimit};
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt,
    time::{Instant, timeout},
};

use super::{
    super::{
        message::Code,
        refusal::{Done, Refusal},
    },
    upload::SLACK,
};
use crate::throttle::throttled;

/// The type of what has none.
pub(super) const UNKNOWN: &str = "application/octet-stream";
/// Time in which the next bytes have to come.
const IDLE: Duration = Duration::from_secs(30);
/// Bytes that have to come in a second, on average, once a while has passed: there are few places
/// for those who upload.
const SLOWEST: u64 = 1 << 10;
const GRACE: Duration = Duration::from_secs(60);
/// Bytes after which something has to be found in them: a boundary, or headers.
const STARVED: usize = 64 << 10;
/// Bytes of an id and of a key.
const WORD: usize = 256;
/// Bytes of a type, and of a file's name.
const MIME: usize = 120;
const CALLED: usize = 200;

/// What a form may have.
pub(super) struct Bounds<'a> {
    /// Bytes of the file.
    pub most: u64,
    /// Types of the file.
    pub types: &'a [String],
    /// Where it goes.
    pub temporary: &'a Path,
}

/// What a form had.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// Of the request.
    pub id: String,
    /// The API key.
    pub key: String,
    /// The first file, or why it is none that is wanted.
    pub file: Option<Done<Received>>,
}

/// A file that has come.
#[derive(Debug)]
pub(super) struct Received {
    pub temporary: Temporary,
    pub size: u64,
    pub mime: String,
    /// What its sender calls it.
    pub name: String,
}

/// A file that is deleted when this is dropped, unless it was taken elsewhere.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Temporary {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    async fn create(path: &Path) -> std::io::Result<(Self, File)> {
        // Never over what is there: nodes may share the folder.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).await?;
        Ok((Temporary(path.to_owned()), file))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // mostly it is elsewhere now
    }
}

/// Bytes that are read of a form with a file of so many at most. It may be larger, and is refused.
pub(super) fn most(file: u64) -> u64 {
    file.saturating_mul(2).saturating_add(SLACK)
}

/// Reads a form to its end, also if it is refused: whoever sends it reads the answer behind that.
///
/// # Errors
/// It is no form, it is too large, or it does not come.
pub(super) async fn read<S, E>(body: S, boundary: &str, bounds: &Bounds<'_>) -> Done<Form>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let starved = Arc::new(AtomicUsize::new(0));
    let all = SizeLimit::new().whole_stream(most(bounds.most));
    let constraints = Constraints::new().size_limit(all);
    let body = fed(body, starved.clone());
    let mut parts = Multipart::with_constraints(body, boundary, constraints);
    let mut form = Form::default();
    let mut come = Come { since: Instant::now(), bytes: 0 };
    while let Some(mut part) = within(parts.next_field()).await? {
        starved.store(0, Relaxed);
        let mut part = Part { field: &mut part, starved: &starved, come: &mut come };
        match part.field.name() {
            Some("id") => form.id = part.word().await?,
            Some("apikey") => form.key = part.word().await?,
            Some("file") if form.file.is_none() => form.file = Some(part.file(bounds).await?),
            Some(_) | None => part.pass().await?,
        }
    }
    Ok(form)
}

/// A body whose chunks come one at a time, and no more of which comes while nothing is found in it:
/// what is searched again and again stays small.
fn fed<S, E>(
    mut body: S,
    starved: Arc<AtomicUsize>,
) -> impl Stream<Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut pauses = false;
    stream::poll_fn(move |cx| {
        if std::mem::take(&mut pauses) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if starved.load(Relaxed) > STARVED {
            return Poll::Ready(Some(Err("nothing is found in it".into())));
        }
        body.poll_next_unpin(cx).map(|chunk| {
            pauses = true;
            let chunk = chunk?.map_err(Into::into);
            if let Ok(chunk) = &chunk {
                starved.fetch_add(chunk.len(), Relaxed);
            }
            Some(chunk)
        })
    })
}

async fn within<T>(step: impl Future<Output = multer::Result<T>>) -> Done<T> {
    match timeout(IDLE, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(multer::Error::StreamSizeExceeded { .. })) => Err(Code::TooLarge.into()),
        Ok(Err(_)) => Err(Code::Malformed.into()),
        Err(_) => Err(Code::Unavailable.into()),
    }
}

/// What has come of a form until now, but for what stands between its parts.
struct Come {
    since: Instant,
    bytes: u64,
}

impl Come {
    /// So many bytes more.
    ///
    /// # Errors
    /// It comes too slowly.
    fn add(&mut self, bytes: usize) -> Done<()> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let time = self.since.elapsed();
        let least = time.as_secs().saturating_mul(SLOWEST);
        if time > GRACE && self.bytes < least { Err(Code::Unavailable.into()) } else { Ok(()) }
    }
}

/// A part of a form.
struct Part<'a, 'r> {
    field: &'a mut Field<'r>,
    starved: &'a AtomicUsize,
    come: &'a mut Come,
}

impl Part<'_, '_> {
    async fn chunk(&mut self) -> Done<Option<Bytes>> {
        let chunk = within(self.field.chunk()).await?;
        self.starved.store(0, Relaxed);
        self.come.add(chunk.as_ref().map_or(0, Bytes::len))?;
        Ok(chunk)
    }

    /// Reads what nobody wants.
    async fn pass(&mut self) -> Done<()> {
        while self.chunk().await?.is_some() {}
        Ok(())
    }

    /// A short text; nothing where it is another one.
    async fn word(&mut self) -> Done<String> {
        let mut word = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if word.len() <= WORD {
                word.extend_from_slice(&chunk[..chunk.len().min(WORD + 1)]);
            }
        }
        let word = String::from_utf8(word).unwrap_or_default();
        Ok(if word.len() <= WORD { word } else { String::new() })
    }

    /// The file. The inner error is why it is not wanted.
    async fn file(&mut self, bounds: &Bounds<'_>) -> Done<Done<Received>> {
        let (mime, name) = (self.mime(), called(self.field.file_name().unwrap_or_default()));
        if !is_allowed(bounds.types, &mime) {
            self.pass().await?;
            return Ok(Err(Code::UnsupportedMedia.into()));
        }
        let (temporary, mut file) = match Temporary::create(bounds.temporary).await {
            Ok(created) => created,
            Err(error) => {
                self.pass().await?;
                return Ok(Err(unwritten(&error)));
            }
        };
        let mut size = 0_u64;
        while let Some(chunk) = self.chunk().await? {
            size = size.saturating_add(chunk.len() as u64);
            if size > bounds.most {
                drop((file, temporary));
                self.pass().await?;
                return Ok(Err(Code::TooLarge.into()));
            }
            if let Err(error) = file.write_all(&chunk).await {
                drop((file, temporary));
                self.pass().await?;
                return Ok(Err(unwritten(&error)));
            }
        }
        if let Err(error) = finished(file).await {
            return Ok(Err(unwritten(&error)));
        }
        Ok(Ok(Received { temporary, size, mime, name }))
    }

    /// The type that the part says it has.
    fn mime(&self) -> String {
        let said = self.field.headers().get(CONTENT_TYPE).and_then(|said| said.to_str().ok());
        // It is one, and not too long: what is behind a semicolon matters to those who show it.
        let said = said.filter(|said| said.len() <= MIME && self.field.content_type().is_some());
        said.map_or_else(|| UNKNOWN.to_owned(), lower)
    }
}

/// A type in lower case, but for what stands behind it.
fn lower(mime: &str) -> String {
    match mime.trim().split_once(';') {
        Some((kind, more)) => format!("{};{more}", kind.trim_end().to_ascii_lowercase()),
        None => mime.trim().to_ascii_lowercase(),
    }
}

/// Writes the rest to the disk.
async fn finished(mut file: File) -> std::io::Result<()> {
    file.flush().await?;
    file.sync_all().await
}

fn unwritten(error: &std::io::Error) -> Refusal {
    throttled!(warn, %error, "an upload could not be written");
    Code::Unavailable.into()
}

/// Whether files of this type may be uploaded.
pub(super) fn is_allowed(types: &[String], mime: &str) -> bool {
    let kind = mime.split(';').next().unwrap_or_default().trim();
    types.iter().any(|of| match of.strip_suffix('*') {
        Some(beginning) => kind.starts_with(beginning),
        None => kind == of,
    })
}

/// A file's name, without folders, and without what is not seen.
pub(super) fn called(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut called = String::new();
    for character in name.chars().filter(|character| !character.is_control()) {
        if called.len() + character.len_utf8() > CALLED {
            break;
        }
        called.push(character);
    }
    called
}
