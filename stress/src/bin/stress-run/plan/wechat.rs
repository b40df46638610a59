//! react-wechat: relaying beside gotapi-ws, what waits, what a user takes, and a flood of log-ins.

use super::{CPU_DELIVERY, Pick, Scenario, Server, Side, Step, scenario, side, step};
use crate::figures::{Figure, Measure};

const SECRET: &str = "a-secret-that-everybody-knows-is-none";
/// The side of scenarios that have one.
const WECHAT: &str = "wechat";

pub(super) fn all(pick: Pick) -> Vec<Scenario> {
    vec![relay(pick), waiting(pick), memory(pick), login(pick)]
}

fn relay(pick: Pick) -> Scenario {
    let pairs = format!(
        "--rooms {} --members 2 --rate {} --duration {} --warmup {}",
        pick(100, 10),
        pick(2_000, 200),
        pick(10, 1),
        pick(3, 1)
    );
    // The frames of all three have 224 bytes.
    let of = |name, args: &str| Side { name, ..wechat(format!("fanout {pairs} {args}")) };
    let gotapi = format!("--dialect gotapi fanout {pairs} --store 0 --bytes 128");
    let cpu =
        |what, name| Figure::new(what, Measure::ratio(name, "gotapi", CPU_DELIVERY)).at_most(1.1);
    let p99 = |what, name| Figure::new(what, Measure::value(name, "/0/result/latency_ms/p99"));
    scenario(
        "wechat-relay",
        "react-wechat: 100 pairs, 2,000 frames/s in all, beside rooms of two of gotapi-ws",
        vec![
            of("signal", "--store 2 --bytes 127"),
            of("message", "--store 0 --bytes 102"),
            side("gotapi", Server::Gotapi, gotapi),
        ],
        vec![
            cpu("CPU of signalling ÷ a delivery of gotapi-ws", "signal"),
            cpu("CPU of a message ÷ a delivery of gotapi-ws", "message"),
            p99("p99 of signalling, ms", "signal"),
            p99("p99 of a message, ms", "message"),
            p99("p99 of gotapi-ws, ms", "gotapi"),
        ],
    )
}

fn waiting(pick: Pick) -> Scenario {
    let args = format!("waiting --messages {} --times {}", pick(10_000, 1_000), pick(5, 1));
    scenario(
        "wechat-waiting",
        "react-wechat: 10,000 messages of 25 senders wait for a user, who comes; five times",
        vec![wechat(args)],
        vec![
            value("until all were there, at most, ms", "/0/result/ms_to_all/max").at_most(1000.0),
            value("until all were there, p50, ms", "/0/result/ms_to_all/p50"),
            value(
                "CPU of a message: delivering, µs",
                "/0/result/deliver_server_cpu_us_per_message",
            ),
            value("CPU of a message: erasing, µs", "/0/result/erase_server_cpu_us_per_message"),
            value("CPU of a message: storing, µs", "/0/result/store_server_cpu_us_per_message"),
        ],
    )
}

fn memory(pick: Pick) -> Scenario {
    let n = pick(2_000, 100);
    // What passwords take is gone with the server that they were told to.
    let mut side = wechat(format!("register --n {n}"));
    let connect = arguments(format!("connect --n {n} --conn-rate 0 --hold {}", pick(3, 1)));
    side.steps.push(Step { restart: true, ..step(connect) });
    scenario(
        "wechat-memory",
        "react-wechat: 2,000 users register; the server is started again, and they connect",
        vec![side],
        vec![
            value("memory per user who is there, KB", "/1/result/server_rss_kb_per_connection")
                .at_most(4.0),
            value("CPU to connect, ms", "/1/result/server_cpu_ms_per_connect"),
            value("CPU to register, ms", "/0/result/server_cpu_ms_per_user"),
        ],
    )
}

fn login(pick: Pick) -> Scenario {
    let args = format!(
        "logins --pairs {} --flood {} --rate {} --baseline {} --duration {} --warmup {}",
        pick(50, 10),
        pick(200, 100),
        pick(1_000, 100),
        pick(10, 1),
        pick(10, 2),
        pick(3, 1)
    );
    scenario(
        "wechat-login",
        "react-wechat: 200 log in at once, again and again, while 50 pairs signal 1,000 times/s",
        vec![wechat(args)],
        vec![
            value("p50 of signalling, ms", "/0/result/with/latency_ms/p50"),
            value("p50 without the flood, ms", "/0/result/without/latency_ms/p50"),
            value("p99 of signalling, ms", "/0/result/with/latency_ms/p99"),
            value("p99 without the flood, ms", "/0/result/without/latency_ms/p99"),
            value("log-ins per second", "/0/result/logins/per_s").more(),
            value("refused with 503", "/0/result/logins/refused").at_least(1.0),
            value("CPU of a log-in, ms", "/0/result/server_cpu_ms_per_login"),
            value("memory that is added, at most, MB", "/0/result/server_rss_growth_mb")
                .at_most(64.0),
        ],
    )
}

fn value(name: &'static str, pointer: &'static str) -> Figure {
    Figure::new(name, Measure::value(WECHAT, pointer))
}

/// What every step begins with. Tokens are signed here, as to log in costs a hash.
fn arguments(args: impl AsRef<str>) -> String {
    format!("--dialect wechat --jwt hs256:{SECRET} {}", args.as_ref())
}

/// Ours, with limits that are not met.
fn wechat(args: impl AsRef<str>) -> Side {
    side(WECHAT, Server::Wechat, arguments(args))
        .with(&[("AO_WECHAT__JWT_SECRET", SECRET), ("AO_WECHAT__RATE_LIMIT", "off")])
}
