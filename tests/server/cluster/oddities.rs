//! What others do to the keys, and a Redis that is full or forgets: the room concerned suffers, and
//! nothing else.
use serde_json::{Value, json};

use super::nodes::{come, ends_well, eventually, member, node, readiness, two};
use support::{
    client::{Client, Packet},
    http,
    mute::Mute,
    own_redis::OwnRedis,
    server::Setup,
    stored::Stored,
};

fn impatient(redis: &OwnRedis) -> Setup {
    node(&redis.url()).env("AO_STORE__PATIENCE", "1s")
}

fn refused() -> Value {
    json!({ "status": 1, "data": "store unavailable" })
}

async fn ids(reader: &mut Client) -> Vec<Value> {
    Stored::walk(reader, false).await.inserts.into_iter().map(|m| m["1"].clone()).collect()
}

#[tokio::test]
async fn a_key_of_a_wrong_type_harms_its_room_only() {
    let redis = OwnRedis::forgetful(&[]).await;
    let nodes = two(|| impatient(&redis)).await;
    redis.run::<()>("SET msg_bad_insert text").await;
    redis.run::<()>("SET msg_worse_update text").await;
    let anna = member(&nodes[0], "anna", "bad").await;
    let mut reader = member(&nodes[0], "reader", "bad").await;
    let bert = member(&nodes[0], "bert", "worse").await;
    let mut cleo = member(&nodes[1], "cleo", "worse").await;
    let dora = member(&nodes[0], "dora", "good").await;
    let mut emil = member(&nodes[1], "emil", "good").await;

    assert_eq!(anna.emit_with_ack("msg", &json!({ "1": "insert" })).await, refused());
    assert_eq!(bert.emit_with_ack("msg", &json!({ "s": 1, "1": "update" })).await, refused());
    // In these rooms too, what the broken key is not needed for goes on.
    anna.send(&json!({ "s": 2, "1": "ignore" })).await;
    anna.send(&json!({ "s": 1, "1": "update" })).await;
    bert.send(&json!({ "s": 0, "1": "insert" })).await;
    assert_eq!(cleo.until("msg").await["1"], "insert");
    dora.send(&json!({ "1": "unharmed" })).await;
    assert_eq!(emil.until("msg").await["1"], "unharmed");

    // A page that can't be read: its client is dropped, without a DISCONNECT, and nobody else.
    for client in [&mut reader, &mut cleo] {
        client.emit("sync", &json!({ "offset": 0 }));
        let rest = client.rest().await;
        assert!(
            !rest.iter().any(|p| matches!(p, Packet::Disconnect)
                || matches!(p, Packet::Event(name, _) if name == "sync")),
            "{rest:?}"
        );
    }
    anna.send(&json!({ "s": 2, "1": "still there" })).await;
    bert.send(&json!({ "s": 2, "1": "still there" })).await;
    assert_eq!(ids(&mut emil).await, ["unharmed"]);

    redis.run::<()>("DEL msg_bad_insert").await;
    anna.send(&json!({ "1": "mended" })).await;
    assert_eq!(ids(&mut member(&nodes[1], "reader", "bad").await).await, ["mended"]);
    for node in nodes {
        readiness(&node, true).await;
        ends_well(node).await;
    }
}

/// What is broken for all is told to those who send newcomers, and in the log by its name; it is
/// over when it is mended.
#[tokio::test]
async fn a_node_is_not_ready_while_a_key_that_all_need_has_a_wrong_type() {
    let redis = OwnRedis::forgetful(&[]).await;
    let mut node = impatient(&redis).start().await;
    let anna = member(&node, "anna", "attic").await;
    for key in ["ao:sessions", "ao:rooms", "ao:stats", "ao:dead", "ao:user_auth", "ao:nodes"] {
        redis.send::<()>(&["DEL", key]).await;
        redis.send::<()>(&["XADD", key, "*", "a", "b"]).await;
        readiness(&node, false).await;
        node.logs(&format!("{key} is a stream")).await;
        redis.send::<()>(&["DEL", key]).await;
        readiness(&node, true).await;
    }
    drop(anna);
    come(node.websocket(), "bert", "attic").await;
    ends_well(node).await;
}

#[tokio::test]
async fn entries_that_cannot_be_read_have_a_place_but_are_not_shown() {
    let redis = OwnRedis::forgetful(&[]).await;
    let nodes = two(|| impatient(&redis)).await;
    let anna = member(&nodes[0], "anna", "attic").await;
    anna.send(&json!({ "1": "first" })).await;
    for entry in ["no json", "{\"ts\":1}", "[]", "", "\u{0}", "{\"data\":{\"1\":\"cut"] {
        redis.send::<()>(&["RPUSH", "msg_attic_insert", entry]).await;
    }
    redis.send::<()>(&["HSET", "msg_attic_update", "x", "no json"]).await;
    anna.send(&json!({ "1": "last" })).await;
    for node in &nodes {
        let reader = member(node, "reader", "attic").await;
        let page = reader.sync(&json!({ "offset": 0 })).await;
        let shown: Vec<&Value> = page["data"].as_array().unwrap().iter().map(|m| &m["1"]).collect();
        assert_eq!(shown, ["first", "last"], "{page}");
        assert_eq!((&page["offset"], &page["next"]), (&json!(9), &json!(0)), "{page}");
        let page = reader.sync(&json!({ "offset": 7 })).await;
        assert_eq!(page["data"].as_array().unwrap().len(), 1, "{page}");
    }
    for node in nodes {
        ends_well(node).await;
    }
}

