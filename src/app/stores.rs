//! Which stores the configuration names.
use std::{sync::Arc, time::Duration};

use super::{StartError, dialects::FORMS, tokens};
use crate::{
    config::{Backend, Config, Durability, LEAST_LEASE, RetentionRule, SecretUrl},
    domain::{
        broker::{Broker, UpdateLimit, Upkeep},
        clock::{Clock, Rng, SystemClock, SystemRng, alphanumeric},
        cluster::Cluster,
        erase::{self, Erasure, Job},
        error::StoreError,
        ids::{RoomId, Uid},
        limit::Limits,
        nodes::Nodes,
        originals::Originals,
        outbox::{Interest, Outbox, Parking},
        presence::{Expelled, Presence},
        receipt::Receipts,
        records::Records,
        retention::{Rule, Rules, Walk},
        services,
        supervise::Supervisor,
        token::Tokens,
    },
    hooks::webhooks,
    store::{
        embedded::{self, Embedded, ParkedInFile},
        mongodb::Accounts,
        redis::{self, ParkedInRedis, Redis},
    },
};

/// Between two looks whether a server has done a job.
const QUESTION: Duration = Duration::from_millis(100);
/// Between two signs of life of this node, at least: they should stay a trifle for Redis.
const LEAST_BEAT: Duration = Duration::from_millis(100);

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder of the embedded store.
    #[error(transparent)]
    Embedded(#[from] embedded::OpenError),
    /// A Redis.
    #[error(transparent)]
    Redis(#[from] redis::OpenError),
}

/// What a server needs.
pub(super) struct Stores {
    pub(super) ordered: services::Stores,
    pub(super) limits: Arc<dyn Limits>,
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) parking: Arc<dyn Parking>,
    pub(super) tokens: Arc<dyn Tokens>,
    pub(super) records: Arc<dyn Records>,
    pub(super) receipts: Arc<dyn Receipts>,
    /// What servers before this one have left in the same MongoDB, if there is one.
    pub(super) originals: Option<Arc<dyn Originals>>,
    /// All of it is in this server's own files.
    pub(super) embedded: bool,
    /// There was no administrator in this server's own files.
    pub(super) first_start: bool,
    /// Its own files, where messages are elsewhere.
    pub(super) files: Option<Arc<dyn Broker>>,
}

impl Stores {
    pub(super) async fn open(
        config: &Config,
        rules: &Arc<Rules>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        supervisor: &Supervisor,
    ) -> Result<Self, StartError> {
        let files = || open_embedded(config, rules.clone(), clock.clone(), rng.clone());
        let elsewhere = tokens::elsewhere(config, clock.clone()).await?;
        match (&config.store.messages, elsewhere) {
            (Backend::Embedded, None) => {
                let store = files()?;
                Ok(Stores {
                    embedded: true,
                    first_start: store.first_start(),
                    ..Self::of(store.clone(), store)
                })
            }
            // Records are where several nodes find them: beside the tokens in MongoDB, where they
            // are there, else beside the messages.
            (Backend::Embedded, Some(accounts)) => {
                Ok(Self::beside(accounts.clone(), Self::of(files()?, accounts)))
            }
            (Backend::Url(url), None) => {
                let store = open_redis(config, url, rules.clone(), rng.clone(), supervisor).await?;
                let files = files()?;
                Ok(Stores {
                    first_start: files.first_start(),
                    files: Some(files.clone()),
                    ..Self::of(store, files)
                })
            }
            (Backend::Url(url), Some(accounts)) => {
                let store = open_redis(config, url, rules.clone(), rng.clone(), supervisor).await?;
                Ok(Self::beside(accounts.clone(), Self::of(store, accounts)))
            }
        }
    }

    /// With what is in the MongoDB of tokens besides.
    fn beside(accounts: Arc<Accounts>, stores: Self) -> Self {
        Stores { records: accounts.clone(), originals: Some(accounts), ..stores }
    }

    /// All but tokens in one.
    fn of<
        S: Broker
            + Upkeep
            + Walk
            + Erasure
            + Presence
            + Cluster
            + Nodes
            + Records
            + Receipts
            + Limits
            + Outbox
            + Parking
            + 'static,
    >(
        store: Arc<S>,
        tokens: Arc<dyn Tokens>,
    ) -> Self {
        Stores {
            ordered: services::Stores {
                broker: store.clone(),
                upkeep: store.clone(),
                walk: store.clone(),
                erasure: store.clone(),
                presence: store.clone(),
                cluster: store.clone(),
                nodes: store.clone(),
            },
            records: store.clone(),
            receipts: store.clone(),
            limits: store.clone(),
            outbox: store.clone(),
            parking: store,
            tokens,
            originals: None,
            embedded: false,
            first_start: false,
            files: None,
        }
    }
}

