//! `whereabouts`: where one user is.
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    method::{Call, Effect, Method, Reply},
    problem::Problem,
    request::request,
};
use crate::domain::ids::Uid;

request! {
    /// A user.
    Request {
        /// The user.
        uid: Uid = "uid";
    }
}

/// Where a user is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserWhereabouts)]
pub(super) struct Found {
    /// Its connections, by node. None: it is not online.
    connections: Vec<Connection>,
}

/// A connection of a user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserConnection)]
struct Connection {
    /// The node that it is on.
    node: String,
    /// Its number on that node.
    connection: u64,
    /// Its public name: what hooks call `connection`. Missing where it has not signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    socket_id: Option<String>,
    /// The rooms of socket.io's clients that it is in.
    rooms: Vec<String>,
}

/// Tells where a user is.
pub(super) struct Whereabouts;

impl Method for Whereabouts {
    const NAME: &'static str = "whereabouts";
    const SUMMARY: &'static str = "See where a user is";
    const ABOUT: &'static str = "Its connections on all nodes, each with the rooms that it is in. The list is empty for who is not online.";
    const EXAMPLE: &'static str = r#"{"uid":"alice"}"#;
    const EFFECT: Effect = Effect::Reads;
    type Request = Request;
    type Answer = Found;

    async fn run(api: &Api, request: Request, _: Call<'_>) -> Result<Reply<Found>, Problem> {
        let found = api.context.hub.whereabouts(&request.uid).await?;
        let connections = found.into_iter().map(|one| {
            let rooms = one.rooms.iter().filter(|room| room.is_shared());
            Connection {
                node: one.node,
                connection: one.connection.0,
                socket_id: one.socket.map(|socket| socket.0.to_string()),
                rooms: rooms.map(|room| room.as_str().to_owned()).collect(),
            }
        });
        Reply::of(&Found { connections: connections.collect() })
    }
}
