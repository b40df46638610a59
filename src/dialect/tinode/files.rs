//! Files: they are uploaded, referred to by messages and descriptions, and downloaded (S:16–17).
//!
//! ```text
//! upload ─ form ──► temporary file ──► record, usage ──► place: a folder, or a server of S3
//! serve                          record ──► place
//! refs                           who refers to a file; what nobody refers to for long goes
//! ```
//!
//! Names are random: whoever has signed in and knows one may read the file. A record is written
//! before its file is put in its place, and goes behind it: so there is no file without a record.
use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use hyper::body::Incoming;
use tokio_util::task::TaskTracker;

pub(super) use self::upload::upload;
use self::{
    folder::Folder,
    s3::S3,
    upload::{Turns, UPLOAD},
};
use super::{
    Node, Tinode, account,
    cabinet::Cabinet,
    history,
    ids::UserId,
    message::{Code, Ctrl, Params, Ts},
    record::{FileRecord, TopicRecord},
    refusal::{Done, Refusal},
    routes, stored,
};
use crate::{config::SecretText, lock::lock, throttle::throttled};

mod folder;
mod form;
mod refs;
mod s3;
#[cfg(test)]
mod tests;
mod upload;

/// Characters of a name: `merge::files` finds those of this length.
const NAME: usize = 22;
/// The header with a token.
const AUTH: &str = "x-tinode-auth";

/// Where files are kept, and which.
#[derive(Debug, Clone)]
pub struct FilesOptions {
    /// Where.
    pub place: Where,
    /// Types that may be uploaded: `image/png`, `image/*`, or `*`.
    pub types: Vec<String>,
    /// Bytes of the largest.
    pub most: usize,
    /// Bytes of all files of one user.
    pub quota: u64,
    /// How long a file is kept that nothing refers to.
    pub keep_unused: Duration,
}

/// Where files are kept.
#[derive(Debug, Clone)]
pub enum Where {
    /// In this folder, which all nodes share.
    Folder(PathBuf),
    /// By a server that speaks S3.
    S3 {
        /// Its URL.
        endpoint: String,
        /// Its region.
        region: String,
        /// The bucket, which is there.
        bucket: String,
        /// The id of the access key,
        key: String,
        /// and its secret.
        secret: SecretText,
        /// This server's folder of files that are on their way there.
        uploads: PathBuf,
    },
}

/// Keeps files by their names. Errors are for the log.
#[async_trait]
trait Place: Send + Sync {
    /// Keeps the file at this path, which may be gone from there then.
    async fn put(&self, name: &str, from: &Path, mime: &str) -> Result<(), String>;

    /// A file; nothing where there is none.
    async fn get(&self, name: &str) -> Result<Option<Body>, String>;

    /// Deletes a file. It may be gone already.
    async fn delete(&self, name: &str) -> Result<(), String>;
}

/// The files.
pub(super) struct Files {
    place: Box<dyn Place>,
    /// Where files are while they are uploaded.
    incoming: PathBuf,
    types: Vec<String>,
    most: u64,
    quota: u64,
    keep_unused: Duration,
    turns: Arc<Turns>,
    /// Up to where references were looked at, by the node that sweeps.
    checked: Mutex<Option<String>>,
}

impl Files {
    /// With a folder that is made where it is missing.
    ///
    /// # Errors
    /// The folder can't be made, or the settings of S3 are wrong.
    pub fn new(o: &FilesOptions, tasks: &TaskTracker) -> Result<Self, String> {
        let (place, incoming): (Box<dyn Place>, PathBuf) = match &o.place {
            Where::Folder(root) => {
                let folder = Folder::new(root)?;
                let incoming = folder.incoming();
                (Box::new(folder), incoming)
            }
            Where::S3 { endpoint, region, bucket, key, secret, uploads } => {
                let s3 = S3::new([endpoint, region, bucket, key], secret.expose(), tasks)?;
                folder::make(uploads)?;
                (Box::new(s3), uploads.clone())
            }
        };
        Ok(Files {
            place,
            incoming,
            types: o.types.iter().map(|of| of.to_ascii_lowercase()).collect(),
            most: u64::try_from(o.most).unwrap_or(u64::MAX),
            quota: o.quota,
            keep_unused: o.keep_unused,
            turns: Arc::default(),
            checked: Mutex::default(),
        })
    }

    /// Keeps what was received. Nothing is left of it if that fails.
    async fn keep(&self, cabinet: &Cabinet, name: &str, file: FileRecord, from: &Path) -> Done<()> {
        refs::add(cabinet, name, &file, self.quota).await?;
        let Err(why) = self.place.put(name, from, &file.mime).await else { return Ok(()) };
        throttled!(warn, why, "a file could not be kept");
        // Else the sweep does: nothing refers to it.
        let _ = refs::forget(cabinet, &*self.place, name, &file).await;
        Err(Code::Unavailable.into())
    }

    async fn sweep(&self, node: &Tinode, now: Ts) -> Done<()> {
        let before = Ts(now.0.saturating_sub(millis(self.keep_unused)));
        refs::sweep(&node.cabinet, &*self.place, before).await?;
        let after = lock(&self.checked).take();
        let after = refs::check(&node.cabinet, node, after, now).await?;
        *lock(&self.checked) = after;
        Ok(())
    }
}

#[async_trait]
impl refs::Messages for Tinode {
    async fn gone(&self, topic: &TopicRecord, seqs: &[u64]) -> Done<Vec<u64>> {
        let (room, mut gone) = (topic.room()?, Vec::new());
        for seq in seqs {
            let found = history::at(self, &room, *seq).await?.filter(|found| !found.recalled);
            let body = found.and_then(|found| found.body);
            if body.is_none_or(|body| stored::Stored::read(&body).is_none()) {
                gone.push(*seq);
            }
        }
        Ok(gone)
    }
}

