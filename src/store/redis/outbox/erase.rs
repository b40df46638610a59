//! Erasing a user's messages from the outbox: events where they wait, some at a time, and then the
//! room's batches, which are found by the room and read one by one.
use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Value, cmd};

use super::{
    super::{Redis, answer, client::Arguments, presence::room_id, script::Script},
    pending,
};
use crate::domain::{
    error::StoreError,
    ids::{RoomId, Uid},
    outbox::{OutboxErasure, erased_body},
};

/// Rooms that are read at once.
const ROOMS: u64 = 1000;

#[async_trait]
impl OutboxErasure for Redis {
    async fn index_parked(&self) -> Result<(), StoreError> {
        for endpoint in self.endpoints().await? {
            let mut after = "-inf".to_owned();
            while !after.is_empty() {
                let with = |a: Arguments| a.text(&endpoint).text(&after);
                let next = self.call(Script::HooksIndex, self.deadline(), with).await?;
                after = answer::text(Some(next))?;
            }
        }
        Ok(())
    }

    async fn rooms_told(&self) -> Result<Vec<RoomId>, StoreError> {
        let mut rooms = BTreeSet::new();
        for endpoint in self.endpoints().await? {
            // In this order: what is put aside while this goes on is found there.
            for (kind, scan, step) in [("due", "ZSCAN", 2), ("asides", "SSCAN", 1)] {
                let key = self.hook_key(kind, &endpoint);
                let mut cursor = "0".to_owned();
                loop {
                    let scan = cmd(scan).arg(&key).arg(&cursor).arg("COUNT").arg(ROOMS).to_owned();
                    let mut found = answer::list(self.command(&scan).await?)?.into_iter();
                    cursor = answer::text(found.next())?;
                    let found = answer::list(found.next().unwrap_or_default())?;
                    let names = found.into_iter().step_by(step).filter_map(answer::bytes);
                    // One that is no name was written by somebody else.
                    rooms.extend(names.filter_map(|name| room_id(&name).ok()));
                    if cursor == "0" {
                        break;
                    }
                }
            }
        }
        Ok(rooms.into_iter().collect())
    }

    async fn erase_told(&self, room: &RoomId, uid: &Uid) -> Result<u64, StoreError> {
        let mut changed = 0;
        for endpoint in self.endpoints().await? {
            let (events, batches) = self.erase_events(&endpoint, room, uid).await?;
            changed += events;
            for id in batches {
                changed += self.erase_batch(&endpoint, &id, uid).await?;
            }
        }
        Ok(changed)
    }

    async fn tell_erased(&self, uid: &Uid) -> Result<(), StoreError> {
        if self.hooks.is_some() {
            let with = |a: Arguments| a.text(uid.as_str()).text(&uid.json());
            self.call(Script::HooksErased, self.deadline(), with).await?;
        }
        Ok(())
    }
}

impl Redis {
    /// The names of all endpoints that ever were told anything.
    async fn endpoints(&self) -> Result<Vec<String>, StoreError> {
        let names = self.ask("SMEMBERS", "ao:hooks:endpoints").await?;
        names.into_iter().map(|name| answer::text(Some(name))).collect()
    }

    fn hook_key(&self, kind: &str, rest: &str) -> String {
        format!("{}ao:hooks:{kind}:{rest}", self.options.prefix)
    }

    /// From the events of a room that wait. Returns how many have changed or are gone, and the ids of
    /// the room's batches.
    async fn erase_events(
        &self,
        endpoint: &str,
        room: &RoomId,
        uid: &Uid,
    ) -> Result<(u64, Vec<String>), StoreError> {
        let (mut changed, mut after) = (0, "-1".to_owned());
        loop {
            let with =
                |a: Arguments| a.text(endpoint).text(room.as_str()).text(uid.as_str()).text(&after);
            let answer = self.call(Script::HooksErase, self.deadline(), with).await?;
            let mut answer = answer::list(answer)?.into_iter();
            let (erased, gone) = (answer::number(answer.next())?, answer::number(answer.next())?);
            changed += erased + gone;
            if gone > 0 {
                tracing::error!(
                    endpoint,
                    ?room,
                    gone,
                    "events of webhooks can't be read, and are dropped"
                );
            }
            after = answer::text(answer.next())?;
            if after.is_empty() {
                let ids = answer.map(|id| answer::text(Some(id))).collect::<Result<_, _>>()?;
                return Ok((changed, ids));
            }
        }
    }

    /// From one batch; 1: it has changed, or is gone as it can't be read.
    async fn erase_batch(&self, endpoint: &str, id: &str, uid: &Uid) -> Result<u64, StoreError> {
        let mut read = cmd("HGET");
        read.arg(self.hook_key("batch", &format!("{endpoint}:{id}"))).arg("body");
        // Delivered meanwhile, most likely.
        let Some(body) = answer::bytes(self.command(&read).await?) else { return Ok(0) };
        let done = match erased_body(&body, uid) {
            Ok(None) => return Ok(0),
            Ok(Some(body)) => self.amend(endpoint, id, &body).await?,
            Err(error) => {
                let dropped = self.drop_batch(endpoint, id).await?;
                if dropped == Value::Int(1) {
                    tracing::error!(endpoint, id, %error, "it is dropped");
                }
                dropped
            }
        };
        answer::number(Some(done))
    }

    async fn amend(&self, endpoint: &str, id: &str, body: &Bytes) -> Result<Value, StoreError> {
        let with = |a: Arguments| a.text(endpoint).text(id).bytes(body);
        Ok(self.call(Script::HooksAmend, self.deadline(), with).await?)
    }

    async fn drop_batch(&self, endpoint: &str, id: &str) -> Result<Value, StoreError> {
        let mut endpoints = self.hooks.iter().flat_map(|hooks| &hooks.interest.endpoints);
        let known = endpoints.find(|known| &*known.name == endpoint);
        let pending = known.map_or_else(String::new, |known| pending(known).to_string());
        let with = |a: Arguments| a.text(endpoint).text(id).text(&pending);
        Ok(self.call(Script::HooksDrop, self.deadline(), with).await?)
    }
}
