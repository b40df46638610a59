//! Errors of the API: problem details, RFC 9457.
//!
//! The kinds are one table, from which come the answers, the OpenAPI document and the reference.
use std::{borrow::Cow, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{attempts::whole_seconds, clock::NoRandomness, error::StoreError},
    throttle::throttled,
};

/// Seconds after which a request may be sent again.
pub(super) const SOON: u64 = 1;

/// Declares the kinds: name, status, word, title, and when it is answered.
macro_rules! kinds {
    ($($name:ident $status:literal $word:literal $title:literal $when:literal)+) => {
        /// What is wrong, in a word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::http) enum Kind {
            $(#[doc = $when] $name,)+
        }

        impl Kind {
            /// All of them.
            pub(super) const ALL: &'static [Kind] = &[$(Kind::$name),+];

            /// The HTTP status.
            pub(super) fn status(self) -> u16 {
                match self { $(Kind::$name => $status),+ }
            }

            /// The word at the end of `type`.
            pub(in crate::http) fn word(self) -> &'static str {
                match self { $(Kind::$name => $word),+ }
            }

            fn title(self) -> &'static str {
                match self { $(Kind::$name => $title),+ }
            }

            /// When it is answered, for the documents.
            pub(super) fn when(self) -> &'static str {
                match self { $(Kind::$name => $when),+ }
            }
        }
    };
}

kinds! {
    Malformed 400 "malformed-request" "The request can't be read"
        "The body is no JSON in UTF-8, is not packed as it says, or did not come whole; or a header has no valid value."
    Invalid 400 "invalid-request" "The request is not valid"
        "Fields are missing, unknown, or have a value that they can't have. `errors` names each with a JSON pointer."
    Unauthorized 401 "unauthorized" "An administrator's credentials are required"
        "The request has no administrator's credentials, or wrong ones."
    NotConfigured 403 "not-configured" "The server is not configured for it"
        "The server's settings do not allow it."
    ReadOnly 403 "read-only" "The administrator may change nothing"
        "The method changes something, and the administrator's role is `reader`."
    NoSuchMethod 404 "no-such-method" "There is no such method"
        "The path is that of no method."
    NoSuchUser 404 "no-such-user" "There is no such user"
        "The user has no token."
    NoSuchJob 404 "no-such-job" "There is no such job"
        "There is no job of this name, or not any more."
    NotAllowed 405 "method-not-allowed" "The HTTP method is not allowed"
        "The path takes another HTTP method; the header `Allow` says which."
    Late 408 "body-timeout" "The body did not come in time"
        "The body took longer than 30 seconds."
    UserExists 409 "user-exists" "The user has a token"
        "The user has a token already. `token/refresh` makes another one."
    RoomFull 409 "room-full" "The room has no place for the update"
        "The room's updates have reached their bound (`AO_STORE__UPDATES`, `AO_STORE__UPDATE_BYTES`)."
    BadConfiguration 409 "configuration-invalid" "The configuration is not valid"
        "The configuration that was read again has a fault, which `detail` names. Nothing was changed."
    OtherNode 409 "other-node" "Another node was asked"
        "The request names a node, and came to another one. Nothing was done."
    KeyInUse 409 "key-in-use" "A request with this key is not answered yet"
        "The first request with this `Idempotency-Key` is not answered yet. Wait for `Retry-After`."
    TooLarge 413 "too-large" "The body or the message is too large"
        "The body, as it came or unpacked, or the message in it is larger than it may be."
    MediaType 415 "unsupported-media-type" "The body is of an unsupported type"
        "The body is not `application/json`, or is packed in another way than by gzip."
    KeyReused 422 "key-reused" "The key belongs to another request"
        "The `Idempotency-Key` was sent with another body in the last 24 hours."
    TooMany 429 "too-many-requests" "Too many requests are under way"
        "The server is working on as many requests as it takes at once. Wait for `Retry-After`."
    TooManyFailures 429 "too-many-failures" "Too many credentials were wrong"
        "Too many of this account, or from this address, were wrong (`AO_LIMITS__FAILED_SIGN_INS`). Wait for `Retry-After`."
    Failure 500 "server-error" "The server has failed"
        "A defect of the server. Its log says more."
    Unavailable 503 "store-unavailable" "The store is unavailable"
        "A store does not answer, or the server is ending. Nothing was done. Wait for `Retry-After`, and send the request again."
    Unknown 504 "outcome-unknown" "The outcome is unknown"
        "A store took the request and did not say what became of it: it may be done or not."
}

impl Kind {
    /// Answers of every method that asks for credentials.
    pub(super) const OF_ALL: &'static [Kind] = &[
        Kind::Unauthorized,
        Kind::NotAllowed,
        Kind::TooMany,
        Kind::TooManyFailures,
        Kind::Failure,
        Kind::Unavailable,
        Kind::Unknown,
    ];

    /// Answers of every method with a body, too.
    pub(super) const OF_BODIES: &'static [Kind] =
        &[Kind::Malformed, Kind::Invalid, Kind::Late, Kind::TooLarge, Kind::MediaType];

    /// Answers of every method that takes a key, too.
    pub(super) const OF_KEYS: &'static [Kind] = &[Kind::KeyInUse, Kind::KeyReused];

    /// Whether the same request may do better later.
    fn is_passing(self) -> bool {
        matches!(self, Kind::TooMany | Kind::Unavailable | Kind::Unknown)
    }

    /// Whether something was tried, and this came of it: not that the request can't be one, nor that
    /// a store was out and nothing was done.
    pub(in crate::http) fn is_of_the_attempt(self) -> bool {
        let untried = [Kind::TooMany, Kind::Unavailable, Kind::OtherNode].contains(&self);
        !untried && !Self::OF_BODIES.contains(&self) && !Self::OF_KEYS.contains(&self)
    }

    /// What `type` says: where the kind is explained.
    pub(super) fn uri(self) -> String {
        format!("/v1/docs#{}", self.word())
    }
}

