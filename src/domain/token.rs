//! Credentials of users and of administrators.
use async_trait::async_trait;

pub mod remembered;

use super::{error::StoreError, ids::Uid, secret::Secret};

/// Whose credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Realm {
    /// Those who send messages.
    User,
    /// Those who may use the routes `/admin/*`, the token API and the HTTP API.
    Admin,
    /// Administrators who may see everything and change nothing. They are apart from the others, so
    /// that who does not know of them takes none of them for one who may.
    Reader,
}

/// What became of a [`Tokens::create`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// The account is new.
    Created,
    /// The uid has a token already; it stays as it is.
    Exists,
}

/// An account without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its uid; a number is its text.
    pub uid: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Seconds since 1970 of the last change of its token.
    pub updated: u64,
}

/// One token per uid and realm.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Of concurrent calls for one uid exactly one creates.
    async fn create(&self, realm: Realm, uid: &Uid, token: &Secret)
    -> Result<Creation, StoreError>;
    /// The old token is dead at once. False: no such uid.
    async fn refresh(&self, realm: Realm, uid: &Uid, token: &Secret) -> Result<bool, StoreError>;
    /// False: no such uid.
    async fn revoke(&self, realm: Realm, uid: &Uid) -> Result<bool, StoreError>;
    /// Whether this is the uid's token; compared in constant time. An unknown uid is simply false.
    async fn verify(&self, realm: Realm, uid: &Uid, token: &Secret) -> Result<bool, StoreError>;
    /// Whether this was an administrator's token a while ago, as far as that is remembered. The
    /// store is not asked, so nothing is granted by that.
    fn was_right(&self, _uid: &Uid, _token: &Secret) -> bool {
        false
    }
    /// All accounts, by uid.
    async fn list(&self, realm: Realm) -> Result<Vec<Account>, StoreError>;
    /// Whether the store answers, and can be read: that is what signing in needs.
    async fn check(&self) -> Result<(), StoreError>;
}
