//! Records where there is no MongoDB: one hash each, beside sets of ids by which they are found.
//!
//! | field | what |
//! |---|---|
//! | `v` | its version |
//! | `b` | its body |
//! | `k` | what it is found by, packed: index and value, with a colon between |
//! | `x` | when it ends, in milliseconds since 1970; missing: it does not |
//!
//! A record that ends is left to no expiry of Redis', which would leave its id in the sets. Whoever
//! reads looks at `x`; whoever writes sweeps some away, and so does each node once a minute.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use redis::Value;
use tokio::time::sleep;

use super::{Redis, answer, script::Script};
use crate::domain::{
    clock::Rng,
    error::StoreError,
    records::{
        Collection, Draft, Expect, PAGE_BYTES, Put, Record, RecordPage, Records, page_limit,
    },
};

/// Between two sweeps.
const PAUSE: Duration = Duration::from_secs(60);
/// Records that are swept away by one call.
const SWEPT: u64 = 100;

impl Redis {
    /// For ever.
    pub(super) async fn keep_sweeping(self: Arc<Self>) {
        loop {
            sleep(PAUSE).await;
            if let Err(error) = self.sweep_records().await {
                tracing::debug!(%error, "records that have expired are swept away later");
            }
        }
    }

    /// Ends the records whose time is over.
    pub(super) async fn sweep_records(&self) -> Result<(), StoreError> {
        loop {
            let swept =
                self.call(Script::RecordSweep, self.deadline(), |a| a.number(SWEPT)).await?;
            if answer::number(Some(swept))? < SWEPT {
                return Ok(());
            }
        }
    }

    /// `by`: what they are found by, or nothing.
    async fn record_page(
        &self,
        collection: &Collection,
        by: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        let answer = self
            .call(Script::RecordPage, self.deadline(), |a| {
                a.text(collection.name())
                    .text(by)
                    .text(after.unwrap_or_default())
                    .number(page_limit(limit) as u64)
                    .number(PAGE_BYTES as u64)
            })
            .await?;
        let mut answer = answer::list(answer)?.into_iter();
        let next = answer::text(answer.next())?;
        let mut page = RecordPage::default();
        while let Some(id) = answer.next() {
            let id = answer::text(Some(id))?;
            let fields = [answer.next(), answer.next(), answer.next()];
            page.add(record(id, fields)?, limit);
        }
        page.next = (!next.is_empty()).then_some(next);
        Ok(page)
    }
}

/// From version, body, and when it ends.
fn record(id: String, fields: [Option<Value>; 3]) -> Result<Record, StoreError> {
    let [version, body, ends] = fields;
    let ends = ends.and_then(answer::bytes).filter(|ends| !ends.is_empty());
    let expires_at = match ends {
        Some(ends) => Some(answer::number(Some(Value::BulkString(ends.to_vec())))? / 1000),
        None => None,
    };
    let body = body.and_then(answer::bytes).unwrap_or_default();
    Ok(Record { id, version: answer::number(version)?, body, expires_at })
}

/// A version that no earlier life of a record began with; it leaves room to count up.
fn first_version(rng: &dyn Rng) -> Result<u64, StoreError> {
    let mut bytes = [0; 6];
    rng.fill(&mut bytes).map_err(|e| StoreError::Unavailable(e.to_string()))?;
    Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Milliseconds, as large as Lua's numbers are exact.
fn in_ms(seconds: u64) -> u64 {
    seconds.saturating_mul(1000).min(1 << 53)
}

#[async_trait]
impl Records for Redis {
    async fn get(&self, collection: &Collection, id: &str) -> Result<Option<Record>, StoreError> {
        let live = self.client.live()?;
        let mut command = redis::cmd("HMGET");
        let at = format!("{}ao:record:{}:{id}", self.options.prefix, collection.name());
        command.arg(at).arg(&["v", "b", "x"]);
        let fields = self.client.ask(&live, &command, self.deadline()).await?;
        let mut fields = answer::list(fields)?.into_iter();
        let fields = [fields.next(), fields.next(), fields.next()];
        if matches!(fields[0], None | Some(Value::Nil)) {
            return Ok(None);
        }
        let record = record(id.to_owned(), fields)?;
        let now = self.client.redis_ms(tokio::time::Instant::now());
        Ok(Some(record).filter(|record| record.expires_at.is_none_or(|at| in_ms(at) > now)))
    }

    async fn put(
        &self,
        collection: &Collection,
        id: &str,
        body: Bytes,
        expect: Expect,
        expires_at: Option<u64>,
    ) -> Result<Put, StoreError> {
        let draft = match Draft::new(collection, id, body) {
            Ok(draft) => draft,
            Err(why) => return Ok(Put::Invalid(why)),
        };
        let expected = match expect {
            Expect::New => "new".to_owned(),
            Expect::Any => "any".to_owned(),
            Expect::Version(version) => version.to_string(),
        };
        let first = first_version(&*self.options.rng)?;
        let ends = expires_at.map_or_else(String::new, |at| in_ms(at).to_string());
        let answer = self
            .call(Script::RecordPut, self.deadline(), |a| {
                let a = a.text(draft.collection).text(&draft.id).text(&expected).text(&ends);
                let keys = draft.keys.iter();
                keys.fold(a.number(first), |a, (index, value)| a.text(&format!("{index}:{value}")))
                    .bodies(vec![draft.body.clone()])
            })
            .await?;
        let mut answer = answer::list(answer)?.into_iter();
        if answer::number(answer.next())? == 1 {
            return Ok(Put::Done { version: answer::number(answer.next())? });
        }
        let there = answer::text(answer.next())?;
        Ok(Put::Conflict { version: there.parse().ok() })
    }

    async fn delete(
        &self,
        collection: &Collection,
        id: &str,
        version: Option<u64>,
    ) -> Result<bool, StoreError> {
        let version = version.map_or_else(String::new, |version| version.to_string());
        let answer = self
            .call(Script::RecordDelete, self.deadline(), |a| {
                a.text(collection.name()).text(id).text(&version)
            })
            .await?;
        Ok(answer::number(Some(answer))? == 1)
    }

    async fn find(
        &self,
        collection: &Collection,
        index: &str,
        value: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        let by = format!("{}:{value}", collection.index(index)?);
        self.record_page(collection, &by, after, limit).await
    }

    async fn list(
        &self,
        collection: &Collection,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        self.record_page(collection, "", after, limit).await
    }
}
