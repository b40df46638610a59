//! chat-service beside always-online, and beside its original.

use super::{CPU_DELIVERY, Pick, Scenario, Server, Side, ours, scenario, side};
use crate::{
    blanks::REDIS,
    figures::{Figure, Measure},
};

const CPU_COMMAND: &str = "/0/result/server_cpu_ms_per_thousand_commands";
const DIALECT: &str = "--dialect chat-service";

/// Commands by kind: what is only read, what is said, and what changes a list.
const COMMANDS: [(&str, &str, &str); 3] = [
    ("read", "roomNotificationsInfo", r#"["roomNotificationsInfo","ROOM"]"#),
    ("say", "roomMessage in rooms of ten", r#"["roomMessage","ROOM",{"textMessage":"COUNT"}]"#),
    (
        "list",
        "directAddToList and directRemoveFromList",
        r#"--then ["directRemoveFromList","whitelist",["x"]] ["directAddToList","whitelist",["x"]]"#,
    ),
];

pub(super) fn all(pick: Pick) -> Vec<Scenario> {
    let time = format!("--duration {} --warmup {}", pick(10, 1), pick(3, 1));
    let beside = |name, title, args: &str| {
        let args = format!("fanout {args} --store 0 --acknowledged {time}");
        let measure = Measure::ratio("chat", "ours", CPU_DELIVERY);
        let figure = Figure::new("CPU per delivery ÷ always-online", measure).at_most(1.15);
        scenario(name, title, vec![chat(format!("{DIALECT} {args}")), ours(args)], vec![figure])
    };
    let n = pick(10_000, 500);
    let connect = format!("{DIALECT} connect --n {n} --conn-rate 0 --hold 3");
    let memory = |name| Measure::value(name, "/0/result/server_rss_kb_per_connection");
    let mut scenarios = vec![
        beside(
            "chat-one",
            "chat-service: 1 room × 100 members, 8 messages in flight",
            "--rooms 1 --members 100 --saturate 8",
        ),
        beside(
            "chat-many",
            "chat-service: 20 rooms × 20 members, 2 senders each, 8 messages in flight",
            "--rooms 20 --members 20 --senders 2 --saturate 8",
        ),
        scenario(
            "chat-connect",
            "chat-service: connect, log in and join, by engine.io 3 and 4",
            vec![chat(&connect), Side { name: "chat-3", ..chat(format!("--eio 3 {connect}")) }],
            vec![
                Figure::new("memory per connection, KB", memory("chat")).at_most(5.0),
                Figure::new("memory per connection of engine.io 3, KB", memory("chat-3"))
                    .at_most(5.0),
            ],
        ),
        scenario(
            "chat-names",
            "chat-service: a name more on a list of 10,000",
            vec![chat(format!(
                r#"{DIALECT} command --n 1 --room-size 1 {time} --first ["roomAddToList","ROOM","whitelist",NAMES] ["roomAddToList","ROOM","whitelist",["COUNT"]]"#
            ))],
            vec![
                Figure::new(
                    "time until it is answered, p50, ms",
                    Measure::value("chat", "/0/result/ms_to_answer/p50"),
                )
                .at_most(1.0),
                Figure::new("CPU of a thousand, ms", Measure::value("chat", CPU_COMMAND)),
            ],
        ),
    ];
    for (kind, title, command) in COMMANDS {
        let args = format!("--eio 3 {DIALECT} command {time} {command}");
        for in_redis in [false, true] {
            let store = if in_redis { "redis-" } else { "" };
            let name: &'static str = format!("chat-{store}{kind}").leak();
            let title: &'static str = format!("chat-service: {title}, {store}answered").leak();
            let peer = side("node", Server::ChatServiceNode, &args);
            let sides = match in_redis {
                false => vec![chat(&args), peer],
                true => vec![
                    chat(&args).with(&[("AO_STORE__MESSAGES", &format!("{REDIS}/1"))]),
                    peer.with(&[("REDIS_URL", &format!("{REDIS}/2"))]),
                ],
            };
            let measure = Measure::ratio("chat", "node", CPU_COMMAND);
            let figure = Figure::new("CPU per command ÷ the original", measure).at_most(0.3);
            scenarios.push(scenario(name, title, sides, vec![figure]));
        }
    }
    scenarios
}

/// Ours, with everything on that is needed, and limits that are not met.
fn chat(args: impl AsRef<str>) -> Side {
    side("chat", Server::Ours, args).with(&[
        ("AO_CHAT_SERVICE__ENABLED", "true"),
        ("AO_CHAT_SERVICE__ENABLE_ROOMS_MANAGEMENT", "true"),
        ("AO_CHAT_SERVICE__ROOM_LIST_SIZE_LIMIT", "1000000"),
        ("AO_CHAT_SERVICE__DIRECT_LIST_SIZE_LIMIT", "1000000"),
    ])
}
