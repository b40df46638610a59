//! The envelope of the original's routes: always HTTP 200, `{meta:{status,msg}, data:{…}}`.
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use crate::throttle::throttled;
use crate::{config::Compat, domain::error::StoreError};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Success,
    UserExists,
    OperationFailed,
    ServerError,
    ParamError,
    UserNotExists,
    RequirePermission,
    RoomNotExists,
}

impl Status {
    /// Number and text. The original's README and its code disagree; the setting `compat` chooses.
    fn wire(self, compat: Compat) -> (u8, &'static str) {
        match (self, compat) {
            (Status::Success, _) => (0, "success"),
            (Status::UserExists, Compat::Documented) => (1, "user exists"),
            (Status::OperationFailed, Compat::Documented) => (2, "operation failed"),
            (Status::ServerError, Compat::Documented) => (3, "server error"),
            (Status::ParamError, Compat::Documented) => (4, "param error"),
            (Status::UserNotExists, Compat::Documented) => (5, "user not exists"),
            (Status::RequirePermission, Compat::Documented) => (6, "require permission"),
            (Status::RequirePermission, Compat::Deployed) => (1, "require permission"),
            (Status::UserExists, Compat::Deployed) => {
                (2, "user exists, please use refresh token api")
            }
            (Status::OperationFailed, Compat::Deployed) => (3, "operation failed"),
            (Status::ServerError, Compat::Deployed) => (4, "server errors"),
            (Status::ParamError, Compat::Deployed) => (5, "param error"),
            (Status::UserNotExists, Compat::Deployed) => (6, "user not exists"),
            (Status::RoomNotExists, _) => (7, "room not exists"),
        }
    }

    /// The answer with this status and data.
    pub(super) fn with(self, compat: Compat, data: &impl Serialize) -> Response {
        self.kept(compat, data, Bytes::from)
    }

    /// The same, with the body as `keep` makes it of what was written.
    pub(super) fn kept(
        self,
        compat: Compat,
        data: &impl Serialize,
        keep: impl FnOnce(Vec<u8>) -> Bytes,
    ) -> Response {
        let (status, msg) = self.wire(compat);
        match serde_json::to_vec(&Envelope { meta: Meta { status, msg }, data }) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], keep(body))
                .into_response(),
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                super::error(StatusCode::INTERNAL_SERVER_ERROR, "server error")
            }
        }
    }

    /// The answer with this status and no data.
    pub(super) fn bare(self, compat: Compat) -> Response {
        self.with(compat, &json!({}))
    }
}

#[derive(Serialize)]
struct Meta {
    status: u8,
    msg: &'static str,
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    meta: Meta,
    data: &'a T,
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        throttled!(warn, %error, "a request failed");
        Status::ServerError
    }
}
