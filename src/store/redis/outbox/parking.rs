//! Batches that were put aside: for servers, and for the command line.
use async_trait::async_trait;
use redis::Value;
use tokio::time::Instant;

use super::super::{
    OpenError, Options, Redis, address, answer,
    client::{Arguments, Client},
    presence::room_id,
    script::{PLAIN, Script},
};
use crate::domain::{
    error::StoreError,
    outbox::{ParkedBatch, ParkedPage, Parking},
};

/// Parked batches that are read at once.
const MOST: usize = 1000;

fn parked_arguments(a: Arguments, endpoint: &str, after: Option<&str>, limit: usize) -> Arguments {
    let after = after.and_then(|after| after.parse().ok()).unwrap_or(0);
    // One more shows whether there is another page.
    a.text(endpoint).number(after).number(limit as u64 + 1)
}

fn parked_page(answer: Value, limit: usize) -> Result<ParkedPage, StoreError> {
    let (mut page, mut last) = (ParkedPage::default(), None);
    for batch in answer::list(answer)? {
        if page.batches.len() == limit {
            page.next = last;
            break;
        }
        let mut batch = answer::list(batch)?.into_iter();
        page.batches.push(ParkedBatch {
            id: answer::text(batch.next())?.into(),
            room: room_id(&batch.next().and_then(answer::bytes).unwrap_or_default())?,
            parked_ms: answer::number(batch.next())?,
            attempts: u32::try_from(answer::number(batch.next())?).unwrap_or(u32::MAX),
            why: answer::text(batch.next())?,
            body: batch.next().and_then(answer::bytes).unwrap_or_default(),
        });
        last = Some(answer::text(batch.next())?);
    }
    Ok(page)
}

fn replay_arguments(a: Arguments, endpoint: &str, ids: &[String]) -> Arguments {
    ids.iter().fold(a.text(endpoint), |a, id| a.text(id))
}

#[async_trait]
impl Parking for Redis {
    async fn parked(
        &self,
        endpoint: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ParkedPage, StoreError> {
        let limit = limit.clamp(1, MOST);
        let with = |a: Arguments| parked_arguments(a, endpoint, after, limit);
        let answer = self.call(Script::HooksParked, self.deadline(), with).await?;
        parked_page(answer, limit)
    }

    async fn replay(&self, endpoint: &str, ids: &[String]) -> Result<u64, StoreError> {
        let with = |a: Arguments| replay_arguments(a, endpoint, ids);
        let answer = self.call(Script::HooksReplay, self.deadline(), with).await?;
        if let Some(hooks) = &self.hooks {
            hooks.wake();
        }
        answer::number(Some(answer))
    }
}

/// Batches that were put aside, for the command line: without being a node.
pub struct ParkedInRedis {
    client: Client,
    channels: String,
    options: Options,
}

impl ParkedInRedis {
    /// Connects.
    ///
    /// # Errors
    /// Redis can't be reached, or used.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let (address, channels) = address(&options.url, &options.shown, &options.prefix)?;
        let client = Client::open(address, &options.shown, PLAIN).await?;
        Ok(ParkedInRedis { client, channels, options })
    }

    async fn call(
        &self,
        script: Script,
        with: impl FnOnce(Arguments) -> Arguments,
    ) -> Result<Value, StoreError> {
        let live = self.client.live()?;
        let begun = Arguments::new(&self.options.prefix, &self.channels, "", &live.run, 0);
        let deadline = Instant::now() + self.options.deadline;
        Ok(self.client.run(&live, script, &with(begun), deadline).await?)
    }
}

#[async_trait]
impl Parking for ParkedInRedis {
    async fn parked(
        &self,
        endpoint: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ParkedPage, StoreError> {
        let limit = limit.clamp(1, MOST);
        let with = |a: Arguments| parked_arguments(a, endpoint, after, limit);
        parked_page(self.call(Script::HooksParked, with).await?, limit)
    }

    async fn replay(&self, endpoint: &str, ids: &[String]) -> Result<u64, StoreError> {
        let with = |a: Arguments| replay_arguments(a, endpoint, ids);
        answer::number(Some(self.call(Script::HooksReplay, with).await?))
    }
}
