//! `stat`: what each node tells of itself, and to whom it is told.
use std::time::Duration;

use serde_json::{Value, json};

use super::{Node, done, everywhere, insert, problem, unique};
use support::{http, soon};

const STEP: Duration = Duration::from_millis(20);

async fn stat(node: &Node) -> Value {
    let authorization = [("authorization", &*node.authorization)];
    done(&http::request(node.api(), "GET", "/v1/stat", &authorization, "").await)
}

/// What this node says of itself, and of the others.
fn split(stat: &Value) -> (Value, Vec<Value>) {
    let nodes = stat["nodes"].as_array().unwrap();
    let (this, others): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| node["this"] == true);
    (this[0].clone(), others.into_iter().cloned().collect())
}

fn figure(node: &Value, name: &str) -> f64 {
    node[name].as_f64().unwrap_or_else(|| panic!("no {name} in {node}"))
}

#[tokio::test]
async fn each_node_counts_what_it_does() {
    everywhere(async |[here, there], store| {
        let room = unique("counted");
        let (before, _) = split(&stat(here).await);
        let mut ann = here.newcomer(&unique("ann"), &room).await;
        let _ben = here.newcomer(&unique("ben"), &room).await;
        for i in 0..5 {
            let body = json!({ "roomId": room, "message": insert(&i.to_string()) });
            here.done("publish", body).await;
            ann.until("msg").await;
        }
        let (after, _) = split(&stat(here).await);
        let grew = |name| figure(&after, name) - figure(&before, name);
        assert_eq!(grew("messages"), 5.0, "{store}");
        assert!(grew("deliveries") >= 10.0, "{store}: {after}");
        assert!(grew("latencyCount") >= 5.0 && grew("latencySum") > 0.0, "{store}: {after}");
        assert_eq!(after["draining"], false, "{store}");
        assert!(grew("bytesIn") > 0.0 && grew("bytesOut") > 0.0, "{store}: {after}");
        assert!(grew("at") >= 0.0 && grew("uptime") >= 0.0 && grew("cpu") >= 0.0, "{store}");
        assert!(figure(&after, "users") >= 2.0 && figure(&after, "rooms") >= 1.0, "{store}");
        assert!(figure(&after, "memory") > 1e6, "{store}: {after}");
        assert_eq!(after["version"], env!("CARGO_PKG_VERSION"), "{store}");

        // The other node learns it with the next sign of life.
        let known = soon("figures of the other node", async {
            loop {
                let (_, others) = split(&stat(there).await);
                let told = others.iter().find(|node| node["id"] == after["id"]).cloned();
                match told {
                    None if store == "embedded" => return None, // there is one node
                    Some(node) if node["messages"] == after["messages"] => return Some(node),
                    _ => tokio::time::sleep(STEP).await,
                }
            }
        });
        if let Some(node) = known.await {
            assert!(figure(&node, "at") > 0.0 && figure(&node, "memory") > 1e6, "{node}");
            assert_eq!(node["connections"], after["connections"], "{store}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_administrator_who_is_removed_is_one_for_a_moment_at_most() {
    let node = Node::start().await;
    let command = |arguments: &[&str]| {
        let command = node.setup().clone().args(arguments.iter().copied());
        async move { command.run().await.succeeds().trim().to_owned() }
    };
    let token = command(&["admin", "create", "ops"]).await;
    let authorization = super::basic("ops", &token);
    let asks = async || {
        let headers = [("authorization", &*authorization)];
        http::request(node.api(), "GET", "/v1/stat", &headers, "").await
    };
    done(&asks().await);
    command(&["admin", "remove", "ops"]).await;
    let refused = soon("a refusal", async {
        loop {
            let answer = asks().await;
            if answer.status != 200 {
                return answer;
            }
            tokio::time::sleep(STEP).await;
        }
    });
    assert_eq!(problem(&refused.await), (401, "unauthorized".into()));
}
