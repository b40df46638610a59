//! Metrics with labels. The sets of values are known when the server starts, and are on its page
//! from then on, with 0: who watches them sees the first time too. No value comes from a client.
use std::sync::{Arc, PoisonError, RwLock};

use super::text::{Metric, Samples, Type};

/// The values of labels, and what is counted for them.
type Seen<T, const N: usize> = ([Box<str>; N], Arc<T>);

/// A row that is known from the start.
type Row<T, const N: usize> = ([&'static str; N], T);

/// Metrics of one name, one for each set of `N` labels' values.
pub struct Family<T, const N: usize> {
    labels: [&'static str; N],
    make: fn() -> T,
    /// Known from the start, and found by their place.
    rows: Box<[Row<T, N>]>,
    /// Seen since: names that come from the configuration, or from tables elsewhere in the code.
    seen: RwLock<Vec<Seen<T, N>>>,
    /// Where those come from, for the reference.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test makes the reference"))]
    source: &'static str,
}

impl<T, const N: usize> Family<T, N> {
    /// With these rows. Others that come are added.
    pub(super) fn new(
        labels: [&'static str; N],
        make: fn() -> T,
        rows: impl IntoIterator<Item = [&'static str; N]>,
    ) -> Self {
        let rows = rows.into_iter().map(|row| (row, make())).collect();
        Family { labels, make, rows, seen: RwLock::default(), source: "" }
    }

    /// With no row yet. `source` says, for the reference, where the values come from.
    pub(super) fn open(labels: [&'static str; N], make: fn() -> T, source: &'static str) -> Self {
        Family { source, ..Family::new(labels, make, []) }
    }

    /// The row at this place among those that are known.
    pub(super) fn at(&self, place: usize) -> &T {
        &self.rows[place].1
    }

    /// Does something with the row of these values. It looks for the row: not for hot paths.
    pub(super) fn with<R>(&self, values: [&str; N], work: impl FnOnce(&T) -> R) -> R {
        if let Some((_, metric)) = self.rows.iter().find(|(row, _)| *row == values) {
            return work(metric);
        }
        let find = |seen: &[Seen<T, N>]| {
            let is_it = |row: &[Box<str>; N]| row.iter().zip(values).all(|(a, b)| **a == *b);
            seen.iter().find(|(row, _)| is_it(row)).map(|(_, metric)| metric.clone())
        };
        let found = find(&self.seen.read().unwrap_or_else(PoisonError::into_inner));
        let metric = found.unwrap_or_else(|| {
            let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
            find(&seen).unwrap_or_else(|| {
                let metric = Arc::new((self.make)());
                seen.push((values.map(Box::from), metric.clone()));
                metric
            })
        });
        work(&metric)
    }
}

impl<T: Metric, const N: usize> Metric for Family<T, N> {
    fn kind(&self) -> Type {
        match self.rows.first() {
            Some((_, metric)) => metric.kind(),
            None => (self.make)().kind(),
        }
    }

    #[cfg(test)]
    fn labels(&self) -> Vec<(&'static str, String)> {
        let values = |at: usize| {
            let mut values: Vec<&str> = Vec::new();
            for (row, _) in &self.rows {
                if !values.contains(&row[at]) {
                    values.push(row[at]);
                }
            }
            values
        };
        let said = |at| match values(at) {
            values if values.is_empty() => self.source.to_owned(),
            values => values.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", "),
        };
        self.labels.iter().enumerate().map(|(at, label)| (*label, said(at))).collect()
    }

    fn write(&self, to: &mut Samples<'_>) {
        for (row, metric) in &self.rows {
            to.labelled(&self.labels, row, |to| metric.write(to));
        }
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        for (row, metric) in seen.iter() {
            let row: Vec<&str> = row.iter().map(|value| &**value).collect();
            to.labelled(&self.labels, &row, |to| metric.write(to));
        }
    }
}

/// All pairs of these.
pub(super) fn pairs(
    first: &'static [&'static str],
    second: &'static [&'static str],
) -> impl Iterator<Item = [&'static str; 2]> {
    first.iter().flat_map(move |a| second.iter().map(move |b| [*a, *b]))
}

/// Each of these alone.
pub(super) fn each(words: &'static [&'static str]) -> impl Iterator<Item = [&'static str; 1]> {
    words.iter().map(|word| [*word])
}
