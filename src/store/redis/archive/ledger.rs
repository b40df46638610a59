//! Receipts, and erasings that are not done.
use async_trait::async_trait;
use redis::{Value, cmd, pipe};

use super::{
    super::{answer, receipts},
    RedisArchive,
};
use crate::{
    domain::{erase::Job, error::StoreError},
    transfer::{KeptReceipt, Ledger, Receipts},
};

/// What the keys of receipts begin with.
const RECEIPT: &str = "ao:receipt:";

impl RedisArchive {
    fn receipt(&self, key: &str) -> String {
        format!("{}{RECEIPT}{key}", self.prefix)
    }

    fn jobs(&self) -> String {
        format!("{}ao:jobs", self.prefix)
    }
}

#[async_trait]
impl Ledger for RedisArchive {
    async fn receipts(&self, from: Option<&str>, most: usize) -> Result<Receipts, StoreError> {
        let (keys, next) = self.scan(RECEIPT, from, most).await?;
        let names = keys.iter().filter_map(|key| self.keys.behind(RECEIPT, key));
        let names: Vec<&str> = names.collect();
        if names.is_empty() {
            return Ok(Receipts { next, ..Receipts::default() });
        }
        let mut read = pipe();
        for name in &names {
            read.cmd("GET").arg(self.receipt(name)).cmd("PTTL").arg(self.receipt(name));
        }
        let now_ms = self.now_ms().await?;
        let found: Vec<Value> = self.calls(&read).await?;
        let mut found = found.into_iter();
        let mut receipts = Vec::new();
        for name in names {
            let text = found.next().and_then(answer::bytes);
            let left = found.next();
            // Nothing, or no time: it has just ended, or somebody else wrote it.
            let (Some(kept), Some(Value::Int(left @ 1..))) =
                (text.and_then(|text| receipts::read(&text)), left)
            else {
                continue;
            };
            let ends_ms = now_ms.saturating_add(left.unsigned_abs());
            receipts.push(KeptReceipt { key: name.to_owned(), kept, ends_ms });
        }
        Ok(Receipts { receipts, next })
    }

    async fn have(&self, keys: &[String]) -> Result<Vec<bool>, StoreError> {
        if keys.is_empty() {
            return Ok(vec![]);
        }
        let mut look = pipe();
        for key in keys {
            look.cmd("EXISTS").arg(self.receipt(key));
        }
        self.calls(&look).await
    }

    async fn keep(&self, receipts: &[KeptReceipt]) -> Result<(), StoreError> {
        let mut write = pipe();
        for KeptReceipt { key, kept, ends_ms } in receipts {
            let text = receipts::write(kept);
            write.cmd("SET").arg(self.receipt(key)).arg(text).arg("PXAT").arg(*ends_ms).arg("NX");
        }
        let _: Vec<Value> = self.calls(&write).await?;
        Ok(())
    }

    async fn erasings(&self) -> Result<Vec<Job>, StoreError> {
        let names: Vec<String> = self.call(cmd("SMEMBERS").arg(self.jobs())).await?;
        let mut jobs = Vec::new();
        for name in names {
            let text: Option<Vec<u8>> =
                self.call(cmd("GET").arg(format!("{}:{name}", self.jobs()))).await?;
            jobs.extend(text.and_then(|text| serde_json::from_slice(&text).ok()));
        }
        Ok(jobs)
    }

    async fn erase(&self, job: &Job) -> Result<(), StoreError> {
        let text = serde_json::to_string(job);
        let text = text.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let one = format!("{}:{}", self.jobs(), job.id);
        let is_new: Value = self.call(cmd("SET").arg(one).arg(text).arg("NX")).await?;
        if is_new != Value::Nil {
            self.call::<()>(cmd("SADD").arg(self.jobs()).arg(&job.id)).await?;
        }
        Ok(())
    }

    async fn untold(&self) -> Result<u64, StoreError> {
        let (mut all, mut cursor) = (0, None);
        loop {
            let (keys, next) = self.scan("ao:hooks:bytes:", cursor.as_deref(), super::SCAN).await?;
            for key in keys {
                let bytes: Option<i64> = self.call(cmd("GET").arg(key)).await?;
                all += bytes.unwrap_or_default().max(0).unsigned_abs();
            }
            cursor = next;
            if cursor.is_none() {
                return Ok(all);
            }
        }
    }
}
