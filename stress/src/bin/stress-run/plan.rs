//! What is compared with what: the scenarios, their figures, what each must reach and where it is
//! going.

mod chat_service;
mod connections;
mod dialects;
mod fanout;
mod growth;
mod hardship;
mod history;
mod integration;
mod tinode;
mod versus;
mod wechat;

pub use versus::versus;

use crate::{blanks::REDIS, figures::Figure};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Ours,
    /// The same program, spoken to by its listener for gotapi-ws.
    Gotapi,
    /// The same program, spoken to by its listener for react-wechat.
    Wechat,
    /// The same program, spoken to by its listener for Tinode's clients.
    Tinode,
    /// The original of chat-service, an npm package (`peers/chat-service`).
    ChatServiceNode,
    /// The cheapest server conceivable (`floor.rs`).
    Floor,
    /// The same events on socket.io 4 (`peers/node`).
    Node,
    /// Centrifugo, by its HTTP API (`peers/centrifugo.json`).
    Centrifugo,
}

impl Server {
    pub fn is_ours(self) -> bool {
        matches!(self, Server::Ours | Server::Gotapi | Server::Wechat | Server::Tinode)
    }

    /// What it calls the listener that is measured, in the lines that it prints.
    pub fn listener(self) -> &'static str {
        match self {
            Server::Gotapi => "gotapi",
            Server::Wechat => "wechat",
            Server::Tinode => "tinode",
            Server::Ours
            | Server::ChatServiceNode
            | Server::Floor
            | Server::Node
            | Server::Centrifugo => "websocket",
        }
    }
}

/// One run of the load generator.
#[derive(Clone)]
pub struct Step {
    pub args: Vec<String>,
    /// End the server and start it again on the same store beforehand.
    pub restart: bool,
}

/// One of those compared: a server, started afresh for each run, and what is done to it. Its
/// settings and the arguments of its steps may have blanks (`blanks.rs`).
#[derive(Clone)]
pub struct Side {
    pub name: &'static str,
    pub server: Server,
    /// The older one of two builds of ours.
    pub older: bool,
    /// Settings beside the usual ones.
    pub env: Vec<(&'static str, String)>,
    /// Runtime threads and cores; only ours can use more than one.
    pub cores: usize,
    pub steps: Vec<Step>,
}

pub struct Scenario {
    pub name: &'static str,
    pub title: &'static str,
    /// Compared within one run, however many runs are asked for.
    pub once: bool,
    pub sides: Vec<Side>,
    pub figures: Vec<Figure>,
}

const CPU_DELIVERY: &str = "/0/result/server_cpu_s_per_million_deliveries";
const CPU_PAGE: &str = "/0/result/server_cpu_ms_per_page";

fn step(args: impl AsRef<str>) -> Step {
    Step { args: args.as_ref().split_whitespace().map(str::to_owned).collect(), restart: false }
}

fn side(name: &'static str, server: Server, args: impl AsRef<str>) -> Side {
    Side { name, server, older: false, env: Vec::new(), cores: 1, steps: vec![step(args)] }
}

impl Side {
    /// Whether a Redis has to be given for it.
    pub fn needs_redis(&self) -> bool {
        self.env.iter().any(|(_, value)| value.contains(REDIS))
    }

    fn with(mut self, env: &[(&'static str, &str)]) -> Side {
        self.env.extend(env.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self
    }
}

fn ours(args: impl AsRef<str>) -> Side {
    side("ours", Server::Ours, args)
}

fn floor(args: impl AsRef<str>) -> Side {
    side("floor", Server::Floor, args)
}

fn node(args: impl AsRef<str>) -> Side {
    side("node", Server::Node, args)
}

fn scenario(
    name: &'static str,
    title: &'static str,
    sides: Vec<Side>,
    figures: Vec<Figure>,
) -> Scenario {
    Scenario { name, title, once: false, sides, figures }
}

/// All scenarios; `quick` ones are too short to measure anything, and only show that everything
/// works.
pub fn all(quick: bool) -> Vec<Scenario> {
    let pick = |full: u32, short: u32| if quick { short } else { full };
    let parts = [
        fanout::all,
        dialects::all,
        chat_service::all,
        wechat::all,
        tinode::all,
        connections::all,
        history::all,
        hardship::all,
        growth::all,
        integration::all,
    ];
    parts.iter().flat_map(|part| part(&pick)).collect()
}

type Pick<'a> = &'a dyn Fn(u32, u32) -> u32;
