//! Webhooks while Redis ends and starts again, and while it has no memory left.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use support::{
    client::Client,
    own_redis::OwnRedis,
    receiver::{Received, Receiver, Reply},
    server::{Server, Setup},
    soon,
};

/// Batches: the id of each, and the texts of its messages.
type Batches = Vec<(String, Vec<String>)>;

/// A business server, and what it has taken, in the order of its coming.
struct Business {
    receiver: Receiver,
    taken: Arc<Mutex<Batches>>,
}

impl Business {
    /// It takes what is answered by 204.
    async fn start(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let taken = Arc::<Mutex<Batches>>::default();
        let into = taken.clone();
        let receiver = Receiver::start(move |request| {
            let reply = answer(request);
            let takes = match &reply {
                Reply::Later(_, later) => matches!(**later, Reply::Full { status: 204, .. }),
                reply => matches!(reply, Reply::Full { status: 204, .. }),
            };
            if takes {
                let id = request.header("webhook-id").unwrap().to_owned();
                let events = request.json()["data"]["events"].as_array().unwrap().clone();
                let text = |event: &Value| event["message"]["text"].as_str().unwrap().to_owned();
                into.lock().unwrap().push((id, events.iter().map(text).collect()));
            }
            reply
        });
        Business { receiver: receiver.await, taken }
    }

    async fn server(&self, redis: &OwnRedis) -> Server {
        let setup = Setup::new()
            .env("AO_STORE__MESSAGES", redis.url())
            .env("AO_WEBHOOK__URL", self.receiver.url())
            .env("AO_WEBHOOK__SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .env("AO_WEBHOOK__SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .env("AO_WEBHOOK__EVENTS", "message.*")
            .env("AO_WEBHOOK__TIMEOUT", "2s")
            .env("AO_AUTH__IGNORE", "true");
        setup.start().await
    }

    /// What it has, each batch once.
    fn texts(&self) -> Vec<String> {
        let mut seen = BTreeMap::new();
        let mut all = Vec::new();
        for (id, texts) in self.taken.lock().unwrap().iter() {
            match seen.insert(id.clone(), texts.clone()) {
                Some(before) => assert_eq!(before, *texts, "a batch never changes"),
                None => all.extend(texts.clone()),
            }
        }
        all
    }

    async fn has(&self, count: usize) -> Vec<String> {
        let look = async {
            while self.texts().len() < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon(format!("{count} messages at the business server"), look).await;
        self.texts()
    }
}

fn ok() -> Reply {
    Reply::text(204, "")
}

async fn member(server: &Server) -> Client {
    let mut client = server.guest().await;
    client.sign_in("ann", "any").await;
    client.join("lesson").await;
    client
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

/// Redis ends while a batch is on its way, and starts again with what it had: the batch may come
/// twice, nothing is missing, and what comes later comes behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_starts_again_while_a_batch_is_sent_loses_and_reorders_nothing() {
    let mut redis = OwnRedis::durable().await;
    let slow = Reply::Later(Duration::from_millis(700), Box::new(ok()));
    let business = Business::start(move |_| slow.clone()).await;
    let server = business.server(&redis).await;
    let ann = member(&server).await;
    for n in 0..3 {
        ann.send(&json!({ "text": n.to_string() })).await;
    }
    business.receiver.wait_for(1).await;
    redis.kill_9().await;
    redis.restart().await;
    for n in 3..8 {
        ann.send(&json!({ "text": n.to_string() })).await;
    }
    assert_eq!(business.has(8).await, numbers(8));
}

/// A Redis that is full refuses messages. What webhooks have there is delivered all the same, or it
/// would stay full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_gives_away_what_is_to_be_told() {
    let redis = OwnRedis::forgetful(&["--maxmemory-policy", "noeviction"]).await;
    let works = Arc::new(Mutex::new(false));
    let willing = works.clone();
    let business =
        Business::start(
            move |_| {
                if *willing.lock().unwrap() { ok() } else { Reply::text(503, "") }
            },
        )
        .await;
    let server = business.server(&redis).await;
    let ann = member(&server).await;
    for n in 0..5 {
        ann.send(&json!({ "text": n.to_string() })).await;
    }
    business.receiver.wait_for(1).await;
    redis.run::<()>("CONFIG SET maxmemory 1").await;
    *works.lock().unwrap() = true;
    assert_eq!(business.has(5).await, numbers(5));
    let waits = async {
        while redis.run::<i64>("GET ao:hooks:bytes:main").await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("nothing to be told any more", waits).await;
}
