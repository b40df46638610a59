//! `/admin/*`: watching and pushing.
use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    Context,
    answer::Status,
    audit::Act,
    caller::{self, Presented},
    memory,
    params::{self, Params},
    route,
};
use crate::{
    config::Compat,
    domain::{
        broker::{Entry, Stored},
        ids::{Space, Uid},
        json as js,
    },
};

/// The administration routes. Each needs an administrator's credentials.
pub fn routes(context: Arc<Context>) -> Router {
    let routes = [
        ("/admin/monitor/stat", get(stat)),
        ("/admin/monitor/room_users", get(room_users)),
        ("/admin/monitor/room_msgs", get(room_msgs)),
        ("/admin/system/push", post(push)),
        ("/admin/system/config", post(config)),
        ("/admin/system/clear_room_msgs", post(clear)),
        ("/admin/system/clear_room_msg", post(clear)),
    ];
    routes
        .into_iter()
        .fold(Router::new(), |router, (path, method)| route(router, path, method))
        .with_state(context)
}

/// What a route does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Reads,
    Changes,
}

/// Reads the parameters of an administrator's request, whose uid is that of `by`; the answer, where it
/// is none. Its body is read once it is known to be one.
async fn authorized(
    context: &Context,
    request: Request,
    effect: Effect,
) -> Result<(Uid, Params), Response> {
    let (parts, body) = request.into_parts();
    let query = params::query(&parts.uri);
    match caller::admin(&context.hub, &parts.headers, &query).await {
        Ok(Presented::Admin(named)) if named.may_change() || effect == Effect::Reads => {
            let params = Params::read(&parts.headers, query, body).await?;
            Ok((named.uid, params))
        }
        Ok(Presented::None | Presented::Wrong | Presented::Admin(_)) => {
            Err(Status::RequirePermission.bare(context.compat))
        }
        Err(status) => Err(status.bare(context.compat)),
    }
}

fn respond(context: &Context, result: Result<impl Serialize, Status>) -> Response {
    match result {
        Ok(data) => Status::Success.with(context.compat, &data),
        Err(status) => status.bare(context.compat),
    }
}

/// Declares a route's handler: authorization around a function from parameters to data.
macro_rules! handler {
    ($name:ident, $inner:ident, $effect:ident) => {
        async fn $name(State(context): State<Arc<Context>>, request: Request) -> Response {
            match authorized(&context, request, Effect::$effect).await {
                Ok((_, params)) => respond(&context, $inner(&context, &params).await),
                Err(response) => response,
            }
        }
    };
    ($name:ident, $inner:ident, audited as $method:literal) => {
        async fn $name(State(context): State<Arc<Context>>, request: Request) -> Response {
            match authorized(&context, request, Effect::Changes).await {
                Ok((by, params)) => {
                    let result = $inner(&context, &params).await;
                    note(&context, &by, $method, &params, &result).await;
                    respond(&context, result)
                }
                Err(response) => response,
            }
        }
    };
}

handler!(stat, read_stat, Reads);
handler!(room_users, read_room_users, Reads);
handler!(push, do_push, Changes);
handler!(config, do_config, audited as "config");
handler!(clear, do_clear, audited as "clear");

/// Writes down what was changed, as the method of the HTTP API of this name.
async fn note(
    context: &Context,
    by: &Uid,
    method: &str,
    params: &Params,
    result: &Result<Value, Status>,
) {
    let room = params.query_room().or_else(|| params.body_room());
    let mut asked = json!({ "roomId": room.map(|room| room.as_str().to_owned()) });
    if let Some(force) = params.body.get("forceUserAuth") {
        asked["forceUserAuth"] = force.get().trim_matches('"').into();
    }
    let act = Act::asked(by, method, &asked.to_string());
    let act = match result {
        Ok(_) => act.ended(Ok(b"{}")),
        Err(_) => act.ended(Err("failed")),
    };
    context.audit.note(&context.hub, act).await;
}

fn uid_json(uid: &Uid) -> Value {
    serde_json::from_str(&uid.json()).unwrap_or(Value::Null)
}

async fn read_stat(context: &Context, _: &Params) -> Result<Value, Status> {
    let hub = &context.hub;
    let online = hub.online().await?;
    let rooms = hub.occupied(Space::Shared).await?;
    let nodes = hub.nodes().await?;
    let users: Vec<Value> = online
        .iter()
        .map(|o| json!({ "uid": uid_json(&o.uid), "socketId": &*o.socket.0 }))
        .collect();
    let rooms: Vec<&str> = rooms.iter().map(|r| r.as_str()).collect();
    let mut settings = serde_json::Map::new();
    for (key, value) in &*context.settings.get() {
        settings.insert(key.clone(), Value::from(value.as_str()));
    }
    let mut stat = json!({
        "online_user_count": users.len(),
        "online_users": users,
        "online_room_count": rooms.len(),
        "online_rooms": rooms,
        "online_socket_count": nodes.iter().map(|n| n.connections).sum::<u64>(),
        "force_user_auth": hub.force_user_auth(),
        "config": settings,
        "memory": memory::usage(),
        "version": env!("CARGO_PKG_VERSION"),
        "nodes": nodes.iter().map(|n| json!({ "id": n.id, "this": n.this, "connections": n.connections })).collect::<Vec<_>>(),
    });
    if let Ok(env) = std::env::var("NODE_ENV") {
        stat["env"] = env.into();
    }
    Ok(stat)
}

