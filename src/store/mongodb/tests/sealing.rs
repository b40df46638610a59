//! Sealing, while others write.
use super::*;

#[tokio::test]
async fn sealing_hashes_all_and_may_be_repeated() {
    let scratch = Scratch::new();
    let tokens = accounts(&scratch).await;
    tokens.create(User, &uid("ann"), &token("of ann")).await.unwrap();
    tokens.create(Admin, &uid("ada"), &token("of ada")).await.unwrap();
    let users = scratch.collection("users").await;
    users
        .insert_many([
            doc! { "uid": "ben", "token": 4711.0 },
            doc! { "uid": "cid", "token": Bson::Null },
            doc! { "uid": "dan" },
        ])
        .await
        .unwrap();

    assert_eq!(tokens.seal().await.unwrap(), 3);
    assert!(tokens.sealed());
    let time = 1_700_000_000;
    let expected = doc! { "uid": "ann", "createTime": time, "updateTime": time, "tokenHash": digest("of ann") };
    assert_eq!(document(&scratch, "users", "ann").await, expected);
    assert!(tokens.verify(User, &uid("ann"), &token("of ann")).await.unwrap());
    assert!(tokens.verify(User, &uid("ben"), &token("4711")).await.unwrap());
    assert!(tokens.verify(Admin, &uid("ada"), &token("of ada")).await.unwrap());
    assert!(!tokens.verify(User, &uid("ann"), &token(&digest("of ann"))).await.unwrap());
    assert_eq!(tokens.seal().await.unwrap(), 0);
}

#[tokio::test]
async fn who_runs_already_and_who_opens_later_write_hashes_only() {
    let scratch = Scratch::new();
    let running = accounts(&scratch).await;
    running.create(User, &uid("ann"), &token("old")).await.unwrap();
    accounts(&scratch).await.seal().await.unwrap();
    assert!(!running.sealed(), "it has not heard of it yet");

    assert!(running.refresh(User, &uid("ann"), &token("new")).await.unwrap());
    running.create(User, &uid("ben"), &token("of ben")).await.unwrap();
    let late = accounts(&scratch).await;
    assert!(running.sealed() && late.sealed());
    late.create(User, &uid("cid"), &token("of cid")).await.unwrap();
    for (name, secret) in [("ann", "new"), ("ben", "of ben"), ("cid", "of cid")] {
        let kept = document(&scratch, "users", name).await;
        assert!(
            !kept.contains_key("token") && kept.get_str("tokenHash").unwrap() == digest(secret),
            "{kept}"
        );
        assert!(late.verify(User, &uid(name), &token(secret)).await.unwrap());
    }
    assert!(!late.verify(User, &uid("ann"), &token("old")).await.unwrap());
}

#[tokio::test]
async fn what_the_original_writes_beside_a_hash_opens_nothing() {
    let scratch = Scratch::new();
    let tokens = accounts(&scratch).await;
    tokens.create(User, &uid("ann"), &token("good")).await.unwrap();
    tokens.seal().await.unwrap();
    let users = scratch.collection("users").await;
    users.update_one(doc! { "uid": "ann" }, doc! { "$set": { "token": "other" } }).await.unwrap();
    assert!(!tokens.verify(User, &uid("ann"), &token("other")).await.unwrap());
    assert!(tokens.verify(User, &uid("ann"), &token("good")).await.unwrap());
    tokens.seal().await.unwrap();
    assert!(!document(&scratch, "users", "ann").await.contains_key("token"));
    assert!(tokens.verify(User, &uid("ann"), &token("good")).await.unwrap());
}

/// Whoever wins each race, the last token written is the one that opens, and none stays plain.
#[tokio::test]
#[allow(clippy::disallowed_methods)] // tests spawn freely
async fn sealing_races_with_those_who_refresh() {
    const USERS: usize = 60;
    let scratch = Scratch::new();
    let (running, sealing) = (accounts(&scratch).await, accounts(&scratch).await);
    for i in 0..USERS {
        running.create(User, &uid(&format!("u{i}")), &token("first")).await.unwrap();
    }
    let writers: Vec<_> = (0..USERS)
        .map(|i| {
            let running = running.clone();
            tokio::spawn(async move {
                for round in 0..5 {
                    assert!(
                        running
                            .refresh(
                                User,
                                &uid(&format!("u{i}")),
                                &token(&format!("round {round}"))
                            )
                            .await
                            .unwrap()
                    );
                }
            })
        })
        .collect();
    sealing.seal().await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(
        scratch
            .collection("users")
            .await
            .count_documents(doc! { "token": { "$exists": true } })
            .await
            .unwrap(),
        0
    );
    for i in 0..USERS {
        assert!(
            sealing.verify(User, &uid(&format!("u{i}")), &token("round 4")).await.unwrap(),
            "u{i}"
        );
    }
}

#[tokio::test]
async fn more_than_one_batch_is_sealed() {
    let scratch = Scratch::new();
    let users = scratch.collection("users").await;
    users
        .insert_many((0..1203).map(|i| doc! { "uid": format!("u{i}"), "token": format!("t{i}") }))
        .await
        .unwrap();
    let tokens = accounts(&scratch).await;
    assert_eq!(tokens.seal().await.unwrap(), 1203);
    assert!(tokens.verify(User, &uid("u1202"), &token("t1202")).await.unwrap());
}
