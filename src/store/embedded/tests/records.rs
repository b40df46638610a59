//! What is done about records on disk.
use super::*;
use crate::{
    domain::records::{Collection, Expect},
    store::embedded::records::{ALL, FOUND, ONE},
};

const NOTES: Collection = Collection::new("notes", &["by"]);

async fn write(store: &Embedded, id: usize, expires_at: Option<u64>) {
    let (id, body) = (id.to_string(), "{\"by\":\"ann\"}".into());
    store.put(&NOTES, &id, body, Expect::Any, expires_at).await.unwrap();
}

fn rows(home: &DataFolder, table: &str) -> i64 {
    let db = rusqlite::Connection::open(home.database()).unwrap();
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn what_has_expired_is_swept_away_with_what_it_was_found_by() {
    let home = DataFolder::new();
    let store = home.open();
    let now = home.watch.unix();
    for id in 0..250 {
        write(&store, id, Some(now + 10)).await;
    }
    write(&store, 250, None).await;
    assert_eq!((rows(&home, "records"), rows(&home, "record_keys")), (251, 251));
    home.watch.advance(Duration::from_secs(20));
    // Some of them with each change, and more while nothing happens.
    while rows(&home, "records") > 1 {
        write(&store, 250, None).await;
    }
    assert_eq!(rows(&home, "record_keys"), 1);
}

#[tokio::test]
async fn what_expired_while_no_server_ran_is_swept_away() {
    let home = DataFolder::new();
    let store = home.open();
    write(&store, 1, Some(home.watch.unix() + 10)).await;
    store.broker().close().await;
    drop(store);
    home.watch.advance(Duration::from_secs(20));
    let store = home.open();
    while rows(&home, "records") > 1 {
        write(&store, 2, None).await;
    }
}

#[test]
fn records_are_looked_for_by_an_index() {
    let home = DataFolder::new();
    drop(home.open());
    let db = rusqlite::Connection::open(home.database()).unwrap();
    for (question, given) in [(ONE, 3), (ALL, 3), (FOUND, 5)] {
        let given: Vec<&str> = ["1"; 5][..given].to_vec();
        let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {question}")).unwrap();
        let lines = plan.query_map(rusqlite::params_from_iter(given), |row| row.get(3)).unwrap();
        let lines: Vec<String> = lines.map(Result::unwrap).collect();
        assert!(lines.iter().all(|line| line.starts_with("SEARCH")), "{lines:?}");
    }
}
