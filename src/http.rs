//! Plain HTTP: tokens for business servers, administration, health, metrics, the console, the demo
//! page.
pub mod admin;
mod answer;
mod audit;
mod body;
mod caller;
pub mod console;
pub mod demo;
pub mod health;
pub mod local;
mod memory;
mod params;
pub mod tokens;
pub mod v1;

pub use self::audit::Audit;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderValue, Request, StatusCode, Uri, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    config::{Compat, Open},
    domain::{hub::Hub, methods::Methods, operations::Operations, retention::Rules},
    live::Live,
};

/// The configuration as administrators see it, secrets hidden: keys and values.
pub type Settings = Arc<Live<Arc<[(String, String)]>>>;

/// What routes need.
pub struct Context {
    /// The core.
    pub hub: Arc<Hub>,
    /// Which of the original's status codes are answered.
    pub compat: Compat,
    /// Who may use the token API without an administrator's credentials.
    pub open: Open,
    /// Whether messages and tokens are in the embedded store.
    pub embedded: bool,
    /// Whether the token API listens on loopback only.
    pub loopback: bool,
    /// Whether `/admin/system/config` may turn user authentication off.
    pub auth_switch: bool,
    /// The configuration as it is now, secrets hidden, by setting.
    pub settings: Settings,
    /// What operators may have the server do.
    pub operations: Arc<dyn Operations>,
    /// Where the token API listens, for those who ask elsewhere.
    pub api_port: u16,
    /// The most that a message may have, as UTF-16 units of its text.
    pub max_message: usize,
    /// What of which rooms is kept.
    pub retention: Arc<Rules>,
    /// What administrators have changed.
    pub audit: Arc<Audit>,
    /// What dialects add to the API.
    pub methods: Vec<Arc<dyn Methods>>,
}

/// A router that knows what to say about what it does not know: JSON, with the right status. What
/// it answers is for no cache: tokens, who is online, whether a server is ready. Routes of other
/// kinds say so themselves.
pub fn finish(router: Router) -> Router {
    router
        .fallback(|uri: Uri| async move {
            error(StatusCode::NOT_FOUND, &format!("no such route: {}", uri.path()))
        })
        .method_not_allowed_fallback(|| async {
            error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
        })
        .layer(CatchPanicLayer::new())
        .layer(map_response(|response| async { not_for_caches(response) }))
}

fn not_for_caches(mut response: Response) -> Response {
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Adds a route of the original's API: a slash behind its path makes no other one.
fn route<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    path: &str,
    method: MethodRouter<S>,
) -> Router<S> {
    router.route(path, method.clone()).route(&format!("{path}/"), method)
}

/// The refusal of a request that names two hosts, which holds for every route of every listener.
pub fn refuse_two_hosts<T>(request: &Request<T>) -> Option<Response> {
    let clear = local::names_one_host(request.headers(), request.uri());
    (!clear).then(|| not_for_caches(error(StatusCode::BAD_REQUEST, "the request names two hosts")))
}

/// An error outside the envelope of the original's routes.
pub(crate) fn error(status: StatusCode, message: &str) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        serde_json::json!({ "error": message }).to_string(),
    )
        .into_response()
}