#[tokio::test]
async fn a_redis_that_is_full_refuses_and_works_again() {
    let redis = OwnRedis::forgetful(&["--maxmemory-policy", "noeviction"]).await;
    let nodes = two(|| impatient(&redis)).await;
    let anna = member(&nodes[0], "anna", "attic").await;
    let mut bert = member(&nodes[1], "bert", "attic").await;
    anna.send(&json!({ "1": "before" })).await;
    redis.run::<()>("CONFIG SET maxmemory 1").await;
    for number in 0..3 {
        assert_eq!(
            anna.emit_with_ack("msg", &json!({ "s": number % 2, "1": number })).await,
            refused()
        );
    }
    for node in &nodes {
        eventually("a refusal of newcomers", async || {
            http::get(node.websocket(), "/readyz").await.json()
                == json!({ "status": "store not writable" })
        })
        .await;
    }
    // Longer than a lease: nobody is taken for dead, for nobody could say so.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    redis.run::<()>("CONFIG SET maxmemory 0").await;
    anna.send(&json!({ "1": "after" })).await;
    let mut shown = Vec::new();
    while shown.last() != Some(&json!("after")) {
        match bert.next().await {
            Packet::Event(name, message) if name == "msg" => shown.push(message["1"].clone()),
            Packet::Event(name, _) if name == "remote_join" => {}
            other => panic!("{other:?} was told to bert"),
        }
    }
    assert_eq!(shown, ["before", "after"]);
    for node in &nodes {
        readiness(node, true).await;
        assert_eq!(ids(&mut member(node, "reader", "attic").await).await, ["before", "after"]);
    }
    for node in nodes {
        ends_well(node).await;
    }
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_begins_anew() {
    let mut redis = OwnRedis::forgetful(&[]).await;
    let nodes = two(|| impatient(&redis)).await;
    let [first, second] = [nodes[0].websocket(), nodes[1].websocket()];
    let anna = member(&nodes[0], "anna", "attic").await;
    let bert = member(&nodes[1], "bert", "attic").await;
    let mut readers = [
        member(&nodes[0], "reader 0", "attic").await,
        member(&nodes[1], "reader 1", "attic").await,
    ];
    for number in 0..450 {
        let from = if number % 2 == 0 { &anna } else { &bert };
        from.send(&json!({ "1": number })).await;
    }
    // Pages are in memory now.
    for reader in &mut readers {
        assert_eq!(ids(reader).await.len(), 450);
    }

    redis.kill_9().await;
    for node in &nodes {
        readiness(node, false).await;
    }
    redis.restart().await;
    for node in &nodes {
        readiness(node, true).await;
    }
    // Who was there is dropped, as what is gone can't be told: or stays, and then hears what is
    // new.
    let mut mallory = come(first, "mallory", "attic").await;
    mallory.send(&json!({ "1": "new" })).await;
    for (reader, address) in readers.iter_mut().zip([first, second]) {
        let mut last = None;
        loop {
            match reader.next().await {
                Packet::Event(name, message) if name == "msg" && message["1"] == "new" => break,
                Packet::Event(name, message) if name == "msg" => {
                    assert!(message["1"].as_u64() > last, "{message} after {last:?}");
                    last = message["1"].as_u64();
                }
                Packet::Event(name, about) => assert!(
                    !name.starts_with("remote_disc") && name != "remote_leave",
                    "{name} {about}"
                ),
                Packet::Closed => {
                    *reader = come(address, "comes back", "attic").await;
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(ids(reader).await, ["new"], "nothing old is shown from memory");
    }
    assert_eq!(ids(&mut mallory).await, ["new"]);
    // Presence goes on as well: who comes now is announced on both nodes, and who goes.
    let mut zoe = come(second, "zoe", "attic").await;
    zoe.send(&json!({ "1": "newer" })).await;
    eventually("zoe in the log", async || ids(&mut mallory).await.contains(&json!("newer"))).await;
    assert_eq!(ids(&mut zoe).await, ["new", "newer"]);
    for node in nodes {
        ends_well(node).await;
    }
}

/// The connection on which a node listens is half open: it hears nothing, and does not know.
/// Another node clears a room.
#[tokio::test]
async fn what_another_node_has_cleared_is_not_shown_from_memory_by_one_that_hears_nothing() {
    let redis = OwnRedis::forgetful(&[]).await;
    let way = Mute::before(redis.address()).await;
    // So long that the silence is not noticed in this test.
    let deaf =
        node(&format!("redis://{}/0", way.address)).env("AO_STORE__LEASE", "1h").start().await;
    let near = node(&redis.url()).env("AO_STORE__LEASE", "1h").start().await;
    let anna = member(&near, "anna", "attic").await;
    for number in 0..250 {
        anna.emit("msg", &json!({ "1": number }));
    }
    anna.send(&json!({ "1": "last" })).await;
    let mut reader = member(&deaf, "reader", "attic").await;
    assert_eq!(ids(&mut reader).await.len(), 251);

    way.mute_listeners();
    let (uid, token) = near.admin();
    let path = format!("/admin/system/clear_room_msgs?uid={uid}&token={token}");
    let cleared = http::post(near.websocket(), &path, &json!({ "roomId": "attic" })).await;
    assert_eq!(cleared.json()["meta"]["status"], 0);
    assert_eq!(ids(&mut reader).await, [json!(null); 0], "nothing of what was cleared");
    // As long as before, and another log.
    for number in 1000..1250 {
        anna.emit("msg", &json!({ "1": number }));
    }
    anna.send(&json!({ "1": "last" })).await;
    for _ in 0..2 {
        assert_eq!(ids(&mut reader).await[..2], [json!(1000), json!(1001)]);
    }
    way.cut();
    for node in [deaf, near] {
        ends_well(node).await;
    }
}
