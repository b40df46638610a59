//! Administrators who have shown their credentials a moment ago.
//!
//! A business server shows the same credentials with each request, and to ask the store for them
//! each time takes longer than many a request does. So a token that was right is right for
//! [`KNOWN`]: whoever changes it by this server changes that at once, and what the command line or
//! another node changes is known here that much later. That it was right is remembered
//! for five minutes more: then the store is asked, and nobody waits for the failures of others.
//! Nothing is remembered of users, who show a token once for a connection, and nothing of what was
//! wrong.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Account, Creation, Realm, Tokens};
use crate::{
    domain::{
        error::StoreError,
        ids::Uid,
        secret::{Secret, equal},
    },
    lock::lock,
};

/// How long a token that was right is right.
pub const KNOWN: Duration = Duration::from_secs(1);
/// How long, behind that, it is remembered: as long as anybody may have to wait.
const FAMILIAR: Duration = Duration::from_secs(300);
/// Administrators who are remembered at a time. There are few; more than these are asked for.
const MOST: usize = 64;

/// Accounts, and who of the administrators was right just now.
pub struct Remembered {
    tokens: Arc<dyn Tokens>,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    /// The digest of the token that was right, and until when it is.
    right: HashMap<(Realm, Uid), ([u8; 32], Instant)>,
    /// How often a token was changed here: an answer of the store from before is not remembered.
    changes: u64,
}

impl Shown {
    /// Whether this was right just now.
    fn knows(&self, who: &(Realm, Uid), digest: &[u8; 32]) -> bool {
        self.right
            .get(who)
            .is_some_and(|(known, until)| Instant::now() < *until && equal(known, digest))
    }

    /// Whether this was right a while ago, and nobody has found since that it is not.
    fn knew(&self, who: &(Realm, Uid), digest: &[u8; 32]) -> bool {
        self.right.get(who).is_some_and(|(known, until)| {
            Instant::now() < *until + FAMILIAR && equal(known, digest)
        })
    }

    fn remember(&mut self, who: (Realm, Uid), digest: [u8; 32]) {
        if self.right.len() >= MOST {
            let now = Instant::now();
            self.right.retain(|_, (_, until)| now < *until);
        }
        if self.right.len() < MOST {
            self.right.insert(who, (digest, Instant::now() + KNOWN));
        }
    }

    fn forget(&mut self, who: &(Realm, Uid)) {
        self.changes += 1;
        self.right.remove(who);
    }
}

impl Remembered {
    /// In front of these.
    pub fn new(tokens: Arc<dyn Tokens>) -> Arc<Self> {
        Arc::new(Remembered { tokens, shown: Mutex::default() })
    }

    /// Changes a token: what was right before is not while it is changed, nor behind that. Nothing
    /// of that concerns users: their changes would have administrators forgotten.
    async fn change<T>(&self, realm: Realm, uid: &Uid, change: impl Future<Output = T>) -> T {
        if realm == Realm::User {
            return change.await;
        }
        let who = (realm, uid.clone());
        lock(&self.shown).forget(&who);
        let changed = change.await;
        lock(&self.shown).forget(&who);
        changed
    }
}

#[async_trait]
impl Tokens for Remembered {
    async fn create(
        &self,
        realm: Realm,
        uid: &Uid,
        token: &Secret,
    ) -> Result<Creation, StoreError> {
        self.tokens.create(realm, uid, token).await
    }

    async fn refresh(&self, realm: Realm, uid: &Uid, token: &Secret) -> Result<bool, StoreError> {
        self.change(realm, uid, self.tokens.refresh(realm, uid, token)).await
    }

    async fn revoke(&self, realm: Realm, uid: &Uid) -> Result<bool, StoreError> {
        self.change(realm, uid, self.tokens.revoke(realm, uid)).await
    }

