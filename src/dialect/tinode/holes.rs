//! Ranges of messages, by their numbers in the topic, and the holes that deletions leave in them.
//!
//! A range begins with its `low` and ends before its `hi`. A reader's holes are what was deleted
//! for all and what it has deleted for itself; whoever reads does not learn which.
use super::{
    Tinode,
    ids::UserId,
    message::{Code, Range},
    refusal::Done,
    request::Given,
};

/// Ranges that one deletion may name. A record keeps what was deleted, and is bounded.
const MOST: usize = 1024;

/// What one reader of a topic does not see.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Holes(Vec<Range>);

impl Holes {
    /// Those of two lists, in whatever order they are.
    pub fn merged(a: &[Range], b: &[Range]) -> Self {
        Holes(union(a.iter().chain(b).copied().collect()))
    }

    /// Whether this message is deleted.
    #[cfg(test)]
    fn has(&self, seq: u64) -> bool {
        let behind = self.0.partition_point(|hole| hole.hi <= seq);
        self.0.get(behind).is_some_and(|hole| hole.low <= seq)
    }

    /// What is left of a range, in order.
    pub fn left(&self, within: Range) -> Vec<Range> {
        let first = self.0.partition_point(|hole| hole.hi <= within.low);
        let (mut left, mut low) = (Vec::new(), within.low);
        for hole in self.0.iter().skip(first).take_while(|hole| hole.low < within.hi) {
            if low < hole.low {
                left.push(Range { low, hi: hole.low });
            }
            low = hole.hi;
        }
        if low < within.hi {
            left.push(Range { low, hi: within.hi });
        }
        left
    }
}

/// The same messages by ranges in order, of which no two touch.
pub(super) fn union(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable_by_key(|range| (range.low, range.hi));
    let mut all: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match all.last_mut() {
            Some(before) if range.low <= before.hi => before.hi = before.hi.max(range.hi),
            Some(_) | None => all.push(range),
        }
    }
    all
}

/// What is to be deleted of a topic with so many messages: ranges in order, of which no two touch.
///
/// # Errors
/// 400: no range, or too many; one that begins with no message that there is, or ends before its
/// beginning. One that ends behind the last message is cut there.
pub(super) fn asked(given: &[Given], last: u64) -> Done<Vec<Range>> {
    if given.is_empty() || given.len() > MOST {
        return Err(Code::Malformed.into());
    }
    let mut ranges = Vec::with_capacity(given.len());
    for Given { low, hi } in given {
        // Without an end it is one message, as where the end is the beginning.
        let hi = if *hi == 0 || hi == low { low.saturating_add(1) } else { *hi };
        let (Ok(low), Ok(hi)) = (u64::try_from(*low), u64::try_from(hi)) else {
            return Err(Code::Malformed.into());
        };
        if low == 0 || low > last || hi < low {
            return Err(Code::Malformed.into());
        }
        ranges.push(Range { low, hi: hi.min(last.saturating_add(1)) });
    }
    Ok(union(ranges))
}

/// The holes of this user in a topic's life.
///
/// # Errors
/// Those of the store.
pub(super) async fn of(node: &Tinode, life: &str, user: UserId) -> Done<Holes> {
    let hard = node.cabinet.dels(life, None).await?;
    let soft = node.cabinet.dels(life, Some(user)).await?;
    let ranges = |dels: Option<super::record::Dels>| dels.map_or_else(Vec::new, |d| d.ranges());
    Ok(Holes::merged(&ranges(hard), &ranges(soft)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(pairs: &[(u64, u64)]) -> Vec<Range> {
        pairs.iter().map(|(low, hi)| Range { low: *low, hi: *hi }).collect()
    }

    #[test]
    fn holes_of_two_lists_are_one_list() {
        for (a, b, merged) in [
            (vec![], vec![], vec![]),
            (vec![(2, 3), (4, 6)], vec![], vec![(2, 3), (4, 6)]),
            (vec![(4, 6), (2, 3)], vec![(3, 4)], vec![(2, 6)]),
            (vec![(1, 9)], vec![(2, 3), (8, 12)], vec![(1, 12)]),
            (vec![(5, 6)], vec![(1, 2)], vec![(1, 2), (5, 6)]),
        ] {
            let holes = Holes::merged(&ranges(&a), &ranges(&b));
            assert_eq!(holes.0, ranges(&merged), "{a:?} {b:?}");
        }
    }

    #[test]
    fn what_is_in_no_hole_is_left() {
        let holes = Holes::merged(&ranges(&[(2, 3), (4, 6), (20, 30)]), &[]);
        for (within, left) in [
            ((1, 9), vec![(1, 2), (3, 4), (6, 9)]),
            ((2, 6), vec![(3, 4)]),
            ((4, 6), vec![]),
            ((5, 7), vec![(6, 7)]),
            ((21, 29), vec![]),
            ((25, 31), vec![(30, 31)]),
            ((7, 7), vec![]),
            ((40, 50), vec![(40, 50)]),
        ] {
            let within = Range { low: within.0, hi: within.1 };
            let found = holes.left(within);
            assert_eq!(found, ranges(&left), "{within:?}");
            for seq in within.low..within.hi {
                let is_left = found.iter().any(|range| (range.low..range.hi).contains(&seq));
                assert_eq!(holes.has(seq), !is_left, "{seq}");
            }
        }
        assert_eq!(Holes::default().left(Range { low: 1, hi: 3 }), ranges(&[(1, 3)]));
    }

    #[test]
    fn what_is_to_be_deleted_has_to_be_there() {
        for (given, last, wanted) in [
            // As it was recorded, with eight messages: delete-soft, steps 12 to 25.
            (vec![(2, 0), (4, 6)], 8, Some(vec![(2, 3), (4, 6)])),
            (vec![(1, 0)], 8, Some(vec![(1, 2)])),
            (vec![], 8, None),
            (vec![(900, 0)], 8, None),
            (vec![(7, 3)], 8, None),
            (vec![(0, 0)], 8, None),
            (vec![(1, 9)], 8, Some(vec![(1, 9)])),
            // Not recorded.
            (vec![(5, 5)], 8, Some(vec![(5, 6)])),
            (vec![(8, 40)], 8, Some(vec![(8, 9)])),
            (vec![(9, 40)], 8, None),
            (vec![(3, 0), (900, 0)], 8, None),
            (vec![(-1, 3)], 8, None),
            (vec![(1, -3)], 8, None),
            (vec![(4, 6), (2, 3), (3, 0)], 8, Some(vec![(2, 6)])),
            (vec![(1, 0)], 0, None),
            (vec![(i64::MAX, 0)], 8, None),
            (vec![(1, i64::MAX)], 8, Some(vec![(1, 9)])),
        ] {
            let list: Vec<Given> =
                given.iter().map(|(low, hi)| Given { low: *low, hi: *hi }).collect();
            let found = asked(&list, last).ok();
            assert_eq!(found, wanted.map(|wanted| ranges(&wanted)), "{given:?}");
        }
        let many: Vec<Given> = (1..=1025).map(|low| Given { low, hi: 0 }).collect();
        assert!(asked(&many, 2000).is_err() && asked(&many[1..], 2000).is_ok());
    }
}
