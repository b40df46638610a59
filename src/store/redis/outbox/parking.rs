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
    // One more shows whether there is another page.
    a.text(endpoint).number(ParkedPage::begin(after)).number(limit as u64 + 1)
}

fn parked_page(answer: Value, limit: usize) -> Result<ParkedPage, StoreError> {
    ParkedPage::of(answer::list(answer)?.into_iter().map(parked_batch), limit)
}

/// A batch with its serial number; no batch, where somebody else wrote what is there.
fn parked_batch(answer: Value) -> Result<(u64, Option<ParkedBatch>), StoreError> {
    let mut answer = answer::list(answer)?;
    let serial = answer::number(answer.pop())?;
    Ok((serial, read_batch(answer).ok()))
}

fn read_batch(answer: Vec<Value>) -> Result<ParkedBatch, StoreError> {
    let mut answer = answer.into_iter();
    Ok(ParkedBatch {
        id: answer::text(answer.next())?.into(),
        room: room_id(&answer.next().and_then(answer::bytes).unwrap_or_default())?,
        parked_ms: answer::number(answer.next())?,
        attempts: u32::try_from(answer::number(answer.next())?).unwrap_or(u32::MAX),
        why: answer::text(answer.next())?,
        body: answer.next().and_then(answer::bytes).unwrap_or_default(),
    })
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
