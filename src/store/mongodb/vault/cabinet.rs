//! Records, where tokens are in MongoDB.
use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use mongodb::{
    Collection,
    bson::{Document, doc},
};

use super::{
    super::records::{COLLECTION, end, key, make_indexes, record, version},
    MongoVault, failed,
};
use crate::{
    domain::error::StoreError,
    transfer::{Cabinet, Drawer, Filed},
};

fn name(collection: &str, id: &str) -> String {
    format!("{collection}/{id}")
}

/// The collection of a record, by its name.
fn collection(document: &Document) -> Option<&str> {
    Some(document.get_str("_id").ok()?.split_once('/')?.0)
}

fn read(document: &Document) -> Option<Filed> {
    let (collection, record) = (collection(document)?, record(document)?);
    let begins = key(collection, "", "");
    // As they are stored: `collection/index/value`.
    let begins = begins.strip_suffix('/')?;
    let keys = document.get_array("keys").ok()?;
    let keys = keys.iter().filter_map(|one| one.as_str()?.strip_prefix(begins)?.split_once('/'));
    Some(Filed {
        collection: collection.to_owned(),
        id: record.id,
        version: record.version,
        body: record.body,
        keys: keys.map(|(index, value)| (index.to_owned(), value.to_owned())).collect(),
        expires_at: record.expires_at,
    })
}

fn write(filed: &Filed) -> Document {
    let Filed { collection, id, version, body, keys, expires_at } = filed;
    let keys: Vec<String> =
        keys.iter().map(|(index, value)| key(collection, index, value)).collect();
    let mut document = doc! {
        "_id": name(collection, id),
        "version": i64::try_from(*version).unwrap_or(i64::MAX),
        "keys": keys,
        // JSON is UTF-8.
        "body": String::from_utf8_lossy(body).into_owned(),
    };
    if let Some(at) = expires_at {
        document.insert("expires", end(*at));
    }
    document
}

impl MongoVault {
    fn filed(&self) -> Collection<Document> {
        self.lasting(COLLECTION)
    }
}

#[async_trait]
impl Cabinet for MongoVault {
    async fn records(
        &self,
        after: Option<(&str, &str)>,
        most: usize,
    ) -> Result<Drawer, StoreError> {
        let after = after.map(|(collection, id)| name(collection, id)).unwrap_or_default();
        let alive = doc! { "$expr": { "$gt": ["$expires", "$$NOW"] } };
        let filter = doc! {
            "_id": { "$gt": after },
            "$or": [{ "expires": { "$exists": false } }, alive],
        };
        let (filed, limit) = (self.filed(), i64::try_from(most).unwrap_or(i64::MAX));
        let found = filed.find(filter).sort(doc! { "_id": 1 }).limit(limit);
        let found: Vec<Document> =
            found.await.map_err(failed)?.try_collect().await.map_err(failed)?;
        let last = found.last().filter(|_| found.len() == most);
        let next = last.and_then(|last| last.get_str("_id").ok()?.split_once('/'));
        let next = next.map(|(collection, id)| (collection.to_owned(), id.to_owned()));
        // What can't be read was written by somebody else.
        Ok(Drawer { records: found.iter().filter_map(read).collect(), next })
    }

    async fn versions(&self, names: &[(String, String)]) -> Result<Vec<Option<u64>>, StoreError> {
        let names: Vec<String> =
            names.iter().map(|(collection, id)| name(collection, id)).collect();
        let filed = self.filed();
        let found = filed.find(doc! { "_id": { "$in": &names } }).projection(doc! { "version": 1 });
        let found: Vec<Document> =
            found.await.map_err(failed)?.try_collect().await.map_err(failed)?;
        let version = |document: &Document| {
            Some((document.get_str("_id").ok()?.to_owned(), version(document)?))
        };
        let versions: HashMap<String, u64> = found.iter().filter_map(version).collect();
        Ok(names.iter().map(|name| versions.get(name).copied()).collect())
    }

    async fn file(&self, records: &[Filed]) -> Result<(), StoreError> {
        let filed = self.filed();
        make_indexes(&filed).await.map_err(failed)?;
        for record in records {
            let filter = doc! { "_id": name(&record.collection, &record.id) };
            filed.replace_one(filter, write(record)).upsert(true).await.map_err(failed)?;
        }
        Ok(())
    }
}
