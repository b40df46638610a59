//! The client script, `/socket.io/socket.io.js`, and its source map.
use std::path::Path;

use axum::body::Body;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tower::{Layer, ServiceExt};
use tower_http::services::ServeFile;

use super::{SCRIPT, Transport, error};

impl Transport {
    /// The client script that old pages load from here.
    pub(super) async fn script(&self, mut request: Request<Incoming>) -> Response<Body> {
        let suffix = request.uri().path().strip_prefix(SCRIPT).unwrap_or_default();
        // Whatever the file is called.
        let kind =
            if suffix.is_empty() { "text/javascript; charset=utf-8" } else { "application/json" };
        let file = match (&self.io.options.client_script, suffix) {
            (Some(file), "") => file.clone(),
            (Some(file), ".map") => {
                let mut name = file.clone().into_os_string();
                name.push(".map");
                name.into()
            }
            (_, "" | ".map") => {
                return error(
                    StatusCode::NOT_FOUND,
                    "no client script: set AO_WEBSOCKET__CLIENT_SCRIPT to a file such as node_modules/socket.io-client/dist/socket.io.js",
                );
            }
            _ => return error(StatusCode::NOT_FOUND, "not found"),
        };
        // Judged below: a file that replaces another may be the older one.
        let had = request.headers_mut().remove(header::IF_MODIFIED_SINCE);
        let mut response = match self.cors.layer(ServeFile::new(&file)).oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        };
        if matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::INTERNAL_SERVER_ERROR) {
            tracing::debug!(file = %Path::display(&file), "the client script can't be read");
            return error(StatusCode::NOT_FOUND, "the configured client script can't be read");
        }
        // It may be replaced, so a browser asks each time, and is mostly told that it has it.
        if response.status().is_success() {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if response.status() == StatusCode::OK
            && had.is_some()
            && had.as_ref() == response.headers().get(header::LAST_MODIFIED)
        {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().remove(header::CONTENT_LENGTH);
            *response.body_mut() = Body::empty();
        }
        response
    }
}
