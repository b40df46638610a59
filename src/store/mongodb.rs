//! Tokens in MongoDB, in the places and the form of the original, so that it can be replaced in
//! place and come back.
//!
//! Database `account` (or the one that the URL names), collections `users` and `admins`, documents
//! `{uid, token, createTime, updateTime}`. Tokens stay plain, as the original needs them, until
//! [`Accounts::seal`] hashes all: then a document has `tokenHash` instead of `token`, and a marker
//! in a collection of ours tells every process to write hashes from then on.
//!
//! Administrators who only read are in `always_online_readers`, a collection of ours in the same form:
//! in `admins` the original would give them every right.
//!
//! A unique index on `uid` decides who creates; nothing is read before an insert. The original may
//! write here at the same time: a document counts as it is read, not as the marker says.
mod call;
mod document;
mod examine;
mod index;
mod open;
mod originals;
mod records;
mod seal;
#[cfg(test)]
mod tests;
mod vault;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use mongodb::{
    Collection, Database,
    bson::{Document, doc, oid::ObjectId},
};
use tokio::{sync::OnceCell, time::Instant};

use self::{
    call::{Calls, Failure},
    document::Form,
};
pub use self::{
    examine::{Facts, examine},
    open::OpenError,
    vault::MongoVault,
};
use crate::{
    config::SecretUrl,
    domain::{
        clock::Clock,
        error::StoreError,
        ids::Uid,
        secret::Secret,
        token::{Account, Creation, Realm, Tokens},
    },
};

/// The server's code for a key that is there already.
const DUPLICATE_KEY: i32 = 11000;
/// The server's code for a right that the user lacks.
const UNAUTHORIZED: i32 = 13;

/// The accounts in MongoDB, and the records beside them, for a running server and for the command line.
pub struct Accounts {
    database: Database,
    calls: Calls,
    clock: Arc<dyn Clock>,
    /// Whether the marker was seen. It is never taken back.
    sealed: AtomicBool,
    /// Done once the indexes of records are there.
    indexed: OnceCell<()>,
}

fn name(realm: Realm) -> &'static str {
    match realm {
        Realm::User => "users",
        Realm::Admin => "admins",
        Realm::Reader => "always_online_readers",
    }
}

