//! Lists of names that are kept in records.
//!
//! A short list stands in the record of its room or user, its *head*. A long one would make each
//! change as dear as the whole list, so it is divided: each name has one of [`PARTS`] parts, by its
//! hash, and each part is a record of its own, which is never changed. Who changes a part writes it
//! anew under a new tag, and then the head, which names the tags. So the head's compare-and-swap
//! decides for all parts: a reader sees all of a change or nothing, and who was second begins
//! again. What was replaced is deleted afterwards. Where a node dies in between, records remain
//! that nobody reads, until the room or user is deleted.
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::hash::fnv;
use crate::domain::records::MAX_BODY;

/// Names from which on a list is divided.
const FEW: usize = 256;
/// Bytes of names from which on it is.
const SHORT: usize = 16 << 10;
/// Parts of a long list: of 10,000 names each has about 80.
pub(super) const PARTS: usize = 128;
/// Bytes of a part's record that are not its names.
const FRAME: usize = 256;
/// Tags are below this: a number of JavaScript holds them.
const TAGS: u64 = 1 << 53;

/// Names, each once, in their order.
pub(super) type Names = BTreeSet<String>;

/// A list, as its head has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum List {
    /// All of it.
    Short(Names),
    /// Its parts: the tag, and how many names it has. Tag 0: it has none, and no record.
    Long(Vec<(u64, u64)>),
}

impl Default for List {
    fn default() -> Self {
        List::Short(Names::new())
    }
}

/// The part of a long list that a name has its place in.
pub(super) fn part(name: &str) -> usize {
    let hash = fnv(name.bytes());
    // The lower bits of the last bytes alone would be too much alike.
    ((hash ^ (hash >> 32)) % PARTS as u64) as usize
}

/// Parts of a long list that were read, by number.
pub(super) type Parts = BTreeMap<usize, Names>;

/// Tags for what one change writes. The first is random, and the others follow it.
#[derive(Debug)]
pub(super) struct Tags(u64);

impl Tags {
    /// From this one on, which is random.
    pub fn new(first: u64) -> Self {
        Tags(first % (TAGS - 1))
    }

    /// One that was not given before.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0 % (TAGS - 1) + 1;
        self.0
    }
}

/// What is to be written, before the head is, and deleted, behind that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Writes {
    /// The head is another one than before. Else nothing is written.
    pub changed: bool,
    /// Tags, with their names.
    pub put: Vec<(u64, Names)>,
    /// Tags.
    pub delete: Vec<u64>,
}

impl Writes {
    /// Of a head that has no other lists now.
    pub fn head(changed: bool) -> Self {
        Writes { changed, ..Writes::default() }
    }

    /// The tags of what is written.
    pub fn tags(&self) -> Vec<u64> {
        self.put.iter().map(|(tag, _)| *tag).collect()
    }

    /// Whether each part can be a record. Names that happen to have the same part can be too many.
    pub fn fit(&self) -> bool {
        let bytes = |names: &Names| names.iter().map(|name| quoted(name)).sum::<usize>();
        self.put.iter().all(|(_, names)| bytes(names) <= MAX_BODY - FRAME)
    }
}

