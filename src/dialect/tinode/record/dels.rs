//! The record of what was deleted of a topic.
use serde::{Deserialize, Serialize};

use crate::dialect::tinode::{ids::Key, message::Range};

/// Deletions that are kept apart, and ranges of them; beyond that the older ones become one.
const MOST_DELETIONS: usize = 1000;
const MOST_RANGES: usize = 20_000;

/// What was deleted of a topic's messages, for all or for one user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::dialect::tinode) struct Dels {
    /// The life of the topic.
    pub of: String,
    /// The topic, where something of it is to be taken out of its room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// Deletions by their numbers, the latest last.
    #[serde(default, with = "log", skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<(u64, Vec<Range>)>,
    /// What is still to be taken out of the topic's room.
    #[serde(default, with = "pairs", skip_serializing_if = "Vec::is_empty")]
    pub blank: Vec<Range>,
    /// There is such.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dirty: bool,
}

impl Dels {
    /// Adds the deletion of this number.
    pub fn add(&mut self, id: u64, ranges: &[Range]) {
        let at = self.log.partition_point(|(other, _)| *other < id);
        match self.log.get_mut(at) {
            Some((same, there)) if *same == id => {
                there.extend_from_slice(ranges);
                *there = union(std::mem::take(there));
            }
            _ => self.log.insert(at, (id, union(ranges.to_vec()))),
        }
        let all: usize = self.log.iter().map(|(_, ranges)| ranges.len()).sum();
        if self.log.len() > MOST_DELETIONS || all > MOST_RANGES {
            self.compact();
        }
    }

    /// The older half becomes one, under the greatest of its numbers: who knows some of them is
    /// told of all of them once more.
    fn compact(&mut self) {
        let half = self.log.len() / 2;
        let Some((greatest, _)) = self.log.get(half) else { return };
        let greatest = *greatest;
        let old = self.log.drain(..=half).flat_map(|(_, ranges)| ranges).collect();
        self.log.insert(0, (greatest, union(old)));
    }

    /// Deletions from number `since` on and before `before`, 0: to the end; `limit` at most. The
    /// number of the last of them, 0 where there is none, and what they have deleted together.
    pub fn between(&self, since: u64, before: u64, limit: usize) -> (u64, Vec<Range>) {
        let is_within = |id: u64| id >= since && (before == 0 || id < before);
        let found = self.log.iter().filter(|(id, _)| is_within(*id)).take(limit);
        let (mut last, mut ranges) = (0, Vec::new());
        for (id, deleted) in found {
            last = *id;
            ranges.extend_from_slice(deleted);
        }
        (last, union(ranges))
    }

    /// All that was deleted, in order.
    pub fn ranges(&self) -> Vec<Range> {
        union(self.log.iter().flat_map(|(_, ranges)| ranges.iter().copied()).collect())
    }
}

/// The same numbers by ranges in order, of which no two touch.
fn union(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable_by_key(|range| (range.low, range.hi));
    let mut all: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match all.last_mut() {
            Some(last) if range.low <= last.hi => last.hi = last.hi.max(range.hi),
            _ => all.push(range),
        }
    }
    all
}

/// Ranges as pairs: `[[low,hi],…]`.
mod pairs {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Range;

    pub(super) fn of(ranges: &[Range]) -> impl Iterator<Item = (u64, u64)> {
        ranges.iter().map(|range| (range.low, range.hi))
    }

    pub(super) fn read(pairs: Vec<(u64, u64)>) -> Vec<Range> {
        pairs.into_iter().map(|(low, hi)| Range { low, hi }).collect()
    }

    pub(super) fn serialize<S: Serializer>(ranges: &[Range], into: S) -> Result<S::Ok, S::Error> {
        into.collect_seq(of(ranges))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<Range>, D::Error> {
        Vec::deserialize(from).map(read)
    }
}

/// Deletions as `[[id,[[low,hi],…]],…]`.
mod log {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Range, pairs};

    type Log = Vec<(u64, Vec<Range>)>;

    pub(super) fn serialize<S: Serializer>(
        log: &[(u64, Vec<Range>)],
        into: S,
    ) -> Result<S::Ok, S::Error> {
        into.collect_seq(log.iter().map(|(id, ranges)| (id, pairs::of(ranges).collect::<Vec<_>>())))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Log, D::Error> {
        let log: Vec<(u64, Vec<(u64, u64)>)> = Vec::deserialize(from)?;
        Ok(log.into_iter().map(|(id, ranges)| (id, pairs::read(ranges))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(low: u64, hi: u64) -> Range {
        Range { low, hi }
    }

    #[test]
    fn ranges_that_touch_are_one() {
        for (given, expected) in [
            (vec![], vec![]),
            (vec![range(5, 6), range(1, 3)], vec![range(1, 3), range(5, 6)]),
            (vec![range(1, 3), range(3, 4)], vec![range(1, 4)]),
            (vec![range(1, 9), range(2, 3), range(8, 12)], vec![range(1, 12)]),
        ] {
            assert_eq!(union(given.clone()), expected, "{given:?}");
        }
    }

    #[test]
    fn deletions_are_in_the_order_of_their_numbers_whoever_comes_first() {
        let mut dels = Dels { of: "L".into(), ..Dels::default() };
        dels.add(2, &[range(1, 2)]);
        dels.add(1, &[range(4, 6), range(2, 3)]);
        dels.add(4, &[range(5, 8)]);
        let json = String::from_utf8(dels.body().to_vec()).unwrap();
        assert_eq!(json, r#"{"of":"L","log":[[1,[[2,3],[4,6]]],[2,[[1,2]]],[4,[[5,8]]]]}"#);
        assert_eq!(serde_json::from_str::<Dels>(&json).unwrap(), dels);
        for (since, before, limit, expected) in [
            (0, 0, 9, (4, vec![range(1, 3), range(4, 8)])),
            (2, 0, 9, (4, vec![range(1, 2), range(5, 8)])),
            (1, 2, 9, (1, vec![range(2, 3), range(4, 6)])),
            (0, 0, 2, (2, vec![range(1, 3), range(4, 6)])),
            (5, 0, 9, (0, vec![])),
        ] {
            assert_eq!(dels.between(since, before, limit), expected, "{since} {before} {limit}");
        }
        assert_eq!(dels.ranges(), [range(1, 3), range(4, 8)]);
    }

    #[test]
    fn old_deletions_become_one_and_nothing_of_them_is_lost() {
        let mut dels = Dels::default();
        let most = MOST_DELETIONS as u64;
        for id in 1..=most + 1 {
            dels.add(id, &[range(2 * id, 2 * id + 1)]);
        }
        assert!(dels.log.len() <= MOST_DELETIONS / 2 + 1);
        assert_eq!(dels.log[0].0, most / 2 + 1, "under the greatest of their numbers");
        assert_eq!(dels.ranges().len(), MOST_DELETIONS + 1);
        let mut wide = Dels::default();
        for id in 0..40 {
            let ranges: Vec<Range> =
                (0..1000).map(|i| range(80 * i + 2 * id, 80 * i + 2 * id + 1)).collect();
            wide.add(id + 1, &ranges);
        }
        assert!(wide.log.len() < 40 && wide.ranges().len() == 40_000);
    }
}
