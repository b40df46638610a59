//! Nodes are killed, paused and drained: what the others' clients are told, and what is left
//! behind.
use std::collections::BTreeSet;

use redis::Value as Raw;
use serde_json::{Value, json};

use super::nodes::{STEP, ask, ends_well, eventually, member, node, readiness};
use support::{
    BOUND,
    client::{Client, Packet},
    own_redis::OwnRedis,
    server::Server,
};

/// The names of the nodes that Redis knows.
async fn names(redis: &OwnRedis) -> BTreeSet<String> {
    redis.run("ZRANGE ao:nodes 0 -1").await
}

/// Two nodes, and the second one's name.
async fn two_and_a_name(redis: &OwnRedis, lease: &str) -> ([Server; 2], String) {
    let setup = || node(&redis.url()).env("AO_STORE__LEASE", lease);
    let first = setup().start().await;
    let before = names(redis).await;
    let second = setup().start().await;
    let name = names(redis).await.difference(&before).next().expect("a second node").clone();
    ([first, second], name)
}

/// Where a name is found in Redis: in a key, or in what is below it. Publications that are kept for
/// a minute name who sent them.
async fn traces(redis: &OwnRedis, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for key in redis.run::<Vec<String>>("KEYS *").await {
        if key.starts_with("ao:replay:") {
            continue;
        }
        let kind: String = redis.send(&["TYPE", &key]).await;
        let content: Raw = match kind.as_str() {
            "none" => continue, // gone meanwhile
            "string" => redis.send(&["GET", &key]).await,
            "hash" => redis.send(&["HGETALL", &key]).await,
            "set" => redis.send(&["SMEMBERS", &key]).await,
            "zset" => redis.send(&["ZRANGE", &key, "0", "-1"]).await,
            "list" => redis.send(&["LRANGE", &key, "0", "-1"]).await,
            other => panic!("{key} is a {other}"),
        };
        if format!("{key} {content:?}").contains(name) {
            found.push(format!("{key} ({kind}): {content:?}"));
        }
    }
    found
}

async fn nothing_is_left_of(redis: &OwnRedis, name: &str) {
    let mut left = vec![];
    let gone = async {
        loop {
            left = traces(redis, name).await;
            if left.is_empty() {
                return;
            }
            tokio::time::sleep(STEP).await;
        }
    };
    let in_time = tokio::time::timeout(BOUND, gone).await.is_ok();
    assert!(in_time, "of {name} is left: {left:#?}");
}

async fn users(node: &Server, room: &str) -> Vec<String> {
    let answer = ask(node, &format!("monitor/room_users?roomId={room}")).await;
    let mut users: Vec<String> = answer["users"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| u["uid"].as_str().unwrap().to_owned())
        .collect();
    users.sort();
    users
}

async fn online(node: &Server) -> Vec<String> {
    let stat = ask(node, "monitor/stat").await;
    let mut users: Vec<String> = stat["online_users"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| u["uid"].as_str().unwrap().to_owned())
        .collect();
    users.sort();
    users
}

/// The next `count` events, which have to be of this name: who they are about.
async fn told(client: &mut Client, name: &str, count: usize) -> Vec<String> {
    let mut about = Vec::new();
    for _ in 0..count {
        about.push(client.event(name).await["uid"].as_str().unwrap().to_owned());
    }
    about.sort();
    about
}

/// Nothing else has come: what is sent after it comes next.
async fn hears_next(client: &mut Client, from: &Client, mark: &str) {
    from.send(&json!({ "s": 2, "1": mark })).await;
    assert_eq!(client.event("msg").await["1"], mark);
}

#[tokio::test]
async fn a_node_that_is_killed_leaves_no_ghosts() {
    let redis = OwnRedis::forgetful(&[]).await;
    let ([first, mut second], name) = two_and_a_name(&redis, "2s").await;
    let mut anna = member(&first, "anna", "attic").await;
    let mut cleo = member(&first, "cleo", "cellar").await;
    let mut bert = member(&second, "bert", "attic").await;
    bert.join("cellar").await; // he is in both now
    let mut dora = second.guest().await;
    dora.sign_in("dora", "any").await;
    dora.emit("join", &json!({ "roomId": "attic", "dummy": true }));
    dora.event("join").await;
    let emil = member(&second, "emil", "attic").await;
    emil.send(&json!({ "1": "hello" })).await;
    assert_eq!(told(&mut anna, "remote_join", 1).await, ["bert"]);
    assert_eq!(told(&mut anna, "remote_join", 1).await, ["emil"]);
    assert_eq!(anna.event("msg").await["1"], "hello");
    assert_eq!(told(&mut cleo, "remote_join", 1).await, ["bert"]);
    assert_eq!(online(&first).await, ["anna", "bert", "cleo", "dora", "emil"]);
    assert!(!traces(&redis, &name).await.is_empty(), "the name is known");

    second.kill_9().await;
    assert_eq!(
        told(&mut anna, "remote_disconnect", 2).await,
        ["bert", "emil"],
        "and not dora, whom nobody saw"
    );
    assert_eq!(told(&mut cleo, "remote_disconnect", 1).await, ["bert"]);
    nothing_is_left_of(&redis, &name).await;
    assert_eq!(users(&first, "attic").await, ["anna"]);
    assert_eq!(users(&first, "cellar").await, ["cleo"]);
    assert_eq!(online(&first).await, ["anna", "cleo"]);
    let mut fred = member(&first, "fred", "attic").await;
    assert_eq!(told(&mut fred, "remote_join", 1).await, ["anna"]);
    hears_next(&mut fred, &anna, "the roster has ended").await;
    assert_eq!(told(&mut anna, "remote_join", 1).await, ["fred"]);

    // It starts again, under another name; who comes there is new.
    second.restart().await;
    let mut bert = member(&second, "bert", "attic").await;
    assert_eq!(told(&mut anna, "remote_join", 1).await, ["bert"]);
    assert_eq!(told(&mut bert, "remote_join", 2).await, ["anna", "fred"]);
    hears_next(&mut bert, &anna, "again").await;
    for node in [first, second] {
        ends_well(node).await;
    }
    assert_eq!(redis.run::<Vec<String>>("KEYS ao:members:*").await, Vec::<String>::new());
    assert!(names(&redis).await.is_empty());
}