/// Notes that `by` refers to these files, and to no others any more. Whether it is noted: it is
/// tried for a second or so.
pub(super) async fn refer(node: &Tinode, by: &str, names: &BTreeSet<String>) -> bool {
    refs::refer(&node.cabinet, by, names, now(node)).await
}

/// Notes that `by` refers to no file any more.
pub(super) async fn release(node: &Tinode, by: &str) {
    refs::refer(&node.cabinet, by, &BTreeSet::new(), now(node)).await;
}

/// Deletes what is left of this node's uploads.
pub(super) async fn tidy(node: &Tinode) {
    let before = Ts(now(node).0.saturating_sub(millis(2 * UPLOAD)));
    folder::clear(&node.files.incoming, before).await;
}

/// Deletes files to which nothing has referred for long.
pub(super) async fn sweep(node: &Tinode) {
    let (files, now) = (&node.files, now(node));
    if let Err(Refusal { code, .. }) = files.sweep(node, now).await {
        throttled!(warn, code = code.number(), "files could not be swept");
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn now(node: &Tinode) -> Ts {
    Ts(node.hub.clock.unix_ms())
}

fn answer(node: &Tinode, id: &str, code: Code, params: Params) -> Response<Body> {
    let status = StatusCode::from_u16(code.number()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    routes::json(status, &Ctrl { id, topic: "", code, params }, now(node))
}

/// Whose token a request has.
async fn who(node: &Tinode, uri: &Uri, headers: &HeaderMap) -> Done<UserId> {
    let token = token(uri, headers).ok_or(Code::AuthRequired)?;
    match account::by_token(node, &token).await {
        Ok(who) => Ok(who.user),
        Err(Refusal { code: code @ (Code::Internal | Code::Unavailable), .. }) => Err(code.into()),
        Err(_) => Err(Code::AuthFailed.into()), // whatever is wrong with it (S:17)
    }
}

/// The token that a request has: `X-Tinode-Auth: Token …`, or `?auth=token&secret=…`.
fn token(uri: &Uri, headers: &HeaderMap) -> Option<Vec<u8>> {
    let header = headers.get(AUTH).and_then(|value| value.to_str().ok());
    let (scheme, secret) = match header.and_then(|value| value.trim().split_once(' ')) {
        Some((scheme, secret)) => (scheme.to_owned(), secret.to_owned()),
        None => {
            let pairs: HashMap<String, String> =
                serde_urlencoded::from_str(uri.query().unwrap_or_default()).ok()?;
            (pairs.get("auth")?.clone(), pairs.get("secret")?.clone())
        }
    };
    scheme.eq_ignore_ascii_case("token").then_some(())?;
    // A plus sign that was not escaped is read as a space; some write base64 for URLs.
    let plain = secret.trim_end_matches('=').replace([' ', '-'], "+").replace('_', "/");
    STANDARD_NO_PAD.decode(plain.trim()).ok()
}

/// Gives a file to whoever has signed in.
pub(super) async fn serve(node: &Node, request: &Request<Incoming>, name: &str) -> Response<Body> {
    match find(node, request, name).await {
        Ok(response) => response,
        Err(Refusal { code, params }) => answer(node, "", code, params),
    }
}

async fn find(node: &Tinode, request: &Request<Incoming>, name: &str) -> Done<Response<Body>> {
    let is_head = request.method() == Method::HEAD;
    if !is_head && request.method() != Method::GET {
        return Err(Code::NotAllowed.into());
    }
    who(node, request.uri(), request.headers()).await?;
    // Some clients add an ending.
    let name = name.split('.').next().filter(|name| is_name(name)).ok_or(Code::NotFound)?;
    let file = refs::file(&node.cabinet, name).await?.ok_or(Code::NotFound)?;
    let body = match is_head {
        true => Body::empty(),
        false => node
            .files
            .place
            .get(name)
            .await
            .map_err(|why| {
                throttled!(warn, why, "a file could not be read");
                Refusal::new(Code::Unavailable)
            })?
            .ok_or(Code::NotFound)?,
    };
    let mut response = Response::new(body);
    headers(&file, response.headers_mut());
    Ok(response)
}

fn is_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.len() == NAME && name.bytes().all(is_good)
}

/// What a browser is to make of a file: nothing in it may act as a page of this server.
fn headers(file: &FileRecord, into: &mut HeaderMap) {
    let fixed: [(HeaderName, &str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "sandbox"),
        (header::CACHE_CONTROL, "private, max-age=86400"),
    ];
    for (name, value) in fixed {
        into.insert(name, HeaderValue::from_static(value));
    }
    let mime = HeaderValue::from_str(&file.mime);
    let unknown = HeaderValue::from_static(form::UNKNOWN);
    into.insert(header::CONTENT_TYPE, mime.unwrap_or(unknown));
    into.insert(header::CONTENT_LENGTH, file.size.into());
    let disposition = HeaderValue::from_str(&disposition(file));
    let attachment = HeaderValue::from_static("attachment");
    into.insert(header::CONTENT_DISPOSITION, disposition.unwrap_or(attachment));
}

/// Pictures, sound and films are shown; everything else, and pictures that may have scripts, is to
/// be saved.
fn disposition(file: &FileRecord) -> String {
    let shown = ["image/", "audio/", "video/"].iter().any(|kind| file.mime.starts_with(kind));
    let shown = shown && !file.mime.starts_with("image/svg");
    let mut text = String::from(if shown { "inline" } else { "attachment" });
    if !file.name.is_empty() {
        text.push_str("; filename*=UTF-8''");
        for byte in file.name.bytes() {
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    text
}
