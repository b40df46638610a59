//! Which endpoint is told of what.
use std::{sync::Arc, time::Duration};

use super::Kind;
use crate::domain::{
    ids::{RoomId, Space},
    wildcard,
};

/// Asterisks that a pattern may have: with more, comparing could take long.
const STARS: usize = 3;

/// A set of kinds of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    /// All that there are.
    pub fn all() -> Self {
        Kind::ALL.into_iter().collect()
    }

    /// Those that these words name: names of events, `room.*` for all that begin so, `*` for all.
    ///
    /// # Errors
    /// The word that names none.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut kinds = Kinds::default();
        for word in words {
            let begins = word.strip_suffix('*');
            let named = Kind::ALL.into_iter().filter(|kind| match begins {
                Some(begins) => kind.name().starts_with(begins),
                None => kind.name() == word,
            });
            let named: Kinds = named.collect();
            if named == Kinds::default() {
                return Err(word.to_owned());
            }
            kinds.0 |= named.0;
        }
        Ok(kinds)
    }

    /// Whether this one is among them. A gap always is.
    pub fn has(self, kind: Kind) -> bool {
        kind == Kind::Gap || self.0 & bit(kind) != 0
    }

    /// Those that there are.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        Kinds(kinds.into_iter().fold(0, |all, kind| all | bit(kind)))
    }
}

fn bit(kind: Kind) -> u16 {
    1 << kind as u16
}

/// A name of rooms in which `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// From its text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("a pattern must not be empty".into()),
            text if text.matches('*').count() > STARS => {
                Err(format!("a pattern has at most {STARS} asterisks"))
            }
            text => Ok(Pattern(text.into())),
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for this name.
    pub fn matches(&self, name: &str) -> bool {
        wildcard::matches(&self.0, name)
    }

    /// Whether it is for this room: by what people call it, and of a dialect's room with the
    /// dialect's word too ([`wildcard::names`]).
    pub fn is_for(&self, room: &RoomId) -> bool {
        self.matches(room.called()) || wildcard::names(&self.0, room)
    }
}

/// A place that is told.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its name, by which its queues are known in the store.
    pub name: Arc<str>,
    /// What it is told of.
    pub kinds: Kinds,
    /// In which rooms. A user's own events are in none.
    pub rooms: Vec<Pattern>,
    /// Bytes that may wait for it.
    pub pending: u64,
    /// Events of one batch, at most.
    pub batch: usize,
}

impl Endpoint {
    /// Whether it is told of this, in the queue of this room.
    pub fn wants(&self, kind: Kind, room: &RoomId) -> bool {
        self.kinds.has(kind) && (kind.is_of_user() || self.is_of(room))
    }

    /// What it is told of, in the queue of this room: all kinds at once, so that the room's name is
    /// looked at once.
    pub fn kinds_in(&self, room: &RoomId) -> Kinds {
        let of_users = || Kind::ALL.into_iter().filter(|kind| kind.is_of_user()).collect::<Kinds>();
        if self.is_of(room) { self.kinds } else { Kinds(self.kinds.0 & of_users().0) }
    }

    fn is_of(&self, room: &RoomId) -> bool {
        let is_one = !room.is_inbox() && !room.is_in(Space::User);
        is_one && self.rooms.iter().any(|pattern| pattern.is_for(room))
    }
}

/// All endpoints, and what holds for all of them.
#[derive(Debug, Clone, Default)]
pub struct Interest {
    /// Those that are configured.
    pub endpoints: Vec<Endpoint>,
    /// How long a leaving is held back: whoever returns until then has not left.
    pub leave_delay: Duration,
}

