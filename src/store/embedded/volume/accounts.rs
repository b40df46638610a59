//! Accounts.
use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{
    super::{accounts, column},
    Volume,
};
use crate::{
    domain::{error::StoreError, token::Realm},
    transfer::{Ambiguous, Proof, Record, Records, Vault},
};

const ACCOUNT: &str = "SELECT uid, created, updated, token_hash FROM accounts WHERE realm = ?1";

/// A row of [`ACCOUNT`]: its uid, and the record if it can be read.
fn record(row: &rusqlite::Row) -> rusqlite::Result<(String, Option<Record>)> {
    let (uid, hash): (String, Vec<u8>) = (row.get(0)?, row.get(3)?);
    let (created, updated) =
        (row.get::<_, i64>(1)?.unsigned_abs(), row.get::<_, i64>(2)?.unsigned_abs());
    let record = <[u8; 32]>::try_from(hash).ok().map(|hash| Record {
        uid: uid.clone(),
        created,
        updated,
        proof: Proof::Sha256(hash),
    });
    Ok((uid, record))
}

fn records(db: &Connection, realm: Realm, after: &str, most: usize) -> rusqlite::Result<Records> {
    let mut select = db.prepare_cached(&format!("{ACCOUNT} AND uid > ?2 ORDER BY uid LIMIT ?3"))?;
    let rows =
        select.query_map(params![accounts::name(realm), after, column(most as u64)], record)?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut found = Records {
        next: (rows.len() == most).then(|| rows.last().map(|(uid, _)| uid.clone())).flatten(),
        ..Records::default()
    };
    for (uid, record) in rows {
        match record {
            Some(record) => found.records.push(record),
            None => found.skipped.push(format!("account {uid:?}: its hash is none")),
        }
    }
    Ok(found)
}

#[async_trait]
impl Vault for Volume {
    async fn count(&self, realm: Realm) -> Result<u64, StoreError> {
        let count = "SELECT count(*) FROM accounts WHERE realm = ?1";
        self.run(move |db| db.query_row(count, [accounts::name(realm)], |row| row.get::<_, i64>(0)))
            .await
            .map(i64::unsigned_abs)
    }

    /// There are none: realm and uid are the key of the table, and a uid is a text.
    async fn ambiguous(&self, _: Realm) -> Result<Vec<Ambiguous>, StoreError> {
        Ok(vec![])
    }

    async fn accounts(
        &self,
        realm: Realm,
        after: Option<&str>,
        most: usize,
    ) -> Result<Records, StoreError> {
        let after = after.unwrap_or_default().to_owned();
        self.run(move |db| records(db, realm, &after, most)).await
    }

    async fn find(&self, realm: Realm, uids: &[String]) -> Result<Vec<Record>, StoreError> {
        let uids = uids.to_vec();
        self.run(move |db| {
            let mut select = db.prepare_cached(&format!("{ACCOUNT} AND uid = ?2"))?;
            let mut found = Vec::new();
            for uid in &uids {
                let rows = select
                    .query_map(params![accounts::name(realm), uid], record)?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                found.extend(rows.into_iter().filter_map(|(_, record)| record));
            }
            Ok(found)
        })
        .await
    }

    async fn add(&self, realm: Realm, records: &[Record]) -> Result<(), StoreError> {
        let records = records.to_vec();
        self.run(move |db| {
            let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
            for record in &records {
                accounts::insert(
                    &tx,
                    realm,
                    &record.uid,
                    &record.proof.digest(),
                    record.created,
                    record.updated,
                )?;
            }
            tx.commit()
        })
        .await
    }
}
