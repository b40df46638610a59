//! Two nodes on one Redis are one server.
use super::client::{
    Client, Got, ack, ask, groups, high, history, place, post, recalled, setup, unharmed, uuid,
};
use support::{http, own_redis::OwnRedis, server::Server, soon, wire::socket::Socket};
use tokio_tungstenite::tungstenite::Error;

async fn two(redis: &OwnRedis) -> [Server; 2] {
    let node = || setup().env("AO_STORE__MESSAGES", redis.url()).env("AO_STORE__LEASE", "2s");
    let (a, b) = tokio::join!(node().start(), node().start());
    [a, b]
}

#[tokio::test]
async fn members_on_two_nodes_are_in_one_room() {
    let redis = OwnRedis::forgetful(&[]).await;
    let nodes = two(&redis).await;
    let [a, b] = [place(&nodes[0]), place(&nodes[1])];
    let mut ann = Client::join(a, "/one").await;
    let mut ben = Client::join(b, "/one").await;
    let mut cleo = Client::join(b, "/one").await;
    let message = high("u1", "x");
    ann.store(&message).await;
    for member in [&mut ben, &mut cleo] {
        member.expect(&message).await;
    }
    ben.send("low").await;
    ann.expect("low").await;
    cleo.expect("low").await;
    ben.send_binary(b"\xff\x00\r\n\xfe").await;
    assert_eq!(ann.next().await, Got::Binary(b"\xff\x00\r\n\xfe".to_vec()));
    assert_eq!(cleo.next().await, Got::Binary(b"\xff\x00\r\n\xfe".to_vec()));
    post(b, "/one", "by HTTP").await;
    for member in [&mut ann, &mut ben, &mut cleo] {
        member.expect("by HTTP").await;
    }
    // A uuid is known on both.
    ben.store(&message).await;
    assert_eq!(post(b, "/one", &message).await.status, 200);
    // The same history, the same recall, told on both.
    for node in [a, b] {
        assert_eq!(history(node, "/one", "").await, [message.as_str()]);
    }
    let found = ask(b, "/__/cancel?groupName=/one&uuid=u1").await.body;
    assert!(found.contains("uuid found"), "{found}");
    for member in [&mut ann, &mut ben, &mut cleo] {
        member.expect(&recalled("u1")).await;
    }
    assert_eq!(ask(a, "/__/cancel?groupName=/one&uuid=u1").await.body, found);
    ann.store(&message).await;
    for node in [a, b] {
        assert_eq!(history(node, "/one", "").await, Vec::<String>::new());
    }
    ann.has_heard_nothing().await;
    for node in &nodes {
        unharmed(node).await;
    }
}

#[tokio::test]
async fn both_nodes_list_the_rooms_of_both() {
    let redis = OwnRedis::forgetful(&[]).await;
    let [mut a, b] = two(&redis).await;
    let _ann = Client::join(place(&a), "/on-a").await;
    let ben = Client::join(place(&b), "/on-b").await;
    let mut cleo = Client::join(place(&b), "/stays").await;
    for node in [&a, &b] {
        assert_eq!(groups(place(node)).await, ["/on-a", "/on-b", "/stays"]);
    }
    drop(ben);
    let only = async |wanted: &[&str], marker: &mut Client| {
        soon(format!("{wanted:?}"), async {
            while groups(place(&b)).await != wanted {
                marker.has_heard_nothing().await;
            }
        })
        .await;
    };
    only(&["/on-a", "/stays"], &mut cleo).await;
    // A node that dies leaves nobody behind.
    a.kill_9().await;
    only(&["/stays"], &mut cleo).await;
}

/// Senders on both nodes, resending as clients do: one order, each uuid once, on both.
#[tokio::test]
async fn two_nodes_have_one_order() {
    const EACH: usize = 200;
    let redis = OwnRedis::forgetful(&[]).await;
    let nodes = two(&redis).await;
    let mut listeners = Vec::new();
    for node in &nodes {
        listeners.push(Client::join(place(node), "/order").await);
    }
    let mut senders = Vec::new();
    for (name, node) in [("a", 0), ("b", 1), ("a", 1), ("b", 0)] {
        let mut sender = Client::join(place(&nodes[node]), "/order").await;
        senders.push(tokio::spawn(async move {
            sender.send_all((0..EACH).map(|n| high(&format!("{name}{n:03}"), "x"))).await;
            for n in 0..EACH {
                let own = ack(&format!("{name}{n:03}"));
                while sender.text().await != own {}
            }
        }));
    }
    let mut orders = Vec::new();
    for listener in &mut listeners {
        let mut heard = Vec::new();
        for _ in 0..2 * EACH {
            heard.push(listener.text().await);
        }
        orders.push(heard);
    }
    for sender in senders {
        sender.await.unwrap();
    }
    assert_eq!(orders[0], orders[1]);
    let mut history = history(place(&nodes[0]), "/order", "").await;
    history.reverse();
    assert_eq!(orders[0], history, "and nothing twice");
    let [one, other] = &mut listeners[..] else { panic!("two") };
    one.send("the end").await;
    other.expect("the end").await;
    other.send("the end").await;
    one.expect("the end").await;
}

