//! Why a request is refused, and what is answered. What has a code is answered with 200, in the
//! original's words, which clients compare; everything else with a status and an `error`.
use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::token::BadToken;
use crate::{
    domain::{attempts::whole_seconds, clock::NoRandomness, error::StoreError, password::Unhashed},
    net::upgrade::{self, Flaw},
    throttle::throttled,
};

/// When somebody comes back who finds the server busy, seconds.
const SOON: u64 = 1;

/// What a registration has to have, in the order in which it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Nick,
    UserName,
    Password,
    Email,
    Phone,
}

impl Field {
    /// All of them, in that order.
    pub const ALL: [Field; 5] =
        [Field::Nick, Field::UserName, Field::Password, Field::Email, Field::Phone];

    /// Its name in a body.
    pub fn name(self) -> &'static str {
        match self {
            Field::Nick => "nick",
            Field::UserName => "userName",
            Field::Password => "password",
            Field::Email => "email",
            Field::Phone => "phone",
        }
    }

    /// What asks for it.
    fn prompt(self) -> &'static str {
        match self {
            Field::Nick => "请填写昵称",
            Field::UserName => "请输入用户名",
            Field::Password => "请输入密码",
            Field::Email => "请输入Email",
            Field::Phone => "请输入手机号码",
        }
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody has this phone.
    #[error("手机号没有注册")]
    NotRegistered,
    #[error("密码错误")]
    WrongPassword,
    /// The first field that is missing or empty; a phone also where it can be none.
    #[error("{}", .0.prompt())]
    Missing(Field),
    /// Somebody has this phone.
    #[error("手机号已注册")]
    Taken,
    #[error(transparent)]
    Token(#[from] BadToken),
    #[error("Not Found")]
    NoRoute,
    #[error(transparent)]
    Handshake(#[from] Flaw),
    #[error("the body can't be read")]
    Body,
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// It is within the body's bound, and larger than what is kept of it may be.
    #[error("{0} is too long")]
    TooLong(&'static str),
    #[error("the body did not come")]
    Late,
    /// For how long.
    #[error("too many requests")]
    TooOften(Duration),
    /// Nobody looks at passwords, for this time.
    #[error("too many passwords were wrong")]
    TooManyFailures(Duration),
    /// As many passwords wait to be worked on as may.
    #[error("too many sign in at the moment")]
    Busy,
    /// What the original has stored is being taken over.
    #[error("this server is starting")]
    Starting,
    /// The server lets nobody in any more.
    #[error("this server is ending")]
    Ending,
    #[error("the store does not answer")]
    Unavailable,
    /// A defect of the server, or of its machine, which is in the log.
    #[error("this server failed")]
    Internal,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        throttled!(warn, %error, "a request of react-wechat failed");
        Failure::Unavailable
    }
}

impl From<NoRandomness> for Failure {
    fn from(error: NoRandomness) -> Self {
        throttled!(error, %error, "a request of react-wechat failed");
        Failure::Internal
    }
}

impl From<Unhashed> for Failure {
    fn from(why: Unhashed) -> Self {
        match why {
            Unhashed::Busy => Failure::Busy,
            Unhashed::Failed => Failure::Internal,
        }
    }
}

/// What a failure is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    /// 200, with this code.
    Code(u32),
    /// This status, and when to come back, where that helps, in seconds.
    Status(StatusCode, Option<u64>),
}

impl Failure {
    fn wire(self) -> Wire {
        let status = |status| Wire::Status(status, None);
        match self {
            Failure::NotRegistered => Wire::Code(100_001),
            Failure::WrongPassword => Wire::Code(100_002),
            Failure::Missing(_) => Wire::Code(100_003),
            Failure::Taken => Wire::Code(100_004),
            Failure::Token(_) => status(StatusCode::UNAUTHORIZED),
            Failure::NoRoute => status(StatusCode::NOT_FOUND),
            Failure::Body | Failure::Handshake(_) => status(StatusCode::BAD_REQUEST),
            Failure::TooLarge(_) | Failure::TooLong(_) => status(StatusCode::PAYLOAD_TOO_LARGE),
            Failure::Late => status(StatusCode::REQUEST_TIMEOUT),
            Failure::TooOften(wait) | Failure::TooManyFailures(wait) => {
                Wire::Status(StatusCode::TOO_MANY_REQUESTS, Some(whole_seconds(wait).max(SOON)))
            }
            Failure::Busy | Failure::Starting => {
                Wire::Status(StatusCode::SERVICE_UNAVAILABLE, Some(SOON))
            }
            Failure::Ending | Failure::Unavailable => status(StatusCode::SERVICE_UNAVAILABLE),
            Failure::Internal => status(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// The answer.
    pub fn response(self) -> Response<Body> {
        let text = self.to_string();
        let (status, wait) = match self.wire() {
            Wire::Code(code) => {
                let body = format!(r#"{{"code":{code},"message":{}}}"#, json!(text));
                return super::routes::json(StatusCode::OK, body);
            }
            Wire::Status(status, wait) => (status, wait),
        };
        let mut response = super::routes::json(status, format!(r#"{{"error":{}}}"#, json!(text)));
        let headers = response.headers_mut();
        if let Some(seconds) = wait {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self == Failure::Handshake(Flaw::Version) {
            let version = HeaderValue::from_static(upgrade::VERSION);
            headers.insert(header::SEC_WEBSOCKET_VERSION, version);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_compare_has_a_code_and_fixed_words() {
        for (failure, code, message) in [
            (Failure::NotRegistered, 100_001, "手机号没有注册"),
            (Failure::WrongPassword, 100_002, "密码错误"),
            (Failure::Missing(Field::Nick), 100_003, "请填写昵称"),
            (Failure::Missing(Field::UserName), 100_003, "请输入用户名"),
            (Failure::Missing(Field::Password), 100_003, "请输入密码"),
            (Failure::Missing(Field::Email), 100_003, "请输入Email"),
            (Failure::Missing(Field::Phone), 100_003, "请输入手机号码"),
            (Failure::Taken, 100_004, "手机号已注册"),
        ] {
            assert_eq!((failure.wire(), &*failure.to_string()), (Wire::Code(code), message));
            assert_eq!(failure.response().status(), StatusCode::OK);
        }
    }

    #[test]
    fn everything_else_has_a_status_and_says_when_to_come_back() {
        let half = Duration::from_millis(500);
        for (failure, status, wait) in [
            (Failure::Token(BadToken::Missing), 401, None),
            (Failure::NoRoute, 404, None),
            (Failure::Body, 400, None),
            (Failure::TooLarge(5), 413, None),
            (Failure::TooLong("thumb"), 413, None),
            (Failure::TooOften(half), 429, Some("1")),
            (Failure::TooManyFailures(Duration::from_millis(2500)), 429, Some("3")),
            (Failure::Busy, 503, Some("1")),
            (Failure::Starting, 503, Some("1")),
            (Failure::Unavailable, 503, None),
        ] {
            let response = failure.response();
            let told = response.headers().get(header::RETRY_AFTER).map(|v| v.to_str().unwrap());
            assert_eq!((response.status().as_u16(), told), (status, wait), "{failure}");
        }
    }
}
