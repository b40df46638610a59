//! Names of users, rooms and connections.
//!
//! Clients name users and rooms by a JSON string or number; `"1000"` and `1000` are the same user,
//! so equality and hashing look at the canonical text alone, while the type a client used is kept,
//! to be echoed to others.
use std::{
    borrow::{Borrow, Cow},
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Longest uid, or name of a shared room, in bytes of its text.
pub const MAX_NAME: usize = 256;

/// Longest name of a room in another space, in bytes of its text.
pub const MAX_SPACED_NAME: usize = 1024;

/// Around the space in a room's text. No client can write it: shared names have no control
/// characters.
const MARK: char = '\u{1}';

/// Behind the space's word in the text of a room that is a life ([`Space::Lives`]).
const LIFE: char = '\u{2}';

/// Behind the space's word in the text of a room that is an inbox ([`Space::Inboxes`]).
const INBOX: char = '\u{3}';

/// Why a text can't be the name of a user or room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It has no character.
    #[error("a name must not be empty")]
    Empty,
    /// It has more bytes than this, which is the most that is allowed.
    #[error("a name has at most {0} bytes")]
    TooLong(usize),
    /// It has a control character, such as a line break.
    #[error("a name must not contain control characters")]
    ControlCharacter,
}

fn check(text: &str) -> Result<(), BadName> {
    match text {
        "" => Err(BadName::Empty),
        t if t.len() > MAX_NAME => Err(BadName::TooLong(MAX_NAME)),
        t if t.chars().any(char::is_control) => Err(BadName::ControlCharacter),
        _ => Ok(()),
    }
}

/// A user.
#[derive(Clone)]
pub struct Uid {
    text: Arc<str>,
    number: bool,
}

impl Uid {
    /// A uid that its client wrote as a JSON string.
    pub fn text(text: &str) -> Result<Self, BadName> {
        check(text)?;
        Ok(Uid { text: text.into(), number: false })
    }

    /// A uid that whoever made it has checked: a store has it, or a dialect whose names have rules
    /// of their own. It may have the control characters from U+0080 on.
    pub fn stored(text: &str) -> Result<Self, BadName> {
        match text {
            "" => Err(BadName::Empty),
            long if long.len() > MAX_NAME => Err(BadName::TooLong(MAX_NAME)),
            text if text.chars().any(|c| c.is_ascii_control()) => Err(BadName::ControlCharacter),
            text => Ok(Uid { text: text.into(), number: false }),
        }
    }

    /// A uid that its client wrote as a JSON number; `canonical` is its text as JavaScript prints
    /// it.
    pub fn number(canonical: &str) -> Result<Self, BadName> {
        check(canonical)?;
        Ok(Uid { text: canonical.into(), number: true })
    }

    /// Its canonical text; the same for a string and a number that are the same user.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The uid as JSON, in the type that its client used.
    pub fn json(&self) -> Cow<'_, str> {
        if self.number {
            Cow::Borrowed(&self.text)
        } else {
            Cow::Owned(serde_json::Value::from(&*self.text).to_string())
        }
    }

    /// Whether the client wrote a number.
    pub fn is_number(&self) -> bool {
        self.number
    }
}