async fn read_room_users(context: &Context, params: &Params) -> Result<Value, Status> {
    let room = params.query_room().ok_or(Status::ParamError)?;
    let members = context.hub.members(&room).await?;
    let users: Vec<Value> = members.iter().map(|m| json!({ "uid": uid_json(&m.uid) })).collect();
    Ok(json!({ "users": users }))
}

async fn room_msgs(State(context): State<Arc<Context>>, request: Request) -> Response {
    match authorized(&context, request, Effect::Reads).await {
        Ok((_, params)) => read_room_msgs(&context, &params)
            .await
            .unwrap_or_else(|status| status.bare(context.compat)),
        Err(response) => response,
    }
}

/// A page, under the same bounds as those of `sync`: it is there as its text and, while that is
/// written, as what was read.
async fn read_room_msgs(context: &Context, params: &Params) -> Result<Response, Status> {
    let room = params.query_room().ok_or(Status::ParamError)?;
    let from = params.query.get("offset").map_or(0, |o| js::parse_int(o));
    let (hub, compat) = (&context.hub, context.compat);
    let page = hub.history(hub.begin_page().await?, &room, from, 2).await?;
    let work = tokio::task::spawn_blocking(move || {
        let messages: Vec<Listed<'_>> =
            page.entries.iter().filter_map(|e| Listed::read(e, compat)).collect();
        let (offset, next, share) = (page.offset, u8::from(page.next), page.building.done());
        let keep = |body| match share {
            Some(share) => share.keep(body),
            None => Bytes::from(body),
        };
        match compat {
            Compat::Documented => {
                Status::Success.kept(compat, &Documented { msgs: &messages, offset, next }, keep)
            }
            Compat::Deployed => Status::Success.kept(
                compat,
                &Deployed { msgs: Messages { data: &messages, offset, next } },
                keep,
            ),
        }
    });
    work.await.map_err(|error| {
        tracing::error!(%error, "a page could not be written");
        Status::ServerError
    })
}

/// A stored message, as it is stored: its values travel raw.
#[derive(Serialize)]
struct Listed<'a> {
    data: &'a RawValue,
    ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a RawValue>,
}

impl<'a> Listed<'a> {
    /// Nothing, where the stored entry can't be read.
    fn read(stored: &'a Stored, compat: Compat) -> Option<Self> {
        let data: &RawValue = serde_json::from_slice(stored.body.as_ref()?).ok()?;
        let uid = match compat {
            Compat::Documented => js::Object::parse(data.get()).and_then(|o| o.get("2")),
            Compat::Deployed => None,
        };
        Some(Listed { data, ts: stored.at_ms / 1000, uid })
    }
}

#[derive(Serialize)]
struct Documented<'a> {
    msgs: &'a [Listed<'a>],
    offset: u64,
    next: u8,
}

#[derive(Serialize)]
struct Messages<'a> {
    data: &'a [Listed<'a>],
    offset: u64,
    next: u8,
}

#[derive(Serialize)]
struct Deployed<'a> {
    msgs: Messages<'a>,
}

async fn do_push(context: &Context, params: &Params) -> Result<Value, Status> {
    let room = params.body_room().or_else(|| params.query_room()).ok_or(Status::ParamError)?;
    let content = params.body.get("content").ok_or(Status::ParamError)?;
    if context.hub.members(&room).await?.is_empty() {
        return Err(Status::RoomNotExists);
    }
    context.hub.announce(&room, Entry::System { content: Bytes::from(content.get().to_owned()) });
    Ok(json!({}))
}

async fn do_config(context: &Context, params: &Params) -> Result<Value, Status> {
    let on = match params.body.get("forceUserAuth").map(|v| v.get()) {
        None => return Ok(json!({})),
        Some("true" | "\"true\"") => true,
        Some("false" | "\"false\"") => false,
        Some(_) => return Err(Status::ParamError),
    };
    if !on && !context.auth_switch {
        return Err(Status::OperationFailed);
    }
    context.hub.switch_user_auth(on).await?;
    Ok(json!({}))
}

async fn do_clear(context: &Context, params: &Params) -> Result<Value, Status> {
    let room = params.query_room().or_else(|| params.body_room()).ok_or(Status::ParamError)?;
    context.hub.clear(&room).await?;
    Ok(json!({}))
}
