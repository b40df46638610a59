//! Opening, and the reasons why it can't be.
use mongodb::options::ClientOptions;

use super::{super::open::database_name, *};

/// A refusal, which has to tell no secret.
async fn refused(url: &str, deadline: Duration) -> OpenError {
    let error = opened(url, deadline).await.err().unwrap();
    let told = format!("{error} {error:?}");
    assert!(!told.contains("s3cret"), "{told}");
    error
}

#[tokio::test]
async fn without_a_database_in_the_url_it_is_the_originals() {
    for (url, name) in [
        ("mongodb://a.example", "account"),
        ("mongodb://a.example/", "account"),
        ("mongodb://a.example/?authSource=admin", "account"),
        ("mongodb://a.example/people", "people"),
    ] {
        assert_eq!(database_name(&ClientOptions::parse(url).await.unwrap()), name, "{url}");
    }
}

#[tokio::test]
async fn opening_twice_and_an_index_that_is_there_are_fine() {
    let scratch = Scratch::new();
    for options in [
        IndexOptions::builder().unique(true).build(),
        IndexOptions::builder().unique(true).name("by_uid".to_owned()).build(),
    ] {
        let users = scratch.collection("users").await;
        let _ = users.drop_indexes().await; // there may be none
        users
            .create_index(IndexModel::builder().keys(doc! { "uid": 1 }).options(options).build())
            .await
            .unwrap();
        let (one, two) = tokio::join!(accounts(&scratch), accounts(&scratch));
        assert_eq!(users.list_index_names().await.unwrap().len(), 2, "none was added");
        assert_eq!(
            one.create(User, &uid("ann"), &token("t")).await.unwrap() == Created,
            two.revoke(User, &uid("ann")).await.unwrap()
        );
    }
}

#[tokio::test]
async fn duplicates_are_named_with_what_to_do() {
    let scratch = Scratch::new();
    let admins = scratch.collection("admins").await;
    admins
        .insert_many([
            doc! { "uid": "ann", "token": "s3cret" },
            doc! { "uid": "ann", "token": "t" },
        ])
        .await
        .unwrap();
    let error = refused(&scratch.url, DEADLINE).await;
    assert!(matches!(&error, OpenError::Duplicates { collection: "admins", .. }), "{error}");
    let told = error.to_string();
    assert!(
        told.contains(&format!("{}.admins", scratch.name))
            && told.contains("db.admins.aggregate([{$group:"),
        "{told}"
    );
    assert_eq!(admins.count_documents(doc! {}).await.unwrap(), 2, "nothing was changed");
}

#[tokio::test]
async fn an_index_that_is_not_unique_is_named() {
    let scratch = Scratch::new();
    let users = scratch.collection("users").await;
    users.create_index(IndexModel::builder().keys(doc! { "uid": 1 }).build()).await.unwrap();
    let error = refused(&scratch.url, DEADLINE).await;
    assert!(matches!(&error, OpenError::OtherIndex { collection: "users", .. }), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_told_in_time() {
    let scratch = Scratch::new();
    let error = refused(&scratch.url_with("nobody:s3cret@", ""), DEADLINE).await;
    assert!(matches!(&error, OpenError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("://***@"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_or_says_nothing_is_told_in_time() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(); // nobody listens any more
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (address, reason) in [(closed, "refused"), (silent.local_addr().unwrap(), "(")] {
        let begin = Instant::now();
        let error =
            refused(&format!("mongodb://ann:s3cret@{address}/"), Duration::from_secs(2)).await;
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
        assert!(matches!(&error, OpenError::Unreachable { .. }), "{error}");
        let told = error.to_string();
        assert!(
            told.contains(&address.to_string())
                && told.contains(reason)
                && told.contains("AO_STORE__TOKENS"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_url_that_the_driver_refuses_is_told_without_its_secrets() {
    let scratch = Scratch::new();
    for options in [
        "&w=0",
        "&authMechanism=nonsense",
        "&authMechanismProperties=s3cret",
        "&tlsCertificateKeyFilePassword=s3cret",
    ] {
        let error =
            refused(&scratch.url_with("ann:s3cret@", options), Duration::from_secs(2)).await;
        assert!(error.to_string().contains("AO_STORE__TOKENS"), "{error}");
    }
}
