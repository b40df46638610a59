//! `GET /v1/stat`: the server in numbers. Nothing that is asked here is listed, so that a console
//! may ask every other second.
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, method, problem::Problem};
use crate::{domain::cluster, http::memory};

/// The server in numbers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stat {
    /// The server's version.
    version: &'static str,
    /// Users with a session, on all nodes. Clients of chat-service have none: `POST /v1/users`
    /// lists their users.
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

/// A node. What it counts begins with it and only grows: two answers make a rate, by their `at`. A
/// node of an earlier build tells no more than its connections.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Node {
    /// Its name. Where there are several, a server that starts again has another one.
    id: String,
    /// Whether it is the one that answers.
    this: bool,
    /// Its connections.
    connections: u64,
    /// When this was so, in milliseconds since 1970: now for the node that answers, its last sign
    /// of life for another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    at: Option<u64>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    version: Option<String>,
    /// Seconds since it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    uptime: Option<f64>,
    /// Users whose session is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    users: Option<u64>,
    /// Rooms with members there, or with something to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rooms: Option<u64>,
    /// Messages that were published there, stored or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    messages: Option<u64>,
    /// Messages, and news of rooms, that were handed to its connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    deliveries: Option<u64>,
    /// Batches of messages that were timed there, from the arrival of the oldest message to the
    /// last delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    latency_count: Option<u64>,
    /// How long that took for all of them together, seconds: two answers make a mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    latency_sum: Option<f64>,
    /// Bytes that came from connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    bytes_in: Option<u64>,
    /// Bytes that were sent to connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    bytes_out: Option<u64>,
    /// Its resident memory, bytes; 0 where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    memory: Option<u64>,
    /// Its CPU time, seconds; 0 where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cpu: Option<f64>,
    /// Whether it sends its clients elsewhere: it drains, or ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    draining: Option<bool>,
}

impl From<cluster::Node> for Node {
    fn from(node: cluster::Node) -> Self {
        let cluster::Node { id, this, connections, figures } = node;
        let of = |read: fn(&cluster::Figures) -> u64| figures.as_ref().map(read);
        Node {
            id,
            this,
            connections,
            at: of(|figures| figures.at),
            version: figures.as_ref().map(|figures| figures.version.clone()),
            uptime: figures.as_ref().map(|figures| figures.uptime),
            users: of(|figures| figures.users),
            rooms: of(|figures| figures.rooms),
            messages: of(|figures| figures.messages),
            deliveries: of(|figures| figures.deliveries),
            latency_count: of(|figures| figures.latency_count),
            latency_sum: figures.as_ref().map(|figures| figures.latency_sum),
            bytes_in: of(|figures| figures.bytes_in),
            bytes_out: of(|figures| figures.bytes_out),
            memory: of(|figures| figures.memory),
            cpu: figures.as_ref().map(|figures| figures.cpu),
            draining: figures.as_ref().map(|figures| figures.draining),
        }
    }
}

/// Asks the stores, and writes the answer.
pub(super) async fn read(api: &Api) -> Result<Bytes, Problem> {
    let hub = &api.context.hub;
    let (counts, nodes) = tokio::join!(hub.counts(), hub.nodes());
    let (counts, nodes) = (counts?, nodes?);
    let stat = Stat {
        version: env!("CARGO_PKG_VERSION"),
        users: counts.users,
        rooms: counts.rooms,
        connections: nodes.iter().map(|node| node.connections).sum(),
        force_user_auth: hub.force_user_auth(),
        nodes: nodes.into_iter().map(Node::from).collect(),
        memory: serde_json::from_value(memory::usage()).unwrap_or_default(),
        config: api.context.settings.get().iter().cloned().collect(),
    };
    Ok(method::json(&stat)?.into())
}