/// What a node has accepted another one has after the first is killed; so with what is recalled.
#[tokio::test]
async fn what_one_node_acknowledged_the_other_has() {
    let redis = OwnRedis::forgetful(&[]).await;
    let [mut a, b] = two(&redis).await;
    let mut ann = Client::join(place(&a), "/last").await;
    for n in 0..50 {
        ann.store(&high(&format!("n{n}"), "x")).await;
    }
    ask(place(&a), "/__/cancel?groupName=/last&uuid=n49").await;
    a.kill_9().await;
    let stored = history(place(&b), "/last", "").await;
    assert_eq!((stored.len(), &stored[0]), (49, &high("n48", "x")));
    let mut ben = Client::join(place(&b), "/last").await;
    ben.store(&high("n48", "again")).await;
    ben.store(&high("n49", "again")).await;
    assert_eq!(history(place(&b), "/last", "").await, stored);
    // Times to live hold for all nodes.
    ask(place(&b), "/__/ttl?groupName=/last&ttl=1").await;
    soon("the end of the history", async {
        while !history(place(&b), "/last", "").await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    let fresh = high(&uuid(), "fresh");
    ben.store(&fresh).await;
    assert_eq!(history(place(&b), "/last", "").await, [fresh]);
}

/// The connections that Redis knows.
async fn noted(redis: &OwnRedis) -> Vec<String> {
    let mut noted = Vec::new();
    for key in redis.run::<Vec<String>>("KEYS ao:conns:*").await {
        noted.extend(redis.send::<Vec<String>>(&["SMEMBERS", &key]).await);
    }
    noted
}

async fn until_noted(redis: &OwnRedis, count: usize) {
    soon(format!("{count} noted"), async {
        while noted(redis).await.len() != count {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_is_left_in_redis_of_a_connection_that_has_ended() {
    let redis = OwnRedis::forgetful(&[]).await;
    let node = setup().env("AO_STORE__MESSAGES", redis.url()).start().await;
    let address = place(&node);
    for _ in 0..3 {
        let ann = Client::join(address, "/left").await;
        let mut ben = Client::join(address, "/").await;
        assert_eq!(noted(&redis).await.len(), 1, "who waits at / is nowhere");
        ben.send("join:/left").await;
        until_noted(&redis, 2).await;
        drop(ben);
        until_noted(&redis, 1).await;
        drop(ann);
        until_noted(&redis, 0).await;
    }
    assert_eq!(redis.run::<Vec<String>>("KEYS ao:[ma][et]*").await, Vec::<String>::new());
    unharmed(&node).await;
}

/// A Redis that kept everything: nobody has to come back. One that forgot everything: all have to,
/// whether it has started again or not.
#[tokio::test]
async fn who_is_in_a_room_is_listed_there_or_comes_back() {
    let mut redis = OwnRedis::durable().await;
    let node = setup()
        .env("AO_STORE__MESSAGES", redis.url())
        .env("AO_STORE__DEADLINE", "500ms")
        .env("AO_STORE__PATIENCE", "200ms")
        .env("AO_STORE__LEASE", "2s")
        .start()
        .await;
    let address = place(&node);
    let mut ann = Client::join(address, "/kept").await;
    redis.kill_9().await;
    redis.restart().await;
    // Longer than the node takes to compare notes with Redis.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert_eq!(groups(address).await, ["/kept"]);
    ann.has_heard_nothing().await;

    redis.run::<()>("FLUSHALL").await;
    while !matches!(ann.next().await, Got::End(_)) {}
    soon("a place for who comes back", async {
        while Socket::upgrade(address, "/kept", &[]).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    let mut ann = Client::join(address, "/kept").await;
    ann.has_heard_nothing().await;
    soon("the list", async { while groups(address).await != ["/kept"] {} }).await;
    unharmed(&node).await;

    let mut redis = OwnRedis::forgetful(&[]).await;
    let node = setup().env("AO_STORE__MESSAGES", redis.url()).start().await;
    let mut ann = Client::join(place(&node), "/forgotten").await;
    redis.kill_9().await;
    redis.restart().await;
    while !matches!(ann.next().await, Got::End(_)) {}
    unharmed(&node).await;
}

/// What is not acknowledged the client sends again, so nothing is lost, and nothing comes twice.
#[tokio::test]
async fn while_the_store_is_out_nobody_is_told_that_anything_worked() {
    let mut redis = OwnRedis::durable().await;
    let node = setup()
        .env("AO_STORE__MESSAGES", redis.url())
        .env("AO_STORE__DEADLINE", "2s")
        .env("AO_STORE__PATIENCE", "1s")
        .start()
        .await;
    let address = place(&node);
    let mut ann = Client::join(address, "/out").await;
    let mut ben = Client::join(address, "/out").await;
    ann.has_heard_nothing().await;
    ben.text().await;
    redis.kill_9().await;
    let lost = high("lost", "x");
    ann.send(&lost).await;
    assert_eq!(post(address, "/out", &high("by HTTP", "x")).await.status, 503);
    assert_eq!(post(address, "/out", "low level").await.status, 503);
    assert_eq!(ask(address, "/__/history?groupName=/out").await.status, 503);
    match Socket::upgrade(address, "/out", &[]).await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), 503),
        other => panic!("no refusal: {:?}", other.map(drop)),
    }
    redis.restart().await;
    soon("readiness", async {
        while http::get(address, "/readyz").await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    ann.store(&lost).await;
    ben.expect(&lost).await;
    ann.store(&lost).await;
    assert_eq!(history(address, "/out", "&size=1").await, [lost]);
    let mut cleo = Client::join(address, "/out").await;
    cleo.has_heard_nothing().await;
    ann.text().await;
    unharmed(&node).await;
}

/// What is not stored waits behind what is, and is not lost to other nodes.
#[tokio::test]
async fn while_the_store_is_out_a_senders_order_is_kept_on_all_nodes() {
    let redis = OwnRedis::forgetful(&[]).await;
    let node = || setup().env("AO_STORE__MESSAGES", redis.url()).env("AO_STORE__DEADLINE", "15s");
    let (a, b) = tokio::join!(node().start(), node().start());
    let mut ann = Client::join(place(&a), "/paused").await;
    let mut ben = Client::join(place(&a), "/paused").await;
    let mut cleo = Client::join(place(&b), "/paused").await;
    let mut clock = Client::join(place(&a), "/timer").await;
    redis.pause();
    let (first, last) = (high("first", "x"), high("last", "x"));
    ann.send(&first).await;
    a_while(&mut clock).await;
    ann.send("low level").await;
    ann.send(&last).await;
    a_while(&mut clock).await;
    redis.resume();
    for member in [&mut ben, &mut cleo] {
        for text in [first.as_str(), "low level", &last] {
            member.expect(text).await;
        }
    }
    for uuid in ["first", "last"] {
        ann.expect(&ack(uuid)).await;
    }
    unharmed(&a).await;
    unharmed(&b).await;
}

/// A second at least, told by a client of `/timer`: longer than a store may take.
async fn a_while(clock: &mut Client) {
    for _ in 0..2 {
        clock.text().await;
    }
}

/// What waits for the store is bounded for each client: nothing more is read from it, not even what
/// ends its connection.
#[tokio::test]
async fn who_has_much_in_flight_is_not_read() {
    const MANY: usize = 300;
    let redis = OwnRedis::forgetful(&[]).await;
    let node = setup().env("AO_STORE__MESSAGES", redis.url()).env("AO_STORE__DEADLINE", "15s");
    let node = node.start().await;
    let address = place(&node);
    let mut ann = Client::join(address, "/held").await;
    let mut cleo = Client::join(address, "/held").await;
    let mut clock = Client::join(address, "/timer").await;
    redis.pause();
    let stored: Vec<String> = (0..MANY).map(|n| high(&format!("n{n}"), "x")).collect();
    let too_large = "x".repeat(40_000);
    ann.send_all(stored.iter().cloned().chain([too_large])).await;
    a_while(&mut clock).await;
    redis.resume();
    // It is read again when half of what it may have in flight is left.
    let mut acked = 0;
    let end = loop {
        match ann.next().await {
            Got::Text(text) => assert_eq!(text, ack(&format!("n{acked}"))),
            end => break end,
        }
        acked += 1;
    };
    assert_eq!(end, Got::End(Some(1009)));
    assert!(acked >= 128, "{acked}");
    for text in &stored[..acked] {
        cleo.expect(text).await;
    }
    unharmed(&node).await;
}
