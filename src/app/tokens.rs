//! Where the tokens are: in the embedded store, which opens with the messages, or in MongoDB.
use std::sync::Arc;

use super::{StartError, stores::OpenError};
use crate::{
    config::{Backend, Config},
    domain::{
        clock::{Clock, SystemClock},
        error::StoreError,
        token::{Realm, Tokens},
    },
    store::{embedded, mongodb},
};

/// The accounts of the configured store, for the command line; a server may run beside it.
pub enum Accounts {
    /// In the server's own files.
    Embedded(Arc<embedded::Accounts>),
    /// In a MongoDB.
    MongoDb(Arc<mongodb::Accounts>),
}

impl Accounts {
    /// Opens those of the configured store.
    ///
    /// # Errors
    /// The store can't be opened, or does not answer.
    pub async fn open(config: &Config) -> Result<Accounts, StartError> {
        let clock = Arc::new(SystemClock);
        Ok(match &config.store.tokens {
            Backend::Embedded => Accounts::Embedded(
                embedded::Accounts::open(&config.store.path, clock).map_err(OpenError::from)?,
            ),
            Backend::Url(url) => {
                Accounts::MongoDb(mongodb::Accounts::open(url, config.store.deadline, clock).await?)
            }
        })
    }

    /// The accounts as a server sees them.
    pub fn tokens(&self) -> &dyn Tokens {
        match self {
            Accounts::Embedded(accounts) => &**accounts,
            Accounts::MongoDb(accounts) => &**accounts,
        }
    }

    /// Hashes all tokens and tells how many there were; `None` where nothing but hashes is ever
    /// kept.
    ///
    /// # Errors
    /// The store does not answer; running it again goes on from there.
    pub async fn seal(&self) -> Result<Option<u64>, StoreError> {
        match self {
            Accounts::Embedded(_) => Ok(None),
            Accounts::MongoDb(accounts) => accounts.seal().await.map(Some),
        }
    }
}

/// The accounts of a server, where they are not in the embedded store.
pub(super) async fn elsewhere(
    config: &Config,
    clock: Arc<dyn Clock>,
) -> Result<Option<Arc<mongodb::Accounts>>, StartError> {
    let Backend::Url(url) = &config.store.tokens else { return Ok(None) };
    let accounts = mongodb::Accounts::open(url, config.store.deadline, clock).await?;
    tracing::info!(%url, "tokens are kept in MongoDB");
    if !accounts.sealed() {
        tracing::info!(
            "tokens are kept in plain text, so that the original service can come back; `always-online token seal` hashes them for good"
        );
    }
    // A server that many may share gets no administrator by itself: who starts first can't be told.
    if accounts.list(Realm::Admin).await?.is_empty() {
        tracing::warn!(
            "there is no administrator: make one with `always-online admin create NAME`"
        );
    }
    Ok(Some(accounts))
}
