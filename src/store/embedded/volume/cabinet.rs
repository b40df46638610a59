//! Records.
use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{super::column, Volume};
use crate::{
    domain::error::StoreError,
    transfer::{Cabinet, Drawer, Filed},
};

fn records(
    db: &Connection,
    (collection, id): (&str, &str),
    most: usize,
    now: u64,
) -> rusqlite::Result<Drawer> {
    let mut select = db.prepare_cached(
        "SELECT row, collection, id, version, body, expires FROM records
         WHERE (collection, id) > (?1, ?2) AND (expires IS NULL OR expires > ?3) ORDER BY collection, id LIMIT ?4",
    )?;
    let mut keys = db.prepare_cached(
        "SELECT name, value FROM record_keys WHERE record = ?1 ORDER BY name, value",
    )?;
    let mut rows = select.query(params![collection, id, column(now), column(most as u64)])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let found =
            keys.query_map([row.get::<_, i64>(0)?], |key| Ok((key.get(0)?, key.get(1)?)))?;
        records.push(Filed {
            collection: row.get(1)?,
            id: row.get(2)?,
            version: row.get::<_, i64>(3)?.unsigned_abs(),
            body: Bytes::from(row.get::<_, Vec<u8>>(4)?),
            keys: found.collect::<rusqlite::Result<_>>()?,
            expires_at: row.get::<_, Option<i64>>(5)?.map(i64::unsigned_abs),
        });
    }
    let last = records.last().filter(|_| records.len() == most);
    let next = last.map(|last| (last.collection.clone(), last.id.clone()));
    Ok(Drawer { records, next })
}

fn file(db: &Connection, records: &[Filed]) -> rusqlite::Result<()> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    for Filed { collection, id, version, body, keys, expires_at } in records {
        // What it is found by goes with it.
        tx.prepare_cached("DELETE FROM records WHERE collection = ?1 AND id = ?2")?
            .execute([collection, id])?;
        let row = tx
            .prepare_cached(
                "INSERT INTO records (collection, id, version, body, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .insert(params![
                collection,
                id,
                column(*version),
                &body[..],
                expires_at.map(column)
            ])?;
        let mut add =
            tx.prepare_cached("INSERT OR IGNORE INTO record_keys VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for (index, value) in keys {
            add.execute(params![collection, index, value, id, row])?;
        }
    }
    tx.commit()
}

#[async_trait]
impl Cabinet for Volume {
    async fn records(
        &self,
        after: Option<(&str, &str)>,
        most: usize,
    ) -> Result<Drawer, StoreError> {
        let (collection, id) = after.unwrap_or_default();
        let (collection, id, now) = (collection.to_owned(), id.to_owned(), self.clock.unix());
        self.run(move |db| records(db, (&collection, &id), most, now)).await
    }

    async fn versions(&self, names: &[(String, String)]) -> Result<Vec<Option<u64>>, StoreError> {
        let names = names.to_vec();
        let versions = move |db: &Connection| {
            let mut select =
                db.prepare_cached("SELECT version FROM records WHERE collection = ?1 AND id = ?2")?;
            let mut version = |(collection, id): &(String, String)| {
                let found = select.query_row([collection, id], |row| row.get::<_, i64>(0));
                Ok(found.optional()?.map(i64::unsigned_abs))
            };
            names.iter().map(&mut version).collect()
        };
        self.run(versions).await
    }

    async fn file(&self, records: &[Filed]) -> Result<(), StoreError> {
        let records = records.to_vec();
        self.run(move |db| file(db, &records)).await
    }
}
