//! Sealing: every plain token becomes a hash, while servers go on.
//!
//! First the marker is set, then all documents are gone through. A process that writes a token asks
//! for the marker before and after: either its token was written before the marker, and is met
//! here, or it sees the marker and hashes the token itself.
use std::{sync::atomic::Ordering, time::Duration};

use futures_util::TryStreamExt;
use mongodb::{
    Collection, Cursor, Database,
    bson::{Bson, Document, doc},
    error::Result,
};

use super::{
    Accounts,
    call::Failure,
    document::{Form, number, plain},
    name,
};
use crate::domain::{error::StoreError, token::Realm};

/// Our own collection in the database, for the marker.
pub(super) const COLLECTION: &str = "always_online";
/// The marker's id.
const MARKER: &str = "tokens";
/// Documents that are changed by one command.
const BATCH: usize = 500;
/// How often the documents are gone through. The first round leaves what was changed under its
/// hands, by the original as well.
const ROUNDS: usize = 5;
/// Between two of these: whoever wrote before it saw the marker looks again, and is done by then.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether the tokens are sealed.
pub(super) async fn is_marked(database: &Database) -> Result<bool> {
    let marker =
        database.collection::<Document>(COLLECTION).find_one(doc! { "_id": MARKER }).await?;
    Ok(marker.is_some_and(|marker| marker.get_bool("sealed").is_ok_and(|sealed| sealed)))
}

impl Accounts {
    /// Hashes all plain tokens, and has every process write hashes from now on. May be repeated.
    /// The original can't read sealed tokens.
    ///
    /// Gives the number of documents that were sealed.
    pub async fn seal(&self) -> std::result::Result<u64, StoreError> {
        let marker = doc! { "$set": { "sealed": true }, "$setOnInsert": { "since": number(self.clock.unix()) } };
        let ours = self.database.collection::<Document>(COLLECTION);
        let marked =
            async move { ours.update_one(doc! { "_id": MARKER }, marker).upsert(true).await };
        self.calls.run(self.calls.until(), marked).await.map_err(Failure::of_write)?;
        self.sealed.store(true, Ordering::Relaxed);
        let mut sealed = 0;
        for realm in [Realm::User, Realm::Admin, Realm::Reader] {
            sealed += self.seal_all(realm).await?;
        }
        Ok(sealed)
    }

    async fn seal_all(&self, realm: Realm) -> std::result::Result<u64, StoreError> {
        let mut sealed = 0;
        for round in 0..ROUNDS {
            if round > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let accounts = self.accounts(realm);
            let found = async move {
                accounts
                    .find(doc! { "token": { "$exists": true } })
                    .projection(doc! { "token": 1, "tokenHash": 1 })
                    .await
            };
            let mut cursor =
                self.calls.run(self.calls.until(), found).await.map_err(Failure::of_read)?;
            let mut left = false;
            loop {
                let (rest, documents) = self
                    .calls
                    .run(self.calls.until(), next(cursor))
                    .await
                    .map_err(Failure::of_read)?;
                cursor = rest;
                if documents.is_empty() {
                    break;
                }
                let updates: Vec<Bson> = documents.iter().filter_map(update).collect();
                if updates.is_empty() {
                    continue;
                }
                left = true;
                sealed += self.change(realm, updates).await?;
            }
            if !left {
                return Ok(sealed);
            }
        }
        Err(StoreError::Unavailable("tokens are written in plain text while they are sealed: stop the original service first".into()))
    }

    /// Runs updates in one command, which the driver has no call for before MongoDB 8.
    async fn change(
        &self,
        realm: Realm,
        updates: Vec<Bson>,
    ) -> std::result::Result<u64, StoreError> {
        let accounts: Collection<Document> = self.accounts(realm);
        let mut command = doc! { "update": accounts.name(), "updates": updates, "ordered": false };
        if let Some(concern) = self.database.write_concern() {
            command.insert(
                "writeConcern",
                mongodb::bson::serialize_to_bson(concern)
                    .map_err(|e| StoreError::Unavailable(e.to_string()))?,
            );
        }
        let database = self.database.clone();
        let run = async move { database.run_command(command).await };
        let answer = self.calls.run(self.calls.until(), run).await.map_err(Failure::of_write)?;
        if answer.contains_key("writeErrors") || answer.contains_key("writeConcernError") {
            return Err(StoreError::OutcomeUnknown(format!(
                "MongoDB refused to change some documents of {}",
                name(realm)
            )));
        }
        Ok(match answer.get("nModified") {
            Some(Bson::Int32(n)) => u64::try_from(*n).unwrap_or(0),
            Some(Bson::Int64(n)) => u64::try_from(*n).unwrap_or(0),
            _ => 0,
        })
    }
}

/// The next documents of a cursor; none at its end.
async fn next(mut cursor: Cursor<Document>) -> Result<(Cursor<Document>, Vec<Document>)> {
    let mut documents = Vec::with_capacity(BATCH);
    while documents.len() < BATCH
        && let Some(document) = cursor.try_next().await?
    {
        documents.push(document);
    }
    Ok((cursor, documents))
}

/// What makes a plain token a hash, unless it was changed since it was read. None where there is
/// nothing to hide.
fn update(document: &Document) -> Option<Bson> {
    let (id, token) = (document.get("_id")?, document.get("token")?);
    if document.contains_key("tokenHash") {
        // Its hash counts; the token beside it is the original's, and opens nothing.
        return Some(
            doc! { "q": { "_id": id, "token": token }, "u": { "$unset": { "token": "" } } }.into(),
        );
    }
    let change = Form::Hashed.change(&plain(token)?, None);
    Some(
        doc! { "q": { "_id": id, "token": token, "tokenHash": { "$exists": false } }, "u": change }
            .into(),
    )
}
