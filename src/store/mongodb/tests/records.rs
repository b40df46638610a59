//! Records beside the accounts.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::*;
use crate::{
    domain::records::{Collection, Expect, Records},
    store::contract::{RecordsHome, records_contract},
};

/// A clock that is moved.
struct Watch(AtomicU64);

impl Clock for Watch {
    fn unix_ms(&self) -> u64 {
        self.0.load(Relaxed) * 1000
    }
}

/// A database, and its time. That is years ahead: MongoDB deletes what it finds to be over.
struct Home(Scratch, Arc<Watch>);

impl Home {
    fn new() -> Self {
        Home(Scratch::new(), Arc::new(Watch(AtomicU64::new(4_000_000_000))))
    }
}

impl RecordsHome for Home {
    async fn open(&self) -> Arc<dyn Records> {
        Accounts::open(&secret_url(&self.0.url), DEADLINE, self.1.clone()).await.unwrap()
    }

    fn now(&self) -> u64 {
        self.1.unix()
    }

    async fn pass(&self, seconds: u64) {
        self.1.0.fetch_add(seconds, Relaxed);
    }
}

records_contract!(mongodb, Home::new());

#[tokio::test]
async fn a_record_is_one_document_and_nothing_is_made_before_the_first() {
    let home = Home::new();
    let records = RecordsHome::open(&home).await;
    const NOTES: Collection = Collection::new("notes", &["by"]);
    records.get(&NOTES, "1").await.unwrap();
    records.list(&NOTES, None, 10).await.unwrap();
    let mut there = home.0.database().await.list_collection_names().await.unwrap();
    there.sort();
    assert_eq!(there, ["admins", "users"]);
    let body = "{\"by\":\"ann\"}";
    let put = records.put(&NOTES, "1/2", body.into(), Expect::New, Some(4_000_000_001));
    put.await.unwrap();
    let all = home.0.collection("always_online_records").await;
    let mut found = all.find_one(doc! {}).await.unwrap().unwrap();
    assert!(found.remove("version").unwrap().as_i64().is_some());
    let expires = mongodb::bson::DateTime::from_millis(4_000_000_001_000);
    let expected =
        doc! { "_id": "notes/1/2", "keys": ["notes/by/ann"], "body": body, "expires": expires };
    assert_eq!(found, expected);
    let mut indexes = all.list_index_names().await.unwrap();
    indexes.sort();
    assert_eq!(indexes, ["_id_", "expires_1", "keys_1__id_1"]);
}