impl PartialEq for Uid {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for Uid {}
impl PartialOrd for Uid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Uid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}
impl Hash for Uid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
impl Borrow<str> for Uid {
    fn borrow(&self) -> &str {
        &self.text
    }
}
impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.json())
    }
}
impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Which names a room's name is among. Rooms of the same name in different spaces have nothing to
/// do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// Those that the original server has, and that its tools find in a store.
    Shared,
    /// The rooms of the dialect with this name: a word without control characters.
    Dialect(&'static str),
    /// Rooms of that dialect that have a beginning and an end: a name is given once, and never
    /// comes again. So the index of such a room's log begins with 0, whatever rooms were deleted
    /// before, and goes on through clearing, trimming and the expiry of rooms that nobody uses,
    /// until the room is forgotten ([`Hub::forget`](super::hub::Hub::forget)).
    ///
    /// A name is what people call the room, a colon, and the life, which is another one whenever a
    /// room is called so again: `plans:x7`.
    Lives(&'static str),
    /// Rooms by which a dialect reaches all connections of one user, by name: what is said there is
    /// the user's alone. They are no rooms to anybody else: webhooks are not told of them, no copies
    /// are kept of what is said there, and nobody lists or counts them.
    Inboxes(&'static str),
    /// Users themselves, by uid: what is told of one, whatever the rooms.
    User,
}

impl Space {
    /// Stands before the names of all shared rooms, and behind those of all others, in the order of
    /// [`RoomId::as_str`].
    pub const BEFORE_SHARED: &'static str = "\u{1f}";

    /// As it stands in a room's text, and the mark behind it.
    fn word(self) -> (&'static str, Option<char>) {
        match self {
            Space::Shared => ("", None),
            Space::Dialect(name) => (name, None),
            Space::Lives(name) => (name, Some(LIFE)),
            Space::Inboxes(name) => (name, Some(INBOX)),
            Space::User => ("@", None),
        }
    }
}

/// A room: a name within a [`Space`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(Arc<str>);

impl RoomId {
    /// A shared room.
    ///
    /// # Errors
    /// The name is empty, longer than [`MAX_NAME`], or has control characters.
    pub fn new(text: &str) -> Result<Self, BadName> {
        check(text)?;
        Ok(RoomId(text.into()))
    }

    /// A room of this space. But for shared ones, its name may hold any characters.
    ///
    /// # Errors
    /// The name is empty, or longer than [`MAX_SPACED_NAME`]; of a shared one as [`RoomId::new`]
    /// says.
    pub fn within(space: Space, name: &str) -> Result<Self, BadName> {
        match space {
            Space::Shared => Self::new(name),
            Space::Dialect(_) | Space::Lives(_) | Space::Inboxes(_) | Space::User => {
                Self::spaced(space.word(), name)
            }
        }
    }

    /// From the text by which a store knows it ([`RoomId::as_str`]).
    ///
    /// # Errors
    /// It is no room's.
    pub fn stored(text: &str) -> Result<Self, BadName> {
        match split(text) {
            Some((("", _), _)) => Err(BadName::ControlCharacter),
            Some((space, name)) => Self::spaced(space, name),
            None => Self::new(text),
        }
    }

    fn spaced((word, mark): (&str, Option<char>), name: &str) -> Result<Self, BadName> {
        let mark = mark.map(String::from).unwrap_or_default();
        match name {
            "" => Err(BadName::Empty),
            long if long.len() > MAX_SPACED_NAME => Err(BadName::TooLong(MAX_SPACED_NAME)),
            name => Ok(RoomId(format!("{MARK}{word}{mark}{MARK}{name}").into())),
        }
    }

    /// The name, without the space.
    pub fn name(&self) -> &str {
        self.parts().1
    }

    /// What people call the room: the name, of a room of [`Space::Lives`] without its life.
    pub fn called(&self) -> &str {
        self.with_life().map_or_else(|| self.name(), |(called, _)| called)
    }

    /// Which of those that are called so it is, if it is a room of [`Space::Lives`].
    pub fn life(&self) -> Option<&str> {
        self.with_life().map(|(_, life)| life)
    }

    fn with_life(&self) -> Option<(&str, &str)> {
        self.name().rsplit_once(':').filter(|_| self.is_life())
    }

    /// Whether the name is one of this space.
    pub fn is_in(&self, space: Space) -> bool {
        split(&self.0).map_or(("", None), |(space, _)| space) == space.word()
    }

    /// Whether it is a room of [`Space::Lives`].
    pub fn is_life(&self) -> bool {
        split(&self.0).is_some_and(|((_, mark), _)| mark == Some(LIFE))
    }

    /// Whether it is a room of [`Space::Inboxes`].
    pub fn is_inbox(&self) -> bool {
        split(&self.0).is_some_and(|((_, mark), _)| mark == Some(INBOX))
    }

    /// Whether it is a room of [`Space::Shared`].
    pub fn is_shared(&self) -> bool {
        !self.0.starts_with(MARK)
    }

    /// The dialect whose room it is, if it is one's.
    pub fn dialect(&self) -> Option<&str> {
        Some(self.parts().0).filter(|space| !matches!(*space, "" | "@"))
    }

    /// The name behind its space and a colon, `gotapi:/chat`, for those who name rooms of several
    /// spaces; a shared one's name alone.
    pub fn qualified(&self) -> Cow<'_, str> {
        match self.parts() {
            ("", name) => Cow::Borrowed(name),
            (word, name) => Cow::Owned(format!("{word}:{name}")),
        }
    }

    /// The name with its space, which is the room's key in stores; a shared one's name alone.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As people read it in logs: a shared room's name, which has no control characters; of others
    /// the space, a colon, and the name, in which they are escaped.
    pub fn shown(&self) -> Cow<'_, str> {
        match self.parts() {
            ("", name) => Cow::Borrowed(name),
            (word, name) => Cow::Owned(format!("{word}:{}", name.escape_debug())),
        }
    }

    fn parts(&self) -> (&str, &str) {
        split(&self.0).map_or(("", &self.0), |((word, _), name)| (word, name))
    }
}

/// The space's word, the mark behind it, and the name; nothing for the text of a shared room.
fn split(text: &str) -> Option<((&str, Option<char>), &str)> {
    let (word, name) = text.strip_prefix(MARK)?.split_once(MARK)?;
    let mark = word.chars().next_back().filter(|last| matches!(*last, LIFE | INBOX));
    let word = mark.and_then(|mark| word.strip_suffix(mark)).unwrap_or(word);
    Some(((word, mark), name))
}

