//! Copies all accounts. An account that the target has already stays as it is; if its token is
//! another one it is counted as *kept*. A uid that more than one account has, on either side, is
//! named and left alone: which of them is meant can't be told.
use std::collections::{HashMap, HashSet};

use super::{Ambiguous, Both, Progress, Record, Vault};
use crate::domain::{error::StoreError, token::Realm};

/// Accounts that are read and written at once.
const STRETCH: usize = 500;

/// What was copied of one realm, counted on both sides behind it.
#[derive(Debug, Default)]
pub struct Report {
    /// Accounts, also those that can't be read.
    pub accounts: Both,
    /// Accounts that have another token in the target.
    pub kept: u64,
    /// Accounts that can't be read, and uids that several have. Each was told.
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
pub async fn copy(
    from: &dyn Vault,
    to: &dyn Vault,
    realm: Realm,
    progress: &dyn Progress,
) -> Result<Report, StoreError> {
    let mut copy =
        Copy { from, to, realm, progress, left: HashSet::new(), report: Report::default() };
    let (ours, theirs) = (from.ambiguous(realm).await?, to.ambiguous(realm).await?);
    for found in ours {
        copy.refuse(&found, "");
        copy.left.insert(found.uid);
    }
    // Others of the target's are its own business, as long as nobody of that name comes.
    let (blocking, others): (Vec<_>, Vec<_>) = theirs.into_iter().partition(|found| found.alike);
    blocking.iter().for_each(|found| copy.refuse(found, " of the target"));
    if blocking.is_empty() {
        copy.add(others.into_iter().map(|found| (found.uid.clone(), found)).collect()).await?;
    } else {
        progress
            .warn(&format!("nothing was written to {}: leave one account of each uid in the target, then run this again", plural(realm)));
        copy.left.extend(blocking.into_iter().chain(others).map(|found| found.uid));
    }
    copy.count().await?;
    Ok(copy.report)
}

fn plural(realm: Realm) -> &'static str {
    match realm {
        Realm::User => "users",
        Realm::Admin => "admins",
        Realm::Reader => "readers",
    }
}

/// A copy of one realm on its way.
struct Copy<'a> {
    from: &'a dyn Vault,
    to: &'a dyn Vault,
    realm: Realm,
    progress: &'a dyn Progress,
    /// Uids of the source that are not copied.
    left: HashSet<String>,
    report: Report,
}

impl Copy<'_> {
    fn refuse(&mut self, found: &Ambiguous, place: &str) {
        let (what, Ambiguous { uid, accounts, alike }) = (plural(self.realm), found);
        let types = if *alike { "" } else { ", as text and as a number" };
        self.progress.warn(&format!(
            "not copied: {uid:?} of {what}: {accounts} accounts{place} have this uid{types}"
        ));
        self.report.refused += 1;
    }

    /// Adds what is not there yet, but for uids that more than one account of the target has.
    async fn add(&mut self, mut theirs: HashMap<String, Ambiguous>) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let stretch = self.from.accounts(self.realm, after.as_deref(), STRETCH).await?;
            for skipped in &stretch.skipped {
                self.progress.warn(&format!("not copied: {skipped}"));
            }
            self.report.refused += stretch.skipped.len() as u64;
            for record in &stretch.records {
                if let Some(found) = theirs.remove(&record.uid) {
                    self.refuse(&found, " of the target");
                    self.left.insert(found.uid);
                }
            }
            let (new, _) = self.compare(&stretch.records).await?;
            if !new.is_empty() {
                self.to.add(self.realm, &new).await?;
            }
            let Some(next) = stretch.next else { return Ok(()) };
            after = Some(next);
        }
    }

    /// The accounts that the target does not have, and how many have another token there. Those
    /// that are left are neither.
    async fn compare(&self, records: &[Record]) -> Result<(Vec<Record>, u64), StoreError> {
        let records: Vec<&Record> = self.copied(records).collect();
        let uids: Vec<String> = records.iter().map(|r| r.uid.clone()).collect();
        let held = self.to.find(self.realm, &uids).await?;
        let held: HashMap<String, [u8; 32]> =
            held.into_iter().map(|r| (r.uid, r.proof.digest())).collect();
        let other = records
            .iter()
            .filter(|r| held.get(&r.uid).is_some_and(|digest| *digest != r.proof.digest()))
            .count();
        let new = records.into_iter().filter(|r| !held.contains_key(&r.uid)).cloned().collect();
        Ok((new, other as u64))
    }

    fn copied<'a>(&'a self, records: &'a [Record]) -> impl Iterator<Item = &'a Record> {
        records.iter().filter(|record| !self.left.contains(&record.uid))
    }

    /// Counts both sides anew, so that a writer that was not stopped is found out.
    async fn count(&mut self) -> Result<(), StoreError> {
        self.report.accounts.from = self.from.count(self.realm).await?;
        let mut after = None;
        loop {
            let stretch = self.from.accounts(self.realm, after.as_deref(), STRETCH).await?;
            let (missing, kept) = self.compare(&stretch.records).await?;
            self.report.accounts.to +=
                (self.copied(&stretch.records).count() - missing.len()) as u64;
            self.report.kept += kept;
            let Some(next) = stretch.next else { return Ok(()) };
            after = Some(next);
        }
    }
}
