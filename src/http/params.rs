//! Parameters: the query, and a JSON or form body.
use std::collections::HashMap;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    body::{self, Unread},
    error,
};
use crate::domain::{
    ids::{RoomId, Uid},
    json,
};

/// Largest body, bytes; also of one that came packed, once it is unpacked.
const MAX_BODY: usize = 1 << 20;

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
        let bytes = match body::read(headers, body, MAX_BODY).await {
            Ok(bytes) => bytes,
            Err(Unread::Corrupt) => Bytes::new(),
            Err(Unread::TooLarge | Unread::Broken) => return Err(too_large()),
            Err(Unread::UnknownCoding) => return Err(unknown_coding()),
            Err(Unread::Late) => {
                return Err(error(StatusCode::REQUEST_TIMEOUT, "the body did not come"));
            }
        };
        let body = match body::kind(headers).as_str() {
            "application/json" => serde_json::from_slice(&bytes).unwrap_or_default(),
            "application/x-www-form-urlencoded" => {
                serde_urlencoded::from_bytes::<Vec<(String, String)>>(&bytes)
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