    async fn verify(&self, realm: Realm, uid: &Uid, token: &Secret) -> Result<bool, StoreError> {
        if realm == Realm::User {
            return self.tokens.verify(realm, uid, token).await;
        }
        let (who, digest) = ((realm, uid.clone()), Sha256::digest(token.reveal()).into());
        let changes = {
            let shown = lock(&self.shown);
            if shown.knows(&who, &digest) {
                return Ok(true);
            }
            // A token is of one realm. Who shows one is first taken for an administrator who may
            // change things, so that a reader would be asked for each time.
            if realm == Realm::Admin && shown.knows(&(Realm::Reader, uid.clone()), &digest) {
                return Ok(false);
            }
            shown.changes
        };
        let right = self.tokens.verify(realm, uid, token).await?;
        let mut shown = lock(&self.shown);
        if right && shown.changes == changes {
            shown.remember(who, digest);
        } else if !right && shown.knew(&who, &digest) {
            shown.right.remove(&who);
        }
        Ok(right)
    }

    fn was_right(&self, uid: &Uid, token: &Secret) -> bool {
        let (shown, digest) = (lock(&self.shown), Sha256::digest(token.reveal()).into());
        [Realm::Admin, Realm::Reader]
            .into_iter()
            .any(|realm| shown.knew(&(realm, uid.clone()), &digest))
    }

