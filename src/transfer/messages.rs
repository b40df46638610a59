//! Copies all messages. The target's log of a room has to be the beginning of the source's: all of
//! it is compared, then the copy goes on behind it. Where it differs nothing is written: two
//! histories can't be one.
//!
//! A log keeps its indexes, so that readers who come back go on where they were. Where the target's
//! counts otherwise, its entries are compared and copied all the same, and it is told.
//!
//! An update is overwritten unless the target's is newer and differs; that one is *kept*. Those
//! that are written stand in the source's order.
use std::collections::{HashMap, HashSet};

use super::{Archive, Both, Extent, Insert, Progress, Update, Updates};
use crate::domain::{
    broker::{PageLimit, Stored},
    error::StoreError,
    ids::RoomId,
};

/// Entries that are read, compared and written at once.
const STRETCH: PageLimit = PageLimit { entries: 500, bytes: 1 << 20 };
/// Rooms whose extents are asked for at once.
const ROOMS: usize = 1000;

/// What was copied, counted on both sides behind it.
#[derive(Debug, Default)]
pub struct Report {
    /// Rooms with anything stored, and lives that had anything.
    pub rooms: Both,
    /// Entries of their logs.
    pub inserts: Both,
    /// Their updates.
    pub updates: Both,
    /// Entries that can't be read: each keeps its place and its time, and has no message.
    pub unreadable: u64,
    /// Updates that are newer in the target.
    pub kept: u64,
    /// Rooms whose log has other indexes in the target.
    pub shifted: u64,
    /// Rooms that the target has another history of, keys that can't be a room's, and updates that
    /// can't be one. Each was told.
    pub refused: u64,
}

impl Report {
    /// Whether everything of the source is in the target.
    pub fn is_complete(&self) -> bool {
        self.refused == 0 && self.rooms.agree() && self.inserts.agree() && self.updates.agree()
    }
}

/// Copies what is not there yet, then counts both sides.
///
/// # Errors
/// A store failed. What was copied so far stays, and another run goes on from there.
pub async fn copy(
    from: &dyn Archive,
    to: &dyn Archive,
    progress: &dyn Progress,
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let found = from.rooms().await?;
    for skipped in &found.skipped {
        progress.warn(&format!("not copied: {skipped}"));
    }
    report.refused = found.skipped.len() as u64;
    let mut total = 0;
    for rooms in found.rooms.chunks(ROOMS) {
        total += from.extents(rooms).await?.iter().map(|e| e.inserts + e.updates).sum::<u64>();
    }
    progress.begin("messages", total);
    for rooms in found.rooms.chunks(ROOMS) {
        let (extents, held) = (from.extents(rooms).await?, to.extents(rooms).await?);
        for (room, (extent, held)) in rooms.iter().zip(extents.into_iter().zip(held)) {
            copy_room(from, to, room, extent, held, progress, &mut report).await?;
        }
    }
    progress.end();
    // Rooms that are empty now have given indexes as well.
    to.raise_floor(from.floor().await?).await?;
    count(from, to, &mut report).await?;
    Ok(report)
}