/// What webhooks are told of.
fn interest(config: &Config) -> Option<Interest> {
    webhooks::interest(&config.webhook, &config.webhooks)
}

fn rate_limit(config: &Config) -> Option<(u32, std::time::Duration)> {
    let rate = config.auth.rate_limit;
    (!rate.is_off()).then_some((rate.count, rate.window))
}

/// Time without a sign of life after which a node is dead. Where chat-service is enabled, that is
/// what its own setting says, if it is shorter; but no lease is shorter than any may be.
fn lease(config: &Config) -> Duration {
    let (lease, chat) = (config.store.lease, &config.chat_service);
    if chat.enabled { lease.min(chat.heartbeat_timeout.max(LEAST_LEASE)) } else { lease }
}

/// Time between two signs of life: a third of the lease, or less where chat-service is enabled and
/// wants them more often.
fn beat(config: &Config) -> Duration {
    let (beat, chat) = (lease(config) / 3, &config.chat_service);
    if chat.enabled { beat.min(chat.heartbeat_rate.max(LEAST_BEAT)) } else { beat }
}

fn updates(config: &Config) -> UpdateLimit {
    UpdateLimit { entries: config.store.updates, bytes: config.store.update_bytes.bytes() as u64 }
}

/// What of which rooms is kept.
pub(super) fn retention(config: &Config) -> Arc<Rules> {
    Arc::new(Rules::new(rules(config)))
}

/// The rules of retention, by the names of rooms.
pub(super) fn rules(config: &Config) -> impl Iterator<Item = (String, Rule)> {
    let rule =
        |rule: &RetentionRule| (rule.rooms.clone(), Rule { age: rule.age, count: rule.count });
    config.retention.rules.iter().map(rule)
}

fn open_embedded(
    config: &Config,
    retention: Arc<Rules>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
) -> Result<Arc<Embedded>, OpenError> {
    Ok(Embedded::open(embedded::Options {
        path: config.store.path.clone(),
        durability: match config.store.durability {
            Durability::Process => embedded::Durability::Process,
            Durability::Power => embedded::Durability::Power,
        },
        deadline: config.store.deadline,
        room_expiry: config.store.room_expiry,
        rate_limit: rate_limit(config),
        updates: updates(config),
        hooks: interest(config),
        retention,
        forms: FORMS,
        clock,
        rng,
    })?)
}

/// Refuses the session of a user whose credentials were revoked, on whatever node it is, and tells
/// whether that was done. Where messages are in a server's own files, that is the server that has
/// them.
///
/// # Errors
/// The store does not answer, or there are no such files here.
pub async fn revoke(config: &Config, uid: &Uid) -> Result<Expelled, StartError> {
    match &config.store.messages {
        Backend::Url(url) => Ok(redis::revoke(
            redis_options(
                config,
                url,
                retention(config),
                Arc::new(SystemRng),
                &Supervisor::default(),
            ),
            uid,
        )
        .await?),
        Backend::Embedded => {
            let noted = matches!(config.store.tokens, Backend::Embedded);
            let (path, uid) = (config.store.path.clone(), uid.clone());
            let expelled = tokio::task::spawn_blocking(move || {
                embedded::revoke(&path, &uid, noted, &SystemClock)
            })
            .await;
            Ok(expelled
                .map_err(|e| StoreError::OutcomeUnknown(e.to_string()))?
                .map_err(OpenError::from)?)
        }
    }
}

/// The webhooks that were put aside, for the command line; a server may run beside it.
///
/// # Errors
/// The store can't be opened.
pub async fn parking(config: &Config) -> Result<Box<dyn Parking>, StartError> {
    Ok(match &config.store.messages {
        Backend::Url(url) => {
            let options = redis_options(
                config,
                url,
                retention(config),
                Arc::new(SystemRng),
                &Supervisor::default(),
            );
            Box::new(ParkedInRedis::open(options).await.map_err(OpenError::from)?)
        }
        Backend::Embedded => Box::new(
            ParkedInFile::open(&config.store.path, Arc::new(SystemClock))
                .map_err(OpenError::from)?,
        ),
    })
}

