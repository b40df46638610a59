//! What a delivery costs in rooms full of members, beside the floor.

use super::{CPU_DELIVERY, Pick, Scenario, floor, ours, scenario};
use crate::figures::{Figure, Measure};

pub(super) fn all(pick: Pick) -> Vec<Scenario> {
    let time = format!("--duration {} --warmup {}", pick(10, 1), pick(3, 1));
    let against_floor = |name, title, args: &str, figures| {
        let args = format!("fanout {args} {time}");
        scenario(name, title, vec![ours(&args), floor(&args)], figures)
    };
    let cpu = |must, goal| {
        Figure::new("CPU per delivery ÷ floor", Measure::ratio("ours", "floor", CPU_DELIVERY))
            .at_most(must)
            .goal(goal)
    };
    vec![
        against_floor(
            "fanout-one",
            "1 room × 100 members, 8 inserts in flight",
            "--rooms 1 --members 100 --saturate 8 --store 0",
            vec![cpu(0.40, 0.15)],
        ),
        against_floor(
            "fanout-many",
            "20 rooms × 20 members, 2 senders each, 8 inserts in flight",
            "--rooms 20 --members 20 --senders 2 --saturate 8 --store 0",
            vec![cpu(0.40, 0.15)],
        ),
        against_floor(
            "fanout-steady",
            "1 room × 100 members, 50 messages/s",
            "--rooms 1 --members 100 --rate 50",
            vec![cpu(1.5, 1.0)],
        ),
        against_floor(
            "fanout-large",
            "1 room × 1,000 members, 20 messages/s",
            "--rooms 1 --members 1000 --rate 20",
            {
                let p99 = Measure::ratio("ours", "floor", "/0/result/latency_ms/p99");
                vec![cpu(1.3, 0.95), Figure::new("latency p99 ÷ floor", p99).at_most(1.3).goal(1.0)]
            },
        ),
    ]
}
