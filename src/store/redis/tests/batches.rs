//! Batches on their way to Redis: sent again, too late, and remembered for as long as that may be.
use redis::Commands;

use super::{Keys, Options, Redis, cluster::until};
use crate::store::contract::witness::*;

#[tokio::test]
async fn a_batch_that_is_sent_again_is_not_applied_again() {
    let keys = Keys::new();
    let node = keys.node().await;
    let (broker, room) = (node.broker(), room("class"));
    let live = node.client.live().unwrap();
    let once = with_receipt(receipt("k", 1, "note"), insert("once"));
    let batch = super::super::wire::Batch::encode(&[once, ignore("too")]);
    let send = async |number: u64| {
        let arguments = node
            .arguments(&node.node(), &live, None)
            .text(room.as_str())
            .number(number)
            .text(&batch.meta)
            .number(0)
            .number(0)
            .number(9)
            .number(9);
        let arguments = arguments.text(&batch.kinds).bytes(batch.once.as_bytes());
        let arguments = arguments.bodies(batch.parts.clone());
        node.client
            .run(&live, super::super::Script::Publish, &arguments, node.deadline())
            .await
            .unwrap()
    };
    let first = send(5).await;
    assert_eq!(send(5).await, first, "the same answer");
    // Redis has started again between the two, and has what it had.
    redis::cmd("HSET")
        .arg(keys.key(&format!("ao:seq:{room}")))
        .arg("run")
        .arg("another")
        .exec(&mut keys.connection())
        .unwrap();
    send(5).await;
    assert_eq!(log(&broker, &room).await, ["once"]);
    // Another batch: it is seen that some of it was done before, and nothing is.
    assert!(matches!(send(6).await, redis::Value::Array(kept) if kept.len() == 3));
    assert_eq!(log(&broker, &room).await, ["once"]);
    let _: () = keys.connection().del(keys.key("ao:receipt:k")).unwrap();
    assert_ne!(send(6).await, first);
    assert_eq!(log(&broker, &room).await, ["once", "once"]);
}

/// The rooms in which a node's last batch is known.
fn remembered(keys: &Keys, node: &str) -> Vec<String> {
    let mut redis = keys.connection();
    let counters = keys.all().into_iter().filter(|key| key.starts_with("ao:seq:"));
    counters.filter(|key| redis.hexists(keys.key(key), format!("b:{node}")).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_remembered_no_longer_than_they_may_be_sent_again() {
    let keys = Keys::new();
    let short = || Options { lease: std::time::Duration::from_millis(1500), ..keys.options() };
    let (node, other) = (Redis::open(short()).await.unwrap(), Redis::open(short()).await.unwrap());
    let name = node.node();
    let (used, left, elsewhere) = (room("used"), room("left"), room("elsewhere"));
    for room in [&used, &left] {
        node.broker().attach(room).await.unwrap();
        publish(&node.broker(), room, [insert("1")]).await;
    }
    publish(&node.broker(), &elsewhere, [insert("1")]).await;
    until("it is forgotten where nobody of this node is", || remembered(&keys, &name).len() == 2)
        .await;

    // A room that is left is forgotten, but not what is sent there by who has come again meanwhile.
    let below = node.batches.load(std::sync::atomic::Ordering::Relaxed);
    publish(&node.broker(), &used, [insert("2")]).await;
    node.forget(vec![used.clone(), left.clone()], below).await;
    assert_eq!(remembered(&keys, &name), [format!("ao:seq:{used}")]);

    // Of a node that is killed nothing stays, not even where it had nobody.
    publish(&node.broker(), &left, [insert("2")]).await;
    node.ended.cancel();
    let gone = async {
        while !remembered(&keys, &name).is_empty()
            || keys.all().iter().any(|key| key.contains(&*name))
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), gone)
        .await
        .expect("what a dead node had sent is forgotten");
    // One that ends in order forgets by itself.
    other.broker().attach(&used).await.unwrap();
    publish(&other.broker(), &used, [insert("3")]).await;
    assert_eq!(remembered(&keys, &other.node()).len(), 1);
    other.broker().close().await;
    assert_eq!(remembered(&keys, &other.node()).len(), 0);
    assert!(
        !keys.all().contains(&"ao:dead".to_owned()),
        "there is nothing to reap: {:?}",
        keys.all()
    );
}

/// Between the two nothing could be told from a batch that has not come yet, and one that is sent
/// again would be stored twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_is_taken_out_before_its_batches_are_forgotten() {
    let keys = Keys::new();
    let (node, room) = (keys.node().await, room("class"));
    let (broker, name) = (node.broker(), node.node());
    broker.attach(&room).await.unwrap();
    publish(&broker, &room, [insert("1")]).await;

    let mut monitor = keys.connection();
    monitor.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    redis::cmd("MONITOR").exec(&mut monitor).unwrap();
    broker.close().await;
    let end = keys.key("that is all");
    redis::cmd("ECHO").arg(&end).exec(&mut keys.connection()).unwrap();
    let mut done = Vec::new();
    while !done.last().is_some_and(|line: &String| line.contains(&end)) {
        done.push(format!("{:?}", monitor.recv_response().unwrap()).replace('\\', ""));
    }
    let place = |words: [&str; 3]| {
        let words = words.map(|word| format!("\"{word}\"")).join(" ");
        done.iter().position(|line| line.contains(&words)).expect(&words)
    };
    let out = place(["ZREM", &keys.key("ao:nodes"), &name]);
    let forgotten = place(["HDEL", &keys.key(&format!("ao:seq:{room}")), &format!("b:{name}")]);
    assert!(out < forgotten, "{done:#?}");
}

#[tokio::test]
async fn nothing_is_done_after_the_caller_gave_up() {
    let keys = Keys::new();
    let node = keys.node().await;
    let room = room("class");
    let live = node.client.live().unwrap();
    let batch = super::super::wire::Batch::encode(&[insert("late")]);
    let past = node.client.redis_ms(tokio::time::Instant::now()) - 1000;
    let arguments =
        super::super::Arguments::new(&keys.prefix, &node.channels, &node.node(), &live.run, past);
    let arguments = arguments
        .text(room.as_str())
        .number(1)
        .text(&batch.meta)
        .number(0)
        .number(0)
        .number(9)
        .number(9)
        .text(&batch.kinds)
        .text("")
        .bodies(batch.parts.clone());
    let answer =
        node.client.run(&live, super::super::Script::Publish, &arguments, node.deadline()).await;
    assert!(matches!(answer, Err(super::super::Failure::Expired)), "{answer:?}");
    assert_eq!(log(&node.broker(), &room).await, [""; 0]);
}

#[tokio::test]
async fn scripts_that_redis_has_forgotten_are_loaded_again() {
    let keys = Keys::new();
    let broker = keys.node().await.broker();
    let room = room("class");
    redis::cmd("SCRIPT").arg("FLUSH").exec(&mut keys.connection()).unwrap();
    publish(&broker, &room, [insert("1")]).await;
    assert_eq!(log(&broker, &room).await, ["1"]);
}
