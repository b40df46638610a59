//! Which stores the configuration names.
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::StartError;
use crate::{
    config::{Backend, Config, Durability, SecretUrl},
    domain::{
        broker::Broker,
        clock::{Clock, Rng, SystemClock},
        cluster::Cluster,
        limit::Limits,
        presence::Presence,
        token::Tokens,
    },
    store::{
        embedded::{self, Accounts, Embedded},
        redis::{self, Redis},
    },
};

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Embedded(#[from] embedded::OpenError),
    #[error(transparent)]
    Redis(#[from] redis::OpenError),
}

/// What a server needs.
pub(super) struct Stores {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) presence: Arc<dyn Presence>,
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) limits: Arc<dyn Limits>,
    pub(super) tokens: Arc<dyn Tokens>,
    /// All of it is in this server's own files.
    pub(super) embedded: bool,
    /// There was no administrator in this server's own files.
    pub(super) first_start: bool,
    /// Its own files, where messages are elsewhere.
    pub(super) files: Option<Arc<dyn Broker>>,
}

impl Stores {
    pub(super) async fn open(config: &Config, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>, tasks: &TaskTracker) -> Result<Self, StartError> {
        let files = || open_embedded(config, clock.clone(), rng.clone());
        match (&config.store.messages, &config.store.tokens) {
            (Backend::Embedded, Backend::Embedded) => {
                let store = files()?;
                Ok(Stores { embedded: true, first_start: store.first_start(), ..Self::of_embedded(&store, store.tokens()) })
            }
            (Backend::Embedded, Backend::Url(_)) => todo!(),
            (Backend::Url(messages), Backend::Embedded) => {
                let store = open_redis(config, messages, rng.clone(), tasks).await?;
                let files = files()?;
                Ok(Stores { first_start: files.first_start(), files: Some(files.broker()), ..Self::of_redis(&store, files.tokens()) })
            }
            (Backend::Url(_messages), Backend::Url(_)) => todo!(),
        }
    }

    fn of_embedded(store: &Arc<Embedded>, tokens: Arc<dyn Tokens>) -> Self {
        Stores {
            broker: store.broker(),
            presence: store.presence(),
            cluster: store.cluster(),
            limits: store.limits(),
            tokens,
            embedded: false,
            first_start: false,
            files: None,
        }
    }

    fn of_redis(store: &Arc<Redis>, tokens: Arc<dyn Tokens>) -> Self {
        Stores {
            broker: store.broker(),
            presence: store.presence(),
            cluster: store.cluster(),
            limits: store.limits(),
            tokens,
            embedded: false,
            first_start: false,
            files: None,
        }
    }
}

fn rate_limit(config: &Config) -> Option<(u32, std::time::Duration)> {
    let rate = config.auth.rate_limit;
    (!rate.is_off()).then_some((rate.count, rate.window))
}

fn open_embedded(config: &Config, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Result<Arc<Embedded>, OpenError> {
    Ok(Embedded::open(embedded::Options {
        path: config.store.path.clone(),
        durability: match config.store.durability {
            Durability::Process => embedded::Durability::Process,
            Durability::Power => embedded::Durability::Power,
        },
        deadline: config.store.deadline,
        room_expiry: config.store.room_expiry,
        rate_limit: rate_limit(config),
        clock,
        rng,
    })?)
}

async fn open_redis(config: &Config, url: &SecretUrl, rng: Arc<dyn Rng>, tasks: &TaskTracker) -> Result<Arc<Redis>, OpenError> {
    let options = redis::Options {
        url: url.expose().to_owned(),
        shown: url.to_string(),
        prefix: config.store.key_prefix.clone(),
        deadline: config.store.deadline,
        lease: config.store.lease,
        backups: config.store.backups,
        room_expiry: config.store.room_expiry,
        rate_limit: rate_limit(config),
        rng,
        tasks: tasks.clone(),
    };
    Ok(Redis::open(options).await?)
}

/// The accounts of the configured store, for the command line; a server may run beside it.
pub fn accounts(config: &Config) -> Result<Arc<dyn Tokens>, StartError> {
    match &config.store.tokens {
        Backend::Embedded => Ok(Accounts::open(&config.store.path, Arc::new(SystemClock)).map_err(OpenError::from)?),
        Backend::Url(_) => todo!(),
    }
}
