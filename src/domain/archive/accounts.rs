//! Copies all accounts. An account that the target has already stays as it is; if its token is another one it is counted as *kept*.
use std::collections::HashMap;

use super::{Both, Progress, Record, Vault};
use crate::domain::{error::StoreError, token::Realm};

/// Accounts that are read and written at once.
const STRETCH: usize = 500;

/// What was copied of one realm, counted on both sides behind it.
#[derive(Debug, Default)]
pub struct Report {
    pub accounts: Both,
    /// Accounts that have another token in the target.
    pub kept: u64,
    /// Accounts that can't be read. Each was told.
    pub refused: u64,
}

impl Report {
    /// Whether every account of the source is in the target.
    pub fn is_complete(&self) -> bool {
        self.refused == 0 && self.accounts.agree()
    }
}

/// Copies the accounts that are not there yet, then counts both sides.
///
/// # Errors
/// A store failed. What was copied so far stays, and another run goes on from there.
pub async fn copy(from: &dyn Vault, to: &dyn Vault, realm: Realm, progress: &dyn Progress) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let mut after = None;
    loop {
        let stretch = from.accounts(realm, after.as_deref(), STRETCH).await?;
        for skipped in &stretch.skipped {
            progress.warn(&format!("not copied: {skipped}"));
        }
        report.refused += stretch.skipped.len() as u64;
        let (new, _) = compare(to, realm, &stretch.records).await?;
        if !new.is_empty() {
            to.add(realm, &new).await?;
        }
        let Some(next) = stretch.next else { break };
        after = Some(next);
    }
    count(from, to, realm, &mut report).await?;
    Ok(report)
}

/// The accounts that the target does not have, and how many have another token there.
async fn compare(to: &dyn Vault, realm: Realm, records: &[Record]) -> Result<(Vec<Record>, u64), StoreError> {
    let uids: Vec<String> = records.iter().map(|r| r.uid.clone()).collect();
    let held: HashMap<String, [u8; 32]> = to.find(realm, &uids).await?.into_iter().map(|r| (r.uid, r.proof.digest())).collect();
    let new = records.iter().filter(|r| !held.contains_key(&r.uid)).cloned().collect();
    let other = records.iter().filter(|r| held.get(&r.uid).is_some_and(|digest| *digest != r.proof.digest()));
    Ok((new, other.count() as u64))
}

/// Counts both sides anew, so that a writer that was not stopped is found out.
async fn count(from: &dyn Vault, to: &dyn Vault, realm: Realm, report: &mut Report) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let stretch = from.accounts(realm, after.as_deref(), STRETCH).await?;
        let (missing, kept) = compare(to, realm, &stretch.records).await?;
        report.accounts.from += stretch.records.len() as u64;
        report.accounts.to += (stretch.records.len() - missing.len()) as u64;
        report.kept += kept;
        let Some(next) = stretch.next else { return Ok(()) };
        after = Some(next);
    }
}
