//! `GET /v1/stat`: the server in numbers.
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, method, problem::Problem};
use crate::{domain::ids::Space, http::memory};

/// The server in numbers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stat {
    /// The server's version.
    version: &'static str,
    /// Users with a session, on all nodes.
    users: u64,
    /// Rooms of socket.io's clients with anybody in them, on all nodes.
    rooms: u64,
    /// Connections, on all nodes.
    connections: u64,
    /// Whether users must present a valid token.
    force_user_auth: bool,
    /// The nodes that are alive.
    nodes: Vec<Node>,
    /// Memory of the node that answers, bytes: `rss`, `heapTotal`, `heapUsed`, `external`.
    memory: BTreeMap<String, u64>,
    /// The settings of the node that answers, secrets hidden.
    config: BTreeMap<String, String>,
}

/// A node.
#[derive(Serialize, ToSchema)]
struct Node {
    /// Its name.
    id: String,
    /// Whether it is the one that answers.
    this: bool,
    /// Its connections.
    connections: u64,
}

/// Asks the stores, and writes the answer.
pub(super) async fn read(api: &Api) -> Result<Bytes, Problem> {
    let hub = &api.context.hub;
    let users = hub.online().await?.len() as u64;
    let rooms = hub.occupied(Space::Shared).await?.len() as u64;
    let nodes = hub.nodes().await?;
    let stat = Stat {
        version: env!("CARGO_PKG_VERSION"),
        users,
        rooms,
        connections: nodes.iter().map(|node| node.connections).sum(),
        force_user_auth: hub.force_user_auth(),
        nodes: nodes
            .into_iter()
            .map(|node| Node { id: node.id, this: node.this, connections: node.connections })
            .collect(),
        memory: serde_json::from_value(memory::usage()).unwrap_or_default(),
        config: api.context.settings.iter().cloned().collect(),
    };
    Ok(method::json(&stat)?.into())
}
