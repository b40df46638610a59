//! Credentials: whose token is good, and until when.
use super::{
    TokensHome,
    witness::{token, uid},
};
use crate::domain::{
    ids::Uid,
    token::{
        Creation::{Created, Exists},
        Realm::{Admin, Reader, User},
    },
};

pub(crate) async fn a_token_is_its_owners_alone(home: &impl TokensHome) {
    let tokens = home.open().await;
    assert_eq!(tokens.create(User, &uid("ann"), &token("of ann")).await.unwrap(), Created);
    assert_eq!(tokens.create(User, &uid("ben"), &token("of ben")).await.unwrap(), Created);
    assert!(tokens.verify(User, &uid("ann"), &token("of ann")).await.unwrap());
    assert!(!tokens.verify(User, &uid("ann"), &token("of ben")).await.unwrap());
    assert!(!tokens.verify(User, &uid("ann"), &token("of an")).await.unwrap());
    assert!(!tokens.verify(User, &uid("ann"), &token("")).await.unwrap());
    assert!(
        !tokens.verify(Admin, &uid("ann"), &token("of ann")).await.unwrap(),
        "a user is no administrator"
    );
    assert_eq!(tokens.create(User, &uid("ann"), &token("other")).await.unwrap(), Exists);
    assert!(tokens.verify(User, &uid("ann"), &token("of ann")).await.unwrap(), "it stays as it is");
    assert!(!tokens.verify(User, &uid("ann"), &token("other")).await.unwrap());
}

pub(crate) async fn who_only_reads_is_no_administrator(home: &impl TokensHome) {
    let tokens = home.open().await;
    assert!(!tokens.verify(Reader, &uid("eve"), &token("r")).await.unwrap());
    assert_eq!(tokens.create(Reader, &uid("eve"), &token("r")).await.unwrap(), Created);
    assert_eq!(tokens.create(Reader, &uid("eve"), &token("s")).await.unwrap(), Exists);
    assert!(tokens.verify(Reader, &uid("eve"), &token("r")).await.unwrap());
    for realm in [Admin, User] {
        assert!(!tokens.verify(realm, &uid("eve"), &token("r")).await.unwrap(), "{realm:?}");
        assert!(tokens.list(realm).await.unwrap().is_empty(), "{realm:?}");
    }
    assert!(tokens.refresh(Reader, &uid("eve"), &token("t")).await.unwrap());
    assert!(!tokens.verify(Reader, &uid("eve"), &token("r")).await.unwrap());
    assert!(tokens.revoke(Reader, &uid("eve")).await.unwrap());
    assert!(!tokens.verify(Reader, &uid("eve"), &token("t")).await.unwrap());
}

pub(crate) async fn the_unknown_are_refused(home: &impl TokensHome) {
    let tokens = home.open().await;
    assert!(!tokens.verify(User, &uid("nobody"), &token("anything")).await.unwrap());
    assert!(!tokens.verify(Admin, &uid("nobody"), &token("")).await.unwrap());
    assert!(!tokens.refresh(User, &uid("nobody"), &token("new")).await.unwrap());
    assert!(!tokens.revoke(User, &uid("nobody")).await.unwrap());
    assert!(
        !tokens.verify(User, &uid("nobody"), &token("new")).await.unwrap(),
        "a refresh creates nobody"
    );
}

pub(crate) async fn of_fifty_creations_one_creates(home: &impl TokensHome) {
    let tokens = home.open().await;
    let races: Vec<_> = (0..50)
        .map(|i| {
            let tokens = tokens.clone();
            tokio::spawn(async move {
                tokens.create(User, &uid("ann"), &token(&format!("try {i}"))).await.unwrap()
            })
        })
        .collect();
    let mut winners = Vec::new();
    for (i, race) in races.into_iter().enumerate() {
        if race.await.unwrap() == Created {
            winners.push(i);
        }
    }
    assert_eq!(winners.len(), 1);
    assert!(
        tokens.verify(User, &uid("ann"), &token(&format!("try {}", winners[0]))).await.unwrap()
    );
}

pub(crate) async fn a_refresh_kills_the_old_token(home: &impl TokensHome) {
    let tokens = home.open().await;
    tokens.create(User, &uid("ann"), &token("old")).await.unwrap();
    tokens.create(Admin, &uid("ann"), &token("old")).await.unwrap();
    assert!(tokens.refresh(User, &uid("ann"), &token("new")).await.unwrap());
    assert!(!tokens.verify(User, &uid("ann"), &token("old")).await.unwrap());
    assert!(tokens.verify(User, &uid("ann"), &token("new")).await.unwrap());
    assert!(
        tokens.verify(Admin, &uid("ann"), &token("old")).await.unwrap(),
        "the administrator is another account"
    );
}

pub(crate) async fn a_revoked_token_is_dead(home: &impl TokensHome) {
    let tokens = home.open().await;
    tokens.create(User, &uid("ann"), &token("t")).await.unwrap();
    assert!(tokens.revoke(User, &uid("ann")).await.unwrap());
    assert!(!tokens.verify(User, &uid("ann"), &token("t")).await.unwrap());
    assert!(!tokens.revoke(User, &uid("ann")).await.unwrap());
    assert_eq!(tokens.create(User, &uid("ann"), &token("again")).await.unwrap(), Created);
}

pub(crate) async fn number_and_text_are_one_uid(home: &impl TokensHome) {
    let tokens = home.open().await;
    let number = Uid::number("1000").unwrap();
    tokens.create(User, &number, &token("t")).await.unwrap();
    assert_eq!(tokens.create(User, &uid("1000"), &token("other")).await.unwrap(), Exists);
    assert!(tokens.verify(User, &uid("1000"), &token("t")).await.unwrap());
}

pub(crate) async fn accounts_are_listed_by_uid(home: &impl TokensHome) {
    let tokens = home.open().await;
    for name in ["zoe", "ann", "Ann"] {
        tokens.create(User, &uid(name), &token("t")).await.unwrap();
    }
    let accounts = tokens.list(User).await.unwrap();
    assert_eq!(accounts.iter().map(|a| &*a.uid).collect::<Vec<_>>(), ["Ann", "ann", "zoe"]);
    assert!(accounts.iter().all(|a| a.created > 1_600_000_000 && a.updated >= a.created));
    assert!(tokens.list(Admin).await.unwrap().is_empty());
}

pub(crate) async fn it_answers(home: &impl TokensHome) {
    home.open().await.check().await.unwrap();
}