async fn copy_room(
    from: &dyn Archive,
    to: &dyn Archive,
    room: &RoomId,
    extent: Extent,
    held: Extent,
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<(), StoreError> {
    let log = Log { from, to, room, progress };
    let bounds = from.bounds(room).await?;
    if !to.begin(room, &bounds).await? && !bounds.agree(&to.bounds(room).await?) {
        report.shifted += 1;
        progress.warn(&format!(
            "room {room:?} counts its messages otherwise in the target, and goes on with that"
        ));
    }
    if let Err(at) = log.copy(extent.inserts, held.inserts, report).await? {
        report.refused += 1;
        progress.warn(&format!("not copied: room {room:?} has another history in the target, from message {at} on (the first is 0)"));
        progress.advance(extent.updates);
        return Ok(());
    }
    if extent.updates > 0 {
        let Updates { updates, skipped } = from.updates(room).await?;
        for skipped in &skipped {
            progress.warn(&format!("not copied: {skipped}"));
        }
        report.refused += skipped.len() as u64;
        let (wanted, kept) = merge(&updates, &to.updates(room).await?.updates);
        report.unreadable += updates.iter().filter(|u| u.entry.body.is_none()).count() as u64;
        report.kept += kept.len() as u64;
        for id in kept {
            progress.warn(&format!("kept: update {id:?} of room {room:?}: the target's is newer, by the servers' clocks"));
        }
        if !wanted.is_empty() {
            to.put_updates(room, wanted.as_slice()).await?;
        }
        if !wanted.is_empty() && held.updates > 0 {
            // What stands there already may be in order by its time alone, which clocks that were
            // put back have mixed up: then all is written anew.
            let (wanted, _) = merge(&updates, &to.updates(room).await?.updates);
            if !wanted.is_empty() {
                to.put_updates(room, wanted.as_slice()).await?;
            }
        }
        progress.advance(extent.updates);
    }
    to.finish(room, &bounds).await
}

/// One room's log.
struct Log<'a> {
    from: &'a dyn Archive,
    to: &'a dyn Archive,
    room: &'a RoomId,
    progress: &'a dyn Progress,
}

impl Log<'_> {
    /// Compares the `held` inserts of the target, and appends the others, up to the `length` that
    /// the source had when it was counted: a source that grows is not chased. The error is the
    /// first index that differs.
    async fn copy(
        &self,
        length: u64,
        held: u64,
        report: &mut Report,
    ) -> Result<Result<(), u64>, StoreError> {
        let mut at = 0;
        while at < held {
            let (ours, theirs) = tokio::join!(
                self.from.read(self.room, at, STRETCH),
                self.to.read(self.room, at, STRETCH)
            );
            let (ours, theirs) = (ours?, theirs?);
            let same = ours.iter().zip(&theirs).take_while(|(a, b)| alike(a, b)).count();
            at += self.passed(&ours[..same], report);
            if same == 0 || same < ours.len().min(theirs.len()) {
                return Ok(Err(at));
            }
        }
        let mut entries = if at < length { self.stretch(at, length).await? } else { vec![] };
        while !entries.is_empty() {
            let next = at + entries.len() as u64;
            // The next ones are read while these are written.
            let (written, more) = tokio::join!(self.to.append(self.room, at, &entries), async {
                if next < length { self.stretch(next, length).await } else { Ok(vec![]) }
            });
            if !written? {
                return Ok(Err(at));
            }
            at += self.passed(&entries, report);
            entries = more?;
        }
        Ok(Ok(()))
    }

    async fn stretch(&self, at: u64, length: u64) -> Result<Vec<Insert>, StoreError> {
        let most = usize::try_from(length - at).unwrap_or(usize::MAX).min(STRETCH.entries);
        self.from.read(self.room, at, PageLimit { entries: most, ..STRETCH }).await
    }

    /// These are in both stores.
    fn passed(&self, entries: &[Insert], report: &mut Report) -> u64 {
        let passed = entries.len() as u64;
        report.unreadable += entries.iter().filter(|e| e.entry.body.is_none()).count() as u64;
        self.progress.advance(passed);
        passed
    }
}

/// Whether two stores have the same entry. Not all of them keep milliseconds; and not all knew of
/// keys, or of what was recalled, when they were copied to.
fn alike(a: &Insert, b: &Insert) -> bool {
    a.entry.body == b.entry.body && a.entry.at_ms / 1000 == b.entry.at_ms / 1000
}

/// The updates to write, in their order, so that the target has those of the source in the source's
/// order; and the ids of those that the target keeps.
fn merge<'a>(source: &'a [Update], target: &[Update]) -> (Vec<Update>, Vec<&'a str>) {
    let held: HashMap<&str, &Stored> = target.iter().map(|u| (&*u.id, &u.entry)).collect();
    let is_kept = |u: &Update| {
        held.get(&*u.id)
            .is_some_and(|t| t.body != u.entry.body && t.at_ms / 1000 > u.entry.at_ms / 1000)
    };
    let (kept, wanted): (Vec<&Update>, Vec<&Update>) = source.iter().partition(|u| is_kept(u));
    let ids: HashSet<&str> = wanted.iter().map(|u| &*u.id).collect();
    let there = target.iter().filter(|u| ids.contains(&*u.id));
    let same = wanted
        .iter()
        .zip(there)
        .take_while(|(w, t)| w.id == t.id && w.entry.body == t.entry.body)
        .count();
    (wanted[same..].iter().map(|u| (*u).clone()).collect(), kept.iter().map(|u| &*u.id).collect())
}

