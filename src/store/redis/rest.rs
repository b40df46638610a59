//! What of a batch is to be stored yet, while the script that publishes refuses some of it.
use std::{collections::HashSet, sync::Arc};

use crate::domain::{
    broker::{Entry, Placed, Position},
    receipt::Kept,
};

/// What of a batch is to be stored yet.
pub(super) struct Rest {
    pub(super) entries: Arc<[Entry]>,
    /// Where each of them was in the batch; nothing: all are there.
    places: Option<Vec<usize>>,
    /// Places of those that are neither stored nor told, and why.
    refused: Vec<(usize, Placed)>,
    /// Those whose receipt has the key of one of `entries` that was before them, and where they were:
    /// what becomes of that one decides.
    twins: Vec<(usize, Entry)>,
}

impl Rest {
    pub(super) fn new(entries: Arc<[Entry]>) -> Self {
        let mut rest = Rest { entries, places: None, refused: Vec::new(), twins: Vec::new() };
        rest.set_twins_aside();
        rest
    }

    /// Whether some of the batch is neither stored nor told, for a reason.
    pub(super) fn is_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    fn place(&self, at: usize) -> usize {
        self.places.as_ref().map_or(at, |places| places[at])
    }

    /// Takes these out.
    pub(super) fn leave_out(&mut self, out: impl Fn(usize, &Entry) -> bool) {
        self.keep(|at, entry| !out(at, entry));
        self.bring_twins_back();
    }

    fn keep(&mut self, is_kept: impl Fn(usize, &Entry) -> bool) {
        let kept: Vec<usize> = self
            .entries
            .iter()
            .enumerate()
            .filter(|(at, entry)| is_kept(*at, entry))
            .map(|(at, _)| at)
            .collect();
        self.places = Some(kept.iter().map(|at| self.place(*at)).collect());
        self.entries = kept.iter().map(|at| self.entries[*at].clone()).collect();
    }

    /// The script has refused these.
    pub(super) fn refuse(&mut self, refused: &[(usize, Placed)]) {
        let there = refused.iter().filter(|(at, _)| *at < self.entries.len());
        let there: Vec<_> = there.map(|(at, why)| (self.place(*at), why.clone())).collect();
        self.refused.extend(there);
        self.leave_out(|at, _| refused.binary_search_by_key(&at, |(out, _)| *out).is_ok());
    }

    fn set_twins_aside(&mut self) {
        let mut keys = HashSet::new();
        let receipts = self.entries.iter().map(Entry::receipt).enumerate();
        let twins: Vec<usize> = receipts
            .filter(|(_, receipt)| receipt.is_some_and(|receipt| !keys.insert(&receipt.key)))
            .map(|(at, _)| at)
            .collect();
        if twins.is_empty() {
            return;
        }
        let aside = twins.iter().map(|at| (self.place(*at), self.entries[*at].clone()));
        self.twins = aside.collect();
        self.keep(|at, _| twins.binary_search(&at).is_err());
    }

    /// Those whose first one was left out are asked for themselves.
    fn bring_twins_back(&mut self) {
        if self.twins.is_empty() {
            return;
        }
        let there = self.entries.iter().enumerate().map(|(at, e)| (self.place(at), e.clone()));
        let mut all: Vec<(usize, Entry)> = there.collect();
        all.append(&mut self.twins);
        all.sort_by_key(|(place, _)| *place);
        self.places = Some(all.iter().map(|(place, _)| *place).collect());
        self.entries = all.into_iter().map(|(_, entry)| entry).collect();
        self.set_twins_aside();
    }

    /// What became of each of the batch's `all` entries, if those that are left were placed from
    /// `first` on. What was left out because its sender's session is over is no longer waited for.
    pub(super) fn placed(&self, all: usize, first: Position) -> Vec<Placed> {
        let nowhere = Position { n: 0, index: None, epoch: None, ..first };
        let mut placed = vec![Placed::At(nowhere); all];
        for (at, why) in &self.refused {
            placed[*at] = why.clone();
        }
        let (mut n, mut index) = (first.n, first.index.unwrap_or_default());
        for (at, entry) in self.entries.iter().enumerate() {
            let is_insert = entry.is_insert();
            let position = Position { n, index: is_insert.then_some(index), ..first };
            for (place, answer) in self.answers(entry, position) {
                placed[place] = answer;
            }
            placed[self.place(at)] = Placed::At(position);
            (n, index) = (n + 1, index + u64::from(is_insert));
        }
        placed
    }

    /// What becomes of an entry's twins, if it was placed there.
    fn answers(&self, entry: &Entry, position: Position) -> Vec<(usize, Placed)> {
        let Some(receipt) = entry.receipt().filter(|_| !self.twins.is_empty()) else {
            return Vec::new();
        };
        let kept = Kept::new(receipt, position);
        let twins = self.twins.iter().filter_map(|(place, twin)| Some((*place, twin.receipt()?)));
        twins
            .filter(|(_, twin)| twin.key == receipt.key)
            .map(|(place, twin)| (place, kept.answer(twin)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::witness::{insert, receipt, with_receipt};

    fn once(key: &str, digest: u8) -> Entry {
        with_receipt(receipt(key, digest, key), insert(key))
    }

    fn digests(rest: &Rest) -> Vec<u8> {
        rest.entries.iter().map(|e| e.receipt().map_or(0, |receipt| receipt.digest[0])).collect()
    }

    #[test]
    fn of_entries_with_one_key_the_first_that_is_not_refused_is_asked_for() {
        let batch = [once("a", 1), insert("x"), once("a", 2), once("b", 3), once("a", 2)];
        let mut rest = Rest::new(batch.into());
        assert_eq!(digests(&rest), [1, 0, 3]);
        rest.refuse(&[(0, Placed::Full), (2, Placed::Reused)]);
        assert_eq!(digests(&rest), [0, 2]);
        let first = Position { n: 5, index: Some(9), at_ms: 1, epoch: Some(7) };
        let second = Position { n: 6, index: Some(10), ..first };
        let replayed = Placed::Replayed { position: second, note: "a".into() };
        assert_eq!(
            rest.placed(5, first),
            [Placed::Full, Placed::At(first), Placed::At(second), Placed::Reused, replayed]
        );
        rest.leave_out(|at, _| at == 1);
        assert_eq!(digests(&rest), [0, 2], "the last one is asked for itself");
        rest.refuse(&[(1, Placed::Duplicate)]);
        assert_eq!((digests(&rest), rest.twins.len()), (vec![0], 0));
    }
}
