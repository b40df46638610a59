//! How often a user may sign in, on all nodes together.
use async_trait::async_trait;

use super::{Redis, answer, script::Script};
use crate::domain::{error::StoreError, ids::Uid, limit::Limits};

#[async_trait]
impl Limits for Redis {
    async fn admit(&self, uid: &Uid) -> Result<bool, StoreError> {
        let Some((most, window)) = self.options.rate_limit else { return Ok(true) };
        let window = window.as_millis() as u64;
        let answer = self
            .call(Script::Admit, self.deadline(), |a| {
                a.text(uid.as_str()).number(u64::from(most)).number(window)
            })
            .await?;
        Ok(answer::number(Some(answer))? == 1)
    }
}
