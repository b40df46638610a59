//! MongoDB against the contract, and what only it does.
use std::{sync::Arc, time::Duration};

use mongodb::{
    IndexModel,
    bson::{Bson, Document, doc},
    options::IndexOptions,
};
use support::database::Scratch;
use tokio::time::Instant;

use super::{Accounts, OpenError, document::digest};
use crate::{
    config::{Backend, SecretUrl, backend::TOKENS},
    domain::{
        clock::Clock,
        ids::Uid,
        secret::Secret,
        token::{
            Creation::{Created, Exists},
            Realm::{Admin, User},
            Tokens,
        },
    },
    store::contract::{TokensHome, tokens_contract},
};

mod opening;
mod records;
mod sealing;

const NOW: u64 = 1_700_000_000;
const DEADLINE: Duration = Duration::from_secs(8);

/// A clock that stands still.
struct Noon;

impl Clock for Noon {
    fn unix_ms(&self) -> u64 {
        NOW * 1000
    }
}

impl TokensHome for Scratch {
    async fn open(&self) -> Arc<dyn Tokens> {
        accounts(self).await
    }
}

tokens_contract!(mongodb, Scratch::new());

/// The contract once more where only hashes are written.
mod sealed {
    use super::*;

    struct Sealed(Scratch);

    impl TokensHome for Sealed {
        async fn open(&self) -> Arc<dyn Tokens> {
            let accounts = accounts(&self.0).await;
            accounts.seal().await.unwrap();
            accounts
        }
    }

    tokens_contract!(sealed, Sealed(Scratch::new()));
}

pub(super) fn secret_url(url: &str) -> SecretUrl {
    let Backend::Url(url) = (TOKENS.parse)(url).unwrap() else { panic!("embedded") };
    url
}

async fn opened(url: &str, deadline: Duration) -> Result<Arc<Accounts>, OpenError> {
    Accounts::open(&secret_url(url), deadline, Arc::new(Noon)).await
}

async fn accounts(scratch: &Scratch) -> Arc<Accounts> {
    opened(&scratch.url, DEADLINE).await.unwrap()
}

fn uid(text: &str) -> Uid {
    Uid::text(text).unwrap()
}

fn token(text: &str) -> Secret {
    Secret::presented(text)
}

/// A document without its `_id`.
async fn document(scratch: &Scratch, collection: &str, uid: &str) -> Document {
    let mut found =
        scratch.collection(collection).await.find_one(doc! { "uid": uid }).await.unwrap().unwrap();
    found.remove("_id");
    found
}

#[tokio::test]
async fn documents_are_those_of_the_original() {
    let scratch = Scratch::new();
    let tokens = accounts(&scratch).await;
    assert!(!tokens.sealed());
    tokens.create(User, &uid("ann"), &token("of ann")).await.unwrap();
    tokens.create(Admin, &Uid::number("7").unwrap(), &token("of 7")).await.unwrap();
    let time = Bson::Int32(1_700_000_000);
    let expected = doc! { "uid": "ann", "token": "of ann", "createTime": time.clone(), "updateTime": time.clone() };
    assert_eq!(document(&scratch, "users", "ann").await, expected);
    let expected =
        doc! { "uid": "7", "token": "of 7", "createTime": time.clone(), "updateTime": time };
    assert_eq!(document(&scratch, "admins", "7").await, expected);
}

#[tokio::test]
async fn what_the_original_or_somebody_wrote_is_understood() {
    let scratch = Scratch::new();
    let users = scratch.collection("users").await;
    users
        .insert_many([
            doc! { "uid": "ann", "token": "t", "createTime": 1_600_000_000.5, "updateTime": 1_600_000_001_i64, "__v": 0 },
            doc! { "uid": "ben", "token": 4711 },
            doc! { "uid": "cid" },
        ])
        .await
        .unwrap();
    let tokens = accounts(&scratch).await;
    assert!(tokens.verify(User, &uid("ann"), &token("t")).await.unwrap());
    assert!(tokens.verify(User, &uid("ben"), &token("4711")).await.unwrap());
    assert!(!tokens.verify(User, &uid("cid"), &token("")).await.unwrap());
    let listed = tokens.list(User).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|a| (&*a.uid, a.created, a.updated)).collect();
    assert_eq!(listed, [("ann", 1_600_000_000, 1_600_000_001), ("ben", 0, 0), ("cid", 0, 0)]);
    assert_eq!(tokens.create(User, &uid("cid"), &token("t")).await.unwrap(), Exists);
    assert!(tokens.refresh(User, &uid("ann"), &token("new")).await.unwrap());
    let expected = doc! {
        "uid": "ann", "token": "new", "createTime": 1_600_000_000.5, "updateTime": 1_700_000_000, "__v": 0
    };
    assert_eq!(document(&scratch, "users", "ann").await, expected, "what is not ours stays");
}