/// Bytes that a name has in JSON at most, with the comma.
fn quoted(name: &str) -> usize {
    let byte = |byte: u8| match byte {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    name.bytes().map(byte).sum::<usize>() + 3
}

impl List {
    /// Of these names.
    pub fn new(names: Names, tag: impl FnMut() -> u64) -> (Self, Writes) {
        let mut list = List::default();
        let names: Vec<String> = names.into_iter().collect();
        let writes = list.add(&names, &Parts::new(), tag);
        (list, writes)
    }

    /// How many names it has.
    pub fn len(&self) -> u64 {
        match self {
            List::Short(names) => names.len() as u64,
            List::Long(parts) => parts.iter().map(|(_, size)| size).sum(),
        }
    }

    /// The parts that have to be read to know of these names: their numbers and tags.
    pub fn parts_of<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<(usize, u64)> {
        let List::Long(parts) = self else { return Vec::new() };
        let numbers: BTreeSet<usize> = names.into_iter().map(part).collect();
        let tagged = |number| parts.get(number).map(|(tag, _)| (number, *tag));
        numbers.into_iter().filter_map(tagged).filter(|(_, tag)| *tag != 0).collect()
    }

    /// All parts that there are.
    pub fn all_parts(&self) -> Vec<(usize, u64)> {
        let List::Long(parts) = self else { return Vec::new() };
        let tagged = parts.iter().enumerate().map(|(number, (tag, _))| (number, *tag));
        tagged.filter(|(_, tag)| *tag != 0).collect()
    }

    /// Whether a name is in it, whose part was read.
    pub fn has(&self, name: &str, read: &Parts) -> bool {
        match self {
            List::Short(names) => names.contains(name),
            List::Long(_) => read.get(&part(name)).is_some_and(|names| names.contains(name)),
        }
    }

    /// All names, of which all parts were read.
    pub fn names(&self, read: &Parts) -> Names {
        match self {
            List::Short(names) => names.clone(),
            List::Long(_) => read.values().flatten().cloned().collect(),
        }
    }

    /// Adds names, whose parts were read. `tag` makes tags that are random and not 0.
    pub fn add(&mut self, names: &[String], read: &Parts, tag: impl FnMut() -> u64) -> Writes {
        self.change(names, read, tag, |part, name| part.insert(name.to_owned()))
    }

    /// Takes names out, whose parts were read.
    pub fn remove(&mut self, names: &[String], read: &Parts, tag: impl FnMut() -> u64) -> Writes {
        self.change(names, read, tag, |part, name| part.remove(name))
    }

    fn change(
        &mut self,
        names: &[String],
        read: &Parts,
        mut tag: impl FnMut() -> u64,
        change: impl Fn(&mut Names, &str) -> bool,
    ) -> Writes {
        let mut writes = Writes::default();
        let parts = match self {
            List::Short(all) => {
                for name in names {
                    writes.changed |= change(all, name);
                }
                if all.len() <= FEW && all.iter().map(String::len).sum::<usize>() <= SHORT {
                    return writes;
                }
                // From now on it is a long one.
                let mut divided = vec![Names::new(); PARTS];
                for name in std::mem::take(all) {
                    divided[part(&name)].insert(name);
                }
                let written =
                    divided.into_iter().map(|names| written(names, &mut tag, &mut writes));
                *self = List::Long(written.collect());
                return writes;
            }
            List::Long(parts) => parts,
        };
        let mut changed = Parts::new();
        let mut touched = BTreeSet::new();
        for name in names {
            let number = part(name);
            let before = || read.get(&number).cloned().unwrap_or_default();
            if change(changed.entry(number).or_insert_with(before), name) {
                touched.insert(number);
            }
        }
        changed.retain(|number, _| touched.contains(number));
        writes.changed = !touched.is_empty();
        for (number, names) in changed {
            let Some(entry) = parts.get_mut(number) else { continue };
            if entry.0 != 0 {
                writes.delete.push(entry.0);
            }
            *entry = written(names, &mut tag, &mut writes);
        }
        writes
    }
}

/// A part that is to be written, if it has any name.
fn written(names: Names, tag: &mut impl FnMut() -> u64, writes: &mut Writes) -> (u64, u64) {
    if names.is_empty() {
        return (0, 0);
    }
    let (tag, size) = (tag().max(1), names.len() as u64);
    writes.put.push((tag, names));
    (tag, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of parts.
    #[derive(Default)]
    struct Shelf {
        records: BTreeMap<u64, Names>,
        tags: u64,
    }

    impl Shelf {
        fn read(&self, parts: Vec<(usize, u64)>) -> Parts {
            parts.into_iter().map(|(number, tag)| (number, self.records[&tag].clone())).collect()
        }

        fn write(&mut self, writes: Writes) -> (usize, usize) {
            let counts = (writes.put.len(), writes.delete.len());
            self.records.extend(writes.put);
            for tag in writes.delete {
                assert!(self.records.remove(&tag).is_some(), "it was there");
            }
            counts
        }

        fn change(&mut self, list: &mut List, names: &[String], add: bool) -> (usize, usize) {
            let read = self.read(list.parts_of(names.iter().map(String::as_str)));
            let mut next = self.tags;
            let tag = || {
                next += 1;
                next
            };
            let writes =
                if add { list.add(names, &read, tag) } else { list.remove(names, &read, tag) };
            self.tags += 1000;
            self.write(writes)
        }

        fn names(&self, list: &List) -> Names {
            list.names(&self.read(list.all_parts()))
        }
    }

    fn names(range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|i| format!("user {i}")).collect()
    }

    #[test]
    fn a_short_list_stands_in_its_head() {
        let (mut shelf, mut list) = (Shelf::default(), List::default());
        let given = ["b", "a", "b", ""].map(str::to_owned);
        assert_eq!(shelf.change(&mut list, &given, true), (0, 0));
        assert_eq!(serde_json::to_string(&list).unwrap(), r#"["","a","b"]"#);
        assert_eq!(list.len(), 3);
        assert!(list.has("", &Parts::new()) && !list.has("c", &Parts::new()));
        shelf.change(&mut list, &["a".to_owned(), "not there".to_owned()], false);
        assert_eq!(shelf.names(&list), Names::from(["".to_owned(), "b".to_owned()]));
        assert_eq!(serde_json::from_str::<List>("[]").unwrap(), List::default());
    }

    #[test]
    fn a_long_list_is_changed_in_one_part() {
        let (mut shelf, mut list) = (Shelf::default(), List::default());
        let all = names(0..10_000);
        shelf.change(&mut list, &all, true);
        assert_eq!((list.len(), shelf.names(&list).len()), (10_000, 10_000));
        let largest = shelf.records.values().map(Names::len).max().unwrap();
        assert!(largest < 200, "a part has {largest} names");
        let head = serde_json::to_string(&list).unwrap();
        assert_eq!(serde_json::from_str::<List>(&head).unwrap(), list);
        assert!(head.len() < 4 << 10, "{} bytes", head.len());

        assert_eq!(shelf.change(&mut list, &["one more".to_owned()], true), (1, 1));
        assert_eq!(shelf.change(&mut list, &["one more".to_owned()], true), (0, 0));
        let read = shelf.read(list.parts_of(["one more", "user 7", "nobody"]));
        assert!(list.has("one more", &read) && list.has("user 7", &read));
        assert!(!list.has("nobody", &read));
        assert_eq!(list.len(), 10_001);

        let twice = ["one more", "one more", "user 7", "nobody"].map(str::to_owned);
        shelf.change(&mut list, &twice, false);
        assert_eq!(list.len(), 9_999);
        shelf.change(&mut list, &all, false);
        assert_eq!((list.len(), shelf.records.len()), (0, 0), "no record is left");
    }

    #[test]
    fn long_names_make_a_long_list() {
        let given: Vec<String> = (0..20).map(|i| format!("{i}{}", "x".repeat(1000))).collect();
        let (list, writes) = List::new(given.into_iter().collect(), || 1);
        assert!(matches!(list, List::Long(_)) && !writes.put.is_empty());
        assert_eq!(list.len(), 20);
    }

    #[test]
    fn what_changes_nothing_says_so() {
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (mut short, mut tags) = (List::default(), Tags::new(5));
        let none = Parts::new();
        assert!(short.add(&of(&["a", "b"]), &none, || tags.next()).changed);
        for (names, add) in [(of(&["b", "a"]), true), (of(&[]), true), (of(&["c"]), false)] {
            let before = short.clone();
            let writes = match add {
                true => short.add(&names, &none, || tags.next()),
                false => short.remove(&names, &none, || tags.next()),
            };
            assert_eq!((writes, &short), (Writes::default(), &before), "{names:?}");
        }
        assert!(short.remove(&of(&["c", "a"]), &none, || tags.next()).changed);

        let mut shelf = Shelf::default();
        let mut long = List::default();
        shelf.change(&mut long, &names(0..1000), true);
        let few = names(3..9);
        let read = shelf.read(long.parts_of(few.iter().map(String::as_str)));
        assert_eq!(long.add(&few, &read, || tags.next()), Writes::default());
        assert!(long.remove(&few, &read, || tags.next()).changed);
    }

    #[test]
    fn a_part_that_no_record_can_hold_is_seen() {
        let part = |name: &str, count: usize| Writes {
            put: vec![(1, (0..count).map(|i| format!("{i}{name}")).collect())],
            ..Writes::default()
        };
        assert!(Writes::head(true).fit() && part(&"x".repeat(1000), 1000).fit());
        assert!(!part(&"x".repeat(1000), 1100).fit());
        assert!(!part(&"\u{1}".repeat(1000), 200).fit(), "it is longer in JSON");
        let longest = part(&"\u{1}\"\\\u{1f}é".repeat(9000), 3);
        let body = serde_json::to_vec(&longest.put[0].1).unwrap();
        assert!(body.len() <= longest.put[0].1.iter().map(|name| quoted(name)).sum::<usize>() + 1);
    }

    #[test]
    fn tags_of_a_change_are_different_and_small() {
        let mut tags = Tags::new(u64::MAX);
        let some: BTreeSet<u64> = (0..3 * PARTS).map(|_| tags.next()).collect();
        assert_eq!(some.len(), 3 * PARTS);
        assert!(some.iter().all(|tag| (1..TAGS).contains(tag)));
    }
}