/// Counts both sides anew: the source as it is now, so that a writer that was not stopped is found
/// out.
async fn count(
    from: &dyn Archive,
    to: &dyn Archive,
    report: &mut Report,
) -> Result<(), StoreError> {
    for rooms in from.rooms().await?.rooms.chunks(ROOMS) {
        for (room, (ours, theirs)) in
            rooms.iter().zip(from.extents(rooms).await?.into_iter().zip(to.extents(rooms).await?))
        {
            // The target may have further updates of its own.
            let updates = if theirs.updates == ours.updates {
                ours.updates
            } else {
                common(from, to, room).await?
            };
            report.rooms.from += 1;
            report.rooms.to += u64::from(theirs.inserts == ours.inserts && updates == ours.updates);
            report.inserts.from += ours.inserts;
            report.inserts.to += theirs.inserts;
            report.updates.from += ours.updates;
            report.updates.to += updates;
        }
    }
    Ok(())
}

/// How many of the source's updates the target has.
async fn common(from: &dyn Archive, to: &dyn Archive, room: &RoomId) -> Result<u64, StoreError> {
    let (ours, theirs) = (from.updates(room).await?.updates, to.updates(room).await?.updates);
    let held: HashSet<&str> = theirs.iter().map(|u| &*u.id).collect();
    Ok(ours.iter().filter(|u| held.contains(&*u.id)).count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updates(texts: &[(&str, &str, u64)]) -> Vec<Update> {
        let entry = |body: &str, unix: u64| Stored {
            body: Some(body.to_owned().into()),
            at_ms: unix * 1000,
            recalled: false,
            n: None,
        };
        texts
            .iter()
            .map(|(id, body, unix)| Update { id: (*id).into(), entry: entry(body, *unix) })
            .collect()
    }

    fn ids(updates: &[Update]) -> String {
        updates.iter().map(|u| &*u.id).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn entries_are_the_same_to_the_second() {
        let entry = |body: &str, at_ms| {
            Insert::from(Stored {
                body: Some(body.to_owned().into()),
                at_ms,
                recalled: false,
                n: None,
            })
        };
        assert!(alike(&entry("1", 5000), &entry("1", 5999)));
        assert!(!alike(&entry("1", 5000), &entry("1", 6000)));
        assert!(!alike(&entry("1", 5000), &entry("2", 5000)));
    }

    #[test]
    fn updates_are_written_in_the_sources_order_and_only_if_needed() {
        let source = updates(&[("a", "1", 5), ("b", "2", 5), ("c", "3", 6)]);
        for (target, written, kept) in [
            (vec![], "a b c", 0),
            (vec![("a", "1", 5)], "b c", 0),
            (vec![("a", "1", 5), ("b", "2", 5), ("c", "3", 6)], "", 0),
            // Further ones of the target's own stay where they are.
            (vec![("x", "9", 9), ("a", "1", 5), ("y", "9", 9), ("b", "2", 5)], "c", 0),
            // Out of order: everything from there on.
            (vec![("b", "2", 5), ("a", "1", 5), ("c", "3", 6)], "a b c", 0),
            (vec![("a", "1", 5), ("c", "3", 6)], "b c", 0),
            // Older or as old: the source's counts. Newer: the target's.
            (vec![("a", "1", 5), ("b", "0", 5), ("c", "0", 5)], "b c", 0),
            (vec![("a", "0", 6)], "b c", 1),
            (vec![("a", "1", 6), ("b", "0", 6), ("c", "3", 6)], "", 1),
        ] {
            let (wanted, found) = merge(&source, &updates(&target));
            assert_eq!((ids(&wanted).as_str(), found.len()), (written, kept), "{target:?}");
        }
    }
}
