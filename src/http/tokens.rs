//! `/user/*`: tokens for users, asked for by business servers.
use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
    routing::{any, post},
};
use serde_json::{Value, json};

use super::{
    Context,
    answer::Status,
    caller::{self, Presented},
    error,
    local::{self, Peer},
    params::{self, Params},
    route,
};
use crate::throttle::throttled;
use crate::{
    config::Open,
    domain::{
        ids::Uid,
        secret::Secret,
        token::{Creation, Realm},
    },
};

/// The token API.
pub fn routes(context: Arc<Context>) -> Router {
    let router = route(Router::new(), "/user/create_token", post(create));
    route(router, "/user/refresh_token", post(refresh)).with_state(context)
}

/// Where the token API is not: says where it is.
pub fn elsewhere(context: Arc<Context>) -> Router {
    let port = context.api_port;
    let there = move || async move {
        error(StatusCode::NOT_FOUND, &format!("the token API listens on port {port}"))
    };
    Router::new().route("/user/{*rest}", any(there))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Create,
    Refresh,
}

async fn create(State(context): State<Arc<Context>>, request: Request) -> Response {
    act(&context, request, Action::Create).await
}

async fn refresh(State(context): State<Arc<Context>>, request: Request) -> Response {
    act(&context, request, Action::Refresh).await
}

async fn act(context: &Context, request: Request, action: Action) -> Response {
    let (parts, body): (_, Body) = request.into_parts();
    let query = params::query(&parts.uri);
    let local = parts
        .extensions
        .get::<Peer>()
        .is_some_and(|peer| local::is_local(*peer, &parts.headers, &parts.uri));
    // Before the body, which strangers need not send.
    match caller::admin(&context.hub, &parts, &query).await {
        Ok(Presented::Admin(named)) if named.may_change() => {}
        Ok(Presented::None) if is_open(context, action, local) => {}
        Ok(Presented::None | Presented::Wrong | Presented::Admin(_)) => {
            return Status::RequirePermission.bare(context.compat);
        }
        Err(status) => return status.bare(context.compat),
    }
    let params = match Params::read(&parts.headers, query, body).await {
        Ok(params) => params,
        Err(response) => return response,
    };
    let Some(uid) = params.body_uid() else { return Status::ParamError.bare(context.compat) };
    match change(context, &uid, action).await {
        Ok(token) => Status::Success
            .with(context.compat, &json!({ "uid": echo(&uid), "token": token.reveal() })),
        Err(Status::UserNotExists) => {
            Status::UserNotExists.with(context.compat, &json!({ "uid": echo(&uid) }))
        }
        Err(status) => status.bare(context.compat),
    }
}

/// Whether the API may be used without credentials. By itself that is so only where nobody but a
/// program on this machine can call.
fn is_open(context: &Context, action: Action, local: bool) -> bool {
    match context.open {
        Open::True => true,
        Open::False => false,
        Open::Auto => {
            action == Action::Create
                && context.compat == crate::config::Compat::Documented
                && context.embedded
                && context.loopback
                && local
        }
    }
}

async fn change(context: &Context, uid: &Uid, action: Action) -> Result<Secret, Status> {
    let hub = &context.hub;
    let token = Secret::random(&*hub.rng).map_err(|error| {
        throttled!(error, %error, "no token could be made");
        Status::ServerError
    })?;
    match action {
        Action::Create => match hub.tokens.create(Realm::User, uid, &token).await? {
            Creation::Created => Ok(token),
            Creation::Exists => Err(Status::UserExists),
        },
        Action::Refresh if hub.tokens.refresh(Realm::User, uid, &token).await? => Ok(token),
        Action::Refresh => Err(Status::UserNotExists),
    }
}

/// The uid in the type that the caller used.
fn echo(uid: &Uid) -> Value {
    serde_json::from_str(&uid.json()).unwrap_or(Value::Null)
}