/// Erases a user's messages in these rooms, or in all. Where a server has the files, it does that;
/// else it is done here.
///
/// # Errors
/// The store does not answer, or there are no such files here.
pub async fn erase_messages(
    config: &Config,
    uid: &Uid,
    rooms: Option<&[RoomId]>,
) -> Result<erase::Erased, StartError> {
    let id = alphanumeric(&SystemRng, 20)?;
    let job = Job::new(id, uid, rooms, SystemClock.unix_ms());
    match &config.store.messages {
        Backend::Url(url) => {
            let supervisor = Supervisor::default();
            let store =
                open_redis(config, url, retention(config), Arc::new(SystemRng), &supervisor)
                    .await?;
            erase_here(&*store, job).await
        }
        Backend::Embedded => {
            let (path, given) = (config.store.path.clone(), job.clone());
            let given = tokio::task::spawn_blocking(move || {
                embedded::give_job(&path, &given, SystemClock.unix())
            });
            let given = given.await.map_err(|e| StoreError::OutcomeUnknown(e.to_string()))?;
            match given.map_err(OpenError::from)? {
                embedded::Given::Server(waiting) => loop {
                    let job = waiting.look().filter(|job| job.state == erase::State::Done);
                    if let Some(job) = job {
                        return Ok(job.erased);
                    }
                    tokio::time::sleep(QUESTION).await;
                },
                embedded::Given::NoServer => {
                    let store = open_embedded(
                        config,
                        retention(config),
                        Arc::new(SystemClock),
                        Arc::new(SystemRng),
                    )?;
                    erase_here(&*store, job).await
                }
            }
        }
    }
}

/// As a node among those that are there, of which one does it for all.
async fn erase_here<S: Broker + Walk + Erasure>(
    store: &S,
    job: Job,
) -> Result<erase::Erased, StartError> {
    // Asked first: as soon as it is given, others look for who does it.
    let done = match store.is_chosen(erase::CHOSEN).await? {
        true => {
            store.keep_job(&job).await?;
            erase::perform(store, store, job).await.map(|job| job.erased)
        }
        false => {
            store.keep_job(&job).await?;
            erased_elsewhere(store, &job.id).await
        }
    };
    store.close().await;
    Ok(done?)
}

/// Waits until another node has done a job.
async fn erased_elsewhere(store: &dyn Erasure, id: &str) -> Result<erase::Erased, StoreError> {
    loop {
        let job = store.job(id).await?.filter(|job| job.state == erase::State::Done);
        if let Some(job) = job {
            return Ok(job.erased);
        }
        tokio::time::sleep(QUESTION).await;
    }
}

async fn open_redis(
    config: &Config,
    url: &SecretUrl,
    retention: Arc<Rules>,
    rng: Arc<dyn Rng>,
    supervisor: &Supervisor,
) -> Result<Arc<Redis>, OpenError> {
    Ok(Redis::open(redis_options(config, url, retention, rng, supervisor)).await?)
}

fn redis_options(
    config: &Config,
    url: &SecretUrl,
    retention: Arc<Rules>,
    rng: Arc<dyn Rng>,
    supervisor: &Supervisor,
) -> redis::Options {
    redis::Options {
        url: url.expose().to_owned(),
        shown: url.to_string(),
        prefix: config.store.key_prefix.clone(),
        deadline: config.store.deadline,
        lease: lease(config),
        beat: beat(config),
        backups: config.store.backups,
        room_expiry: config.store.room_expiry,
        rate_limit: rate_limit(config),
        updates: updates(config),
        hooks: interest(config),
        retention,
        forms: FORMS,
        rng,
        supervisor: supervisor.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    #[test]
    fn the_shorter_time_decides_when_a_node_is_dead() {
        let second = Duration::from_secs(1);
        for (chat, store, timeout, rate, dead_after, between) in [
            ("false", "9s", "2s", "500ms", 9 * second, 3 * second),
            ("true", "9s", "30s", "10s", 9 * second, 3 * second),
            ("true", "60s", "30s", "10s", 30 * second, 10 * second),
            ("true", "9s", "6s", "10s", 6 * second, 2 * second),
            ("true", "9s", "6s", "1s", 6 * second, second),
            ("true", "9s", "5ms", "1ms", second, Duration::from_millis(100)),
        ] {
            let environment = [
                ("AO_CHAT_SERVICE__ENABLED", chat),
                ("AO_STORE__LEASE", store),
                ("AO_CHAT_SERVICE__HEARTBEAT_TIMEOUT", timeout),
                ("AO_CHAT_SERVICE__HEARTBEAT_RATE", rate),
            ];
            let environment = environment.map(|(name, value)| (name.into(), value.into()));
            let config = Config::load(None, environment, &Flags::new()).unwrap();
            let found = (lease(&config), beat(&config));
            assert_eq!(found, (dead_after, between), "{chat} {store} {timeout} {rate}");
        }
    }
}
