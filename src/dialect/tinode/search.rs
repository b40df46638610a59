//! Whom and what `fnd` finds: users and topics by whole tags, with an index, never by looking at
//! all of them.
//!
//! A query has groups, separated by spaces, of terms, separated by commas: of each group one term
//! has to be a tag. A tag with a space in it is put in quotation marks.
use std::collections::BTreeMap;

use super::{
    Tinode,
    ids::{Key, UserId},
    message::{Raw, Row, ShownAcs},
    record::{TOPICS, TopicRecord, USERS, User, UserState},
    refusal::Done,
};
use crate::domain::records::{Collection, MAX_ID, Records};

/// Terms of a query; of a longer one nothing is found.
const TERMS: usize = 32;
/// Users, and topics, that are looked at for a term, and at a time.
const OF_TERM: usize = 1000;
const PAGE: usize = 100;
/// Bytes of their records, for all terms of a query together. With more of them some are not found:
/// a record has up to a megabyte, and a search is quickly asked for.
const BYTES: usize = 32 << 20;
/// The most that is shown.
const SHOWN: usize = 100;
/// Records that are read at once.
const AT_ONCE: usize = 32;

/// A query: groups of terms, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Terms(Vec<Vec<String>>);

/// A piece of a query.
enum Piece {
    Term(String),
    Comma,
}

impl Terms {
    /// Reads a query.
    pub fn parse(query: &str) -> Self {
        let mut groups: Vec<Vec<String>> = Vec::new();
        let (mut terms, mut goes_on) = (0, false);
        for piece in pieces(query) {
            match piece {
                Piece::Comma => goes_on = true,
                Piece::Term(term) => {
                    terms += 1;
                    if terms > TERMS {
                        return Terms::default();
                    }
                    match groups.last_mut().filter(|_| goes_on) {
                        Some(group) if !group.contains(&term) => group.push(term),
                        Some(_) => {}
                        None => groups.push(vec![term]),
                    }
                    goes_on = false;
                }
            }
        }
        Terms(groups)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The pieces of a query. An empty term is none, nor is one that no tag can be.
fn pieces(query: &str) -> Vec<Piece> {
    let (mut found, mut term, mut is_quoted) = (Vec::new(), String::new(), false);
    let end = |term: &mut String, found: &mut Vec<Piece>| {
        let whole = std::mem::take(term).trim().to_lowercase();
        if !whole.is_empty() && whole.len() <= MAX_ID {
            found.push(Piece::Term(whole));
        }
    };
    for c in query.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                end(&mut term, &mut found);
                found.push(Piece::Comma);
            }
            c if c.is_whitespace() && !is_quoted => end(&mut term, &mut found),
            c => term.push(c),
        }
    }
    end(&mut term, &mut found);
    found
}

/// What was found, in the order in which it is shown: users, then topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    User(UserId),
    Topic(Key),
}

/// What was found, with the terms that found it.
type Matches = BTreeMap<Found, Vec<String>>;

/// Users other than `me`, and groups, that have all that is looked for; `limit` at most, and none
/// beyond what is ever shown. 0 is no limit of its own.
///
/// # Errors
/// The store does not answer.
pub(super) async fn search(
    node: &Tinode,
    me: UserId,
    terms: &Terms,
    limit: usize,
) -> Done<Vec<Row>> {
    if terms.is_empty() {
        return Ok(Vec::new());
    }
    let (mut matches, mut bytes): (Option<Matches>, usize) = (None, 0);
    for group in &terms.0 {
        let mut of_group = Matches::new();
        for term in group {
            for found in with_tag(node, term, &mut bytes).await? {
                of_group.entry(found).or_default().push(term.clone());
            }
        }
        let all = match matches {
            None => of_group,
            Some(before) => both(before, of_group),
        };
        if all.is_empty() {
            return Ok(Vec::new());
        }
        matches = Some(all);
    }
    let mut matches = matches.unwrap_or_default();
    matches.remove(&Found::User(me));
    rows(node, matches, if limit == 0 { SHOWN } else { limit.min(SHOWN) }).await
}

