//! What is compared with what: the scenarios, their figures, what each must reach and where it is
//! going.

mod connections;
mod dialects;
mod fanout;
mod growth;
mod hardship;
mod history;

use crate::figures::Figure;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Ours,
    /// The same program, spoken to by its listener for gotapi-ws.
    Gotapi,
    /// The cheapest server conceivable (`floor.rs`).
    Floor,
    /// The same events on socket.io 4 (`peers/node`).
    Node,
}

/// One run of the load generator.
pub struct Step {
    pub args: Vec<String>,
    /// End the server and start it again on the same store beforehand.
    pub restart: bool,
}

/// One of those compared: a server, started afresh for each run, and what is done to it.
pub struct Side {
    pub name: &'static str,
    pub server: Server,
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
    Side { name, server, cores: 1, steps: vec![step(args)] }
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
    let parts =
        [fanout::all, dialects::all, connections::all, history::all, hardship::all, growth::all];
    parts.iter().flat_map(|part| part(&pick)).collect()
}

type Pick<'a> = &'a dyn Fn(u32, u32) -> u32;
