//! Tags: what users and topics are found by.
use super::{Limits, message::Code, refusal::Done};

/// What tags begin with that nobody may choose: they say who somebody is.
const RESERVED: [&str; 3] = ["basic:", "email:", "tel:"];

/// Tags as they are kept: in lower case, sorted, each once, none that is too short or too long, and
/// no more than there may be. Where there are too many, what says who somebody is stays.
pub(super) fn normalised<'a>(given: impl Iterator<Item = &'a str>, limits: &Limits) -> Vec<String> {
    let is_good = |tag: &String| (limits.tag_min..=limits.tag_max).contains(&tag.chars().count());
    let mut tags: Vec<String> =
        given.map(|tag| tag.trim().to_lowercase()).filter(is_good).collect();
    tags.sort_unstable();
    tags.dedup();
    let reserved = tags.iter().filter(|tag| is_reserved(tag)).count();
    let mut places = limits.tags.saturating_sub(reserved);
    tags.retain(|tag| {
        let may = is_reserved(tag) || places > 0;
        places -= usize::from(may && !is_reserved(tag));
        may
    });
    tags.truncate(limits.tags);
    tags
}

/// Whether a tag in lower case says who somebody is.
pub(super) fn is_reserved(tag: &str) -> bool {
    RESERVED.iter().any(|namespace| tag.starts_with(namespace))
}

/// How many tags are told to be added, and removed. Both lists are walked in step until one of them
/// ends: so counts the original, which therefore misses the last ones. Where that finds nothing the
/// true numbers are told.
pub(super) fn counts(old: &[String], new: &[String]) -> (usize, usize) {
    let [mut old, mut new]: [Vec<&String>; 2] = [old.iter().collect(), new.iter().collect()];
    old.sort_unstable();
    new.sort_unstable();
    let (mut added, mut removed, mut at) = (0, 0, (0, 0));
    while let (Some(before), Some(after)) = (old.get(at.0), new.get(at.1)) {
        match before.cmp(after) {
            std::cmp::Ordering::Less => (removed, at.0) = (removed + 1, at.0 + 1),
            std::cmp::Ordering::Greater => (added, at.1) = (added + 1, at.1 + 1),
            std::cmp::Ordering::Equal => at = (at.0 + 1, at.1 + 1),
        }
    }
    if (added, removed) == (0, 0) {
        let not_in = |tags: &[&String], others: &[&String]| {
            tags.iter().filter(|tag| !others.contains(tag)).count()
        };
        return (not_in(&new, &old), not_in(&old, &new));
    }
    (added, removed)
}