/// What is in both, with the terms of both.
fn both(one: Matches, mut other: Matches) -> Matches {
    let shared = one.into_iter().filter_map(|(found, mut terms)| {
        let more = other.remove(&found)?;
        terms.extend(more.into_iter().filter(|term| !terms.contains(term)).collect::<Vec<_>>());
        Some((found, terms))
    });
    shared.collect()
}

/// Those that have this tag. `bytes`: of what was read.
async fn with_tag(node: &Tinode, tag: &str, bytes: &mut usize) -> Done<Vec<Found>> {
    let records = &*node.cabinet.records;
    let users = ids(records, &USERS, tag, bytes).await?;
    let topics = ids(records, &TOPICS, tag, bytes).await?;
    let users = users.iter().filter_map(|id| UserId::parse(id)).map(Found::User);
    let topics = topics.iter().filter_map(|id| Key::parse(id)).map(Found::Topic);
    Ok(users.chain(topics).collect())
}

async fn ids(
    records: &dyn Records,
    of: &Collection,
    tag: &str,
    bytes: &mut usize,
) -> Done<Vec<String>> {
    let (mut ids, mut after) = (Vec::new(), None::<String>);
    while ids.len() < OF_TERM && *bytes < BYTES {
        let page = records.find(of, "tags", tag, after.as_deref(), PAGE).await?;
        *bytes += page.records.iter().map(|record| record.body.len()).sum::<usize>();
        ids.extend(page.records.into_iter().map(|record| record.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(ids)
}

async fn rows(node: &Tinode, matches: Matches, limit: usize) -> Done<Vec<Row>> {
    let mut rows = Vec::new();
    let matches: Vec<(Found, Vec<String>)> = matches.into_iter().collect();
    for some in matches.chunks(AT_ONCE) {
        let (mut ids, mut keys) = (Vec::new(), Vec::new());
        for (found, _) in some {
            match found {
                Found::User(id) => ids.push(*id),
                Found::Topic(key) => keys.push(*key),
            }
        }
        let mut users = node.cabinet.users(&ids).await?;
        let mut topics = node.cabinet.topics(&keys).await?;
        for (found, terms) in some {
            let row = match found {
                Found::User(id) => users.remove(id).and_then(|user| user_row(user, terms)),
                Found::Topic(key) => topics.remove(key).and_then(|topic| topic_row(topic, terms)),
            };
            rows.extend(row);
        }
        if rows.len() >= limit {
            break;
        }
    }
    rows.truncate(limit);
    Ok(rows)
}

/// None: nobody finds it, or it has lost the tag since.
fn user_row(user: User, terms: &[String]) -> Option<Row> {
    let is_there = match user.state {
        UserState::Ok => true,
        UserState::Suspended | UserState::Ending => false,
    };
    let private = matched(&user.tags, terms).filter(|_| is_there)?;
    Some(Row {
        topic: Some(user.id.to_string()),
        updated: Some(user.updated),
        acs: Some(ShownAcs::Mode(user.defacs.auth)),
        public: user.public,
        trusted: user.trusted,
        private: Some(private),
        ..Row::default()
    })
}

fn topic_row(topic: TopicRecord, terms: &[String]) -> Option<Row> {
    let Key::Group(group) = topic.key else { return None };
    let private = matched(&topic.tags, terms)?;
    Some(Row {
        topic: Some(group.group()),
        updated: Some(topic.updated),
        acs: Some(ShownAcs::Mode(topic.defacs.auth)),
        public: topic.public,
        trusted: topic.trusted,
        private: Some(private),
        ..Row::default()
    })
}

/// The terms that are among the tags, as JSON.
fn matched(tags: &[String], terms: &[String]) -> Option<Raw> {
    let found: Vec<&String> = terms.iter().filter(|term| tags.contains(term)).collect();
    if found.is_empty() {
        return None;
    }
    serde_json::value::to_raw_value(&found).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;
    use crate::dialect::tinode::{cabinet::tests::cabinet, message::Ts, mode::Level};

    #[test]
    fn spaces_are_and_commas_are_or_and_bind_tighter() {
        for (query, groups) in [
            ("", &[][..]),
            (" , ,, ", &[]),
            ("basic:Bob", &[&["basic:bob"][..]]),
            ("a b", &[&["a"], &["b"]]),
            ("a,b c", &[&["a", "b"], &["c"]]),
            ("a , b,  c d", &[&["a", "b", "c"], &["d"]]),
            (",a", &[&["a"]]),
            ("a,a", &[&["a"]]),
            ("a,", &[&["a"]]),
            ("\"Rose Club\",b c", &[&["rose club", "b"], &["c"]]),
            ("\"a,b\"", &[&["a,b"]]),
            ("\"open end", &[&["open end"]]),
        ] {
            let expected: Vec<Vec<String>> = groups
                .iter()
                .map(|group| group.iter().map(|t| (*t).to_owned()).collect())
                .collect();
            assert_eq!(Terms::parse(query).0, expected, "{query}");
        }
    }

    #[tokio::test]
    async fn what_is_read_for_a_query_is_bounded_by_bytes_too() {
        let (records, cabinet) = cabinet();
        for n in 1..=150 {
            let mut user = User::new(UserId::of_number(n).unwrap(), Level::Auth, Ts(1));
            user.tags = vec!["rose".into()];
            user.public = to_raw_value(&"x".repeat(10_000)).ok();
            assert!(cabinet.add_user(&user).await.unwrap());
        }
        for (read, finds) in [(0, 150), (BYTES - 1, PAGE), (BYTES, 0)] {
            let mut bytes = read;
            let found = ids(&*records, &USERS, "rose", &mut bytes).await.unwrap();
            assert_eq!(found.len(), finds, "{read}");
            assert!(bytes >= read + finds * 10_000, "what was read counts");
        }
    }

    #[test]
    fn of_too_long_a_query_nothing_is_found() {
        let query = |terms: usize| vec!["a"; terms].join(" ");
        assert_eq!(Terms::parse(&query(TERMS)).0.len(), TERMS);
        assert!(Terms::parse(&query(TERMS + 1)).is_empty());
        assert!(Terms::parse(&"x".repeat(MAX_ID + 1)).is_empty());
    }

    fn matches(ids: &[(u64, &str)]) -> Matches {
        let user = |number| Found::User(UserId::of_number(number).unwrap());
        ids.iter().map(|(number, term)| (user(*number), vec![(*term).to_owned()])).collect()
    }

    #[test]
    fn what_is_in_both_has_the_terms_of_both() {
        let found = both(matches(&[(1, "a"), (2, "a")]), matches(&[(2, "b"), (3, "b")]));
        let [(Found::User(user), terms)] = &found.into_iter().collect::<Vec<_>>()[..] else {
            panic!("one is in both");
        };
        assert_eq!((user.number(), &terms[..]), (2, &["a".to_owned(), "b".to_owned()][..]));
    }

    #[test]
    fn who_is_found_is_shown_with_the_tags_that_found_it() {
        let terms = ["x".to_owned(), "rose club".to_owned()];
        let mut ann = User::new(UserId::of_number(1).unwrap(), Level::Auth, Ts(5));
        assert!(user_row(ann.clone(), &terms).is_none(), "it has lost the tag");
        ann.tags = vec!["rose club".into(), "basic:ann".into()];
        let row = user_row(ann.clone(), &terms).unwrap();
        assert_eq!(row.topic, Some(ann.id.to_string()));
        assert_eq!(row.private.unwrap().get(), r#"["rose club"]"#);
        for state in [UserState::Suspended, UserState::Ending] {
            assert!(user_row(User { state, ..ann.clone() }, &terms).is_none());
        }
    }
}
