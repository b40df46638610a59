//! The same work by another dialect of the same program.

use super::{CPU_DELIVERY, Pick, Scenario, Server, ours, scenario, side};
use crate::figures::{Figure, Measure};

pub(super) fn all(pick: Pick) -> Vec<Scenario> {
    let time = format!("--duration {} --warmup {}", pick(10, 1), pick(3, 1));
    // gotapi-ws acknowledges what it stores, so the other side asks for acknowledgements, too.
    let beside = |name, title, args: &str| {
        let args = format!("fanout {args} --store 0 --acknowledged {time}");
        let gotapi = side("gotapi", Server::Gotapi, format!("--dialect gotapi {args}"));
        let figure = Figure::new(
            "CPU per delivery ÷ always-online",
            Measure::ratio("gotapi", "ours", CPU_DELIVERY),
        )
        .at_most(1.1);
        scenario(name, title, vec![gotapi, ours(args)], vec![figure])
    };
    vec![
        beside(
            "gotapi-one",
            "gotapi-ws: 1 room × 100 members, 8 stored messages in flight",
            "--rooms 1 --members 100 --saturate 8",
        ),
        beside(
            "gotapi-many",
            "gotapi-ws: 20 rooms × 20 members, 2 senders each, 8 stored messages in flight",
            "--rooms 20 --members 20 --senders 2 --saturate 8",
        ),
    ]
}
