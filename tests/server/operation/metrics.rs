//! What a scraper is told by a whole server: all that the reference names and nothing else, what
//! traffic moves, and that nothing is left of clients that have gone.
use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde_json::json;
use support::{
    http,
    server::{Server, Setup},
    soon,
};

/// Between two looks at something that nobody announces.
const STEP: Duration = Duration::from_millis(50);

/// The series of a page with their values.
async fn page(server: &Server) -> BTreeMap<String, f64> {
    let page = http::get(server.api(), "/metrics").await.body;
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    };
    page.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

/// Waits until these series have these values.
async fn stands(server: &Server, expected: &[(&str, f64)]) {
    let wait = async {
        loop {
            let page = page(server).await;
            let is = |(series, value): &(&str, f64)| page.get(*series) == Some(value);
            if expected.iter().all(is) {
                return;
            }
            tokio::time::sleep(STEP).await;
        }
    };
    soon(&format!("{expected:?}"), wait).await;
}

/// The names of the reference, `_total` and the like left out.
fn declared() -> Vec<String> {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md");
    let text = fs::read_to_string(reference).unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    names.map(|(name, _)| name.trim_end_matches("_total").to_owned()).collect()
}

#[tokio::test]
async fn the_page_has_what_the_reference_names_and_nothing_else() {
    let server = Server::start().await;
    let page = http::get(server.api(), "/metrics").await.body;
    let kinds = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let found: Vec<String> = kinds.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(found, declared());
}

#[tokio::test]
async fn what_clients_do_is_counted() {
    let server = Server::start().await;
    let [ann, _ben, _cara] = [
        server.member("ann", "attic").await,
        server.member("ben", "attic").await,
        server.member("cara", "attic").await,
    ];
    let before = page(&server).await;
    for text in ["one", "two"] {
        ann.send(&json!({ "s": 0, "text": text })).await;
    }
    ann.sync(&json!({ "offset": 0 })).await;
    ann.emit("dance", &json!({}));
    let refused = ann.emit_with_ack("msg", &json!([])).await;
    assert_eq!(refused["data"], "not an object");
    stands(
        &server,
        &[
            (r#"always_online_events_total{event="authenticate",outcome="done"}"#, 3.0),
            (r#"always_online_events_total{event="join",outcome="done"}"#, 3.0),
            (r#"always_online_events_total{event="msg",outcome="done"}"#, 2.0),
            (r#"always_online_events_total{event="msg",outcome="refused"}"#, 1.0),
            (r#"always_online_events_total{event="sync",outcome="done"}"#, 1.0),
            (r#"always_online_events_total{event="other",outcome="ignored"}"#, 1.0),
            (r#"always_online_messages_total{storage="insert"}"#, 2.0),
            (r#"always_online_store_call_seconds_count{call="enter"}"#, 3.0),
            (r#"always_online_store_call_seconds_count{call="verify"}"#, 3.0),
            ("always_online_sign_in_seconds_count", 3.0),
            ("always_online_page_seconds_count", 1.0),
            ("always_online_members", 3.0),
            ("always_online_users", 3.0),
            ("always_online_rooms", 1.0),
            ("always_online_ready", 1.0),
            ("always_online_nodes", 1.0),
        ],
    )
    .await;
    let after = page(&server).await;
    let more = |series: &str| after[series] - before[series];
    // Each of the two went to two others, who were told that ann reads, too.
    assert!((4.0..=6.0).contains(&more("always_online_deliveries_total")), "{after:?}");
    assert!(more("always_online_received_bytes_total") > 0.0);
    assert!(more("always_online_sent_bytes_total") > 0.0);
    assert!(more("always_online_delivery_seconds_count") > 0.0);
    assert!(after["process_resident_memory_bytes"] > 1e6);
}

/// A limit that is reached and freed leaves no trace, and neither does a client.
#[tokio::test]
async fn nothing_is_left_of_who_has_gone() {
    let server = Setup::new().env("AO_AUTH__RATE_LIMIT", "1000 in 60s").start().await;
    let nothing = [
        ("always_online_connections", 0.0),
        (r#"always_online_clients{dialect="always_online",carrier="websocket",version="3"}"#, 0.0),
        (r#"always_online_clients{dialect="always_online",carrier="websocket",version="4"}"#, 0.0),
        (r#"always_online_clients{dialect="always_online",carrier="polling",version="4"}"#, 0.0),
        ("always_online_users", 0.0),
        ("always_online_members", 0.0),
        ("always_online_rooms", 0.0),
        ("always_online_send_queue_bytes", 0.0),
        ("always_online_poll_queue_bytes", 0.0),
        ("always_online_pending_messages", 0.0),
        ("always_online_pending_message_bytes", 0.0),
    ];
    for round in 0..3 {
        let mut members = Vec::new();
        for who in 0..8 {
            members.push(server.member(&format!("{round} {who}"), "attic").await);
        }
        for member in &members {
            member.send(&json!({ "s": 0, "text": "x".repeat(10_000) })).await;
        }
        stands(&server, &[("always_online_connections", 8.0), ("always_online_members", 8.0)])
            .await;
        for member in members {
            member.close().await;
        }
        // Somebody polls, says nothing more, and is closed as its session is deleted.
        let opened = http::get(server.websocket(), "/socket.io/?EIO=4&transport=polling").await;
        let sid = opened.body.split('"').nth(3).unwrap().to_owned();
        let session = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        http::request(server.websocket(), "POST", &session, &[], "1").await;
        stands(&server, &nothing).await;
    }
}

#[tokio::test]
async fn handshakes_are_counted_and_the_certificates_end_is_told() {
    let setup = Setup::new().under_tls("api");
    let file = setup.certificate("api").display().to_string();
    let server = setup.start().await;
    http::get(server.api(), "/livez").await;
    let stranger = std::net::TcpStream::connect(server.own_address("api")).unwrap();
    std::io::Write::write_all(&mut &stranger, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    drop(stranger);
    stands(&server, &[(r#"always_online_tls_handshakes_total{outcome="failed"}"#, 1.0)]).await;
    let page = page(&server).await;
    assert!(page[r#"always_online_tls_handshakes_total{outcome="done"}"#] >= 2.0, "{page:?}");
    assert!(page["always_online_tls_handshake_seconds_count"] >= 2.0, "{page:?}");
    let expiry =
        format!("always_online_tls_certificate_expiry_timestamp_seconds{{file=\"{file}\"}}");
    assert!(page[&expiry] > 1.7e9, "{page:?}");
}
