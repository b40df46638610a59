//! What a business server adds: webhooks, hooks, JSON Web Tokens, and its own messages by HTTP.

use super::{CPU_DELIVERY, Pick, Scenario, Server, Side, ours, scenario, side};
use crate::figures::{Figure, Measure};

pub(super) fn all(pick: Pick) -> Vec<Scenario> {
    let mut all = webhooks(pick);
    all.push(hooks(pick));
    all.extend(tokens(pick));
    all.extend(api(pick));
    all
}

/// An endpoint that is told of everything, by the load generator.
const WEBHOOK: [(&str, &str); 2] = [
    ("AO_WEBHOOK__URL", "http://127.0.0.1:{port}/"),
    ("AO_WEBHOOK__SECRET", "whsec_YSBzZWNyZXQgdGhhdCBldmVyeWJvZHkga25vd3MgaXMgbm9uZSE="),
];

fn webhooks(pick: Pick) -> Vec<Scenario> {
    let fill = format!("sync --part fill --messages {} --fill-window 64", pick(100_000, 2_000));
    let rooms = format!(
        "fanout --rooms 64 --members 2 --saturate 1 --store 0 --duration {} --warmup {}",
        pick(10, 1),
        pick(3, 1)
    );
    // The same twice: the endpoint is on the load generator, and the last event counts.
    let both = |args: &str| {
        let told = side("told", Server::Ours, format!("--webhook 127.0.0.1:{{port}} {args}"));
        vec![told.with(&WEBHOOK), ours(args)]
    };
    let cost = |pointer| {
        Figure::new(
            "CPU per stored message, with webhooks ÷ without",
            Measure::ratio("told", "ours", pointer),
        )
    };
    let batches =
        |pointer| Figure::new("events in a request", Measure::value("told", pointer)).more();
    vec![
        scenario(
            "webhook-cost",
            "storing, 64 in flight, each message told by a webhook, or no endpoint",
            both(&fill),
            vec![
                cost("/0/result/fill/server_cpu_s_per_million").at_most(1.10),
                batches("/0/result/fill/webhooks/events_per_request"),
            ],
        ),
        scenario(
            "webhook-rooms",
            "64 rooms × 1 message in flight, each told by a webhook, or no endpoint",
            both(&rooms),
            vec![cost(CPU_DELIVERY), batches("/0/result/webhooks/events_per_request")],
        ),
        pending(pick),
    ]
}

fn pending(pick: Pick) -> Scenario {
    let args = format!(
        "--webhook 127.0.0.1:{{port}} pending --messages {} --rooms 100",
        pick(1_000_000, 5_000)
    );
    let value = |name, pointer| Figure::new(name, Measure::value("ours", pointer));
    scenario(
        "webhook-pending",
        "a million messages in 100 rooms while the endpoint is down, then told in order",
        vec![ours(args).with(&WEBHOOK).with(&[("AO_WEBHOOK__PENDING", "1 GiB")])],
        vec![
            value("memory at most, MB", "/0/result/server_rss_max_mb").at_most(64.0),
            value("memory while they are pending, MB", "/0/result/server_rss_mb/pending"),
            value("told after, s", "/0/result/drained_s"),
            value("CPU to tell of a message, µs", "/0/result/drain_server_cpu_us_per_message"),
            value("CPU to store it, µs", "/0/result/fill_server_cpu_us_per_message"),
        ],
    )
}

fn hooks(pick: Pick) -> Scenario {
    let n = pick(5_000, 200);
    let args =
        format!("--conn-rate 0 --conn-concurrency {n} --timeout 60 connect --n {n} --hold 1");
    let asked =
        side("asked", Server::Ours, format!("--hook 127.0.0.1:{{port}} --hook-delay 20 {args}"))
            .with(&[
                ("AO_HOOK__URL", "http://127.0.0.1:{port}/"),
                ("AO_HOOK__SECRET", WEBHOOK[1].1),
                ("AO_HOOK__EVENTS", "connect"),
            ]);
    let value = |name, side, pointer| Figure::new(name, Measure::value(side, pointer));
    let (p50, p99) = ("/0/result/ms_to_joined/p50", "/0/result/ms_to_joined/p99");
    scenario(
        "hook-storm",
        "5,000 connect at once; a hook is asked about each, and answers after 20 ms",
        vec![asked, ours(args)],
        vec![
            value("refused", "asked", "/0/result/failed").at_most(0.0),
            value("p50 until joined, ms", "asked", p50),
            value("p99 until joined, ms", "asked", p99),
            value("p50 until joined without a hook, ms", "ours", p50),
            value("p99 until joined without a hook, ms", "ours", p99),
            Figure::new(
                "CPU per connection, with a hook ÷ without",
                Measure::ratio("asked", "ours", "/0/result/server_cpu_ms_per_connect"),
            ),
        ],
    )
}

const SECRET: &str = "a-secret-that-everybody-knows-is-none";

fn tokens(pick: Pick) -> Vec<Scenario> {
    let connect = format!("connect --n {} --conn-rate 0 --hold 1", pick(5_000, 200));
    let server = |side: Side| {
        side.with(&[
            ("AO_AUTH__IGNORE", "false"),
            ("AO_API__OPEN", "true"),
            ("AO_JWT__SECRET", SECRET),
            ("AO_JWT__KEYS", "{folder}/es256.pem"),
        ])
    };
    let beside = |name, title, key: &str| {
        let plain = format!("--admin-url http://{{api}}/user/create_token {connect}");
        let jwt = side("jwt", Server::Ours, format!("--jwt {key} {connect}"));
        let figure = Figure::new(
            "CPU to connect, authenticate and join, JWT ÷ plain token",
            Measure::ratio("jwt", "ours", "/0/result/server_cpu_ms_per_connect"),
        );
        scenario(name, title, vec![server(jwt), server(ours(plain))], vec![figure])
    };
    vec![
        beside(
            "jwt-es256",
            "connect, authenticate by a JSON Web Token (ES256) and join",
            "es256:{folder}/es256.p8",
        ),
        beside(
            "jwt-hs256",
            "connect, authenticate by a JSON Web Token (HS256) and join",
            &format!("hs256:{SECRET}"),
        ),
    ]
}

fn api(pick: Pick) -> Vec<Scenario> {
    let time = format!("--duration {} --warmup {}", pick(10, 1), pick(3, 1));
    let beside = |name, title, args: &str| {
        let args = format!("{args} {time}");
        let v1 = format!("publish --api v1 --to {{api}} --credential {{credential}} {args}");
        let peer = format!("publish --api centrifugo --to {{api}} --credential measured {args}");
        let figures = vec![
            Figure::new(
                "CPU per message ÷ Centrifugo",
                Measure::ratio("ours", "centrifugo", "/0/result/server_cpu_us_per_message"),
            )
            .goal(0.5),
            Figure::new(
                "messages per CPU second",
                Measure::value("ours", "/0/result/messages_per_server_cpu_s"),
            )
            .more(),
            Figure::new(
                "messages per CPU second, Centrifugo",
                Measure::value("centrifugo", "/0/result/messages_per_server_cpu_s"),
            )
            .more(),
        ];
        let sides = vec![ours(v1), side("centrifugo", Server::Centrifugo, peer)];
        scenario(name, title, sides, figures)
    };
    vec![
        beside(
            "api-publish",
            "messages by HTTP, one in a request, on 16 connections, into 20 empty rooms",
            "--connections 16",
        ),
        beside(
            "api-batch",
            "messages by HTTP, 100 in a request, on 16 connections, into 20 empty rooms",
            "--connections 16 --batch 100",
        ),
    ]
}
