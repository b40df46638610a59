//! Reading a history, and storing one.

use super::{CPU_DELIVERY, CPU_PAGE, Pick, Scenario, Step, node, ours, scenario, step};
use crate::figures::{Figure, Measure};

pub(super) fn all(pick: Pick) -> Vec<Scenario> {
    let mut all = reading(pick);
    all.extend(storing(pick));
    all
}

fn reading(pick: Pick) -> Vec<Scenario> {
    let messages = pick(10_000, 1_000);
    // A page costs ours so little that it takes more of them to measure.
    let warm = |encoding, times| {
        format!("sync --messages {messages} --clients 8 --times {times} --encoding {encoding}")
    };
    let page = |must, goal| {
        Figure::new("CPU per page ÷ Node", Measure::ratio("ours", "node", CPU_PAGE))
            .at_most(must)
            .goal(goal)
    };
    let cold = format!("sync --messages {messages} --clients 1 --times 1 --encoding gzip --cold");
    // Node forgets its history when it ends, and caches nothing: its first walk is cold as it is.
    let mut restarted = ours(format!("{cold} --part fill"));
    restarted.steps.push(Step { restart: true, ..step(format!("{cold} --part read")) });
    let sync =
        |encoding| vec![ours(warm(encoding, pick(100, 4))), node(warm(encoding, pick(10, 2)))];
    vec![
        scenario(
            "sync-gzip",
            "8 clients read a history, gzip, warm",
            sync("gzip"),
            vec![page(0.03, 0.007)],
        ),
        scenario(
            "sync-plain",
            "8 clients read a history, plain, warm",
            sync("none"),
            vec![page(0.12, 0.03)],
        ),
        scenario(
            "sync-cold",
            "one client reads a history right after a restart, gzip",
            vec![restarted, node(&cold)],
            vec![
                Figure::new(
                    "CPU per page ÷ Node's first walk",
                    Measure::Ratio {
                        above: ("ours", "/1/result/server_cpu_ms_per_page"),
                        below: ("node", CPU_PAGE),
                    },
                )
                .at_most(0.5)
                .goal(0.1),
            ],
        ),
    ]
}

fn storing(pick: Pick) -> Vec<Scenario> {
    let window =
        format!("sync --messages {} --clients 1 --times 1 --fill-window 64", pick(50_000, 2_000));
    let single = format!(
        "fanout --rooms 1 --members 2 --rate 500 --store 0 --duration {} --warmup {}",
        pick(10, 1),
        pick(3, 1)
    );
    let both = |args: &str| vec![ours(args), node(args)];
    let cpu = |pointer| {
        Figure::new("CPU per message ÷ Node in memory", Measure::ratio("ours", "node", pointer))
    };
    vec![
        scenario(
            "store-window",
            "storing, 64 in flight",
            both(&window),
            vec![cpu("/0/result/fill/server_cpu_s_per_million").at_most(0.35).goal(0.18)],
        ),
        scenario(
            "store-single",
            "storing single messages, 500/s",
            both(&single),
            vec![cpu(CPU_DELIVERY).at_most(1.0).goal(0.3)],
        ),
    ]
}
