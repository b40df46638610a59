//! On a real MongoDB, in databases that end with the test.
use std::sync::Arc;

use mongodb::{IndexModel, options::IndexOptions};
use support::database::Scratch;

use super::*;
use crate::{
    domain::{
        clock::{SystemClock, SystemRng},
        records::{Collection, Expect, Records},
    },
    store::{
        embedded::Volume,
        mongodb::{Accounts, tests::secret_url},
    },
    transfer::{Progress, accounts, records},
};

#[derive(Default)]
struct Said(std::sync::Mutex<Vec<String>>);

impl Progress for Said {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
    fn warn(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

async fn vault(scratch: &Scratch) -> MongoVault {
    MongoVault::connect(&secret_url(&scratch.url), Duration::from_secs(10)).await.unwrap()
}

#[tokio::test]
async fn plain_and_hashed_accounts_become_hashed_ones_and_come_back() {
    let scratch = [Scratch::new(), Scratch::new()];
    let (ours, theirs) = (vault(&scratch[0]).await, vault(&scratch[1]).await);
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let documents = [
        doc! { "uid": "plain é\"", "token": "abc", "createTime": 5, "updateTime": 6.9 },
        doc! { "uid": "sealed", "token": "old", "tokenHash": hash, "createTime": 3_000_000_000_i64, "updateTime": 8 },
        doc! { "uid": "number", "token": 1000, "createTime": 5, "updateTime": 6 },
        doc! { "uid": "none", "createTime": 5, "updateTime": 6 },
        doc! { "uid": "odd", "tokenHash": hash.to_uppercase() },
        doc! { "uid": 7, "token": "abc" },
    ];
    ours.collection(Realm::User).insert_many(documents).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let volume = Volume::target(folder.path(), Arc::new(SystemClock), Arc::new(SystemRng)).unwrap();
    let said = Said::default();
    let there = accounts::copy(&ours, &volume, Realm::User, &said).await.unwrap();
    assert_eq!((there.accounts.from, there.accounts.to, there.refused), (6, 3, 3));
    let said = said.0.lock().unwrap().join("\n");
    for text in [
        "\"none\" of users: it has no token",
        "\"odd\" of users: its tokenHash is none",
        "1 of users: their uid is no text",
    ] {
        assert!(said.contains(text), "{text} is missing in {said}");
    }
    let back = accounts::copy(&volume, &theirs, Realm::User, &Said::default()).await.unwrap();
    assert!(back.is_complete() && back.accounts.to == 3, "{back:?}");
    let mut found = theirs.documents(Realm::User, doc! {}, None).await.unwrap();
    found.iter_mut().for_each(|d| drop(d.remove("_id")));
    assert_eq!(
        found[1..],
        [
            doc! { "uid": "plain é\"", "tokenHash": hash, "createTime": 5, "updateTime": 6 },
            doc! { "uid": "sealed", "tokenHash": hash, "createTime": 3_000_000_000_i64, "updateTime": 8 },
        ]
    );
}

#[tokio::test]
async fn an_account_that_exists_keeps_its_token() {
    let scratch = Scratch::new();
    let vault = vault(&scratch).await;
    let folder = tempfile::tempdir().unwrap();
    let volume = Volume::target(folder.path(), Arc::new(SystemClock), Arc::new(SystemRng)).unwrap();
    let proof = |text: &str| Proof::Plain(Secret::presented(text));
    // As somebody may have made it by hand: it is as good as one of ours.
    let index = IndexModel::builder()
        .keys(doc! { "uid": 1 })
        .options(IndexOptions::builder().unique(true).name("by_uid".to_owned()).build());
    vault.collection(Realm::Admin).create_index(index.build()).await.unwrap();
    let many: Vec<_> = (0..1200)
        .map(|i| Record {
            uid: format!("u{i}"),
            created: 1,
            updated: 2,
            proof: proof(&i.to_string()),
        })
        .collect();
    volume.add(Realm::Admin, &many).await.unwrap();
    let held = [
        doc! { "uid": "u7", "token": "another" },
        doc! { "uid": "u8", "token": "8" },
        doc! { "uid": "u9" },
    ];
    vault.collection(Realm::Admin).insert_many(held).await.unwrap();
    for _ in 0..2 {
        let report = accounts::copy(&volume, &vault, Realm::Admin, &Said::default()).await.unwrap();
        assert!(
            report.is_complete() && report.accounts.to == 1200 && report.kept == 2,
            "{report:?}"
        );
    }
    assert_eq!(
        vault.find(Realm::Admin, &["u8".into()]).await.unwrap()[0].proof.digest(),
        proof("8").digest()
    );
}

const PEOPLE: Collection = Collection::new("people", &["city"]);

#[tokio::test]
async fn records_go_to_a_folder_and_to_another_database() {
    let scratch = [Scratch::new(), Scratch::new()];
    let open = async |scratch: &Scratch| {
        let clock = Arc::new(SystemClock);
        Accounts::open(&secret_url(&scratch.url), Duration::from_secs(10), clock).await.unwrap()
    };
    let (ours, theirs) = (vault(&scratch[0]).await, vault(&scratch[1]).await);
    let folder = tempfile::tempdir().unwrap();
    let volume = Volume::target(folder.path(), Arc::new(SystemClock), Arc::new(SystemRng)).unwrap();
    let (from, to) = (open(&scratch[0]).await, open(&scratch[1]).await);
    let nothing = records::copy(&ours, &volume, &Said::default()).await.unwrap();
    assert!(nothing.is_complete() && nothing.records.from == 0, "{nothing:?}");
    for at in 0..450 {
        let body = format!(r#"{{"city":"a/b é{}"}}"#, at % 2);
        let ends = (at % 3 == 0).then_some(4_000_000_000 + at);
        from.put(&PEOPLE, &format!("p/{at:03}"), body.into(), Expect::New, ends).await.unwrap();
    }
    from.put(&Collection::new("people-s", &[]), "x", "{}".into(), Expect::New, None).await.unwrap();
    for _ in 0..2 {
        let there = records::copy(&ours, &volume, &Said::default()).await.unwrap();
        assert!(there.is_complete() && there.records.to == 451, "{there:?}");
        let back = records::copy(&volume, &theirs, &Said::default()).await.unwrap();
        assert!(back.is_complete() && back.records.to == 451 && back.kept == 0, "{back:?}");
    }
    let all = async |records: &Accounts| Records::list(records, &PEOPLE, None, 1000).await.unwrap();
    assert_eq!(all(&to).await, all(&from).await);
    let found = Records::find(&*to, &PEOPLE, "city", "a/b é1", None, 1000).await.unwrap();
    assert_eq!(found.records.len(), 225);
    let mut indexes =
        scratch[1].collection("always_online_records").await.list_index_names().await.unwrap();
    indexes.sort();
    assert_eq!(indexes, ["_id_", "expires_1", "keys_1__id_1"]);
}
