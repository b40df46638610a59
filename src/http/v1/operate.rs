//! `reload` and `drain`: what operators have a running server do. Each is about the node that is
//! asked, and no other.
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    method::{Call, Method, Reply},
    problem::{Kind, Problem},
    request::{Text, request},
};

/// Seconds over which clients are sent away where nothing else is said.
const OVER: u64 = 30;
/// The most of them.
const LONGEST: u64 = 86_400;

request! {
    /// Nothing.
    ReloadRequest {}
}

/// What became of the settings.
#[derive(Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// Settings that hold from now on, by their keys.
    changed: Vec<String>,
    /// Settings that have changed too, and hold from the next start on.
    restart: Vec<String>,
}

/// Reads the configuration again.
pub(super) struct Reload;

impl Method for Reload {
    const NAME: &'static str = "reload";
    const SUMMARY: &'static str = "Read the configuration again";
    const ABOUT: &'static str = "The node that is asked reads its configuration file again, and takes in limits, origins, the log's level, hooks, keys for tokens, certificates and retention. \
        Nobody is dropped. Where anything is wrong with the file, nothing is changed.";
    const EXAMPLE: &'static str = "{}";
    const PROBLEMS: &'static [Kind] = &[Kind::BadConfiguration];
    type Request = ReloadRequest;
    type Answer = Reloaded;

    async fn run(api: &Api, _: ReloadRequest, _: Call<'_>) -> Result<Reply<Reloaded>, Problem> {
        match api.context.operations.reload().await {
            Ok(done) => Reply::of(&Reloaded { changed: done.changed, restart: done.restart }),
            Err(why) => Err(Problem::new(Kind::BadConfiguration, why)),
        }
    }
}

request! {
    /// How clients are sent away.
    DrainRequest {
        /// Seconds over which they are, at most a day. Without it: 30.
        over: Option<u64> = "over";
        /// Whether newcomers are let in again instead. Clients that are still here stay.
        cancel: Option<bool> = "cancel";
        /// The node that is meant, as `stat` names it. Where another one is asked, as behind a
        /// balancer, nothing is done.
        node: Option<Text> = "node";
    }
}

/// What a drain is about.
#[derive(Serialize, ToSchema)]
pub(super) struct Drained {
    /// Connections of clients on this node as it began.
    connections: u64,
}

/// Sends clients away.
pub(super) struct Drain;

impl Method for Drain {
    const NAME: &'static str = "drain";
    const SUMMARY: &'static str = "Send the clients of this node elsewhere";
    const ABOUT: &'static str = "The node that is asked is not ready any more (`/readyz`), takes no newcomers, and drops its clients a few at a time: they come back by themselves, to another node. \
        The answer does not wait for that. The process goes on, until it is ended, or the drain is cancelled.";
    const EXAMPLE: &'static str = r#"{"over":60}"#;
    const PROBLEMS: &'static [Kind] = &[Kind::OtherNode];
    type Request = DrainRequest;
    type Answer = Drained;

    async fn run(api: &Api, request: DrainRequest, _: Call<'_>) -> Result<Reply<Drained>, Problem> {
        let operations = &api.context.operations;
        if let Some(Text(meant)) = &request.node {
            is_here(api, meant).await?;
        }
        if request.cancel == Some(true) {
            operations.resume();
            let connections = api.context.hub.open_connections() as u64;
            return Reply::of(&Drained { connections });
        }
        let over = request.over.unwrap_or(OVER).min(LONGEST);
        let connections = operations.drain(Duration::from_secs(over)) as u64;
        Reply::of(&Drained { connections })
    }
}

/// Nothing, where this node has this id.
async fn is_here(api: &Api, id: &str) -> Result<(), Problem> {
    let nodes = api.context.hub.nodes().await?;
    match nodes.into_iter().find(|node| node.this) {
        Some(here) if here.id == id => Ok(()),
        here => {
            let here = here.map_or_else(|| "another one".to_owned(), |node| node.id);
            let detail = format!("the node that was asked is {here}, and nothing was done");
            Err(Problem::new(Kind::OtherNode, detail))
        }
    }
}
