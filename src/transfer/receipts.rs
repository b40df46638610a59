//! Copies the receipts of publications, and the erasings that are not done.
//!
//! Whoever asks again with the same key after a move gets the same answer, and nothing is published
//! twice. A receipt that the target has already stays as it is. An erasing that is under way in the
//! source is begun anew in the target: what it has not come to yet was copied.
use super::{Both, KeptReceipt, Ledger, Progress};
use crate::domain::{erase::Erased, error::StoreError};

/// Receipts that are read and written at once.
const STRETCH: usize = 500;

/// What was copied, counted on both sides behind it.
#[derive(Debug, Default)]
pub struct Report {
    /// Receipts that are kept.
    pub receipts: Both,
    /// Erasings that the target goes on with.
    pub erasings: u64,
    /// Bytes that webhooks have still to tell; these are not copied.
    pub untold: u64,
}

impl Report {
    /// Whether every receipt of the source is in the target.
    pub fn is_complete(&self) -> bool {
        self.receipts.agree()
    }
}

/// Copies what is not there yet, then counts both sides.
///
/// # Errors
/// A store failed. What was copied so far stays, and another run goes on from there.
pub async fn copy(
    from: &dyn Ledger,
    to: &dyn Ledger,
    progress: &dyn Progress,
) -> Result<Report, StoreError> {
    let mut report = Report { untold: from.untold().await?, ..Report::default() };
    for mut job in from.erasings().await? {
        // How far it has come is said in words of its store.
        job.after = None;
        job.erased = Erased::default();
        to.erase(&job).await?;
        report.erasings += 1;
    }
    stretches(from, async |receipts| {
        let there = to.have(&keys(receipts)).await?;
        let new = receipts.iter().zip(there).filter(|(_, there)| !there);
        let new: Vec<KeptReceipt> = new.map(|(receipt, _)| receipt.clone()).collect();
        if !new.is_empty() {
            to.keep(&new).await?;
        }
        Ok(())
    })
    .await?;
    let mut both = Both::default();
    stretches(from, async |receipts| {
        both.from += receipts.len() as u64;
        let there = to.have(&keys(receipts)).await?;
        both.to += there.into_iter().filter(|there| *there).count() as u64;
        Ok(())
    })
    .await?;
    report.receipts = both;
    if report.erasings > 0 {
        progress.warn(&format!(
            "{} erasings are not done: the next server on the target does them",
            report.erasings
        ));
    }
    Ok(report)
}

fn keys(receipts: &[KeptReceipt]) -> Vec<String> {
    receipts.iter().map(|receipt| receipt.key.clone()).collect()
}

async fn stretches(
    from: &dyn Ledger,
    mut each: impl AsyncFnMut(&[KeptReceipt]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut next = None;
    loop {
        let stretch = from.receipts(next.as_deref(), STRETCH).await?;
        each(&stretch.receipts).await?;
        next = stretch.next;
        if next.is_none() {
            return Ok(());
        }
    }
}
