//! What a MongoDB says of itself, for whoever looks after it.
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::{
    Client, Database,
    bson::{Bson, Document, doc},
    options::ClientOptions,
};
use tokio::time::{Instant, timeout};

use crate::config::SecretUrl;

/// Facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its version.
    pub version: String,
    /// The database with the accounts.
    pub database: String,
    /// Whether the user may insert there; `None`: nobody has to say who it is.
    pub may_write: Option<bool>,
    /// Whether each collection of accounts has a unique index on `uid`.
    pub unique: Vec<(&'static str, bool)>,
    /// Its clock, milliseconds since 1970.
    pub now: Option<u64>,
    /// Time of one question.
    pub latency: Duration,
}

/// Asks the MongoDB at this URL.
///
/// # Errors
/// It can't be reached, or does not answer; why, for people.
pub async fn examine(url: &SecretUrl, patience: Duration) -> Result<Facts, String> {
    let asked = async { ask(url, patience).await.map_err(|error| error.to_string()) };
    timeout(patience * 2, asked).await.unwrap_or_else(|_| Err("it does not answer".into()))
}

async fn ask(url: &SecretUrl, patience: Duration) -> mongodb::error::Result<Facts> {
    let mut options = ClientOptions::parse(url.expose()).await?;
    options.server_selection_timeout = Some(patience);
    let name = options.default_database.clone().unwrap_or_else(|| super::open::DATABASE.to_owned());
    let database = Client::with_options(options)?.database(&name);
    let built = database.run_command(doc! { "buildInfo": 1 }).await?;
    let begin = Instant::now();
    let hello = database.run_command(doc! { "hello": 1 }).await?;
    let latency = begin.elapsed();
    let status =
        database.run_command(doc! { "connectionStatus": 1, "showPrivileges": true }).await?;
    let mut unique = Vec::new();
    for collection in ["users", "admins"] {
        unique.push((collection, has_unique(&database, collection).await));
    }
    Ok(Facts {
        version: built.get_str("version").unwrap_or_default().to_owned(),
        may_write: may_write(&status, &name),
        database: name,
        unique,
        now: match hello.get("localTime") {
            Some(Bson::DateTime(at)) => u64::try_from(at.timestamp_millis()).ok(),
            _ => None,
        },
        latency,
    })
}

async fn has_unique(database: &Database, collection: &str) -> bool {
    let Ok(indexes) = database.collection::<Document>(collection).list_indexes().await else {
        return false; // it is not there yet
    };
    let Ok(indexes) = indexes.try_collect::<Vec<_>>().await else { return false };
    indexes.iter().any(|index| {
        let unique = index.options.as_ref().is_some_and(|options| options.unique == Some(true));
        unique && index.keys.keys().eq(["uid"])
    })
}

/// Whether somebody is signed in who may insert; by the answer to `connectionStatus`.
fn may_write(status: &Document, database: &str) -> Option<bool> {
    let info = status.get_document("authInfo").ok()?;
    let users = info.get_array("authenticatedUsers").ok()?;
    if users.is_empty() {
        return None;
    }
    let privileges = info.get_array("authenticatedUserPrivileges").ok()?;
    Some(privileges.iter().filter_map(Bson::as_document).any(|privilege| {
        let of = privilege.get_document("resource").ok();
        let here = of.is_some_and(|of| {
            of.get_bool("anyResource").unwrap_or(false)
                || (of.get_str("db").is_ok_and(|db| db.is_empty() || db == database)
                    && of.get_str("collection").is_ok_and(str::is_empty))
        });
        let actions = privilege.get_array("actions").ok();
        here && actions.is_some_and(|actions| {
            actions.iter().any(|action| matches!(action.as_str(), Some("insert" | "anyAction")))
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_insert_there_may_write() {
        let status = |users: i32, db: &str, actions: &[&str]| {
            let users: Vec<Document> = (0..users).map(|n| doc! { "user": n }).collect();
            doc! { "authInfo": {
                "authenticatedUsers": users,
                "authenticatedUserPrivileges": [
                    { "resource": { "db": db, "collection": "" }, "actions": actions.to_vec() },
                ],
            } }
        };
        for (status, may) in [
            (status(1, "account", &["find", "insert"]), Some(true)),
            (status(1, "", &["insert"]), Some(true)),
            (status(1, "account", &["find"]), Some(false)),
            (status(1, "other", &["insert"]), Some(false)),
            (status(0, "account", &["insert"]), None),
        ] {
            assert_eq!(may_write(&status, "account"), may, "{status}");
        }
    }
}
