//! What it costs to come, and to be there.

use super::{Pick, Scenario, node, ours, scenario};
use crate::figures::{Figure, Measure};

pub(super) fn all(pick: Pick) -> Vec<Scenario> {
    let connect = format!("connect --n {} --conn-rate 0 --hold {}", pick(10_000, 500), pick(3, 1));
    let polled = format!("connect --n {} --conn-rate 0 --hold {}", pick(2_000, 200), pick(3, 1));
    // More than a ping interval (25 s), or there is nothing to measure.
    let idle = format!("idle --n {} --duration {}", pick(5_000, 200), pick(75, 27));
    let both = |args: String| vec![ours(&args), node(&args)];
    let per_minute = "/0/result/server_cpu_ms_per_connection_minute";
    vec![
        scenario(
            "connect",
            "connect, authenticate and join, as fast as it goes",
            both(connect.clone()),
            vec![cpu().at_most(0.30).goal(0.15), memory_beside_node(), memory().goal(10.0)],
        ),
        scenario(
            "upgraded",
            "poll, connect, upgrade, authenticate and join, as fast as it goes",
            both(format!("--way upgrade {connect}")),
            vec![cpu().at_most(0.12), memory_beside_node(), memory().at_most(4.0)],
        ),
        scenario(
            "polling",
            "poll for good: connect, authenticate and join, as fast as it goes",
            both(format!("--way polling {polled}")),
            vec![cpu().at_most(1.0), memory_beside_node(), memory()],
        ),
        scenario(
            "idle",
            "connections that do nothing but heartbeats",
            both(idle),
            vec![
                Figure::new(
                    "CPU per connection-minute ÷ Node",
                    Measure::ratio("ours", "node", per_minute),
                )
                .at_most(0.25)
                .goal(0.2),
            ],
        ),
    ]
}

const MEMORY: &str = "/0/result/server_rss_kb_per_connection";

fn cpu() -> Figure {
    let measure = Measure::ratio("ours", "node", "/0/result/server_cpu_ms_per_connect");
    Figure::new("CPU per connection ÷ Node", measure)
}

fn memory_beside_node() -> Figure {
    Figure::new("memory per connection ÷ Node", Measure::ratio("ours", "node", MEMORY)).at_most(1.0)
}

fn memory() -> Figure {
    Figure::new("memory per connection, KB", Measure::value("ours", MEMORY))
}
