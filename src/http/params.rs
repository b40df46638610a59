//! Parameters: the query, and a JSON or form body.
use std::collections::HashMap;

use axum::{
    body::Body,
    http::{StatusCode, header, request::Parts},
    response::Response,
};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value};

use super::error;
use crate::domain::{
    ids::{RoomId, Uid},
    json,
};

/// Largest body, bytes.
const MAX_BODY: usize = 1 << 20;

/// What a request carries.
#[derive(Default)]
pub(super) struct Params {
    pub query: HashMap<String, String>,
    pub body: Map<String, Value>,
}

impl Params {
    /// Reads a request. A body that can't be read as what it says it is, or of another type, is an empty one: what it should have held is
    /// then missing. Only one that is too large is an error here.
    pub(super) async fn read(parts: &Parts, body: Body) -> Result<Self, Response> {
        let query: Vec<(String, String)> = serde_urlencoded::from_str(parts.uri.query().unwrap_or("")).unwrap_or_default();
        // The first of several, as a proxy in front would take it to be.
        let query = query.into_iter().rev().collect();
        let bytes = match Limited::new(body, MAX_BODY).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(_) => return Err(error(StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 1 MiB, or could not be read")),
        };
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        let body = match kind.as_str() {
            "application/json" => match serde_json::from_slice(&bytes) {
                Ok(Value::Object(fields)) => fields,
                Ok(_) | Err(_) => Map::new(),
            },
            "application/x-www-form-urlencoded" => serde_urlencoded::from_bytes::<Vec<(String, String)>>(&bytes)
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key, Value::from(value)))
                .collect(),
            _ => Map::new(),
        };
        Ok(Params { query, body })
    }

    /// The room of the query.
    pub(super) fn query_room(&self) -> Option<RoomId> {
        self.query.get("roomId").and_then(|room| RoomId::new(room).ok())
    }

    /// The room of the body.
    pub(super) fn body_room(&self) -> Option<RoomId> {
        match self.body.get("roomId")? {
            Value::String(text) => RoomId::new(text).ok(),
            Value::Number(_) => RoomId::new(uid(self.body.get("roomId")?)?.as_str()).ok(),
            _ => None,
        }
    }

    /// The uid of the body.
    pub(super) fn body_uid(&self) -> Option<Uid> {
        uid(self.body.get("uid")?)
    }
}

/// A uid: a JSON string or number, never an object that a database could take for an operator.
pub(super) fn uid(value: &Value) -> Option<Uid> {
    match value {
        Value::String(text) => Uid::text(text).ok(),
        Value::Number(_) => serde_json::value::to_raw_value(value).ok().and_then(|raw| json::uid(&raw)),
        _ => None,
    }
}
