//! Parameters: the query, and a JSON or form body.
use std::{collections::HashMap, time::Duration};

use axum::{
    body::Body,
    http::{StatusCode, header, request::Parts},
    response::Response,
};
use http_body_util::{BodyExt, Limited};
use serde_json::value::{RawValue, to_raw_value};

use super::error;
use crate::domain::{
    ids::{RoomId, Uid},
    json,
};

/// Largest body, bytes.
const MAX_BODY: usize = 1 << 20;
/// Time that a body may take.
const BODY: Duration = Duration::from_secs(30);

/// What a request carries.
#[derive(Default)]
pub(super) struct Params {
    pub query: HashMap<String, String>,
    /// Values as raw JSON; those of a form are strings.
    pub body: HashMap<String, Box<RawValue>>,
}

impl Params {
    /// Reads a request. A body that can't be read as what it says it is, or of another type, is an empty one: what it should have held is
    /// then missing. Only one that is too large is an error here.
    pub(super) async fn read(parts: &Parts, body: Body) -> Result<Self, Response> {
        let query: Vec<(String, String)> = serde_urlencoded::from_str(parts.uri.query().unwrap_or("")).unwrap_or_default();
        // The first of several, as a proxy in front would take it to be.
        let query = query.into_iter().rev().collect();
        let bytes = match tokio::time::timeout(BODY, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(_)) => return Err(error(StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 1 MiB, or could not be read")),
            Err(_) => return Err(error(StatusCode::REQUEST_TIMEOUT, "the body did not come")),
        };
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        let body = match kind.as_str() {
            "application/json" => serde_json::from_slice(&bytes).unwrap_or_default(),
            "application/x-www-form-urlencoded" => serde_urlencoded::from_bytes::<Vec<(String, String)>>(&bytes)
                .unwrap_or_default()
                .into_iter()
                .filter_map(|(key, value)| Some((key, to_raw_value(&value).ok()?)))
                .collect(),
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

    /// The uid of the body: a JSON string or number, never an object that a database could take for an operator.
    pub(super) fn body_uid(&self) -> Option<Uid> {
        json::uid(self.body.get("uid")?)
    }
}
