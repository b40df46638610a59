//! Files at a server that speaks S3. Requests are signed by their URLs, and go out by the one
//! client that there is.
use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderMap, Request, StatusCode, header, request::Builder};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::Place;
use crate::net::client::{Answer, Bounds, CallError, Client};

/// How long a URL is good.
const SIGNED: Duration = Duration::from_secs(120);
/// Time for a file to be sent, and for anything else.
const SEND: Duration = Duration::from_secs(60);
const ASK: Duration = Duration::from_secs(20);
/// Files that are sent at a time: each is in memory as a whole.
const SENDING: usize = 4;
/// Bytes of a file that are asked for at a time.
const PIECE: u64 = 1 << 20;
/// Bytes of an answer that says why.
const WHY: usize = 64 << 10;

/// A bucket.
pub(super) struct S3(Arc<Inner>);

struct Inner {
    bucket: Bucket,
    credentials: Credentials,
    client: Client,
    sending: Semaphore,
    /// Bytes that are asked for at a time.
    piece: u64,
}

/// Some of a file.
struct Piece {
    bytes: Bytes,
    /// Bytes of all of it.
    total: u64,
}

impl S3 {
    /// At this endpoint, in this region: this bucket, by this key's id.
    ///
    /// # Errors
    /// The endpoint is no URL, or there can be no client.
    pub fn new(
        [endpoint, region, bucket, key]: [&str; 4],
        secret: &str,
        tasks: &TaskTracker,
    ) -> Result<Self, String> {
        let wrong = |why: String| format!("files can't be kept by S3: {why}");
        let endpoint = endpoint.parse().map_err(|_| wrong("the endpoint is no URL".into()))?;
        // The one style that works whatever the server is called.
        let bucket = Bucket::new(endpoint, UrlStyle::Path, bucket.to_owned(), region.to_owned());
        let bucket = bucket.map_err(|error| wrong(error.to_string()))?;
        let client = Client::new(None, tasks.clone()).map_err(|error| wrong(error.to_string()))?;
        Ok(S3(Arc::new(Inner {
            bucket,
            credentials: Credentials::new(key, secret),
            client,
            sending: Semaphore::new(SENDING),
            piece: PIECE,
        })))
    }
}

impl Inner {
    async fn call(
        &self,
        request: Builder,
        body: Bytes,
        time: Duration,
        bytes: usize,
    ) -> Result<Answer, Failed> {
        let request: Request<Bytes> =
            request.body(body).map_err(|error| Failed::Other(error.to_string()))?;
        match self.client.call(request, Bounds { time, bytes }).await {
            Ok(answer) => Ok(answer),
            Err(CallError::Status { status, .. }) => Err(Failed::Status(status)),
            Err(
                error @ (CallError::Connect(_)
                | CallError::Tls(_)
                | CallError::Timeout(_)
                | CallError::TooLarge { .. }
                | CallError::Broken(_)),
            ) => Err(Failed::Other(error.to_string())),
        }
    }

    /// The bytes from there on; nothing where there is no such file.
    async fn piece(&self, name: &str, from: u64) -> Result<Option<Piece>, String> {
        let url = self.bucket.get_object(Some(&self.credentials), name).sign(SIGNED);
        let upto = from.saturating_add(self.piece - 1);
        let range = format!("bytes={from}-{upto}");
        let request = Request::get(url.as_str()).header(header::RANGE, range);
        let bytes = usize::try_from(self.piece).unwrap_or(usize::MAX).saturating_add(WHY);
        match self.call(request, Bytes::new(), ASK, bytes).await {
            Ok(Answer { status, headers, body }) => {
                let length = body.len() as u64;
                // Who knows no ranges gives all of it.
                let whole = (status != StatusCode::PARTIAL_CONTENT && from == 0).then_some(length);
                let total = whole.or_else(|| total(&headers)).ok_or("an answer with no length")?;
                Ok(Some(Piece { bytes: body, total }))
            }
            Err(Failed::Status(StatusCode::NOT_FOUND)) => Ok(None),
            // An empty file has no bytes to ask for.
            Err(Failed::Status(StatusCode::RANGE_NOT_SATISFIABLE)) if from == 0 => {
                Ok(Some(Piece { bytes: Bytes::new(), total: 0 }))
            }
            Err(failed) => Err(failed.to_string()),
        }
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("status {}", .0.as_u16())]
    Status(StatusCode),
    #[error("{0}")]
    Other(String),
}