impl Borrow<str> for RoomId {
    fn borrow(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One connection of this process, never used again within it. Not shown to anybody: the public
/// name is [`SocketId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// The public name of a connection. It is no session id of a transport: whoever knows one of those
/// may be able to act as that client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketId(pub Arc<str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_its_text_are_one_user_and_each_is_echoed_as_written() {
        let (a, b) = (Uid::text("1000").unwrap(), Uid::number("1000").unwrap());
        assert_eq!(a, b);
        assert_eq!((a.json().as_ref(), b.json().as_ref()), (r#""1000""#, "1000"));
    }

    #[test]
    fn names_have_limits() {
        assert_eq!(RoomId::new(""), Err(BadName::Empty));
        assert_eq!(RoomId::new(&"x".repeat(257)), Err(BadName::TooLong(MAX_NAME)));
        assert_eq!(RoomId::new("a\nb"), Err(BadName::ControlCharacter));
        assert_eq!(RoomId::new("a\u{7f}b"), Err(BadName::ControlCharacter));
        assert!(RoomId::new(&"é".repeat(128)).is_ok());
    }

    #[test]
    fn rooms_of_other_spaces_have_names_that_no_client_can_write() {
        let (talk, lives) = (Space::Dialect("talk"), Space::Lives("talk"));
        let inboxes = Space::Inboxes("talk");
        for name in ["class", "\u{1}", "\u{1}@\u{1}ann", "a\0\n", &"x".repeat(1024)] {
            for (space, other) in
                [(talk, Space::User), (Space::User, talk), (lives, talk), (inboxes, lives)]
            {
                let room = RoomId::within(space, name).unwrap();
                assert_eq!((room.is_life(), room.is_inbox()), (space == lives, space == inboxes));
                assert_eq!((room.name(), room.is_in(space)), (name, true));
                assert!(!room.is_shared() && !room.is_in(Space::Shared) && !room.is_in(other));
                assert_eq!(
                    RoomId::new(room.as_str()).err().unwrap(),
                    match name.len() {
                        1024 => BadName::TooLong(MAX_NAME),
                        _ => BadName::ControlCharacter,
                    }
                );
                assert_eq!(RoomId::stored(room.as_str()), Ok(room));
            }
        }
        assert_eq!(RoomId::within(talk, &"x".repeat(1025)), Err(BadName::TooLong(1024)));
        assert_eq!(RoomId::within(talk, ""), Err(BadName::Empty));
        assert_eq!(RoomId::within(Space::Shared, "a\n"), Err(BadName::ControlCharacter));
        let qualified = |space, name| RoomId::within(space, name).unwrap().qualified().into_owned();
        assert_eq!(qualified(talk, "/r/a\n"), "talk:/r/a\n");
        assert_eq!(qualified(lives, "r:1"), "talk:r:1");
        assert_eq!(qualified(Space::Shared, "class"), "class");
        let shown = |space, name| RoomId::within(space, name).unwrap().shown().into_owned();
        assert_eq!(shown(talk, "/r/a\n\u{1b}é"), r"talk:/r/a\n\u{1b}é", "no line of its own");
        assert_eq!(shown(Space::Shared, "class é"), "class é");
        let shared = RoomId::within(Space::Shared, "class").unwrap();
        assert_eq!((shared.as_str(), shared.name(), shared.is_shared()), ("class", "class", true));
        assert!(shared.is_in(Space::Shared) && !shared.is_in(talk));
        assert_eq!(RoomId::stored("class"), Ok(shared));
        for (space, text) in [(lives, "\u{1}talk\u{2}\u{1}r"), (inboxes, "\u{1}talk\u{3}\u{1}r")] {
            let room = RoomId::within(space, "r").unwrap();
            assert_eq!((room.dialect(), room.as_str()), (Some("talk"), text));
        }
        for name in ["\u{2}\u{1}r", "\u{3}\u{1}r"].map(|name| RoomId::within(talk, name).unwrap()) {
            assert!(!name.is_life() && !name.is_inbox());
        }
        for bad in
            ["", "\u{1}", "\u{1}\u{1}a", "\u{1}talk\u{1}", "\u{1}talk", "a\n", "\u{1}\u{2}\u{1}a"]
        {
            assert!(RoomId::stored(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_life_is_called_as_those_before_it() {
        let room = |space, name| RoomId::within(space, name).unwrap();
        let lives = Space::Lives("talk");
        for (room, called, life) in [
            (room(lives, "plans:x7"), "plans", Some("x7")),
            (room(lives, "a:b:c"), "a:b", Some("c")),
            (room(lives, "plans"), "plans", None),
            (room(Space::Dialect("talk"), "plans:x7"), "plans:x7", None),
            (room(Space::Shared, "plans:x7"), "plans:x7", None),
        ] {
            assert_eq!((room.called(), room.life()), (called, life), "{room}");
        }
    }
}
