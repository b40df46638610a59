//! Parameters: the query, and a JSON or form body.
use std::{collections::HashMap, io::Read, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, Limited};
use serde_json::value::{RawValue, to_raw_value};

use super::error;
use crate::domain::{
    ids::{RoomId, Uid},
    json,
};

/// Largest body, bytes; also of one that came packed, once it is unpacked.
const MAX_BODY: usize = 1 << 20;
/// Time that a body may take.
const BODY: Duration = Duration::from_secs(30);

/// What some editors and libraries write before every text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A query's values by their names.
pub(super) type Query = HashMap<String, String>;

/// The query of a request. Of several values with one name the first counts, as a proxy in front
/// would take it to be.
pub(super) fn query(uri: &Uri) -> Query {
    let query: Vec<(String, String)> =
        serde_urlencoded::from_str(uri.query().unwrap_or("")).unwrap_or_default();
    query.into_iter().rev().collect()
}

/// What a request carries.
#[derive(Default)]
pub(super) struct Params {
    pub query: Query,
    /// Values as raw JSON; those of a form are strings.
    pub body: HashMap<String, Box<RawValue>>,
}

impl Params {
    /// Reads a request's body. One that can't be read as what it says it is, or of another type, is
    /// an empty one: what it should have held is then missing. Only one that is too large, or
    /// packed in a way that is not known here, is an error.
    pub(super) async fn read(
        headers: &HeaderMap,
        query: Query,
        body: Body,
    ) -> Result<Self, Response> {
        let packed = is_packed(headers).ok_or_else(unknown_coding)?;
        let bytes = match tokio::time::timeout(BODY, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(_)) => return Err(too_large()),
            Err(_) => return Err(error(StatusCode::REQUEST_TIMEOUT, "the body did not come")),
        };
        let bytes = if packed { unpack(&bytes).ok_or_else(too_large)? } else { bytes };
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
        let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        let body = match kind.as_str() {
            "application/json" => serde_json::from_slice(bytes).unwrap_or_default(),
            "application/x-www-form-urlencoded" => {
                serde_urlencoded::from_bytes::<Vec<(String, String)>>(bytes)
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|(key, value)| Some((key, to_raw_value(&value).ok()?)))
                    .collect()
            }
            _ => HashMap::new(),
        };
        Ok(Params { query, body })
    }

    /// The room of the query.
    pub(super) fn query_room(&self) -> Option<RoomId> {
        self.query.get("roomId").and_then(|room| RoomId::new(room).ok())
    }

    /// The room of the body: a JSON string or number.
    pub(super) fn body_room(&self) -> Option<RoomId> {
        json::room(self.body.get("roomId")?)
    }

    /// The uid of the body: a JSON string or number, never an object that a database could take for
    /// an operator.
    pub(super) fn body_uid(&self) -> Option<Uid> {
        json::uid(self.body.get("uid")?)
    }
}

/// Whether a body is packed by gzip; nothing where it is packed in another way, or twice.
fn is_packed(headers: &HeaderMap) -> Option<bool> {
    let mut packed = false;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for coding in value.to_str().ok()?.split(',') {
            match coding.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => {}
                "gzip" | "x-gzip" if !packed => packed = true,
                _ => return None,
            }
        }
    }
    Some(packed)
}

/// What gzip packed; nothing where it is more than a body may have, of which no more is unpacked.
/// What is not gzip counts as empty.
fn unpack(packed: &[u8]) -> Option<Bytes> {
    let mut bytes = Vec::new();
    let read = MultiGzDecoder::new(packed).take(MAX_BODY as u64 + 1).read_to_end(&mut bytes);
    match read {
        Ok(length) if length > MAX_BODY => None,
        Ok(_) => Some(bytes.into()),
        Err(_) => Some(Bytes::new()),
    }
}

fn too_large() -> Response {
    error(StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 1 MiB, or could not be read")
}

fn unknown_coding() -> Response {
    let mut answer = error(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the body's Content-Encoding is not known here: send it plain, or by gzip",
    );
    answer.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    answer
}