impl Accounts {
    /// Connects, makes the unique indexes where they are missing, and learns whether tokens are
    /// hashed. `deadline` is that of one call, and of opening as a whole.
    ///
    /// # Errors
    /// What is wrong and what to do; no text holds a secret of the URL.
    pub async fn open(
        url: &SecretUrl,
        deadline: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, OpenError> {
        let calls = Calls::new(deadline);
        let (database, sealed) = open::open(url, &calls).await?;
        let (sealed, indexed) = (AtomicBool::new(sealed), OnceCell::new());
        Ok(Arc::new(Accounts { database, calls, clock, sealed, indexed }))
    }

    /// Whether only hashes are written, as far as this process knows.
    pub fn sealed(&self) -> bool {
        self.sealed.load(Ordering::Relaxed)
    }

    fn accounts(&self, realm: Realm) -> Collection<Document> {
        self.database.collection(name(realm))
    }

    /// In which form a token is to be written. Asked before each write, as another process may have
    /// sealed the tokens.
    async fn form(&self, until: Instant) -> Result<Form, Failure> {
        if !self.sealed() {
            let database = self.database.clone();
            let sealed =
                self.calls.run(until, async move { seal::is_marked(&database).await }).await?;
            self.sealed.fetch_or(sealed, Ordering::Relaxed);
        }
        Ok(if self.sealed() { Form::Hashed } else { Form::Plain })
    }

    /// Called after a token was written. Where the tokens were sealed between asking for the form
    /// and writing, the sealing process may have been past this one: then it is hashed here.
    /// What goes wrong here leaves a plain token, which the next seal finds.
    async fn settle(&self, realm: Realm, uid: &Uid, token: &Secret, written: Form, until: Instant) {
        if written == Form::Plain
            && let Ok(Form::Hashed) = self.form(until).await
        {
            let accounts = self.accounts(realm);
            let filter = doc! { "uid": uid.as_str(), "token": token.reveal() };
            let change = Form::Hashed.change(token.reveal(), None);
            let hashed = self
                .calls
                .run(until, async move { accounts.update_one(filter, change).await })
                .await;
            if let Err(failure) = hashed {
                tracing::warn!(error = %failure.of_write(), "a token was written while they were being sealed, and may still be plain");
            }
        }
    }

    /// Makes the index of our own collection before the first document: nothing of ours is in a
    /// database where there are no readers. Those of the others are made when they are opened.
    async fn unique(&self, realm: Realm, until: Instant) -> Result<(), Failure> {
        if realm == Realm::Reader {
            let readers = self.accounts(realm);
            let made = async move { readers.create_index(index::unique()).await };
            self.calls.run(until, made).await?;
        }
        Ok(())
    }

    async fn find(
        &self,
        realm: Realm,
        uid: &Uid,
        until: Instant,
    ) -> Result<Option<Document>, Failure> {
        let (accounts, filter) = (self.accounts(realm), doc! { "uid": uid.as_str() });
        let fields = doc! { "token": 1, "tokenHash": 1 };
        self.calls
            .run(until, async move { accounts.find_one(filter).projection(fields).await })
            .await
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
        let until = self.calls.until();
        let form = self.form(until).await.map_err(Failure::of_read)?;
        self.unique(realm, until).await.map_err(Failure::of_read)?;
        let (id, accounts) = (ObjectId::new(), self.accounts(realm));
        let document = document::account(id, uid, form, token, self.clock.unix());
        let inserted = self
            .calls
            .run(self.calls.early(until), async move { accounts.insert_one(document).await })
            .await;
        let created = match inserted {
            Ok(_) => Creation::Created,
            Err(failure) if failure.code() == Some(DUPLICATE_KEY) => Creation::Exists,
            Err(failure) => {
                let unknown = match failure.of_write() {
                    unknown @ StoreError::OutcomeUnknown(_) => unknown,
                    refused => return Err(refused),
                };
                // What is there now tells who created, unless the insert is still on its way.
                match self.find(realm, uid, until).await {
                    Ok(Some(found))
                        if found.get_object_id("_id").is_ok_and(|found| found == id) =>
                    {
                        Creation::Created
                    }
                    Ok(Some(_)) => Creation::Exists,
                    Ok(None) | Err(_) => return Err(unknown),
                }
            }
        };
        if created == Creation::Created {
            self.settle(realm, uid, token, form, until).await;
        }
        Ok(created)
    }

    async fn refresh(&self, realm: Realm, uid: &Uid, token: &Secret) -> Result<bool, StoreError> {
        let until = self.calls.until();
        let form = self.form(until).await.map_err(Failure::of_read)?;
        let (accounts, filter) = (self.accounts(realm), doc! { "uid": uid.as_str() });
        let change = form.change(token.reveal(), Some(self.clock.unix()));
        let changed = self
            .calls
            .run(self.calls.early(until), async move { accounts.update_one(filter, change).await })
            .await;
        let found = match changed {
            Ok(done) => done.matched_count == 1,
            Err(failure) => match failure.of_write() {
                unknown @ StoreError::OutcomeUnknown(_) => match self.find(realm, uid, until).await
                {
                    Ok(Some(found)) if document::opens(&found, token) => true,
                    _ => return Err(unknown),
                },
                refused => return Err(refused),
            },
        };
        if found {
            self.settle(realm, uid, token, form, until).await;
        }
        Ok(found)
    }

    async fn revoke(&self, realm: Realm, uid: &Uid) -> Result<bool, StoreError> {
        let (accounts, filter) = (self.accounts(realm), doc! { "uid": uid.as_str() });
        let deleted = self
            .calls
            .run(self.calls.until(), async move { accounts.delete_one(filter).await })
            .await;
        Ok(deleted.map_err(Failure::of_write)?.deleted_count == 1)
    }

    async fn verify(&self, realm: Realm, uid: &Uid, token: &Secret) -> Result<bool, StoreError> {
        let found = self.find(realm, uid, self.calls.until()).await.map_err(Failure::of_read)?;
        Ok(found.is_some_and(|found| document::opens(&found, token)))
    }

    async fn list(&self, realm: Realm) -> Result<Vec<Account>, StoreError> {
        let (accounts, fields) =
            (self.accounts(realm), doc! { "uid": 1, "createTime": 1, "updateTime": 1 });
        let all = async move {
            accounts
                .find(doc! {})
                .projection(fields)
                .sort(doc! { "uid": 1 })
                .await?
                .try_collect::<Vec<_>>()
                .await
        };
        let documents = self.calls.run(self.calls.until(), all).await.map_err(Failure::of_read)?;
        Ok(documents.iter().filter_map(document::without_secret).collect())
    }

    async fn check(&self) -> Result<(), StoreError> {
        // A read, as signing in needs it: a server without a primary, or a user without rights,
        // answers a ping as well. Nobody is called "".
        let (accounts, filter) = (self.accounts(Realm::User), doc! { "uid": "" });
        let read = async move { accounts.find_one(filter).projection(doc! { "_id": 1 }).await };
        self.calls.run(self.calls.until(), read).await.map(|_| ()).map_err(Failure::of_read)
    }
}
