//! All accounts of a MongoDB, in the original's places: the collections `users` and `admins`, of
//! documents {uid, createTime, updateTime} with a plain `token` or with `tokenHash`, its SHA-256 in
//! lower-case hex; where there is a hash the plain one does not count. For the command line.
mod cabinet;

use std::time::Duration;

use async_trait::async_trait;
use mongodb::{
    Collection, Database,
    bson::{Bson, Document, doc},
    error::Error,
    options::{Acknowledgment, CollectionOptions, WriteConcern},
};

use super::{
    call::{Calls, told},
    document::{number, plain, unix},
    index, name,
    open::{OpenError, Opening},
};
use crate::{
    config::SecretUrl,
    domain::{error::StoreError, secret::Secret, token::Realm},
    hex,
    transfer::{Ambiguous, Proof, Record, Records, Vault},
};

/// The accounts in one database of a MongoDB, and the records beside them.
pub struct MongoVault {
    url: SecretUrl,
    calls: Calls,
    database: Database,
}

impl MongoVault {
    /// Connects, and changes nothing. `deadline` is for opening.
    pub async fn connect(url: &SecretUrl, deadline: Duration) -> Result<Self, OpenError> {
        let calls = Calls::new(deadline);
        let database = Opening::new(url, &calls).reach().await?;
        Ok(MongoVault { url: url.clone(), calls, database })
    }

    fn collection(&self, realm: Realm) -> Collection<Document> {
        self.lasting(name(realm))
    }

    /// What was copied outlives the loss of a primary, whatever the URL says.
    fn lasting(&self, name: &str) -> Collection<Document> {
        let concern = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
        let options = CollectionOptions::builder().write_concern(concern).build();
        self.database.collection_with_options(name, options)
    }

    async fn documents(
        &self,
        realm: Realm,
        filter: Document,
        most: Option<usize>,
    ) -> Result<Vec<Document>, StoreError> {
        let most = i64::try_from(most.unwrap_or(0)).unwrap_or(0); // 0: all
        let mut cursor = self
            .collection(realm)
            .find(filter)
            .sort(doc! { "uid": 1 })
            .limit(most)
            .await
            .map_err(failed)?;
        let mut found = Vec::new();
        while cursor.advance().await.map_err(failed)? {
            found.push(cursor.deserialize_current().map_err(failed)?);
        }
        Ok(found)
    }
}

fn failed(error: Error) -> StoreError {
    StoreError::Unavailable(told(&error))
}

/// The uids of several documents, however many documents there are.
fn shared() -> [Document; 4] {
    let is_text = doc! { "$eq": [{ "$type": "$uid" }, "string"] };
    // Large whole numbers are kept as doubles, which MongoDB would write with an exponent.
    let whole =
        doc! { "$convert": { "input": "$uid", "to": "long", "onError": null, "onNull": null } };
    let whole = doc! { "$cond": [{ "$eq": ["$uid", &whole] }, &whole, "$uid"] };
    let uid = doc! { "$cond": [&is_text, "$uid", whole] };
    let text = doc! { "$convert": { "input": uid, "to": "string", "onError": "", "onNull": "" } };
    let is_text = doc! { "$cond": [is_text, 1, 0] };
    [
        doc! { "$match": { "uid": { "$type": ["string", "number"] } } },
        doc! { "$group": { "_id": text, "accounts": { "$sum": 1 }, "texts": { "$sum": is_text } } },
        doc! { "$match": { "accounts": { "$gt": 1 } } },
        doc! { "$sort": { "_id": 1 } },
    ]
}

#[async_trait]
impl Vault for MongoVault {
    async fn count(&self, realm: Realm) -> Result<u64, StoreError> {
        self.collection(realm).count_documents(doc! {}).await.map_err(failed)
    }

