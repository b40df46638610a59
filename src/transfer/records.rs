//! Copies the records of all collections, with their versions.
//!
//! A version grows with each writing. So of two records with one name the one with the higher version
//! is the later one, and is *kept* where it is the target's; unless one of them was deleted and made
//! anew, which nobody can tell.
use super::{Both, Cabinet, Drawer, Filed, Progress};
use crate::domain::error::StoreError;

/// Records that are read and written at once.
const STRETCH: usize = 200;

/// What was copied, counted on both sides behind it.
#[derive(Debug, Default)]
pub struct Report {
    /// Records that have not expired.
    pub records: Both,
    /// Records of which the target has another version, which is higher.
    pub kept: u64,
}

impl Report {
    /// Whether every record of the source is in the target, in whatever version.
    pub fn is_complete(&self) -> bool {
        self.records.agree()
    }
}

/// Copies what is not there yet, then counts both sides.
///
/// # Errors
/// A store failed. What was copied so far stays, and another run goes on from there.
pub async fn copy(
    from: &dyn Cabinet,
    to: &dyn Cabinet,
    progress: &dyn Progress,
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    stretches(from, async |records| {
        let there = to.versions(&names(records)).await?;
        let mut wanted = Vec::new();
        for (record, there) in records.iter().zip(there) {
            match there {
                Some(version) if version == record.version => {}
                Some(version) if version > record.version => {
                    report.kept += 1;
                    let Filed { collection, id, .. } = record;
                    progress.warn(&format!(
                        "kept: record {id:?} of {collection}: the target's has a higher version"
                    ));
                }
                _ => wanted.push(record.clone()),
            }
        }
        if wanted.is_empty() { Ok(()) } else { to.file(&wanted).await }
    })
    .await?;
    stretches(from, async |records| {
        let there = to.versions(&names(records)).await?;
        report.records.from += records.len() as u64;
        let copied = records.iter().zip(there);
        let copied = copied.filter(|(record, there)| *there >= Some(record.version));
        report.records.to += copied.count() as u64;
        Ok(())
    })
    .await?;
    Ok(report)
}

fn names(records: &[Filed]) -> Vec<(String, String)> {
    records.iter().map(|record| (record.collection.clone(), record.id.clone())).collect()
}

async fn stretches(
    from: &dyn Cabinet,
    mut each: impl AsyncFnMut(&[Filed]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut after: Option<(String, String)> = None;
    loop {
        let behind = after.as_ref().map(|(collection, id)| (&**collection, &**id));
        let Drawer { records, next } = from.records(behind, STRETCH).await?;
        each(&records).await?;
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}
