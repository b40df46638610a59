//! Those who never read, and those who come and go.

use super::{Pick, Scenario, Side, ours, scenario, step};
use crate::figures::{Figure, Measure};

pub(super) fn all(pick: Pick) -> Vec<Scenario> {
    vec![slow(pick), churn(pick)]
}

fn slow(pick: Pick) -> Scenario {
    let slow = ours(format!(
        "slow --members 50 --slow 5 --rate 200 --bytes 16384 \
         --warmup {} --baseline {} --duration {}",
        pick(3, 1),
        pick(20, 2),
        pick(20, 3)
    ));
    let value = |name, pointer| Figure::new(name, Measure::value("ours", pointer));
    scenario(
        "slow",
        "50 members of whom 5 never read",
        vec![slow],
        vec![
            Figure::new(
                "p99 of the healthy ÷ without the slow",
                Measure::Ratio {
                    above: ("ours", "/0/result/healthy/latency_ms/p99"),
                    below: ("ours", "/0/result/healthy_before/latency_ms/p99"),
                },
            )
            .at_most(1.2)
            .goal(1.0),
            value("memory per slow member, MB", "/0/result/server_rss_growth_mb_per_slow_member")
                .at_most(2.0)
                .goal(1.0),
            value("all gone after, s", "/0/result/slow_members/server_end_all_closed_after_s")
                .at_most(20.0)
                .goal(5.0),
            value(
                "their sockets that the kernel still feeds",
                "/0/result/slow_members/server_end_closing",
            ),
        ],
    )
}

fn churn(pick: Pick) -> Scenario {
    // Rounds on one and the same server: the first three may still fill pools and caches, after
    // that nothing may grow.
    let round = || {
        step(format!("churn --duration {} --concurrency 64 --settle {}", pick(60, 2), pick(5, 1)))
    };
    let rounds = Side { steps: (0..5).map(|_| round()).collect(), ..ours("") };
    let sum = |name, pointer| Figure::new(name, Measure::Sum { side: "ours", pointer });
    let figures = vec![
        sum("failures", "/result/failed").at_most(0.0),
        sum("members left behind", "/result/members_left_behind").at_most(0.0),
        Figure::new(
            "memory after the last round ÷ after the third",
            Measure::Ratio {
                above: ("ours", "/4/result/server_rss_settled_kb"),
                below: ("ours", "/2/result/server_rss_settled_kb"),
            },
        )
        .at_most(1.05)
        .goal(1.0),
        Figure::new(
            "memory after all rounds, KB",
            Measure::Last { side: "ours", pointer: "/result/server_rss_settled_kb" },
        ),
    ];
    let title = "64 clients at a time come, say one thing and go; 5 rounds on one server";
    Scenario { once: true, ..scenario("churn", title, vec![rounds], figures) }
}
