//! `users`, `disconnect` and `kick`: who is online, and how somebody is sent away.
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    answer::User,
    method::{Call, Effect, Keyed, Method, Reply},
    problem::Problem,
    request::request,
    rooms::PageRequest,
};
use crate::domain::{
    directory::Ending,
    ids::{RoomId, Uid},
};

/// A page of the users who are online.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsersPage)]
pub(super) struct Online {
    /// Users, sorted by the text of their uid.
    users: Vec<OnlineUser>,
    /// The `cursor` of the next page. Missing where this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// A user who is online.
#[derive(Debug, Serialize, ToSchema)]
struct OnlineUser {
    #[schema(inline)]
    uid: User,
    /// The rooms of socket.io's clients that it is in.
    rooms: Vec<String>,
    /// The nodes that it is connected to.
    nodes: Vec<String>,
}

/// Lists who is online.
pub(super) struct Users;

impl Method for Users {
    const NAME: &'static str = "users";
    const EFFECT: Effect = Effect::Reads;
    const SUMMARY: &'static str = "List who is online";
    const ABOUT: &'static str = "Users who have signed in, on all nodes, by uid, with the rooms that they are in and the nodes that they are on.";
    const EXAMPLE: &'static str = r#"{"limit":100}"#;
    type Request = PageRequest;
    type Answer = Online;

    async fn run(api: &Api, request: PageRequest, _: Call<'_>) -> Result<Reply<Online>, Problem> {
        let (prefix, after, limit) = request.names();
        let page = api.context.hub.users_page(prefix, after, limit).await?;
        let users = page.users.into_iter().map(|user| {
            let rooms = user.rooms.iter().filter(|room| room.is_shared());
            OnlineUser {
                uid: User(user.uid),
                rooms: rooms.map(|room| room.as_str().to_owned()).collect(),
                nodes: user.nodes,
            }
        });
        Reply::of(&Online { users: users.collect(), next: page.next })
    }
}

request! {
    /// A user to be disconnected.
    DisconnectRequest {
        /// The user.
        uid: Uid = "uid";
        /// Whether its clients come back: true drops them, false (as without it) refuses them.
        reconnect: Option<bool> = "reconnect";
    }
}

/// Sessions that were ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ended {
    /// Sessions that were ended, on all nodes. 0: the user was not there.
    pub(super) sessions: u64,
}

/// Ends a user's sessions.
pub(super) struct Disconnect;

impl Method for Disconnect {
    const NAME: &'static str = "disconnect";
    const SUMMARY: &'static str = "End a user's sessions";
    const ABOUT: &'static str = "On all nodes at once. It keeps nobody from signing in again: for that take the token away.";
    const EXAMPLE: &'static str = r#"{"uid":"alice","reconnect":false}"#;
    const KEYED: Keyed = Keyed::Kept;
    const BATCHED: bool = true;
    type Request = DisconnectRequest;
    type Answer = Ended;

    async fn run(
        api: &Api,
        request: DisconnectRequest,
        _: Call<'_>,
    ) -> Result<Reply<Ended>, Problem> {
        let ending = match request.reconnect {
            Some(true) => Ending::Drop,
            Some(false) | None => Ending::Refuse,
        };
        let sessions = api.context.hub.disconnect(&request.uid, ending).await?;
        Reply::of(&Ended { sessions })
    }
}

request! {
    /// A user in a room.
    KickRequest {
        /// The user.
        uid: Uid = "uid";
        /// The room.
        room: RoomId = "roomId";
    }
}

/// Connections that were taken out of a room.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Kicked {
    /// Connections that were in the room, on all nodes. 0: the user was not there.
    connections: u64,
}

/// Takes a user out of a room.
pub(super) struct Kick;

impl Method for Kick {
    const NAME: &'static str = "kick";
    const SUMMARY: &'static str = "Take a user out of a room";
    const ABOUT: &'static str = "All its connections, on all nodes, and a place that is held for it. It keeps nobody from joining again.";
    const EXAMPLE: &'static str = r#"{"uid":"alice","roomId":"news"}"#;
    const KEYED: Keyed = Keyed::Kept;
    const BATCHED: bool = true;
    type Request = KickRequest;
    type Answer = Kicked;

    async fn run(api: &Api, request: KickRequest, _: Call<'_>) -> Result<Reply<Kicked>, Problem> {
        let connections = api.context.hub.remove(&request.room, &request.uid).await?;
        Reply::of(&Kicked { connections })
    }
}