/// A value that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Issue {
    /// Where it is in the body, as a JSON pointer (RFC 6901) in a URI fragment.
    #[schema(example = "#/roomId")]
    pub(super) pointer: String,
    /// What is wrong with it, for people.
    pub(super) detail: String,
}

/// An error, to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) kind: Kind,
    detail: Cow<'static, str>,
    errors: Vec<Issue>,
    /// A header that belongs to it.
    header: Option<(&'static str, &'static str)>,
    /// Seconds after which the request may be sent again.
    after: Option<u64>,
}

/// A problem as it is written: problem details of RFC 9457.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Details<'a> {
    /// What kind of problem it is. Programs go by this.
    #[serde(rename = "type")]
    #[schema(example = "/v1/docs#invalid-request")]
    kind: String,
    /// The kind in words, always the same.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request, for people.
    detail: &'a str,
    /// The request's path; of a command within a batch also where that is.
    #[schema(example = "/v1/publish")]
    instance: &'a str,
    /// The values that are wrong, where there are such; the first ones of many.
    #[serde(skip_serializing_if = "<[Issue]>::is_empty")]
    #[schema(value_type = Vec<Issue>, required = false)]
    errors: &'a [Issue],
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Problem { kind, detail: detail.into(), errors: Vec::new(), header: None, after: None }
    }

    /// Values of the request are wrong.
    pub(super) fn invalid(errors: Vec<Issue>) -> Self {
        let detail = match &*errors {
            [only] => format!("{}: {}", only.pointer, only.detail).into(),
            _ => Cow::Borrowed("several values are wrong"),
        };
        Problem { errors, ..Problem::new(Kind::Invalid, detail) }
    }

    /// Adds a header to the answer.
    pub(super) fn with(self, name: &'static str, value: &'static str) -> Self {
        Problem { header: Some((name, value)), ..self }
    }

    /// The request may be sent again after this time.
    pub(super) fn after(self, wait: Duration) -> Self {
        Problem { after: Some(whole_seconds(wait)), ..self }
    }

    /// As it is written in an answer to this path.
    pub(super) fn details<'a>(&'a self, instance: &'a str) -> Details<'a> {
        Details {
            kind: self.kind.uri(),
            title: self.kind.title(),
            status: self.kind.status(),
            detail: &self.detail,
            instance,
            errors: &self.errors,
        }
    }

    /// The answer to a request for this path.
    pub(super) fn response(self, instance: &str) -> Response {
        let status = StatusCode::from_u16(self.kind.status());
        let body = serde_json::to_string(&self.details(instance)).unwrap_or_default();
        let mut response = (
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            [(header::CONTENT_TYPE, "application/problem+json")],
            body,
        )
            .into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.after.or(self.kind.is_passing().then_some(SOON)) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthorized {
            for challenge in ["Basic realm=\"always-online\"", "Bearer realm=\"always-online\""] {
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        if let Some((name, value)) = self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        throttled!(warn, %error, "a request failed");
        match error {
            StoreError::Unavailable(_) => unavailable(),
            StoreError::OutcomeUnknown(_) => unknown(),
        }
    }
}

impl From<NoRandomness> for Problem {
    fn from(error: NoRandomness) -> Self {
        throttled!(error, %error, "no token could be made");
        failure()
    }
}

/// Nothing was done, and asking again may help.
pub(super) fn unavailable() -> Problem {
    Problem::new(Kind::Unavailable, "the store does not answer, and nothing was done")
}

/// It may be done or not.
pub(super) fn unknown() -> Problem {
    Problem::new(Kind::Unknown, "whether it was done can't be learnt now")
}

/// A defect of ours.
pub(super) fn failure() -> Problem {
    Problem::new(Kind::Failure, "the server has failed; its log says more")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own_and_a_status_of_an_error() {
        let words: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.word()).collect();
        assert_eq!(words.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!((400..600).contains(&kind.status()), "{kind:?}");
        }
    }

    #[test]
    fn a_problem_is_written_as_rfc_9457_has_it() {
        let issue = Issue { pointer: "#/roomId".into(), detail: "it is required".into() };
        let problem = Problem::invalid(vec![issue]);
        assert_eq!(
            serde_json::to_value(problem.details("/v1/publish")).unwrap(),
            serde_json::json!({
                "type": "/v1/docs#invalid-request",
                "title": "The request is not valid",
                "status": 400,
                "detail": "#/roomId: it is required",
                "instance": "/v1/publish",
                "errors": [{"pointer": "#/roomId", "detail": "it is required"}],
            })
        );
        let response = problem.response("/v1/publish");
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn what_may_do_better_later_says_when() {
        let store = |error| Problem::from(error).response("/v1/x");
        for (error, status) in [
            (StoreError::Unavailable("x".into()), 503),
            (StoreError::OutcomeUnknown("x".into()), 504),
        ] {
            let response = store(error);
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        }
        let wait = Problem::new(Kind::TooManyFailures, "x").after(Duration::from_millis(1500));
        let response = wait.response("/v1/x");
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        let refused = Problem::new(Kind::Unauthorized, "who are you").response("/v1/x");
        assert_eq!(refused.headers().get_all(header::WWW_AUTHENTICATE).iter().count(), 2);
        assert!(!refused.headers().contains_key(header::RETRY_AFTER));
    }
}
