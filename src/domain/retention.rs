//! Retention: how long, and how many of, a room's messages are kept.
//!
//! [`Rules`] say it by the names of rooms. A store that knows them shows nobody what is due,
//! from the moment when it is; [`run`] walks through the rooms from time to time and takes it away,
//! a room at a time, so that nothing grows for ever. What is taken away is so for good
//! ([`Upkeep::trim`](super::broker::Upkeep::trim)), whatever the rules say later.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{broker::Trim, error::StoreError, hub::Hub, ids::RoomId, wildcard};
use crate::{live::Live, throttle::throttled};

/// What of a room is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rule {
    /// Inserts are kept for so long from when they were stored, updates from their last writing;
    /// none: for ever.
    pub age: Option<Duration>,
    /// The newest so many inserts are kept; none: all.
    pub count: Option<u64>,
}

impl Rule {
    /// Whether anything is ever due.
    fn is_off(self) -> bool {
        self.age.is_none() && self.count.is_none()
    }

    /// What is older than this is due at this time; both are milliseconds since 1970. 0: nothing.
    pub fn due_by(self, now_ms: u64) -> u64 {
        let age = self.age.and_then(|age| u64::try_from(age.as_millis()).ok());
        age.map_or(0, |age| now_ms.saturating_sub(age))
    }

    /// Offset of the first insert that the count keeps, in a log that ends there.
    pub fn first_kept(self, end: u64) -> u64 {
        self.count.map_or(0, |count| end.saturating_sub(count))
    }
}

/// Rules by the names of rooms; the first that matches a name counts. Without any, all is kept. They
/// may be replaced while they are in use.
#[derive(Debug, Clone)]
pub struct Rules(Arc<Live<List>>);

type List = Arc<[(String, Rule)]>;

impl Default for Rules {
    fn default() -> Self {
        Rules::new([])
    }
}

impl Rules {
    /// These, in this order. A pattern is a room's name, in which `*` stands for any text.
    pub fn new(rules: impl IntoIterator<Item = (String, Rule)>) -> Self {
        Rules(Live::new(rules.into_iter().collect()))
    }

    /// Whether no rule ever has anything removed.
    pub fn is_off(&self) -> bool {
        self.0.get().iter().all(|(_, rule)| rule.is_off())
    }

    /// These instead, from now on.
    pub fn replace(&self, rules: impl IntoIterator<Item = (String, Rule)>) {
        self.0.set(rules.into_iter().collect());
    }

    /// The rule for a room; none: all of it is kept. `*` is for shared rooms: a rule would surprise
    /// whoever relies on others. Of those a rule is for a room of
    /// [`Space::Lives`](super::ids::Space::Lives) that names it with its dialect, `talk:*`
    /// ([`wildcard::names`]), and for none else.
    pub fn of(&self, room: &RoomId) -> Option<Rule> {
        let rules = self.0.get();
        if rules.is_empty() || !(room.is_shared() || room.is_life()) {
            return None;
        }
        let is_for = |pattern: &str| match room.is_life() {
            true => wildcard::names(pattern, room),
            false => wildcard::matches(pattern, room.as_str()),
        };
        let found = rules.iter().find(|(pattern, _)| is_for(pattern));
        found.map(|(_, rule)| *rule).filter(|rule| !rule.is_off())
    }
}

/// Some of a store's rooms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stretch {
    /// Rooms with messages. On some stores a room may come more than once.
    pub rooms: Vec<RoomId>,
    /// Where to go on; none: these were the last.
    pub next: Option<String>,
}

/// A walk through the rooms that have messages, a stretch at a time. A room that has messages from
/// the beginning of the walk to its end is in it.
#[async_trait]
pub trait Walk: Send + Sync {
    /// The rooms behind this place, or the first.
    async fn rooms(&self, after: Option<&str>) -> Result<Stretch, StoreError>;

    /// Those of these rooms of which something is due by the rules that the store knows.
    async fn due(&self, rooms: Vec<RoomId>) -> Result<Vec<RoomId>, StoreError>;

    /// Whether this node is the one to do what one node does for all, for so long from now on
    /// unless it asks again.
    async fn is_chosen(&self, lasts: Duration) -> Result<bool, StoreError>;
}

/// Between two steps of a walk: other work has its turn.
const BREATH: Duration = Duration::from_millis(5);

