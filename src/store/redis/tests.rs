//! The store on Redis against the contracts, and what only it does. The server is the one that
//! `REDIS_URL` names; each test has a prefix of its own there.
#![allow(clippy::disallowed_methods)] // tests spawn freely
use std::{sync::Arc, time::Duration};

use redis::Commands;

use super::{OpenError, Options, Redis, revoke};
use crate::{
    domain::{
        broker::{Broker, Upkeep},
        clock::{Clock, SystemClock, SystemRng, alphanumeric},
        cluster::Cluster,
        ids::Uid,
        limit::Limits,
        message::form::tests::LISTS,
        outbox::Interest,
        presence::{Expelled, Presence},
        receipt::Receipts,
        records::Records,
        retention::{Rules, Walk},
        supervise::Supervisor,
    },
    store::contract::{
        BoundsHome, BrokerHome, Erasing, LimitsHome, NodesHome, OutboxHome, PresenceHome,
        RecordsHome, UPDATES, UpkeepHome, broker_contract, limits_contract, nodes_contract, outbox,
        outbox_bounds_contract, outbox_contract, presence_contract, records_contract,
        upkeep_contract,
    },
};

mod batches;
mod cluster;
mod defects;
mod hooks;
mod lost;
mod nodes;
mod people;
mod positions;
mod receipts;
mod records;
mod revocations;
mod stored;
mod upkeep;

/// A part of a Redis server that goes with the test.
pub(super) struct Keys {
    pub(super) url: String,
    pub(super) prefix: String,
}

impl Keys {
    pub(super) fn new() -> Self {
        let url = std::env::var("REDIS_URL").expect(
            "REDIS_URL names no Redis server: run the tests by scripts/test, which starts one",
        );
        Keys { url, prefix: format!("test{}:", alphanumeric(&SystemRng, 10).unwrap()) }
    }

    pub(super) fn options(&self) -> Options {
        Options {
            url: self.url.clone(),
            shown: "redis://test".into(),
            prefix: self.prefix.clone(),
            deadline: Duration::from_secs(20),
            lease: Duration::from_secs(9),
            beat: Duration::from_secs(3),
            backups: false,
            room_expiry: None,
            rate_limit: None,
            updates: UPDATES,
            hooks: None,
            retention: Arc::default(),
            forms: LISTS,
            rng: Arc::new(SystemRng),
            supervisor: Supervisor::default(),
        }
    }

    pub(super) async fn node(&self) -> Arc<Redis> {
        Redis::open(self.options()).await.unwrap()
    }

    pub(super) fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url.as_str()).unwrap().get_connection().unwrap()
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// All keys that are there, without the prefix.
    pub(super) fn all(&self) -> Vec<String> {
        let keys: Vec<String> = self.connection().keys(format!("{}*", self.prefix)).unwrap();
        let mut keys: Vec<String> =
            keys.into_iter().map(|key| key[self.prefix.len()..].to_owned()).collect();
        keys.sort();
        keys
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let mut connection = self.connection();
        let keys: Vec<String> = connection.keys(format!("{}*", self.prefix)).unwrap_or_default();
        if !keys.is_empty() {
            let _: Result<(), _> = connection.unlink(keys);
        }
    }
}

impl Redis {
    fn broker(self: &Arc<Self>) -> Arc<dyn Broker> {
        self.clone()
    }

    fn upkeep(self: &Arc<Self>) -> Arc<dyn Upkeep> {
        self.clone()
    }

    fn presence(self: &Arc<Self>) -> Arc<dyn Presence> {
        self.clone()
    }

    fn cluster(self: &Arc<Self>) -> Arc<dyn Cluster> {
        self.clone()
    }

    fn limits(self: &Arc<Self>) -> Arc<dyn Limits> {
        self.clone()
    }
}

impl BrokerHome for Keys {
    async fn open(&self) -> Arc<dyn Broker> {
        self.node().await.broker()
    }
}

/// Brings forward when logs are forgotten, and receipts, and puts back when messages were stored.
const PASS: &str = r#"local prefix, time = ARGV[1], ARGV[2]
for _, kind in ipairs({ 'seq', 'log' }) do
  for _, key in ipairs(redis.call('KEYS', prefix .. 'ao:' .. kind .. ':*')) do
    if redis.call('HEXISTS', key, 'due') == 1 then redis.call('HINCRBY', key, 'due', -time) end
  end