/// How long all of a file is, as an answer with some of it says: `bytes 0-9/1000`.
fn total(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_RANGE)?.to_str().ok()?.rsplit_once('/')?.1.parse().ok()
}

/// The rest of a file behind its first piece, each piece when the one before was taken.
fn pieces(
    s3: Arc<Inner>,
    name: String,
    first: Piece,
) -> impl Stream<Item = Result<Bytes, String>> + Send {
    let begin = Some((s3, name, first.bytes.len() as u64, Some(first)));
    stream::unfold(begin, |state| async {
        let (s3, name, at, first) = state?;
        if let Some(Piece { bytes, total }) = first {
            let rest = (at < total && !bytes.is_empty()).then_some((s3, name, at, None));
            return Some((Ok(bytes), rest));
        }
        match s3.piece(&name, at).await {
            Ok(Some(Piece { bytes, total })) if !bytes.is_empty() => {
                let at = at.saturating_add(bytes.len() as u64);
                Some((Ok(bytes), (at < total).then_some((s3, name, at, None))))
            }
            Ok(_) => Some((Err("a file has gone".to_owned()), None)),
            Err(why) => Some((Err(why), None)),
        }
    })
}

#[async_trait]
impl Place for S3 {
    async fn put(&self, name: &str, from: &Path, mime: &str) -> Result<(), String> {
        let Inner { bucket, credentials, sending, .. } = &*self.0;
        let _turn = sending.acquire().await.map_err(|error| error.to_string())?;
        let body = tokio::fs::read(from).await.map_err(|error| error.to_string())?;
        let url = bucket.put_object(Some(credentials), name).sign(SIGNED);
        let request = Request::put(url.as_str()).header(header::CONTENT_TYPE, mime);
        let sent = self.0.call(request, body.into(), SEND, WHY).await;
        sent.map(|_| ()).map_err(|failed| failed.to_string())
    }

    async fn get(&self, name: &str) -> Result<Option<Body>, String> {
        let first = self.0.piece(name, 0).await?;
        let body = |first| Body::from_stream(pieces(self.0.clone(), name.to_owned(), first));
        Ok(first.map(body))
    }

