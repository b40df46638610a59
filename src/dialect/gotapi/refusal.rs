//! Why a request is refused, and what is answered.
use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use super::{path::NoRoom, routes::json};
use crate::{
    domain::{attempts::whole_seconds, error::StoreError, ids::BadName},
    net::upgrade::{self, Flaw},
    throttle::throttled,
};

/// Why a request is refused. The words up to [`Refusal::Ttl`] are the original's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A message to a room that is empty.
    #[error("data missing")]
    NoData,
    /// A request for the history of no room.
    #[error("groupName missing")]
    HistoryOfNothing,
    /// Any other request without the room's name.
    #[error("groupName missing")]
    NoGroup,
    #[error("uuid missing")]
    NoUuid,
    #[error("ttl missing")]
    NoTtl,
    #[error("ttl should be a number")]
    TtlIsNoNumber,
    #[error("ttl should be a number and great than 0")]
    Ttl,
    #[error(transparent)]
    Path(#[from] NoRoom),
    #[error(transparent)]
    Name(#[from] BadName),
    /// A GET of a room.
    #[error("a group needs a WebSocket, or a POST")]
    NoUpgrade,
    /// A GET of a route that changes something, or has a body.
    #[error("this route needs a POST")]
    NoPost,
    /// With those that are.
    #[error("method not allowed")]
    Method(&'static str),
    #[error(transparent)]
    Handshake(#[from] Flaw),
    /// The server lets nobody in any more.
    #[error("this server is ending")]
    Ending,
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    #[error("the body could not be read")]
    Body,
    #[error("the body did not come")]
    Late,
    #[error("the store does not answer")]
    Unavailable,
    /// A hook says so.
    #[error("not allowed")]
    NotAllowed,
    /// Nobody looks at the secret, for this time.
    #[error("too many secrets were wrong")]
    TooManyFailures(Duration),
    /// A hook gives no valid answer.
    #[error("the server that decides about it does not answer")]
    NoVerdict,
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        throttled!(warn, %error, "a request failed");
        Refusal::Unavailable
    }
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Refusal::NoGroup
            | Refusal::NoUuid
            | Refusal::NoTtl
            | Refusal::TtlIsNoNumber
            | Refusal::Ttl
            | Refusal::Path(_)
            | Refusal::Name(_)
            | Refusal::NoUpgrade
            | Refusal::NoPost
            | Refusal::Handshake(_)
            | Refusal::Body => StatusCode::BAD_REQUEST,
            Refusal::HistoryOfNothing | Refusal::NotAllowed => StatusCode::FORBIDDEN,
            Refusal::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::NoData => StatusCode::NOT_ACCEPTABLE,
            Refusal::Late => StatusCode::REQUEST_TIMEOUT,
            Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooManyFailures(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Ending | Refusal::Unavailable | Refusal::NoVerdict => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// The answer.
    pub(super) fn response(self) -> Response<Body> {
        let (status, msg) = (self.status(), Value::from(self.to_string()));
        let body = match self {
            Refusal::NoData => format!(r#"{{"code":{},"msg":{msg}}}"#, status.as_u16()),
            _ => format!(r#"{{"msg":{msg}}}"#),
        };
        let mut response = json(status, body);
        let told = match self {
            Refusal::Handshake(Flaw::Version) => {
                Some((header::SEC_WEBSOCKET_VERSION, upgrade::VERSION))
            }
            Refusal::Method(allowed) => Some((header::ALLOW, allowed)),
            _ => None,
        };
        if let Some((name, value)) = told {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if let Refusal::TooManyFailures(wait) = self {
            let seconds = HeaderValue::from(whole_seconds(wait));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
