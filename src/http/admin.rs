//! `/admin/*`: watching and pushing.
//!
//! The lists of these routes have no pages. So each has [`LISTED`] entries at most, and where there
//! are more the answer says so, in fields that the original's answers do not have.
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
    v1::Kind,
};
use crate::{
    config::Compat,
    domain::{
        broker::{Entry, Stored},
        directory::{Counts, MAX_PAGE, OnlineUser},
        error::StoreError,
        ids::Uid,
        json as js,
    },
};

/// The most entries of a list.
const LISTED: usize = MAX_PAGE;

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
    match caller::admin(&context.hub, &parts, &query).await {
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
                    let here = context.clone();
                    // In a task of its own: who hangs up leaves no change that is not written down.
                    let work = context.hub.tasks.spawn(async move {
                        let result = $inner(&here, &params).await;
                        note(&here, &by, $method, &params, &result).await;
                        result.map_err(Undone::status)
                    });
                    let ended = work.await.unwrap_or_else(|_| {
                        tracing::error!(method = $method, "a request failed: a panic, see above");
                        Err(Status::ServerError)
                    });
                    respond(&context, ended)
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

/// Why a change was not made.
#[derive(Debug)]
enum Undone {
    /// The request is not valid.
    Param,
    /// The server's settings do not allow it.
    NotConfigured,
    Store(StoreError),
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Undone::Store(error)
    }
}

impl Undone {
    fn status(self) -> Status {
        match self {
            Undone::Param => Status::ParamError,
            Undone::NotConfigured => Status::OperationFailed,
            Undone::Store(error) => error.into(),
        }
    }

    /// What the HTTP API calls it.
    fn kind(&self) -> Kind {
        match self {
            Undone::Param => Kind::Invalid,
            Undone::NotConfigured => Kind::NotConfigured,
            Undone::Store(StoreError::Unavailable(_)) => Kind::Unavailable,
            Undone::Store(StoreError::OutcomeUnknown(_)) => Kind::Unknown,
        }
    }
}

/// Writes down what was changed, or tried to be, as the method of the HTTP API of this name does.
async fn note(
    context: &Context,
    by: &Uid,
    method: &str,
    params: &Params,
    result: &Result<Value, Undone>,
) {
    let with = match result.as_ref().map_err(Undone::kind) {
        Ok(_) => Ok(&b"{}"[..]),
        Err(kind) if kind.is_of_the_attempt() => Err(kind.word()),
        // Nothing was tried.
        Err(_) => return,
    };
    let room = params.query_room().or_else(|| params.body_room());
    let mut asked = json!({ "roomId": room.map(|room| room.as_str().to_owned()) });
    if let Some(force) = params.body.get("forceUserAuth") {
        asked["forceUserAuth"] = force.get().trim_matches('"').into();
    }
    let act = Act::asked(by, method, &asked.to_string()).ended(with);
    context.audit.note(&context.hub, act).await;
}

fn uid_json(uid: &Uid) -> Value {
    serde_json::from_str(&uid.json()).unwrap_or(Value::Null)
}

async fn read_stat(context: &Context, _: &Params) -> Result<Value, Status> {
    let hub = &context.hub;
    let (online, rooms, nodes) = tokio::join!(
        hub.users_page("", None, LISTED),
        hub.rooms_page("", None, LISTED),
        hub.nodes()
    );
    let (online, rooms, nodes) = (online?, rooms?, nodes?);
    let truncated = online.next.is_some() || rooms.next.is_some();
    // Who is without a session is about to have one.
    let session = |user: &OnlineUser| {
        let socket = user.socket.as_ref()?;
        Some(json!({ "uid": uid_json(&user.uid), "socketId": &*socket.0 }))
    };
    let users: Vec<Value> = online.users.iter().filter_map(session).collect();
    let rooms: Vec<&str> = rooms.rooms.iter().map(|(room, _)| room.as_str()).collect();
    let counts = match truncated {
        true => hub.counts().await?,
        false => Counts { users: users.len() as u64, rooms: rooms.len() as u64 },
    };
    let mut settings = serde_json::Map::new();
    for (key, value) in &*context.settings.get() {
        settings.insert(key.clone(), Value::from(value.as_str()));
    }
    let mut stat = json!({
        "online_user_count": counts.users,
        "online_users": users,
        "online_room_count": counts.rooms,
        "online_rooms": rooms,
        "online_socket_count": nodes.iter().map(|n| n.connections).sum::<u64>(),
        "force_user_auth": hub.force_user_auth(),
        "config": settings,
        "memory": memory::usage(),
        "version": env!("CARGO_PKG_VERSION"),
        "nodes": nodes.iter().map(|n| json!({ "id": n.id, "this": n.this, "connections": n.connections })).collect::<Vec<_>>(),
    });
    if truncated {
        stat["truncated"] = true.into();
    }
    if let Ok(env) = std::env::var("NODE_ENV") {
        stat["env"] = env.into();
    }
    Ok(stat)
}

