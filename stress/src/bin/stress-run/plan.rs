//! What is compared with what: the scenarios, their figures, what each must reach and where it is
//! going.

use crate::figures::{Figure, Measure};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Ours,
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
    let mut all = fanout(&pick);
    all.extend(connections(&pick));
    all.extend(history(&pick));
    all.extend(hardship(&pick));
    all.extend(growth(&pick));
    all
}

type Pick<'a> = &'a dyn Fn(u32, u32) -> u32;

fn fanout(pick: Pick) -> Vec<Scenario> {
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

fn connections(pick: Pick) -> Vec<Scenario> {
    let connect = format!("connect --n {} --conn-rate 0 --hold {}", pick(10_000, 500), pick(3, 1));
    let polled = format!("connect --n {} --conn-rate 0 --hold {}", pick(2_000, 200), pick(3, 1));
    // More than a ping interval (25 s), or there is nothing to measure.
    let idle = format!("idle --n {} --duration {}", pick(5_000, 200), pick(75, 27));
    let memory = "/0/result/server_rss_kb_per_connection";
    vec![
        scenario(
            "connect",
            "connect, authenticate and join, as fast as it goes",
            vec![ours(&connect), node(&connect)],
            vec![
                Figure::new(
                    "CPU per connection ÷ Node",
                    Measure::ratio("ours", "node", "/0/result/server_cpu_ms_per_connect"),
                )
                .at_most(0.30)
                .goal(0.15),
                Figure::new("memory per connection ÷ Node", Measure::ratio("ours", "node", memory))
                    .at_most(1.0),
                Figure::new("memory per connection, KB", Measure::value("ours", memory)).goal(10.0),
            ],
        ),
        scenario(
            "upgraded",
            "poll, connect, upgrade, authenticate and join, as fast as it goes",
            vec![
                ours(format!("--way upgrade {connect}")),
                node(format!("--way upgrade {connect}")),
            ],
            vec![
                Figure::new(
                    "CPU per connection ÷ Node",
                    Measure::ratio("ours", "node", "/0/result/server_cpu_ms_per_connect"),
                )
                .at_most(0.12),
                Figure::new("memory per connection ÷ Node", Measure::ratio("ours", "node", memory))
                    .at_most(1.0),
                Figure::new("memory per connection, KB", Measure::value("ours", memory))
                    .at_most(4.0),
            ],
        ),
        scenario(
            "polling",
            "poll for good: connect, authenticate and join, as fast as it goes",
            vec![ours(format!("--way polling {polled}")), node(format!("--way polling {polled}"))],
            vec![
                Figure::new(
                    "CPU per connection ÷ Node",
                    Measure::ratio("ours", "node", "/0/result/server_cpu_ms_per_connect"),
                )
                .at_most(1.0),
                Figure::new("memory per connection ÷ Node", Measure::ratio("ours", "node", memory))
                    .at_most(1.0),
                Figure::new("memory per connection, KB", Measure::value("ours", memory)),
            ],
        ),
        scenario(
            "idle",
            "connections that do nothing but heartbeats",
            vec![ours(&idle), node(&idle)],
            vec![
                Figure::new(
                    "CPU per connection-minute ÷ Node",
                    Measure::ratio("ours", "node", "/0/result/server_cpu_ms_per_connection_minute"),
                )
                .at_most(0.25)
                .goal(0.2),
            ],
        ),
    ]
}

fn history(pick: Pick) -> Vec<Scenario> {
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
    let store =
        format!("sync --messages {} --clients 1 --times 1 --fill-window 64", pick(50_000, 2_000));
    let single = format!(
        "fanout --rooms 1 --members 2 --rate 500 --store 0 --duration {} --warmup {}",
        pick(10, 1),
        pick(3, 1)
    );
    let both = |args: &str| vec![ours(args), node(args)];
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
        scenario(
            "store-window",
            "storing, 64 in flight",
            both(&store),
            vec![
                Figure::new(
                    "CPU per message ÷ Node in memory",
                    Measure::ratio("ours", "node", "/0/result/fill/server_cpu_s_per_million"),
                )
                .at_most(0.35)
                .goal(0.18),
            ],
        ),
        scenario(
            "store-single",
            "storing single messages, 500/s",
            both(&single),
            vec![
                Figure::new(
                    "CPU per message ÷ Node in memory",
                    Measure::ratio("ours", "node", CPU_DELIVERY),
                )
                .at_most(1.0)
                .goal(0.3),
            ],
        ),
    ]
}

fn hardship(pick: Pick) -> Vec<Scenario> {
    let slow = ours(format!(
        "slow --members 50 --slow 5 --rate 200 --bytes 16384 --warmup {} --baseline {} --duration {}",
        pick(3, 1),
        pick(20, 2),
        pick(20, 3)
    ));
    // Rounds on one and the same server: the first three may still fill pools and caches, after
    // that nothing may grow.
    let round = || {
        step(format!("churn --duration {} --concurrency 64 --settle {}", pick(60, 2), pick(5, 1)))
    };
    let rounds = Side { steps: (0..5).map(|_| round()).collect(), ..ours("") };
    let settled = "/result/server_rss_settled_kb";
    vec![
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
                Figure::new(
                    "memory per slow member, MB",
                    Measure::value("ours", "/0/result/server_rss_growth_mb_per_slow_member"),
                )
                .at_most(2.0)
                .goal(1.0),
                Figure::new(
                    "all gone after, s",
                    Measure::value("ours", "/0/result/slow_members/server_end_all_closed_after_s"),
                )
                .at_most(20.0)
                .goal(5.0),
                Figure::new(
                    "their sockets that the kernel still feeds",
                    Measure::value("ours", "/0/result/slow_members/server_end_closing"),
                ),
            ],
        ),
        Scenario {
            once: true,
            ..scenario(
                "churn",
                "64 clients at a time come, say one thing and go; 5 rounds on one server",
                vec![rounds],
                vec![
                    Figure::new(
                        "failures",
                        Measure::Sum { side: "ours", pointer: "/result/failed" },
                    )
                    .at_most(0.0),
                    Figure::new(
                        "members left behind",
                        Measure::Sum { side: "ours", pointer: "/result/members_left_behind" },
                    )
                    .at_most(0.0),
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
                        Measure::Last { side: "ours", pointer: settled },
                    ),
                ],
            )
        },
    ]
}

fn growth(pick: Pick) -> Vec<Scenario> {
    let time = format!("--duration {} --warmup {}", pick(10, 1), pick(3, 1));
    // The generator does not sleep to let packets gather: it may have to share a core with the
    // server, and would leave it idle.
    let busy = format!(
        "--gather-us 0 fanout --rooms 20 --members 20 --senders 2 --saturate 32 --store 0 {time}"
    );
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
    let share =
        |name, side| Figure::new(name, Measure::value(side, "/0/usage/generator/cores_used"));
    vec![
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
        ),
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