    async fn ambiguous(&self, realm: Realm) -> Result<Vec<Ambiguous>, StoreError> {
        let mut cursor = self
            .collection(realm)
            .aggregate(shared())
            .allow_disk_use(true)
            .await
            .map_err(failed)?;
        let mut found = Vec::new();
        while cursor.advance().await.map_err(failed)? {
            let group: Document = cursor.deserialize_current().map_err(failed)?;
            let (accounts, texts) = (unix(group.get("accounts")), unix(group.get("texts")));
            let uid = group.get_str("_id").unwrap_or_default().to_owned();
            found.push(Ambiguous { uid, accounts, alike: texts > 1 || accounts - texts > 1 });
        }
        Ok(found)
    }

    async fn accounts(
        &self,
        realm: Realm,
        after: Option<&str>,
        most: usize,
    ) -> Result<Records, StoreError> {
        let mut found = Records::default();
        if after.is_none() {
            let odd = self
                .collection(realm)
                .count_documents(doc! { "uid": { "$not": { "$type": "string" } } })
                .await
                .map_err(failed)?;
            found.skipped.extend(
                (odd > 0).then(|| format!("{odd} of {}: their uid is no text", name(realm))),
            );
        }
        let behind = doc! { "uid": { "$type": "string", "$gt": after.unwrap_or_default() } };
        let documents = self.documents(realm, behind, Some(most)).await?;
        if documents.len() == most {
            found.next = documents.last().and_then(|d| d.get_str("uid").ok()).map(str::to_owned);
        }
        for document in documents {
            match read(&document) {
                Ok(record) => found.records.push(record),
                Err(why) => found.skipped.push(format!(
                    "{:?} of {}: {why}",
                    document.get_str("uid").unwrap_or_default(),
                    name(realm)
                )),
            }
        }
        Ok(found)
    }

    async fn find(&self, realm: Realm, uids: &[String]) -> Result<Vec<Record>, StoreError> {
        if uids.is_empty() {
            return Ok(vec![]);
        }
        let documents = self.documents(realm, doc! { "uid": { "$in": uids } }, None).await?;
        // One whose token can't be read is there all the same: it is not overwritten, and no token
        // is equal to its own.
        let unknown = |d: &Document| Record {
            uid: d.get_str("uid").unwrap_or_default().into(),
            created: 0,
            updated: 0,
            proof: NONE,
        };
        Ok(documents.iter().map(|d| read(d).unwrap_or_else(|_| unknown(d))).collect())
    }

    async fn add(&self, realm: Realm, records: &[Record]) -> Result<(), StoreError> {
        // As the server does: of two who add one uid exactly one succeeds.
        let ensured =
            index::ensure(&Opening::new(&self.url, &self.calls), &self.database, name(realm)).await;
        ensured.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        self.collection(realm).insert_many(records.iter().map(write)).await.map_err(failed)?;
        Ok(())
    }
}

/// The hash of no token that anybody knows.
const NONE: Proof = Proof::Sha256([0; 32]);

fn read(document: &Document) -> Result<Record, &'static str> {
    let uid = document.get_str("uid").map_err(|_| "its uid is no text")?.to_owned();
    let proof = match (document.get("tokenHash"), document.get("token")) {
        (Some(Bson::String(hash)), _) => {
            Proof::Sha256(digest(hash).ok_or("its tokenHash is none")?)
        }
        (Some(_), _) => return Err("its tokenHash is none"),
        (None, token) => {
            Proof::Plain(Secret::presented(token.and_then(plain).ok_or("it has no token")?))
        }
    };
    Ok(Record {
        uid,
        created: unix(document.get("createTime")),
        updated: unix(document.get("updateTime")),
        proof,
    })
}

fn write(record: &Record) -> Document {
    let (field, value) = match &record.proof {
        Proof::Plain(token) => ("token", token.reveal().to_owned()),
        Proof::Sha256(hash) => ("tokenHash", hex::encode(hash)),
    };
    doc! { "uid": &record.uid, field: value, "createTime": number(record.created), "updateTime": number(record.updated) }
}

/// Lower case only: what the server compares.
fn digest(text: &str) -> Option<[u8; 32]> {
    hex::decode(text)?.try_into().ok()
}

#[cfg(test)]
mod tests;