impl Interest {
    /// Who is told of this.
    pub fn wants(&self, kind: Kind, room: &RoomId) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(move |endpoint| endpoint.wants(kind, room))
    }

    /// Whether anybody is told of messages of this room.
    pub fn hears(&self, room: &RoomId) -> bool {
        [Kind::Inserted, Kind::Updated]
            .into_iter()
            .any(|kind| self.wants(kind, room).next().is_some())
    }

    /// Whether anybody is told of who is in this room.
    pub fn watches(&self, room: &RoomId) -> bool {
        let kinds = [Kind::Joined, Kind::Left, Kind::Occupied, Kind::Vacated];
        kinds.into_iter().any(|kind| self.wants(kind, room).next().is_some())
    }

    /// Whether anybody is told of who has a session.
    pub fn watches_users(&self) -> bool {
        let kinds = [Kind::Online, Kind::Offline];
        self.endpoints.iter().any(|endpoint| kinds.into_iter().any(|k| endpoint.kinds.has(k)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(kinds: &[&str], rooms: &[&str]) -> Endpoint {
        Endpoint {
            name: "main".into(),
            kinds: Kinds::parse(kinds.iter().copied()).unwrap(),
            rooms: rooms.iter().map(|room| Pattern::parse(room).unwrap()).collect(),
            pending: 1000,
            batch: 10,
        }
    }

    #[test]
    fn an_asterisk_stands_for_any_text() {
        let matches = |pattern, name| Pattern::parse(pattern).unwrap().matches(name);
        assert!(matches("*", "any") && matches("chat:*", "chat:") && matches("chat:*", "chat:a/b"));
        assert!(matches("a*é", "aé") && matches("a*c*e", "abcde") && matches("*-*-*", "é--"));
        assert!(!matches("chat:*", "chat") && !matches("a*b", "abc") && !matches("a", "ab"));
        assert!(!matches("a*a", "a"), "one letter is not two");
        assert!(Pattern::parse("*a*b*c*").is_err() && Pattern::parse("").is_err());
    }

    #[test]
    fn kinds_are_chosen_by_name_or_by_how_they_begin() {
        let kinds = Kinds::parse(["message.*", "user.erased"]).unwrap();
        let names: Vec<_> = kinds.iter().map(Kind::name).collect();
        assert_eq!(names, ["message.inserted", "message.updated", "user.erased"]);
        assert_eq!(Kinds::parse(["*"]), Ok(Kinds::all()));
        assert_eq!(Kinds::parse(["room.left"]), Err("room.left".to_owned()));
        assert!(kinds.has(Kind::Gap), "a gap is told to everybody");
    }

    #[test]
    fn rooms_are_looked_at_by_their_names_and_users_have_none() {
        let chats = endpoint(&["member.joined", "user.*"], &["chat:*"]);
        let room = |name| RoomId::new(name).unwrap();
        let inbox = RoomId::within(Space::User, "chat:1").unwrap();
        let other = RoomId::within(Space::Dialect("talk"), "chat:1").unwrap();
        assert!(chats.wants(Kind::Joined, &room("chat:1")) && chats.wants(Kind::Joined, &other));
        assert!(!chats.wants(Kind::Joined, &room("doc:1")) && !chats.wants(Kind::Joined, &inbox));
        assert!(!chats.wants(Kind::Left, &room("chat:1")) && chats.wants(Kind::Online, &inbox));
        let kinds = |room| chats.kinds_in(&room).iter().count();
        assert_eq!((kinds(room("chat:1")), kinds(room("doc:1")), kinds(inbox)), (4, 3, 3));
        let interest = Interest { endpoints: vec![chats], ..Interest::default() };
        assert!(interest.watches(&room("chat:1")) && !interest.watches(&room("doc:1")));
        assert!(interest.watches_users() && !Interest::default().watches_users());
        let within = |space, name| RoomId::within(space, name).unwrap();
        let all = endpoint(&["*"], &["*"]);
        let life = within(Space::Lives("talk"), "plans:x7");
        let inbox = within(Space::Inboxes("talk"), "ann");
        assert!(all.wants(Kind::Inserted, &life) && !all.wants(Kind::Joined, &inbox));
        assert!(!all.wants(Kind::Inserted, &inbox) && all.wants(Kind::Online, &inbox));
        for (pattern, expected) in
            [("plans", true), ("talk:*", true), ("plans:x7", false), ("tal*:plans", false)]
        {
            assert_eq!(endpoint(&["*"], &[pattern]).wants(Kind::Left, &life), expected);
        }
        assert!(!endpoint(&["*"], &["talk:*"]).wants(Kind::Inserted, &inbox));
        let messages = endpoint(&["message.updated"], &["chat:*"]);
        let interest = Interest { endpoints: vec![messages], ..Interest::default() };
        assert!(interest.hears(&room("chat:1")) && !interest.hears(&room("doc:1")));
    }
}
