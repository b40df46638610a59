//! Credentials of a running server: changes go through the writer, checks through the readers, so
//! both see what the command line did.
use async_trait::async_trait;

use super::{
    Embedded,
    accounts::{self, digest},
};
use crate::domain::{
    error::StoreError,
    ids::Uid,
    secret::Secret,
    token::{Account, Creation, Realm, Tokens},
};

#[async_trait]
impl Tokens for Embedded {
    async fn create(
        &self,
        realm: Realm,
        uid: &Uid,
        token: &Secret,
    ) -> Result<Creation, StoreError> {
        let (uid, token, unix) = (uid.clone(), digest(token), self.clock.unix());
        self.writer.run(move |db| accounts::create(db, realm, &uid, &token, unix)).await
    }

    async fn refresh(&self, realm: Realm, uid: &Uid, token: &Secret) -> Result<bool, StoreError> {
        let (uid, token, unix) = (uid.clone(), digest(token), self.clock.unix());
        self.writer.run(move |db| accounts::refresh(db, realm, &uid, &token, unix)).await
    }

    async fn revoke(&self, realm: Realm, uid: &Uid) -> Result<bool, StoreError> {
        let (uid, unix) = (uid.clone(), self.clock.unix());
        self.writer.run(move |db| accounts::revoke(db, realm, &uid, unix)).await
    }

    async fn verify(&self, realm: Realm, uid: &Uid, token: &Secret) -> Result<bool, StoreError> {
        let (uid, token) = (uid.clone(), digest(token));
        self.readers.quick.read(move |db| accounts::verify(db, realm, &uid, &token)).await
    }

    async fn list(&self, realm: Realm) -> Result<Vec<Account>, StoreError> {
        self.readers.pages.read(move |db| accounts::list(db, realm)).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.answers().await?;
        self.readers
            .quick
            .read(|db| {
                db.query_row(
                    "SELECT count(*) FROM (SELECT 1 FROM accounts LIMIT 1)",
                    [],
                    |_| Ok(()),
                )
            })
            .await
    }
}
