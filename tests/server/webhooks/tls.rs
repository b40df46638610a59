//! Webhooks under TLS, to an endpoint whose certificate is of an authority that no browser knows.
use support::tls;

use super::*;

/// Requests that ended so.
async fn attempts(server: &Server, outcome: &str) -> u64 {
    let name = format!(r#"webhook_attempts_total{{endpoint="main",outcome="{outcome}"}} "#);
    let metrics = http::get(server.api(), "/metrics").await.body;
    let value = metrics.lines().find_map(|line| line.split_once(&name));
    value.map_or(0, |(_, value)| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_of_a_private_authority_is_told_where_that_is_named_and_waited_for_else() {
    let setup = Setup::new();
    let [authority, certificate, key] =
        ["authority.pem", "certificate.pem", "key.pem"].map(|name| setup.scratch().join(name));
    tls::issue_by_authority(&authority, &certificate, &key);
    let receiver = Receiver::under_tls(&certificate, &key, |_| ok()).await;
    let setup = setup
        .env("AO_WEBHOOK__URL", receiver.url())
        .env("AO_WEBHOOK__SECRET", SECRET)
        .env("AO_WEBHOOK__EVENTS", "message.inserted")
        .env("AO_AUTH__IGNORE", "true");

    let mut server = setup.start().await;
    let ann = member(&server, "ann", "lesson").await;
    ann.send(&json!({ "text": "hello" })).await;
    let refused_twice = async {
        while attempts(&server, "tls").await < 2 {
            tokio::time::sleep(STEP).await;
        }
    };
    soon("two attempts", refused_twice).await;
    assert_eq!(attempts(&server, "delivered").await, 0);
    assert!(receiver.requests().is_empty(), "nothing is said to a stranger");
    assert_eq!(server.terminate().await, 0);

    server.reconfigure("AO_WEBHOOK__CA", authority.to_str().unwrap());
    server.restart().await;
    let told = receiver.wait_for(1).await;
    assert_eq!(told[0].json()["data"]["events"][0]["message"]["text"], "hello");
    assert_eq!(told[0].header("webhook-signature"), Some(&*signature(SECRET, &told[0])));
    soon("its count", async {
        while attempts(&server, "delivered").await == 0 {
            tokio::time::sleep(STEP).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_file_of_authorities_that_can_not_be_used_is_named_before_the_start() {
    let setup = Setup::new()
        .env("AO_WEBHOOK__URL", "https://127.0.0.1:9/")
        .env("AO_WEBHOOK__SECRET", SECRET)
        .env("AO_WEBHOOK__CA", "missing.pem");
    setup.clone().args(["check-config"]).run().await.fails(2, &["missing.pem"]);
    setup.run().await.fails(2, &["missing.pem"]);
}