end
for _, log in ipairs({ 'insert', 'update' }) do
  for _, key in ipairs(redis.call('KEYS', prefix .. 'msg_*_' .. log)) do
    local function older(entry)
      entry = string.gsub(entry, '"ms":(%d+)', function(ms) return string.format('"ms":%d', ms - time) end)
      return (string.gsub(entry, '"ts":(%d+)', function(ts) return string.format('"ts":%d', ts - math.floor(time / 1000)) end))
    end
    if log == 'insert' then
      for i, entry in ipairs(redis.call('LRANGE', key, 0, -1)) do redis.call('LSET', key, i - 1, older(entry)) end
    else
      local all = redis.call('HGETALL', key)
      for i = 1, #all, 2 do redis.call('HSET', key, all[i], older(all[i + 1])) end
    end
  end
end
local expiring = prefix .. 'ao:expiring'
for _, room in ipairs(redis.call('ZRANGE', expiring, 0, -1)) do
  redis.call('ZINCRBY', expiring, -time, room)
end
for _, key in ipairs(redis.call('KEYS', prefix .. 'ao:receipt:*')) do
  redis.call('PEXPIRE', key, redis.call('PTTL', key) - time)
end"#;

impl UpkeepHome for Keys {
    async fn open(&self) -> (Arc<dyn Broker>, Arc<dyn Upkeep>) {
        let node = self.node().await;
        (node.broker(), node.upkeep())
    }

    async fn ruled(&self, rules: Rules) -> (Arc<dyn Broker>, Arc<dyn Upkeep>, Arc<dyn Walk>) {
        let options = Options { retention: Arc::new(rules), ..self.options() };
        let node = Redis::open(options).await.unwrap();
        (node.broker(), node.upkeep(), node)
    }

    async fn receipts(&self) -> (Arc<dyn Broker>, Arc<dyn Receipts>) {
        let node = self.node().await;
        (node.broker(), node)
    }

    async fn erasing(&self) -> Erasing {
        let node = Redis::open(Options { backups: true, ..self.options() }).await.unwrap();
        (node.broker(), node.upkeep(), node.clone(), node)
    }

    async fn contains(&self, text: &str) -> bool {
        let mut redis = self.connection();
        let mut dump = |key: String| -> Vec<u8> {
            let key = self.key(&key);
            let kind: String = redis::cmd("TYPE").arg(&key).query(&mut redis).unwrap();
            let all: redis::Value = match kind.as_str() {
                "list" => redis.lrange(&key, 0, -1).unwrap(),
                "hash" => redis.hgetall(&key).unwrap(),
                "set" => redis.smembers(&key).unwrap(),
                "zset" => redis.zrange(&key, 0, -1).unwrap(),
                _ => redis.get(&key).unwrap(),
            };
            format!("{all:?}").into_bytes()
        };
        let keys = self.all();
        keys.into_iter()
            .any(|key| dump(key).windows(text.len()).any(|part| part == text.as_bytes()))
    }

    async fn pass(&self, time: Duration) {
        redis::cmd("EVAL")
            .arg(PASS)
            .arg(0)
            .arg(&self.prefix)
            .arg(time.as_millis() as u64)
            .exec(&mut self.connection())
            .unwrap();
    }
}

impl PresenceHome for Keys {
    async fn open(&self) -> (Arc<dyn Broker>, Arc<dyn Presence>) {
        let node = self.node().await;
        (node.broker(), node.presence())
    }

    async fn revoke(&self, uid: &Uid) -> Expelled {
        revoke(self.options(), uid).await.unwrap()
    }
}

/// Brings forward when records end.
const PASS_RECORDS: &str = "local prefix, time = ARGV[1], ARGV[2]
for _, key in ipairs(redis.call('KEYS', prefix .. 'ao:record:*')) do
  if redis.call('HEXISTS', key, 'x') == 1 then redis.call('HINCRBY', key, 'x', -time) end
