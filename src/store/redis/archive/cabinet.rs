//! Records, where a server that has no MongoDB keeps them.
use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, pipe};

use super::{super::script::copying, RedisArchive, SCAN};
use crate::{
    domain::error::StoreError,
    transfer::{Cabinet, Drawer, Filed},
};

/// What the keys of collections begin with.
const COLLECTION: &str = "ao:records:all:";

/// A record as the script reads it: id, version, body, when it ends in milliseconds, and what it is
/// found by.
type Found = (String, String, Bytes, String, Vec<String>);

impl RedisArchive {
    /// The names of the collections.
    async fn find_collections(&self) -> Result<BTreeSet<String>, StoreError> {
        let (mut names, mut cursor) = (BTreeSet::new(), None);
        loop {
            let (keys, next) = self.scan(COLLECTION, cursor.as_deref(), SCAN).await?;
            let found = keys.iter().filter_map(|key| self.keys.behind(COLLECTION, key));
            names.extend(found.map(str::to_owned));
            cursor = next;
            if cursor.is_none() {
                return Ok(names);
            }
        }
    }
}

fn filed(collection: &str, found: Found) -> Option<Filed> {
    let (id, version, body, ends, keys) = found;
    let key = |key: &String| Some(key.split_once(':')?).map(|(i, v)| (i.to_owned(), v.to_owned()));
    Some(Filed {
        collection: collection.to_owned(),
        id,
        version: version.parse().ok()?,
        body,
        keys: keys.iter().filter_map(key).collect(),
        expires_at: ends.parse().ok().map(|ms: u64| ms / 1000),
    })
}

#[async_trait]
impl Cabinet for RedisArchive {
    async fn records(
        &self,
        after: Option<(&str, &str)>,
        most: usize,
    ) -> Result<Drawer, StoreError> {
        let (from, after) = after.unwrap_or_default();
        let collections = self.collections.get_or_try_init(|| self.find_collections()).await?;
        for collection in collections.iter().filter(|name| name.as_str() >= from) {
            let after = if collection == from { after } else { "" };
            let with = |eval: &mut Cmd| {
                eval.arg(collection).arg(after).arg(most);
            };
            let found: Vec<Found> = self.script(copying::RECORDS, with).await?;
            let Some((last, ..)) = found.last() else { continue };
            let next = Some((collection.clone(), last.clone()));
            let records = found.into_iter().filter_map(|found| filed(collection, found));
            return Ok(Drawer { records: records.collect(), next });
        }
        Ok(Drawer::default())
    }

    async fn versions(&self, names: &[(String, String)]) -> Result<Vec<Option<u64>>, StoreError> {
        if names.is_empty() {
            return Ok(vec![]);
        }
        let mut look = pipe();
        for (collection, id) in names {
            look.cmd("HGET").arg(format!("{}ao:record:{collection}:{id}", self.prefix)).arg("v");
        }
        self.calls(&look).await
    }

    async fn file(&self, records: &[Filed]) -> Result<(), StoreError> {
        for Filed { collection, id, version, body, keys, expires_at } in records {
            let ends = expires_at.map(|at| at.saturating_mul(1000).min(1 << 53).to_string());
            let with = |eval: &mut Cmd| {
                eval.arg(collection).arg(id).arg(*version).arg(ends.unwrap_or_default());
                for (index, value) in keys {
                    eval.arg(format!("{index}:{value}"));
                }
                eval.arg(&body[..]);
            };
            self.script::<()>(copying::FILE, with).await?;
        }
        Ok(())
    }
}
