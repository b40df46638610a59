//! A message is stored, but the answer that says so gets lost. Whatever happens next, it is there
//! once, and nobody is told that it is not.
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::nodes::{ends_well, eventually, member, node, readiness};
use support::{
    client::{Client, Packet},
    mute::Mute,
    own_redis::OwnRedis,
    server::Server,
    soon,
    stored::Stored,
};

/// A room with a sender on a node whose answers get lost, and somebody on another node whose do
/// not.
struct Scene {
    redis: OwnRedis,
    way: Mute,
    far: Server,
    near: Server,
    anna: Client,
    bert: Client,
}

impl Scene {
    async fn set() -> Scene {
        let redis = OwnRedis::durable().await;
        let way = Mute::before(redis.address()).await;
        let far = node(&format!("redis://{}/0", way.address))
            .env("AO_STORE__DEADLINE", "3s")
            .env("AO_STORE__PATIENCE", "1s");
        // A node whose answers get lost for a while is not to be taken for dead: that is another
        // story.
        let far = far.env("AO_STORE__LEASE", "1m").start().await;
        let near = node(&redis.url()).start().await;
        let mut bert = member(&near, "bert", "attic").await;
        let anna = member(&far, "anna", "attic").await;
        assert_eq!(bert.event("remote_join").await["uid"], "anna");
        Scene { redis, way, far, near, anna, bert }
    }

    /// The message is stored; its sender's node does not know.
    async fn send(&mut self, id: &str) -> oneshot::Receiver<Value> {
        self.way.mute();
        let ack = self.anna.sender().request("msg", &json!({ "1": id }));
        eventually("the entry", async || self.stored(id).await == 1).await;
        ack
    }

    /// How often it is in the log.
    async fn stored(&self, id: &str) -> usize {
        let log: Vec<String> = self.redis.run("LRANGE msg_attic_insert 0 -1").await;
        log.iter().filter(|entry| entry.contains(&format!("\"1\":\"{id}\""))).count()
    }

    /// Everybody has it once, and the room goes on.
    async fn ends(mut self, id: &str) {
        for node in [&self.far, &self.near] {
            readiness(node, true).await;
        }
        self.anna.send(&json!({ "1": "last" })).await;
        let mut heard = Vec::new();
        while heard.last() != Some(&json!("last")) {
            match self.bert.next().await {
                Packet::Event(name, message) if name == "msg" => heard.push(message["1"].clone()),
                other => panic!("bert: {other:?}"),
            }
        }
        let log =
            Stored::walk(&mut member(&self.far, "reader", "attic").await, false).await.inserts;
        let log: Vec<Value> = log.into_iter().map(|m| m["1"].clone()).collect();
        assert_eq!(log, [id, "last"]);
        assert_eq!(heard, log);
        for node in [self.far, self.near] {
            ends_well(node).await;
        }
    }
}

fn success() -> Value {
    json!({ "status": 0, "data": "msg success" })
}

#[tokio::test]
async fn with_the_connection() {
    let mut scene = Scene::set().await;
    let ack = scene.send("hello").await;
    scene.way.cut();
    assert_eq!(soon("an answer", ack).await.unwrap(), success());
    assert_eq!(scene.stored("hello").await, 1);
    scene.ends("hello").await;
}

#[tokio::test]
async fn with_the_redis_that_gave_it() {
    let mut scene = Scene::set().await;
    let ack = scene.send("hello").await;
    scene.redis.kill_9().await;
    scene.redis.restart().await;
    scene.way.cut();
    let ack = soon("an answer", ack).await.unwrap();
    assert_eq!(scene.stored("hello").await, 1, "times, and answered with {ack}");
    assert_eq!(ack, success());
    scene.ends("hello").await;
}

#[tokio::test]
async fn and_then_redis_is_full() {
    let mut scene = Scene::set().await;
    let ack = scene.send("hello").await;
    scene.redis.run::<()>("CONFIG SET maxmemory 1").await;
    scene.way.cut();
    let ack = soon("an answer", ack).await.unwrap();
    assert!(ack["data"] != "store unavailable", "it is stored, and answered with {ack}");
    scene.redis.run::<()>("CONFIG SET maxmemory 0").await;
    assert_eq!(scene.stored("hello").await, 1);
    scene.ends("hello").await;
}

#[tokio::test]
async fn and_then_redis_is_full_for_a_moment() {
    let mut scene = Scene::set().await;
    let ack = scene.send("hello").await;
    scene.redis.run::<()>("CONFIG SET maxmemory 1").await;
    let errors = scene.redis.info("stats", "total_error_replies").await;
    scene.way.cut();
    // Until the second attempt was refused.
    eventually("a refusal", async || {
        scene.redis.info("stats", "total_error_replies").await > errors
    })
    .await;
    scene.redis.run::<()>("CONFIG SET maxmemory 0").await;
    let ack = soon("an answer", ack).await.unwrap();
    assert_eq!(scene.stored("hello").await, 1, "times, and answered with {ack}");
    assert!(ack["data"] != "store unavailable", "it is stored, and answered with {ack}");
    scene.ends("hello").await;
}

#[tokio::test]
async fn until_the_time_is_over() {
    let mut scene = Scene::set().await;
    let ack = scene.send("hello").await;
    let ack = soon("an answer", ack).await.unwrap();
    assert_eq!(ack, json!({ "status": 1, "data": "outcome unknown" }));
    scene.way.cut();
    assert_eq!(scene.stored("hello").await, 1);
    scene.ends("hello").await;
}
