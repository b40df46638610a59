//! What more cores bring, and what a tenfold size costs.

use super::{CPU_DELIVERY, Pick, Scenario, Server, Side, scenario, side};
use crate::figures::{Figure, Measure};

pub(super) fn all(pick: Pick) -> Vec<Scenario> {
    let mut all = vec![cores(pick)];
    all.extend(sizes(pick));
    all
}

fn cores(pick: Pick) -> Scenario {
    let time = format!("--duration {} --warmup {}", pick(10, 1), pick(3, 1));
    // The generator does not sleep to let packets gather: it may have to share a core with the
    // server, and would leave it idle.
    let busy = format!(
        "--gather-us 0 fanout --rooms 20 --members 20 --senders 2 --saturate 32 --store 0 {time}"
    );
    let share =
        |name, side| Figure::new(name, Measure::value(side, "/0/usage/generator/cores_used"));
    scenario(
        "two-cores",
        "20 rooms × 20 members, 32 inserts in flight: two cores against one",
        vec![
            side("one core", Server::Ours, &busy),
            Side { cores: 2, ..side("two cores", Server::Ours, &busy) },
        ],
        vec![
            Figure::new(
                "deliveries/s, two cores ÷ one",
                Measure::ratio("two cores", "one core", "/0/result/deliveries_per_s"),
            )
            .at_least(1.6)
            .goal(1.9),
            // 2 ÷ 1.6, and 2 ÷ 1.9: what the ratio above comes from where the generator has a
            // core of its own.
            Figure::new(
                "CPU per delivery, two cores ÷ one",
                Measure::ratio("two cores", "one core", CPU_DELIVERY),
            )
            .at_most(1.25)
            .goal(1.05),
            share("cores used by the generator, beside one", "one core"),
            share("cores used by the generator, beside two", "two cores"),
        ],
    )
}

fn sizes(pick: Pick) -> Vec<Scenario> {
    let time = format!("--duration {} --warmup {}", pick(10, 1), pick(3, 1));
    // The rate of deliveries is the same on both sides, so that only what is said to grow does.
    let flat =
        |name, title, (small, s): (&'static str, String), (large, l): (&'static str, String)| {
            let figure = Figure::new(
                "CPU per delivery, tenfold ÷ once",
                Measure::ratio(large, small, CPU_DELIVERY),
            )
            .at_most(1.15)
            .goal(1.0);
            let sides = vec![side(small, Server::Ours, s), side(large, Server::Ours, l)];
            scenario(name, title, sides, vec![figure])
        };
    let rooms = |n: u32| format!("fanout --rooms {n} --members 5 --rate 1000 {time}");
    let members =
        |n: u32, rate: u32| format!("fanout --rooms 1 --members {n} --rate {rate} {time}");
    let idle = |n: u32| format!("fanout --rooms 20 --members 20 --rate 400 --idle {n} {time}");
    vec![
        flat(
            "flat-rooms",
            "20 or 200 rooms × 5 members, 1,000 messages/s in all",
            ("20 rooms", rooms(20)),
            ("200 rooms", rooms(200)),
        ),
        flat(
            "flat-members",
            "1 room × 50 members at 200 messages/s, or × 500 at 20",
            ("50 members", members(50, 200)),
            ("500 members", members(500, 20)),
        ),
        flat(
            "flat-connections",
            "20 rooms × 20 members, 400 messages/s, beside 500 or 5,000 idle connections",
            ("500 idle", idle(pick(500, 50))),
            ("5,000 idle", idle(pick(5_000, 500))),
        ),
    ]
}
