//! The section `[retention]`.
use std::time::Duration;

use crate::config::duration::{self, DURATION};
use crate::config::kind::{Kind, Shape};
use crate::config::setting::section;

/// How long, and how many of, the messages of some rooms are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionRule {
    /// Names of rooms; `*` stands for any text.
    pub rooms: String,
    /// How long; none: for ever.
    pub age: Option<Duration>,
    /// How many inserts, the newest; none: all.
    pub count: Option<u64>,
}

/// Rules of retention.
const RULES: Kind<Vec<RetentionRule>> = Kind {
    name: "RULES",
    values: "empty, or ROOMS=AGE, ROOMS=COUNT, ROOMS=AGE,COUNT or ROOMS=off, several with ; between \
             them: chat:*=30d,10000; *=365d",
    shape: Shape::Text,
    secret: false,
    words: &[],
    parse: |text| {
        let rules = text.split(';').map(str::trim).enumerate();
        // Behind the last one a semicolon may stand.
        let last = text.matches(';').count();
        let given = rules.filter(|(at, rule)| !(rule.is_empty() && *at == last));
        given
            .map(|(at, rule)| {
                parse(rule).map_err(|why| format!("rule {} ({rule:?}): {why}", at + 1))
            })
            .collect()
    },
    print: |rules| rules.iter().map(print).collect::<Vec<_>>().join("; "),
};

fn parse(text: &str) -> Result<RetentionRule, String> {
    let (rooms, kept) = text
        .rsplit_once('=')
        .map(|(rooms, kept)| (rooms.trim(), kept.trim()))
        .filter(|(rooms, kept)| !rooms.is_empty() && !kept.is_empty())
        .ok_or("expected names of rooms, =, and how long or how many are kept")?;
    let mut rule = RetentionRule { rooms: rooms.into(), age: None, count: None };
    if kept == "off" {
        return Ok(rule);
    }
    for part in kept.split(',').map(str::trim) {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            let count = part.parse().ok().filter(|count| *count > 0);
            let count = count.ok_or("expected a number of messages above zero")?;
            if rule.count.replace(count).is_some() {
                return Err("it has two numbers of messages".into());
            }
        } else {
            let age = (DURATION.parse)(part)
                .map_err(|why| format!("{part:?}: {why}, a number of messages, or off"))?;
            if rule.age.replace(age).is_some() {
                return Err("it has two durations".into());
            }
        }
    }
    Ok(rule)
}

fn print(RetentionRule { rooms, age, count }: &RetentionRule) -> String {
    let age = age.map(duration::print);
    let parts: Vec<_> = age.into_iter().chain(count.map(|count| count.to_string())).collect();
    let kept = if parts.is_empty() { "off".into() } else { parts.join(",") };
    format!("{rooms}={kept}")
}

section! {
    /// How long messages are kept.
    Retention("retention") {
        /// What of which rooms is kept: AGE of inserts since they were stored and of updates since their last writing, COUNT of inserts. The first rule whose ROOMS match a room counts; in these * stands for any text. Rooms of chat-service are matched as chat-service:NAME alone. What is due is shown to nobody and deleted soon after.
        rules: Vec<RetentionRule> = "", RULES, "AO_RETENTION__RULES";
        /// Time between two walks through the rooms that delete what is due.
        interval: Duration = "60s", DURATION, "AO_RETENTION__INTERVAL";
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rules_are_read_and_written() {
        for (text, printed) in [
            ("", ""),
            ("chat:*=30d,10000; doc:*=off; *=365d", "chat:*=30d,10000; doc:*=off; *=365d"),
            (" a = 5 , 2h ;b=c=1;", "a=2h,5; b=c=1"),
        ] {
            let rules = (RULES.parse)(text).unwrap();
            assert_eq!((RULES.print)(&rules), printed);
            assert_eq!((RULES.parse)(printed).unwrap(), rules);
        }
        let rules = (RULES.parse)("chat:*=30d,10000").unwrap();
        assert_eq!(
            (rules[0].age, rules[0].count),
            (Some(Duration::from_secs(30 * 86_400)), Some(10_000))
        );
    }

    #[test]
    fn what_is_no_rule_is_refused_with_its_place() {
        for (text, place) in [
            ("chat", "rule 1 (\"chat\")"),
            ("a=1d; b", "rule 2 (\"b\")"),
            ("a=1d;; b=1d", "rule 2 (\"\")"),
            ("=1d", "rule 1"),
            ("a=", "rule 1"),
            ("a=0", "above zero"),
            ("a=0d", "rule 1"),
            ("a=1d,2d", "two durations"),
            ("a=1,2", "two numbers"),
            ("a=1d,", "rule 1"),
            ("a=soon", "\"soon\""),
            ("a=99999999999999999999", "above zero"),
            ("a=off,1", "\"off\""),
        ] {
            let why = (RULES.parse)(text).unwrap_err();
            assert!(why.contains(place), "{text}: {why}");
        }
    }
}