    async fn list(&self, realm: Realm) -> Result<Vec<Account>, StoreError> {
        self.tokens.list(realm).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.tokens.check().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    /// One token for everybody, which may change while it is looked for; counts how often it was.
    #[derive(Default)]
    struct One {
        token: Mutex<String>,
        asked: AtomicU64,
    }

    #[async_trait]
    impl Tokens for One {
        async fn create(&self, _: Realm, _: &Uid, _: &Secret) -> Result<Creation, StoreError> {
            Ok(Creation::Exists)
        }
        async fn refresh(&self, _: Realm, _: &Uid, token: &Secret) -> Result<bool, StoreError> {
            *lock(&self.token) = token.reveal().to_owned();
            Ok(true)
        }
        async fn revoke(&self, _: Realm, _: &Uid) -> Result<bool, StoreError> {
            lock(&self.token).clear();
            Ok(true)
        }
        async fn verify(&self, _: Realm, _: &Uid, token: &Secret) -> Result<bool, StoreError> {
            self.asked.fetch_add(1, Relaxed);
            let right = *lock(&self.token) == token.reveal();
            tokio::task::yield_now().await;
            Ok(right)
        }
        async fn list(&self, _: Realm) -> Result<Vec<Account>, StoreError> {
            Ok(Vec::new())
        }
        async fn check(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    fn token(text: &str) -> Secret {
        Secret::presented(text)
    }

    fn with(text: &str) -> (Arc<One>, Arc<Remembered>, Uid) {
        let one = Arc::new(One { token: Mutex::new(text.to_owned()), ..One::default() });
        (one.clone(), Remembered::new(one), Uid::text("ops").unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_right_is_for_a_moment_and_nobody_else() {
        let (one, tokens, ops) = with("a");
        let asks = async |realm, text| {
            let right = tokens.verify(realm, &ops, &token(text)).await.unwrap();
            (right, one.asked.load(Relaxed))
        };
        assert_eq!(asks(Realm::Admin, "a").await, (true, 1));
        assert_eq!(asks(Realm::Admin, "a").await, (true, 1), "it is not asked for again");
        assert_eq!(asks(Realm::Admin, "b").await, (false, 2));
        assert_eq!(asks(Realm::Admin, "b").await, (false, 3), "what is wrong is looked for");
        assert_eq!(asks(Realm::User, "a").await, (true, 4), "users are not remembered");
        assert_eq!(asks(Realm::User, "a").await, (true, 5));
        // The command line changes it.
        *lock(&one.token) = "c".into();
        assert_eq!(asks(Realm::Admin, "a").await, (true, 5));
        tokio::time::advance(KNOWN).await;
        assert_eq!(asks(Realm::Admin, "a").await, (false, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_changed_here_is_changed_at_once() {
        let (_, tokens, ops) = with("a");
        let right = async |text| tokens.verify(Realm::Admin, &ops, &token(text)).await.unwrap();
        assert!(right("a").await);
        tokens.refresh(Realm::Admin, &ops, &token("b")).await.unwrap();
        assert!(!right("a").await && right("b").await);
        tokens.revoke(Realm::Admin, &ops).await.unwrap();
        assert!(!right("b").await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_right_before_a_change_is_not_remembered_behind_it() {
        let (_, tokens, ops) = with("a");
        let asked = tokens.verify(Realm::Admin, &ops, &Secret::presented("a")).await;
        assert!(asked.unwrap());
        tokio::time::advance(KNOWN).await;
        let (old, new) = (token("a"), token("b"));
        let (right, _) = tokio::join!(
            tokens.verify(Realm::Admin, &ops, &old),
            tokens.refresh(Realm::Admin, &ops, &new)
        );
        assert!(right.unwrap(), "it was, when it was looked for");
        assert!(!tokens.verify(Realm::Admin, &ops, &old).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_changed_of_users_has_no_administrator_forgotten() {
        let (one, tokens, ops) = with("a");
        assert!(tokens.verify(Realm::Admin, &ops, &token("a")).await.unwrap());
        tokens.refresh(Realm::User, &ops, &token("a")).await.unwrap();
        tokens.revoke(Realm::User, &ops).await.unwrap();
        assert!(tokens.verify(Realm::Admin, &ops, &token("a")).await.unwrap());
        assert_eq!((one.asked.load(Relaxed), lock(&tokens.shown).changes), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn that_a_token_was_right_is_remembered_longer_and_until_it_is_not() {
        let (one, tokens, ops) = with("a");
        let right = async |text| tokens.verify(Realm::Admin, &ops, &token(text)).await.unwrap();
        let was_right = |text| tokens.was_right(&ops, &token(text));
        assert!(!was_right("a"), "nobody has shown it yet");
        assert!(right("a").await && !right("b").await);
        assert!(was_right("a") && !was_right("b"));
        tokio::time::advance(KNOWN + FAMILIAR / 2).await;
        assert!(was_right("a"));
        tokio::time::advance(FAMILIAR).await;
        assert!(!was_right("a"));
        // The command line changes it, and that is found out when it is shown.
        assert!(right("a").await);
        tokio::time::advance(KNOWN).await;
        *lock(&one.token) = "c".into();
        assert!(was_right("a") && !right("a").await && !was_right("a"));
        // Or it is changed here.
        assert!(right("c").await && was_right("c"));
        tokens.refresh(Realm::Admin, &ops, &token("d")).await.unwrap();
        assert!(!was_right("c"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_is_remembered_as_one_and_is_never_taken_for_more() {
        let (one, tokens, eve) = with("a");
        let role = async |text| {
            for realm in [Realm::Admin, Realm::Reader] {
                if tokens.verify(realm, &eve, &token(text)).await.unwrap() {
                    return Some(realm);
                }
            }
            None
        };
        // As a store that knows it for a reader.
        assert!(tokens.verify(Realm::Reader, &eve, &token("a")).await.unwrap());
        for _ in 0..3 {
            assert_eq!(role("a").await, Some(Realm::Reader));
        }
        assert_eq!(one.asked.load(Relaxed), 1, "the store is not asked again");
        assert_eq!(role("b").await, None);
        assert_eq!(one.asked.load(Relaxed), 3, "another token is looked for");
        tokens.revoke(Realm::Reader, &eve).await.unwrap();
        assert_eq!(role("a").await, None);
        tokio::time::advance(KNOWN).await;
        assert_eq!(one.asked.load(Relaxed), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_a_bound() {
        let (_, tokens, _) = with("a");
        for round in 0..3 {
            for i in 0..2 * MOST {
                let uid = Uid::text(&format!("{round} {i}")).unwrap();
                assert!(tokens.verify(Realm::Admin, &uid, &token("a")).await.unwrap());
            }
            assert_eq!(lock(&tokens.shown).right.len(), MOST);
            tokio::time::advance(KNOWN).await;
        }
    }
}