async fn read_room_users(context: &Context, params: &Params) -> Result<Value, Status> {
    let room = params.query_room().ok_or(Status::ParamError)?;
    let page = context.hub.members_page(&room, None, LISTED).await?;
    let users = page.members.iter().map(|member| json!({ "uid": uid_json(&member.uid) }));
    let mut listed = json!({ "users": users.collect::<Vec<_>>() });
    if page.next.is_some() {
        listed["truncated"] = true.into();
        listed["user_count"] = page.total.into();
    }
    Ok(listed)
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
        let (inserts, updates) = page.entries.split_at(page.inserts);
        let readable = |stored| Listed::read(stored, compat);
        let mut messages: Vec<Listed<'_>> = inserts.iter().filter_map(readable).collect();
        let inserts = messages.len();
        messages.extend(updates.iter().filter_map(readable));
        let cut = Cut::to(LISTED, inserts, &mut messages);
        let (offset, next, share) = (page.offset, u8::from(page.next), page.building.done());
        let keep = |body| match share {
            Some(share) => share.keep(body),
            None => Bytes::from(body),
        };
        match compat {
            Compat::Documented => {
                let page = Documented { msgs: &messages, offset, next, cut };
                Status::Success.kept(compat, &page, keep)
            }
            Compat::Deployed => {
                let page = Deployed { msgs: Messages { data: &messages, offset, next }, cut };
                Status::Success.kept(compat, &page, keep)
            }
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

/// What is said of a list that was cut: the last page of a log has all updates of the room with it.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Cut {
    truncated: bool,
    /// How many there are.
    msg_count: usize,
}

impl Cut {
    /// Leaves so many entries at most: of the updates, which are behind so many inserts, the oldest
    /// go.
    fn to<T>(most: usize, inserts: usize, list: &mut Vec<T>) -> Option<Self> {
        let msg_count = list.len();
        let over = msg_count.saturating_sub(most);
        let first = inserts.min(most); // a page has fewer inserts
        list.drain(first..first + over);
        (over > 0).then_some(Cut { truncated: true, msg_count })
    }
}

#[derive(Serialize)]
struct Documented<'a> {
    msgs: &'a [Listed<'a>],
    offset: u64,
    next: u8,
    #[serde(flatten)]
    cut: Option<Cut>,
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
    #[serde(flatten)]
    cut: Option<Cut>,
}

async fn do_push(context: &Context, params: &Params) -> Result<Value, Status> {
    let room = params.body_room().or_else(|| params.query_room()).ok_or(Status::ParamError)?;
    let content = params.body.get("content").ok_or(Status::ParamError)?;
    if context.hub.members_page(&room, None, 1).await?.total == 0 {
        return Err(Status::RoomNotExists);
    }
    context.hub.announce(&room, Entry::System { content: Bytes::from(content.get().to_owned()) });
    Ok(json!({}))
}

async fn do_config(context: &Context, params: &Params) -> Result<Value, Undone> {
    let on = match params.body.get("forceUserAuth").map(|v| v.get()) {
        None => return Ok(json!({})),
        Some("true" | "\"true\"") => true,
        Some("false" | "\"false\"") => false,
        Some(_) => return Err(Undone::Param),
    };
    if !on && !context.auth_switch {
        return Err(Undone::NotConfigured);
    }
    context.hub.switch_user_auth(on).await?;
    Ok(json!({}))
}

async fn do_clear(context: &Context, params: &Params) -> Result<Value, Undone> {
    let room = params.query_room().or_else(|| params.body_room()).ok_or(Undone::Param)?;
    context.hub.clear(&room).await?;
    Ok(json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_too_long_is_cut_and_says_so() {
        let mut list: Vec<u32> = (0..7).collect();
        assert_eq!(Cut::to(7, 2, &mut list), None);
        assert_eq!(Cut::to(4, 2, &mut list), Some(Cut { truncated: true, msg_count: 7 }));
        assert_eq!(list, [0, 1, 5, 6], "the inserts and the newest updates");
        assert_eq!(Cut::to(2, 3, &mut list), Some(Cut { truncated: true, msg_count: 4 }));
        assert_eq!(Cut::to(0, 0, &mut Vec::<u32>::new()), None);
        assert_eq!(list, [0, 1]);
        let page = |cut| Documented { msgs: &[], offset: 0, next: 0, cut };
        let written = |cut| serde_json::to_value(page(cut)).unwrap();
        assert_eq!(written(None), json!({ "msgs": [], "offset": 0, "next": 0 }));
        let cut = Some(Cut { truncated: true, msg_count: 7 });
        assert_eq!(written(cut)["msg_count"], 7);
    }

    #[test]
    fn what_was_not_tried_is_not_written_down_and_the_rest_is_as_the_api_calls_it() {
        let word = |undone: Undone| {
            let kind = undone.kind();
            kind.is_of_the_attempt().then(|| kind.word())
        };
        assert_eq!(word(Undone::Param), None);
        assert_eq!(word(StoreError::Unavailable("x".into()).into()), None);
        let unknown = StoreError::OutcomeUnknown("x".into());
        assert_eq!(word(unknown.into()), Some("outcome-unknown"));
        assert_eq!(word(Undone::NotConfigured), Some("not-configured"));
    }
}
