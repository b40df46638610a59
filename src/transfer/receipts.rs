//! Copies the receipts of publications, and the erasings that are not done.
//!
//! Whoever asks again with the same key after a move gets the same answer, and nothing is published
//! twice. A receipt that the target has already stays as it is. One whose time is over is none: it
//! is not copied, it stands in no other's way, and nobody misses it. An erasing that is under way
//! in the source is begun anew in the target: what it has not come to yet was copied.
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
        let there = to.have(&keys(receipts)).await?;
        let found = there.iter().filter(|there| **there).count() as u64;
        let missing = receipts.iter().zip(there).filter(|(_, there)| !there);
        let missing: Vec<KeptReceipt> = missing.map(|(receipt, _)| receipt.clone()).collect();
        // Of those the time may be over by now.
        let lost = from.have(&keys(&missing)).await?.into_iter().filter(|there| *there).count();
        both.from += found + lost as u64;
        both.to += found;
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;
    use crate::{
        domain::{broker::Position, erase::Job, receipt::Kept},
        transfer::Receipts,
    };

    /// Receipts by their keys; those that are listed may be over when it is asked for them.
    #[derive(Default)]
    struct Keys {
        listed: Vec<&'static str>,
        there: Mutex<Vec<String>>,
    }

    fn receipt(key: &str) -> KeptReceipt {
        let position = Position { n: 1, index: None, at_ms: 1, epoch: None };
        let kept = Kept { digest: [0; 32], position, note: Bytes::new() };
        KeptReceipt { key: key.into(), kept, ends_ms: 2 }
    }

    #[async_trait]
    impl Ledger for Keys {
        async fn receipts(&self, _: Option<&str>, _: usize) -> Result<Receipts, StoreError> {
            let receipts = self.listed.iter().map(|key| receipt(key)).collect();
            Ok(Receipts { receipts, next: None })
        }

        async fn have(&self, keys: &[String]) -> Result<Vec<bool>, StoreError> {
            let there = self.there.lock().unwrap();
            Ok(keys.iter().map(|key| there.contains(key)).collect())
        }

        async fn keep(&self, receipts: &[KeptReceipt]) -> Result<(), StoreError> {
            let lasting = receipts.iter().filter(|receipt| receipt.key.starts_with("kept"));
            self.there.lock().unwrap().extend(lasting.map(|receipt| receipt.key.clone()));
            Ok(())
        }

        async fn erasings(&self) -> Result<Vec<Job>, StoreError> {
            Ok(Vec::new())
        }

        async fn erase(&self, _: &Job) -> Result<(), StoreError> {
            Ok(())
        }

        async fn untold(&self) -> Result<u64, StoreError> {
            Ok(0)
        }
    }

    struct Quiet;

    impl Progress for Quiet {
        fn begin(&self, _: &str, _: u64) {}
        fn advance(&self, _: u64) {}
        fn end(&self) {}
        fn warn(&self, _: &str) {}
    }

    #[tokio::test]
    async fn what_is_over_while_it_is_copied_is_not_missing() {
        let copied = async |there: &[&str]| {
            let there = Mutex::new(there.iter().map(|key| (*key).to_owned()).collect());
            let from = Keys { listed: vec!["kept", "short"], there };
            copy(&from, &Keys::default(), &Quiet).await.unwrap()
        };
        let over = copied(&["kept"]).await;
        assert!(over.is_complete() && over.receipts == Both { from: 1, to: 1 }, "{over:?}");
        let lost = copied(&["kept", "short"]).await;
        assert!(!lost.is_complete() && lost.receipts == Both { from: 2, to: 1 }, "{lost:?}");
    }
}
