//! Redis is killed or paused under load.
use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::oneshot, time::sleep};

use super::{
    load::{Load, Outcome, number},
    nodes::{STEP, come, ends_well, member, node, readiness, two},
};
use support::{
    client::{Client, Packet},
    own_redis::OwnRedis,
    server::Setup,
    wire::{POLLING_3, peer::Peer},
};

/// Gives up soon, so that a test sees it.
fn hasty(redis: &OwnRedis) -> Setup {
    node(&redis.url()).env("AO_STORE__DEADLINE", "2s").env("AO_STORE__PATIENCE", "1s")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_again_and_again_loses_doubles_and_reorders_nothing() {
    let mut redis = OwnRedis::durable().await;
    let nodes = two(|| hasty(&redis)).await;
    let load = Load::begin(&nodes).await;
    for round in 0..8 {
        load.goes_on(300).await;
        redis.kill_9().await;
        // Now and then it is out for longer than senders are made to wait, and than a lease.
        if round % 4 == 3 {
            for node in &nodes {
                readiness(node, false).await;
            }
            sleep(Duration::from_secs(4)).await;
        }
        redis.restart().await;
        for node in &nodes {
            readiness(node, true).await;
        }
    }
    load.goes_on(300).await;
    let traffic = load.end().await;
    traffic.is_kept(&nodes).await;
    traffic.nobody_went();
    assert!(
        traffic.count(Outcome::Unavailable) + traffic.count(Outcome::Unknown) > 0,
        "the outages were not noticed"
    );
    for node in nodes {
        ends_well(node).await;
    }
}

/// Sends messages that are not to be stored, until it is told to stop.
async fn whisper(client: Client, mut stop: oneshot::Receiver<()>) -> Client {
    for number in 0_u64.. {
        client.emit("msg", &json!({ "s": 2, "number": number }));
        sleep(STEP).await;
        if stop.try_recv().is_ok() {
            break;
        }
    }
    client
}

/// What somebody hears of whispers: each of them once, in their order. But Redis may be half way
/// through one when it is stopped: that one comes when Redis goes on, behind those that went around
/// it meanwhile.
#[derive(Default)]
struct Whispers {
    heard: HashSet<u64>,
    last: u64,
    late: usize,
}

impl Whispers {
    /// The next message; nothing else may come before it.
    async fn next(&mut self, client: &mut Client) {
        let message = client.event("msg").await;
        self.hear(&message);
    }

    fn hear(&mut self, message: &Value) {
        let number = number(message);
        assert!(self.heard.insert(number), "{number} came twice");
        self.late += usize::from(number < self.last);
        self.last = self.last.max(number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stands_still_costs_nobody_its_place_and_nothing_comes_twice() {
    let redis = OwnRedis::forgetful(&[]).await;
    let nodes = two(|| hasty(&redis)).await;
    let load = Load::begin(&nodes).await;
    let mut bert = member(&nodes[0], "bert", "whispers").await;
    let anna = member(&nodes[0], "anna", "whispers").await;
    assert_eq!(bert.event("remote_join").await, json!({ "uid": "anna" }));
    let (stop, stopped) = oneshot::channel();
    let whispering = tokio::spawn(whisper(anna, stopped));
    let mut whispers = Whispers::default();
    whispers.next(&mut bert).await;

    // Shorter than a lease, longer than one, and much longer.
    let pauses = [1, 3, 7];
    for seconds in pauses {
        load.goes_on(300).await;
        redis.pause();
        sleep(Duration::from_secs(seconds)).await;
        if seconds == 7 {
            for node in &nodes {
                readiness(node, false).await;
            }
            // What is heard from now on, was said while it stood still: members of one node hear
            // each other.
            while let Some(packet) = bert.arrived() {
                let Packet::Event(name, message) = packet else { panic!("{packet:?}") };
                assert_eq!(name, "msg", "{message}");
                whispers.hear(&message);
            }
            for _ in 0..20 {
                whispers.next(&mut bert).await;
            }
        }
        redis.resume();
        for node in &nodes {
            readiness(node, true).await;
        }
    }
    load.goes_on(300).await;
    stop.send(()).unwrap();
    let anna = whispering.await.unwrap();
    anna.send(&json!({ "s": 2, "number": 1_000_000 })).await;
    while whispers.last < 1_000_000 {
        whispers.next(&mut bert).await;
    }
    assert!(whispers.late <= pauses.len(), "{} whispers came out of their order", whispers.late);

    let traffic = load.end().await;
    traffic.is_kept(&nodes).await;
    traffic.nobody_went();
    assert!(
        traffic.count(Outcome::Unavailable) > 0 && traffic.count(Outcome::Unknown) > 0,
        "the outages were not noticed"
    );
    for node in nodes {
        assert!(!node.stderr().contains("taken this one for dead"), "{}", node.stderr());
        ends_well(node).await;
    }
}

/// A client that is refused stays away for good: too much for a Redis that is back in a minute.
#[tokio::test]
async fn who_signs_in_while_redis_is_gone_is_dropped_and_may_come_back() {
    let mut redis = OwnRedis::forgetful(&[]).await;
    let node = hasty(&redis).start().await;
    let mut anna = node.guest().await;
    redis.kill_9().await;
    readiness(&node, false).await;
    anna.emit("authenticate", &json!({ "uid": "anna", "token": "any" }));
    assert_eq!(anna.event("authenticate").await, json!({ "status": 1, "data": "server error" }));
    assert_eq!(anna.rest().await, [Packet::Closed], "no DISCONNECT before the end");
    redis.restart().await;
    come(node.websocket(), "anna", "hall").await;
    ends_well(node).await;
}

/// Somebody ends the connections of the nodes to Redis, those for commands and those that listen,
/// in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_again_and_again_cost_nothing() {
    let redis = OwnRedis::forgetful(&[]).await;
    let nodes = two(|| node(&redis.url()).without("AO_STORE__LEASE")).await;
    let load = Load::begin(&nodes).await;
    for round in 0..40 {
        load.goes_on(60).await;
        let kind = if round % 2 == 0 { "pubsub" } else { "normal" };
        let cut: u64 = redis.run(&format!("CLIENT KILL TYPE {kind}")).await;
        // Those that come back may not be there yet: then there is nothing to cut in this round.
        assert!(cut <= 4, "{cut} connections of two nodes");
    }
    load.goes_on(300).await;
    let traffic = load.end().await;
    traffic.is_kept(&nodes).await;
    traffic.nobody_went();
    assert_eq!(
        traffic.count(Outcome::Stored),
        traffic.senders.iter().map(|s| s.sent.len()).sum::<usize>(),
        "all were told of success"
    );
    for node in nodes {
        ends_well(node).await;
    }
}

/// A polling client that has gathered much says in the same body that it lives. That does not wait
/// for the store, as its messages do: else it would be taken for dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_of_life_behind_many_messages_in_one_body_is_heard_before_they_are_stored() {
    /// More than may wait for the store.
    const MESSAGES: usize = 300;
    let redis = OwnRedis::forgetful(&[]).await;
    let node = node(&redis.url()).env("AO_STORE__LEASE", "60s").start().await;
    let mut peer = Peer::connect(&node, POLLING_3).await;
    peer.send(r#"42["authenticate",{"uid":"anna","token":"any"}]"#).await;
    peer.expect(r#"42["authenticate",{"status":0,"data":"auth success"}]"#).await;
    peer.join("attic").await;
    redis.pause();
    let mut packets: Vec<String> =
        (0..MESSAGES).map(|n| format!(r#"42{n}["msg",{{"n":{n}}}]"#)).collect();
    packets.push("2".to_owned());
    let posting = async { peer.polling().send(&packets).await };
    let hearing = async {
        assert_eq!(peer.polling().receive().await, Some(vec!["3".to_owned()]));
        redis.resume();
        let mut answers = Vec::new();
        while answers.len() < MESSAGES {
            let packets = peer.polling().receive().await.expect("a poll");
            answers.extend(packets.into_iter().filter(|packet| packet != "3"));
        }
        answers
    };
    let (posted, answers) = tokio::join!(posting, hearing);
    assert_eq!(posted.status, 200, "{posted:?}");
    for (n, answer) in answers.iter().enumerate() {
        assert!(answer.starts_with(&format!("43{n}[")), "{n}: {answer}");
    }
    ends_well(node).await;
}