end
local due = prefix .. 'ao:records:due'
for _, name in ipairs(redis.call('ZRANGE', due, 0, -1)) do redis.call('ZINCRBY', due, -time, name) end";

impl RecordsHome for Keys {
    async fn open(&self) -> Arc<dyn Records> {
        self.node().await
    }

    fn now(&self) -> u64 {
        SystemClock.unix()
    }

    async fn pass(&self, seconds: u64) {
        redis::cmd("EVAL")
            .arg(PASS_RECORDS)
            .arg(0)
            .arg(&self.prefix)
            .arg(seconds * 1000)
            .exec(&mut self.connection())
            .unwrap();
    }
}

/// Brings forward what waits for webhooks.
const PASS_HOOKS: &str = "local prefix, time = ARGV[1], ARGV[2]
for _, kind in ipairs({ 'due:*', 'leaving' }) do
  for _, key in ipairs(redis.call('KEYS', prefix .. 'ao:hooks:' .. kind)) do
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -time, member) end
  end
end";

impl OutboxHome for Keys {
    async fn open(&self, interest: Interest) -> outbox::Parts {
        let store = Redis::open(Options { hooks: Some(interest), ..self.options() }).await.unwrap();
        outbox::Parts {
            broker: store.broker(),
            presence: store.presence(),
            outbox: store.clone(),
            parking: store.clone(),
            erasure: store.clone(),
            upkeep: store,
        }
    }

    async fn pass(&self, time: Duration) {
        redis::cmd("EVAL")
            .arg(PASS_HOOKS)
            .arg(0)
            .arg(&self.prefix)
            .arg(time.as_millis() as u64)
            .exec(&mut self.connection())
            .unwrap();
    }
}

impl BoundsHome for Keys {
    async fn spoil(&self, id: &str) {
        let (mut redis, batch) =
            (self.connection(), self.key(&format!("ao:hooks:batch:main:{id}")));
        let body: String = redis.hget(&batch, "body").unwrap();
        let _: () = redis.hset(&batch, "body", "x".repeat(body.len())).unwrap();
    }
}

impl LimitsHome for Keys {
    async fn open(&self, rate: Option<(u32, Duration)>) -> Arc<dyn Limits> {
        Redis::open(Options { rate_limit: rate, ..self.options() }).await.unwrap().limits()
    }

    async fn pass(&self, time: Duration) {
        let mut connection = self.connection();
        let keys: Vec<String> = connection.keys(format!("{}ao:rate:*", self.prefix)).unwrap();
        for key in keys {
            let left: i64 = connection.pttl(&key).unwrap();
            let _: () = connection.pexpire(&key, left - time.as_millis() as i64).unwrap();
        }
    }
}

broker_contract!(redis, Keys::new());
upkeep_contract!(redis, Keys::new());
presence_contract!(redis, Keys::new());
records_contract!(redis, Keys::new());
outbox_contract!(redis, Keys::new());
outbox_bounds_contract!(redis, Keys::new());
limits_contract!(redis, Keys::new());
nodes_contract!(redis, Keys::new());

async fn refused(options: Options) -> OpenError {
    Redis::open(options).await.err().unwrap()
}

#[tokio::test]
async fn a_server_that_can_not_be_used_is_told_with_the_setting_and_without_the_password() {
    let keys = Keys::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let unreachable =
        refused(Options { url: format!("redis://:s3cret@127.0.0.1:{port}"), ..keys.options() })
            .await
            .to_string();
    assert!(
        unreachable.contains("can't be reached") && unreachable.contains("AO_STORE__MESSAGES"),
        "{unreachable}"
    );
    assert!(!unreachable.contains("s3cret"), "{unreachable}");
    let stranger = refused(Options {
        url: keys.url.replace("redis://", "redis://nobody:s3cret@"),
        ..keys.options()
    })
    .await
    .to_string();
    assert!(stranger.contains("lets nobody in") && !stranger.contains("s3cret"), "{stranger}");
    let nonsense = refused(Options { url: "redis://127.0.0.1:x/".into(), ..keys.options() }).await;
    assert!(matches!(nonsense, OpenError::Url { .. }), "{nonsense}");
}