/// Applies the rules, for ever: one walk through the rooms begins at each interval, or behind the
/// one before, if that takes longer.
pub async fn run(hub: Arc<Hub>, rules: Arc<Rules>, interval: Arc<Live<Duration>>) {
    loop {
        let interval = interval.get();
        if !rules.is_off()
            && let Err(error) = walk(&hub, &rules, interval).await
        {
            throttled!(warn, %error, "retention could not be applied; the next walk tries again");
        }
        tokio::time::sleep(interval).await;
    }
}

/// One walk through the rooms, if it is this node's to do.
///
/// # Errors
/// The store does not answer.
pub async fn walk(hub: &Hub, rules: &Rules, interval: Duration) -> Result<(), StoreError> {
    let rooms = hub.walk();
    // Longer than a step takes; a node that dies leaves it to the others that soon.
    let chosen = interval.max(Duration::from_secs(30)) * 2;
    let mut after = None;
    loop {
        if !rooms.is_chosen(chosen).await? {
            return Ok(());
        }
        let stretch = rooms.rooms(after.as_deref()).await?;
        let ruled = stretch.rooms.into_iter().filter(|room| rules.of(room).is_some()).collect();
        for room in rooms.due(ruled).await? {
            let Some(rule) = rules.of(&room) else { continue };
            // One room must not keep all behind it. Whether the store is out is seen by the next call.
            if let Err(error) = apply(hub, &room, rule).await {
                throttled!(warn, room = %room.shown(), %error, "retention could not be applied");
            }
            tokio::time::sleep(BREATH).await;
        }
        match stretch.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
        tokio::time::sleep(BREATH).await;
    }
}

async fn apply(hub: &Hub, room: &RoomId, rule: Rule) -> Result<(), StoreError> {
    let by_age = rule.age.map(Trim::OlderThan);
    let by_count = rule.count.map(Trim::Keep);
    let mut removed = 0;
    for trim in by_age.into_iter().chain(by_count) {
        removed += hub.trim(room, trim).await?.removed;
    }
    tracing::debug!(room = %room.shown(), removed, "retention was applied");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Space;

    fn rules() -> Rules {
        let rule = |days: u64, count| Rule {
            age: (days > 0).then(|| Duration::from_secs(days * 86_400)),
            count: (count > 0).then_some(count),
        };
        Rules::new([
            ("chat:*".to_owned(), rule(30, 10_000)),
            ("doc:*".to_owned(), rule(0, 0)),
            ("*".to_owned(), rule(365, 0)),
        ])
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let (rules, room) = (rules(), |name| RoomId::new(name).unwrap());
        assert_eq!(rules.of(&room("chat:a")).unwrap().count, Some(10_000));
        assert_eq!(rules.of(&room("doc:a")), None, "off");
        assert_eq!(rules.of(&room("chat")).unwrap().count, None);
        assert_eq!(rules.of(&RoomId::within(Space::User, "chat:a").unwrap()), None);
        assert_eq!(Rules::default().of(&room("chat:a")), None);
        assert!(!rules.is_off() && Rules::default().is_off());
        assert!(Rules::new([("*".into(), Rule::default())]).is_off());
        rules.replace([("doc:*".to_owned(), Rule { count: Some(1), ..Rule::default() })]);
        assert_eq!(rules.of(&room("doc:a")).unwrap().count, Some(1));
        assert_eq!(rules.of(&room("chat:a")), None, "replaced");
        let rule = |count| Rule { count: Some(count), ..Rule::default() };
        rules.replace([("*".to_owned(), rule(1)), ("talk:p*".to_owned(), rule(2))]);
        let within = |space, name| rules.of(&RoomId::within(space, name).unwrap());
        assert_eq!(within(Space::Lives("talk"), "plans:x7"), Some(rule(2)));
        for (space, name) in [
            (Space::Lives("talk"), "other:x7"),
            (Space::Lives("walk"), "plans:x7"),
            (Space::Dialect("talk"), "plans"),
            (Space::Inboxes("talk"), "pat"),
        ] {
            assert_eq!(within(space, name), None, "{name}: a star is for shared rooms");
        }
    }

    #[test]
    fn a_rule_says_what_is_due() {
        let rule = Rule { age: Some(Duration::from_secs(10)), count: Some(3) };
        assert_eq!((rule.due_by(15_000), rule.due_by(9_000)), (5_000, 0));
        assert_eq!((rule.first_kept(10), rule.first_kept(2)), (7, 0));
        let off = Rule::default();
        assert_eq!((off.due_by(u64::MAX), off.first_kept(u64::MAX)), (0, 0));
    }
}
