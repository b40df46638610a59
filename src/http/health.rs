//! `/livez`, `/readyz` and `/metrics`.
use std::sync::Arc;

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use crate::domain::{hub::Hub, throttle::throttled};

/// Whether the process lives, and whether it should be sent clients.
pub fn routes(hub: Arc<Hub>) -> Router {
    let ready = move || async move {
        if !hub.is_ready() {
            return status(StatusCode::SERVICE_UNAVAILABLE, "draining");
        }
        if hub.supervisor.down().is_some() {
            return status(StatusCode::SERVICE_UNAVAILABLE, "failing"); // logged already
        }
        let (broker, tokens) = tokio::join!(hub.broker.check(), hub.tokens.check());
        match broker.and(tokens) {
            Ok(()) => status(StatusCode::OK, "ready"),
            Err(error) => {
                throttled!(warn, %error, "not ready");
                status(StatusCode::SERVICE_UNAVAILABLE, "store unavailable")
            }
        }
    };
    Router::new().route("/livez", get(|| async { status(StatusCode::OK, "alive") })).route("/readyz", get(ready))
}

fn status(code: StatusCode, word: &str) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], json!({ "status": word }).to_string()).into_response()
}

/// Counters in the text format of Prometheus.
pub fn metrics(hub: Arc<Hub>) -> Router {
    let page = move || async move {
        ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], hub.metrics.text()).into_response()
    };
    Router::new().route("/metrics", get(page))
}
