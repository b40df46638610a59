//! Accounts in SQL. Of a token only its SHA-256 is kept: tokens are random, so nothing slower is
//! needed.
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::{
    column,
    folder::{Folder, OpenError, shared_database},
    lock, revocations, schema,
    writer::unavailable,
};
use crate::domain::{
    clock::Clock,
    error::StoreError,
    ids::Uid,
    secret::{Secret, equal},
    token::{Account, Creation, Realm, Tokens},
};

/// How long the command line waits for a server that writes.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) type Digested = [u8; 32];

pub(super) fn digest(token: &Secret) -> Digested {
    Sha256::digest(token.reveal()).into()
}

pub(super) fn name(realm: Realm) -> &'static str {
    match realm {
        Realm::User => "user",
        Realm::Admin => "admin",
        Realm::Reader => "reader",
    }
}

pub(super) fn create(
    db: &Connection,
    realm: Realm,
    uid: &Uid,
    token: &Digested,
    unix: u64,
) -> rusqlite::Result<Creation> {
    insert(db, realm, uid.as_str(), token, unix, unix)
}

pub(super) fn insert(
    db: &Connection,
    realm: Realm,
    uid: &str,
    token: &Digested,
    created: u64,
    updated: u64,
) -> rusqlite::Result<Creation> {
    let inserted = db
        .prepare_cached(
            "INSERT INTO accounts (realm, uid, token_hash, created, updated) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        )?
        .execute(params![name(realm), uid, token, column(created), column(updated)])?;
    Ok(if inserted == 1 { Creation::Created } else { Creation::Exists })
}

pub(super) fn refresh(
    db: &Connection,
    realm: Realm,
    uid: &Uid,
    token: &Digested,
    unix: u64,
) -> rusqlite::Result<bool> {
    let changed = db
        .prepare_cached(
            "UPDATE accounts SET token_hash = ?3, updated = ?4 WHERE realm = ?1 AND uid = ?2",
        )?
        .execute(params![name(realm), uid.as_str(), token, column(unix)])?;
    Ok(changed == 1)
}

/// In a transaction. Also of an account that is no more there is a revocation: the one before may
/// not have reached the server.
pub(super) fn revoke(
    db: &Connection,
    realm: Realm,
    uid: &Uid,
    unix: u64,
) -> rusqlite::Result<bool> {
    let mut delete = db.prepare_cached("DELETE FROM accounts WHERE realm = ?1 AND uid = ?2")?;
    let removed = delete.execute(params![name(realm), uid.as_str()])? == 1;
    if realm == Realm::User && schema::has_revocations(db)? {
        revocations::note(db, uid, unix)?;
    }
    Ok(removed)
}

pub(super) fn verify(
    db: &Connection,
    realm: Realm,
    uid: &Uid,
    token: &Digested,
) -> rusqlite::Result<bool> {
    let mut find =
        db.prepare_cached("SELECT token_hash FROM accounts WHERE realm = ?1 AND uid = ?2")?;
    let kept = find
        .query_row(params![name(realm), uid.as_str()], |row| row.get::<_, Vec<u8>>(0))
        .optional()?;
    Ok(kept.is_some_and(|kept| equal(&kept, token)))
}

pub(super) fn list(db: &Connection, realm: Realm) -> rusqlite::Result<Vec<Account>> {
    let account = |row: &rusqlite::Row| {
        Ok(Account {
            uid: row.get(0)?,
            created: row.get::<_, i64>(1)?.unsigned_abs(),
            updated: row.get::<_, i64>(2)?.unsigned_abs(),
        })
    };
    let mut select = db.prepare_cached(
        "SELECT uid, created, updated FROM accounts WHERE realm = ?1 ORDER BY uid",
    )?;
    select.query_map([name(realm)], account)?.collect()
}

pub(super) fn no_admin(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row(
        "SELECT NOT EXISTS (SELECT 1 FROM accounts WHERE realm = ?1)",
        [name(Realm::Admin)],
        |row| row.get(0),
    )
}

/// The accounts alone, for the command line, beside a server that may be running: it sees what is
/// changed here at once.
pub struct Accounts {
    db: Arc<Mutex<Connection>>,
    clock: Arc<dyn Clock>,
}

impl Accounts {
    /// Opens the accounts of a data folder; makes both where they do not exist. Blocks.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Arc<Self>, OpenError> {
        let db = schema::open_accounts(&shared_database(path)?, PATIENCE, || Folder::claim(path))?;
        Ok(Arc::new(Accounts { db: Arc::new(Mutex::new(db)), clock }))
    }

    async fn run<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let db = self.db.clone();
        let done = tokio::task::spawn_blocking(move || f(&lock(&db))).await;
        done.map_err(|e| StoreError::OutcomeUnknown(e.to_string()))?.map_err(|e| unavailable(&e))
    }
}

#[async_trait]
impl Tokens for Accounts {
    async fn create(
        &self,
        realm: Realm,
        uid: &Uid,
        token: &Secret,
    ) -> Result<Creation, StoreError> {
        let (uid, token, unix) = (uid.clone(), digest(token), self.clock.unix());
        self.run(move |db| create(db, realm, &uid, &token, unix)).await
    }

    async fn refresh(&self, realm: Realm, uid: &Uid, token: &Secret) -> Result<bool, StoreError> {
        let (uid, token, unix) = (uid.clone(), digest(token), self.clock.unix());
        self.run(move |db| refresh(db, realm, &uid, &token, unix)).await
    }

    async fn revoke(&self, realm: Realm, uid: &Uid) -> Result<bool, StoreError> {
        let (uid, unix) = (uid.clone(), self.clock.unix());
        self.run(move |db| {
            let change = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
            let removed = revoke(&change, realm, &uid, unix)?;
            change.commit()?;
            Ok(removed)
        })
        .await
    }

    async fn verify(&self, realm: Realm, uid: &Uid, token: &Secret) -> Result<bool, StoreError> {
        let (uid, token) = (uid.clone(), digest(token));
        self.run(move |db| verify(db, realm, &uid, &token)).await
    }

    async fn list(&self, realm: Realm) -> Result<Vec<Account>, StoreError> {
        self.run(move |db| list(db, realm)).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.run(|db| no_admin(db).map(|_| ())).await
    }
}