    async fn delete(&self, name: &str) -> Result<(), String> {
        let Inner { bucket, credentials, .. } = &*self.0;
        let url = bucket.delete_object(Some(credentials), name).sign(SIGNED);
        match self.0.call(Request::delete(url.as_str()), Bytes::new(), ASK, WHY).await {
            Ok(_) | Err(Failed::Status(StatusCode::NOT_FOUND)) => Ok(()),
            Err(failed) => Err(failed.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use support::receiver::{Received, Receiver, Reply};

    use super::*;

    const NAME: &str = "abcdefghijklmnopqrstuv";
    const CONTENT: &str = "0123456789";

    /// A bucket whose files are asked for by four bytes at a time.
    fn bucket(receiver: &Receiver) -> S3 {
        let endpoint = receiver.url().replace("/hooks", "");
        let names = [endpoint.as_str(), "here", "files", "KEY"];
        let S3(inner) = S3::new(names, "secret", &TaskTracker::new()).unwrap();
        S3(Arc::new(Inner { piece: 4, ..Arc::into_inner(inner).unwrap() }))
    }

    /// As a server of S3 does, which has [`CONTENT`].
    fn ranged(request: &Received) -> Reply {
        let range = request.header("range").unwrap().strip_prefix("bytes=").unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        let to = to.min(CONTENT.len() - 1);
        let range = format!("bytes {from}-{to}/{}", CONTENT.len());
        let headers = vec![("content-range", range)];
        Reply::Full { status: 206, headers, body: CONTENT[from..=to].to_owned() }
    }

    async fn content(s3: &S3) -> Result<Option<String>, String> {
        let Some(body) = s3.get(NAME).await? else { return Ok(None) };
        let bytes = axum::body::to_bytes(body, 1000).await.map_err(|error| error.to_string())?;
        Ok(Some(String::from_utf8(bytes.to_vec()).unwrap()))
    }

    #[tokio::test]
    async fn a_file_is_read_piece_by_piece() {
        let receiver = Receiver::start(ranged).await;
        let s3 = bucket(&receiver);
        assert_eq!(content(&s3).await, Ok(Some(CONTENT.into())));
        let requests = receiver.requests();
        let ranges: Vec<_> = requests.iter().map(|request| request.header("range")).collect();
        assert_eq!(ranges, ["bytes=0-3", "bytes=4-7", "bytes=8-11"].map(Some));
        for request in requests {
            let beginning = format!("GET /files/{NAME}?X-Amz-Algorithm=AWS4-HMAC-SHA256&");
            assert!(request.line.starts_with(&beginning), "{}", request.line);
        }
    }

    #[tokio::test]
    async fn answers_that_are_none_of_a_file() {
        for (status, body, expected) in [
            (200, "0123456789", Ok(Some("0123456789".to_owned()))),
            (200, "", Ok(Some(String::new()))),
            (416, "", Ok(Some(String::new()))),
            (404, "<Error>", Ok(None)),
            (403, "<Error>", Err("status 403".to_owned())),
            (206, "0123", Err("an answer with no length".to_owned())),
        ] {
            let receiver = Receiver::start(move |_| Reply::text(status, body)).await;
            assert_eq!(content(&bucket(&receiver)).await, expected, "{status}");
        }
    }

    #[tokio::test]
    async fn a_file_that_goes_while_it_is_read_is_an_error() {
        let receiver = Receiver::start(|request| match request.header("range") {
            Some("bytes=0-3") => ranged(request),
            _ => Reply::text(404, ""),
        })
        .await;
        assert!(content(&bucket(&receiver)).await.is_err());
    }

    #[tokio::test]
    async fn files_are_sent_and_deleted() {
        let receiver = Receiver::start(|_| Reply::text(200, "")).await;
        let s3 = bucket(&receiver);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), CONTENT).unwrap();
        s3.put(NAME, file.path(), "image/png").await.unwrap();
        s3.delete(NAME).await.unwrap();
        let [put, delete] = &receiver.requests()[..] else { panic!("two requests") };
        assert!(put.line.starts_with(&format!("PUT /files/{NAME}?")), "{}", put.line);
        assert_eq!(put.body, CONTENT);
        assert_eq!(put.header("content-type"), Some("image/png"));
        assert!(delete.line.starts_with(&format!("DELETE /files/{NAME}?")), "{}", delete.line);
        assert!(s3.put(NAME, std::path::Path::new("/nosuch"), "a/b").await.is_err());
    }

    #[tokio::test]
    async fn what_fails_is_an_error_but_for_a_file_that_has_gone() {
        for (status, deleted) in [(404, true), (403, false), (500, false)] {
            let receiver = Receiver::start(move |_| Reply::text(status, "<Error>")).await;
            let s3 = bucket(&receiver);
            assert_eq!(s3.delete(NAME).await.is_ok(), deleted, "{status}");
            let file = tempfile::NamedTempFile::new().unwrap();
            let why = s3.put(NAME, file.path(), "a/b").await.unwrap_err();
            assert_eq!(why, format!("status {status}"));
        }
    }

    #[test]
    fn an_endpoint_has_to_be_a_url() {
        for endpoint in ["", "localhost", "ftp://localhost", "unix:/x"] {
            let names = [endpoint, "here", "files", "KEY"];
            assert!(S3::new(names, "secret", &TaskTracker::new()).is_err(), "{endpoint}");
        }
    }
}
