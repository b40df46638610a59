//! Tinode's clients: two who talk, a group beside a room of always-online, who is only there, and
//! history.

use super::{
    CPU_DELIVERY, CPU_PAGE, Pick, Scenario, Server, Side, Step, ours, scenario, side, step,
};
use crate::figures::{Figure, Measure};

/// 32 bytes in base64, and an API key that is signed with them: HMAC-MD5.
const SALT: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
const KEY: &str = "AQEAAAABAACOWGl434MGJlpvWYtdNkfr";
/// The side of all scenarios.
const TINODE: &str = "tinode";
/// A message of two may take 0.15 of what it takes Tinode's own server, without its database: 0.92
/// ms, by a recording on another machine.
const PAIR_MS: f64 = 0.15 * 0.92;

pub(super) fn all(pick: Pick) -> Vec<Scenario> {
    vec![pair(pick), group(pick), steady(pick), memory(pick), history(pick)]
}

fn pair(pick: Pick) -> Scenario {
    let messages = format!("--messages {} --warmup {}", pick(10_000, 600), pick(1_000, 100));
    let time = format!("--duration {} --warmup 1", pick(4, 1));
    let room = "--gather-us 0 fanout --rooms 1 --members 2 --saturate 1 --store 0 --acknowledged";
    let beside = Measure::Ratio {
        above: (TINODE, "/0/result/server_cpu_us_per_message"),
        below: ("ours", CPU_DELIVERY),
    };
    scenario(
        "tinode-pair",
        "tinode: two users talk, one message at a time; beside a room of two",
        vec![tinode(format!("pair {messages}")), ours(format!("{room} {time}"))],
        vec![
            value("CPU of a message, ms", "/0/result/server_cpu_ms_per_message").at_most(PAIR_MS),
            Figure::new("CPU of a message ÷ always-online", beside),
            value("until it has come and is answered, p50, ms", "/0/result/message_ms/p50"),
            value("until it has come and is answered, p99, ms", "/0/result/message_ms/p99"),
        ],
    )
}

fn group(pick: Pick) -> Scenario {
    let messages = format!("--messages {} --warmup {}", pick(20_000, 400), pick(5_000, 100));
    let time = format!("--duration {} --warmup {}", pick(6, 1), pick(2, 1));
    beside(
        "tinode-group",
        "tinode: a group × 100 members, 8 messages in flight, beside a room",
        format!("--saturate 8 {messages}"),
        format!("--saturate 8 {time}"),
    )
}

fn steady(pick: Pick) -> Scenario {
    let time = format!("--rate 50 --duration {} --warmup {}", pick(8, 1), pick(2, 1));
    beside(
        "tinode-steady",
        "tinode: a group × 100 members, 50 messages/s, beside a room",
        format!("--rate 50 --messages {} --warmup {}", pick(400, 50), pick(100, 10)),
        time,
    )
}

/// The same data to as many members, stored, delivered and acknowledged.
fn beside(name: &'static str, title: &'static str, group: String, room: String) -> Scenario {
    let room = format!("fanout --rooms 1 --members 100 --store 0 --acknowledged {room}");
    let measure = Measure::ratio(TINODE, "ours", CPU_DELIVERY);
    let figure = Figure::new("CPU per delivery ÷ always-online", measure).at_most(1.2);
    scenario(name, title, vec![tinode(format!("group {group}")), ours(room)], vec![figure])
}

fn memory(pick: Pick) -> Scenario {
    let register = format!("register --n {} --tokens {{folder}}/tokens", pick(5_000, 200));
    // What the registering leaves in caches and in the allocator is gone with that server.
    let mut side = tinode(register);
    let idle = format!("idle --tokens {{folder}}/tokens --hold {}", pick(3, 1));
    side.steps.push(Step { restart: true, ..step(arguments(idle)) });
    scenario(
        "tinode-memory",
        "tinode: 5,000 users register; the server is started again, and they come",
        vec![side],
        vec![
            value("memory per session on me, KB", "/1/result/server_rss_kb_per_session")
                .at_most(6.0),
            value("CPU to come, ms", "/1/result/server_cpu_ms_per_session"),
            value("CPU to register and come, ms", "/0/result/server_cpu_ms_per_user"),
        ],
    )
}

fn history(pick: Pick) -> Scenario {
    let args = format!("history --messages {} --times {}", pick(10_000, 1_000), pick(41, 3));
    scenario(
        "tinode-history",
        "tinode: 10,000 messages by pages of 100, warm",
        vec![tinode(args)],
        vec![
            value("CPU of a page, ms", CPU_PAGE).at_most(0.05),
            value("until a page is there, p50, ms", "/0/result/page_ms/p50"),
            value("the first time, p50, ms", "/0/result/first_walk_page_ms/p50"),
        ],
    )
}

fn value(name: &'static str, pointer: &'static str) -> Figure {
    Figure::new(name, Measure::value(TINODE, pointer))
}

/// What every step begins with.
fn arguments(args: impl AsRef<str>) -> String {
    format!("tinode --key {KEY} {}", args.as_ref())
}

/// Ours, with limits that are not met.
fn tinode(args: impl AsRef<str>) -> Side {
    side(TINODE, Server::Tinode, arguments(args))
        .with(&[("AO_TINODE__API_KEY_SALT", SALT), ("AO_TINODE__RATE_LIMIT", "off")])
}
