//! What is left of records.
use super::*;
use crate::domain::records::{Collection, Expect};

const NOTES: Collection = Collection::new("notes", &["by"]);

async fn write(node: &Redis, id: usize, expires_at: Option<u64>) {
    let body = "{\"by\":[\"ann\",\"ben\"]}".into();
    node.put(&NOTES, &id.to_string(), body, Expect::Any, expires_at).await.unwrap();
}

fn of_records(keys: &Keys) -> Vec<String> {
    keys.all().into_iter().filter(|key| key.starts_with("ao:record")).collect()
}

#[tokio::test]
async fn nothing_is_left_of_what_was_deleted_or_has_expired() {
    let keys = Keys::new();
    let node = keys.node().await;
    for id in 0..250 {
        write(&node, id, Some(keys.now() + 1000)).await;
    }
    assert_eq!(of_records(&keys).len(), 250 + 4);
    RecordsHome::pass(&keys, 2000).await;
    node.sweep_records().await.unwrap();
    assert_eq!(of_records(&keys), [""; 0]);
    write(&node, 1, Some(keys.now() + 1000)).await;
    node.delete(&NOTES, "1", None).await.unwrap();
    assert_eq!(of_records(&keys), [""; 0]);
    // Whoever writes sweeps, too.
    write(&node, 1, Some(keys.now() + 1000)).await;
    RecordsHome::pass(&keys, 2000).await;
    write(&node, 2, None).await;
    let left =
        ["all:notes", "by:notes:by:ann", "by:notes:by:ben"].map(|k| format!("ao:records:{k}"));
    assert_eq!(of_records(&keys), [&["ao:record:notes:2".to_owned()], &left[..]].concat());
}