#[tokio::test]
async fn clients_of_a_node_that_stood_still_come_back_and_are_announced_again() {
    let redis = OwnRedis::forgetful(&[]).await;
    let ([first, second], name) = two_and_a_name(&redis, "2s").await;
    let mut anna = member(&first, "anna", "attic").await;
    let mut bert = member(&second, "bert", "attic").await;
    assert_eq!(told(&mut anna, "remote_join", 1).await, ["bert"]);
    assert_eq!(told(&mut bert, "remote_join", 1).await, ["anna"]);

    second.signal("STOP");
    assert_eq!(told(&mut anna, "remote_disconnect", 1).await, ["bert"]);
    assert_eq!(users(&first, "attic").await, ["anna"]);
    // What is said meanwhile, he will find in the log.
    anna.send(&json!({ "1": "meanwhile" })).await;
    second.signal("CONT");
    let rest = bert.rest().await;
    assert!(!rest.contains(&Packet::Disconnect), "he would not come back by himself: {rest:?}");

    let mut bert = member(&second, "bert", "attic").await;
    assert_eq!(told(&mut anna, "remote_join", 1).await, ["bert"]);
    assert_eq!(told(&mut bert, "remote_join", 1).await, ["anna"]);
    let page: Value = bert.sync(&json!({ "offset": "none" })).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(bert.event("sync").await, page);
    hears_next(&mut bert, &anna, "to him").await;
    hears_next(&mut anna, &bert, "from him").await;
    assert_eq!(users(&first, "attic").await, ["anna", "bert"]);
    bert.close().await;
    assert_eq!(told(&mut anna, "remote_disconnect", 1).await, ["bert"]);
    // His session ends behind his places.
    eventually("bert's end", async || online(&first).await == ["anna"]).await;
    assert_eq!(names(&redis).await.len(), 2);
    assert_eq!(
        names(&redis).await.iter().filter(|n| **n == name).count(),
        0,
        "the old name is dead"
    );
    for node in [first, second] {
        ends_well(node).await;
    }
    assert_eq!(
        redis.run::<Vec<String>>("KEYS ao:[mcade]*").await,
        Vec::<String>::new(),
        "nobody is there"
    );
}

/// Redis goes back to a moment before somebody came unseen. Nothing was told of that, so the others
/// miss nothing; but administrators would see an empty room, and its clients listen there.
#[tokio::test]
async fn a_hidden_join_that_redis_has_lost_is_made_again() {
    let mut redis = OwnRedis::forgetful(&[]).await;
    let node = node(&redis.url()).start().await;
    let mut dora = node.guest().await;
    dora.sign_in("dora", "any").await;
    redis.run::<()>("SAVE").await; // she is known, and in no room
    let hide = json!({ "roomId": "attic", "dummy": true });
    dora.emit("join", &hide);
    assert_eq!(dora.event("join").await["status"], 0);
    assert_eq!(users(&node, "attic").await, ["dora"]);

    redis.kill_9().await;
    redis.restart().await;
    let rest = dora.rest().await;
    assert!(!rest.contains(&Packet::Disconnect), "she would not come back by herself: {rest:?}");
    readiness(&node, true).await;
    let mut dora = node.guest().await;
    dora.sign_in("dora", "any").await;
    dora.emit("join", &hide);
    assert_eq!(dora.event("join").await["status"], 0);
    assert_eq!(users(&node, "attic").await, ["dora"]);
    ends_well(node).await;
}

/// With a lease of an hour, nobody can have waited for it to run out.
#[tokio::test]
async fn clients_of_a_node_that_is_drained_go_on_at_the_other() {
    let redis = OwnRedis::forgetful(&[]).await;
    let ([first, mut second], name) = two_and_a_name(&redis, "1h").await;
    let mut anna = member(&first, "anna", "attic").await;
    let mut bert = member(&second, "bert", "attic").await;
    assert_eq!(told(&mut anna, "remote_join", 1).await, ["bert"]);
    bert.send(&json!({ "1": "first" })).await;
    assert_eq!(anna.event("msg").await["1"], "first");

    assert_eq!(second.terminate().await, 0, "{}", second.stderr());
    let rest = bert.rest().await;
    assert!(!rest.contains(&Packet::Disconnect), "he would not come back by himself: {rest:?}");
    assert_eq!(told(&mut anna, "remote_disconnect", 1).await, ["bert"]);
    nothing_is_left_of(&redis, &name).await;
    let mut bert = member(&first, "bert", "attic").await;
    assert_eq!(told(&mut anna, "remote_join", 1).await, ["bert"]);
    assert_eq!(told(&mut bert, "remote_join", 1).await, ["anna"]);
    hears_next(&mut anna, &bert, "second").await;
    assert_eq!(online(&first).await, ["anna", "bert"]);
    ends_well(first).await;
}