/// The tags that replace `old`: `new` ones as [`normalised`] has made them, sorted. None: nothing
/// is changed. `own`: they are a user's, which keeps those that say who it is, and gets no others;
/// a topic has none.
///
/// # Errors
/// One that says who somebody is would come or go.
pub(super) fn replace(
    old: &[String],
    mut new: Vec<String>,
    own: bool,
) -> Done<Option<Vec<String>>> {
    if new.is_empty() {
        return Ok(None);
    }
    let reserved = |tags: &[String]| -> Vec<String> {
        let mut reserved: Vec<String> =
            tags.iter().filter(|tag| is_reserved(tag)).cloned().collect();
        reserved.sort_unstable();
        reserved
    };
    let kept = if own { reserved(old) } else { Vec::new() };
    if reserved(&new) != kept {
        return Err(Code::Denied.into());
    }
    new.sort_unstable();
    let mut before = old.to_vec();
    before.sort_unstable();
    Ok((before != new).then_some(new))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    pub(in crate::dialect::tinode) const LIMITS: Limits = Limits {
        message: 131_072,
        subscribers: 128,
        tag_min: 2,
        tag_max: 96,
        tags: 16,
        upload: 8_388_608,
        delete_age: Duration::from_secs(600),
    };

    fn list(tags: &[&str]) -> Vec<String> {
        tags.iter().map(|tag| (*tag).to_owned()).collect()
    }

    fn normal(tags: &[&str]) -> Vec<String> {
        normalised(tags.iter().copied(), &LIMITS)
    }

    #[test]
    fn tags_are_kept_in_one_form() {
        for (given, kept) in [
            (vec!["Garden", "rose club"], vec!["garden", "rose club"]),
            (vec!["Roses", "tulips", "roses", "x"], vec!["roses", "tulips"]),
            (vec!["␡"], vec![]),
            (vec!["", " ", " a "], vec![]),
            (vec!["ÄÖ", "zz", "aa"], vec!["aa", "zz", "äö"]),
        ] {
            assert_eq!(normal(&given), kept, "{given:?}");
        }
        let (fits, long) = ("x".repeat(96), "x".repeat(97));
        assert_eq!(normal(&[&long, &fits]), [fits]);
    }

    #[test]
    fn there_are_no_more_than_there_may_be_and_who_one_is_stays() {
        let many: Vec<String> = (10..30).map(|i| format!("a{i}")).collect();
        let mut given: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(normal(&given), many[..16]);
        given.push("basic:ivy");
        let kept = normal(&given);
        assert_eq!((kept.len(), &*kept[15]), (16, "basic:ivy"));
        let reserved: Vec<String> = (10..30).map(|i| format!("tel:{i}")).collect();
        assert_eq!(normalised(reserved.iter().map(String::as_str), &LIMITS).len(), 16);
    }

    #[test]
    fn some_say_who_somebody_is() {
        for (tag, expected) in [
            ("basic:ann", true),
            ("email:a@b", true),
            ("tel:1", true),
            ("basic", false),
            ("topic:basic:ann", false),
        ] {
            assert_eq!(is_reserved(tag), expected, "{tag}");
        }
    }

    /// As it was recorded (me, 14 to 20), and beyond.
    #[test]
    fn a_list_replaces_another_one() {
        let first = ["garden", "rose club", "basic:ivy"];
        let later = ["basic:ivy", "roses", "tulips"];
        for (old, given, expected) in [
            (&first, &["Roses", "tulips", "roses"][..], None),
            (&first, &["basic:ivy", "Roses", "tulips", "roses", "x"], Some(Some(&later[..]))),
            (&later, &["basic:ivy", "email:ivy@example.com"], None),
            (&later, &[], Some(None)),
            (&later, &["␡"], Some(None)),
            (&later, &["tulips", "basic:ivy", "ROSES"], Some(None)),
            (&later, &["basic:bob", "roses"], None),
            (&later, &["basic:ivy"], Some(Some(&["basic:ivy"]))),
        ] {
            let done = replace(&list(old), normal(given), true);
            let code = done.as_ref().err().map(|refusal| refusal.code);
            assert_eq!(code, expected.is_none().then_some(Code::Denied), "{given:?}");
            assert_eq!(done.ok(), expected.map(|tags| tags.map(list)), "{given:?}");
        }
    }

    #[test]
    fn a_topic_has_no_tag_that_says_who_somebody_is() {
        assert!(replace(&[], list(&["email:a@b", "roses"]), false).is_err());
        assert_eq!(replace(&[], list(&["roses"]), false).ok(), Some(Some(list(&["roses"]))));
        assert_eq!(replace(&list(&["roses"]), list(&["roses"]), false).ok(), Some(None));
    }

    #[test]
    fn what_came_and_went_is_counted_in_step() {
        for (old, new, expected) in [
            (
                &["garden", "rose club", "basic:ivy"][..],
                &["basic:ivy", "roses", "tulips"][..],
                (0, 2),
            ),
            (&["basic:a", "x1"], &["basic:a", "x2", "x3"], (0, 1)),
            (&["basic:a"], &["basic:a", "roses"], (1, 0)),
            (&["basic:a", "x1"], &["basic:a"], (0, 1)),
            (&[], &["x1", "x2"], (2, 0)),
            (&["x2"], &["x1", "x2"], (1, 0)),
            (&["x1"], &["x1"], (0, 0)),
        ] {
            assert_eq!(counts(&list(old), &list(new)), expected, "{old:?} {new:?}");
        }
    }
}
