//! Names: of users and topics, as clients write them and as the core knows them.
//!
//! ```text
//! client     usr + 11, grp + 11, chn + 11 (the same topic as grp), me, fnd, slf, sys, new…, nch…
//! key        grp…  |  usrA.usrB (a pair, the smaller number first)  |  slf.usrA
//! room       KEY:LIFE in Space::Lives("tinode"); LIFE begins with g, or with c for a channel
//! ```
//!
//! What a topic is called depends on who looks: of a pair each sees the other's name, and a
//! channel's readers see `chn…`. A [`View`] is one of these ways.
use std::{fmt, num::NonZeroU64};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::{
    clock::{NoRandomness, Rng, alphanumeric},
    ids::{BadName, RoomId, Space, Uid},
};

/// The dialect's name: by it nodes ask each other.
pub(super) const NAME: &str = "tinode";
/// Where topics are rooms.
pub(super) const SPACE: Space = Space::Lives(NAME);
/// Where the users' `me` are rooms, by `usr…`.
pub(super) const INBOXES: Space = Space::Inboxes(NAME);

/// Before `usr…` in the core's name of a user. No other dialect can have such a name.
const UID: &str = "tinode\u{80}";
/// Characters of an id, behind `usr`, `grp` or `chn`.
const CHARACTERS: usize = 11;
/// Characters of a life, behind the first.
const LIFE: usize = 10;
/// base64 for URLs: 6 bits each.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The 64 bits as 11 characters: ten of 6 bits, and one of 4 with two zeros behind.
fn characters(bits: u64) -> [u8; CHARACTERS] {
    std::array::from_fn(|at| match at {
        10 => ALPHABET[((bits << 2) & 63) as usize],
        at => ALPHABET[((bits >> (58 - 6 * at)) & 63) as usize],
    })
}

fn six_bits(character: u8) -> Option<u64> {
    Some(u64::from(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    }))
}

/// The 64 bits of 11 characters. The last two bits of the last one are ignored, so that whatever
/// has the form of an id is one: somebody unknown, not malformed.
fn bits(text: &str) -> Option<u64> {
    let characters: &[u8; CHARACTERS] = text.as_bytes().try_into().ok()?;
    let (last, first) = characters.split_last()?;
    let mut bits: u64 = 0;
    for character in first {
        bits = bits << 6 | six_bits(*character)?;
    }
    Some(bits << 4 | six_bits(*last)? >> 2)
}

/// A user: `usr` and the base64 of a number, little-endian.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct UserId(NonZeroU64);

impl UserId {
    /// A new one.
    pub fn random(rng: &dyn Rng) -> Result<Self, NoRandomness> {
        loop {
            let mut bytes = [0; 8];
            rng.fill(&mut bytes)?;
            if let Some(id) = Self::of_number(u64::from_le_bytes(bytes)) {
                return Ok(id);
            }
        }
    }

    /// From `usr…`; nothing where it has another form, or is zero.
    pub fn parse(text: &str) -> Option<Self> {
        Self::of_number(bits(text.strip_prefix("usr")?)?.swap_bytes())
    }

    /// Its number.
    pub fn number(self) -> u64 {
        self.0.get()
    }

    /// The user of this number; zero is nobody's.
    pub fn of_number(n: u64) -> Option<Self> {
        NonZeroU64::new(n).map(UserId)
    }

    /// As the core knows the user.
    pub fn uid(self) -> Result<Uid, BadName> {
        Uid::stored(&format!("{UID}{self}"))
    }

    /// The user whom the core knows by this name.
    pub fn of_uid(uid: &Uid) -> Option<Self> {
        Self::parse(uid.as_str().strip_prefix(UID)?)
    }

    /// The user's `me`.
    pub fn inbox(self) -> Result<RoomId, BadName> {
        RoomId::within(INBOXES, Name::new("usr", characters(self.bits())).as_str())
    }

    fn bits(self) -> u64 {
        self.number().swap_bytes()
    }

    /// As clients read it, without allocating.
    pub fn name(self) -> Name {
        Name::new("usr", characters(self.bits()))
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name().as_str())
    }
}

/// A name of 14 characters, on the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name([u8; 14]);

impl Name {
    fn new(kind: &str, characters: [u8; CHARACTERS]) -> Self {
        let mut name = [b'-'; 14];
        for (to, from) in name.iter_mut().zip(kind.bytes().chain(characters)) {
            *to = from;
        }
        Name(name)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // It is made of ASCII alone.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A group: what stands behind `grp`, or behind `chn` for the readers of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct GroupId([u8; CHARACTERS]);

impl GroupId {
    /// A new one.
    pub fn random(rng: &dyn Rng) -> Result<Self, NoRandomness> {
        let mut bytes = [0; 8];
        rng.fill(&mut bytes)?;
        Ok(GroupId(characters(u64::from_le_bytes(bytes))))
    }

    fn parse(text: &str) -> Option<Self> {
        let characters: [u8; CHARACTERS] = text.as_bytes().try_into().ok()?;
        characters.iter().all(|character| six_bits(*character).is_some()).then_some(())?;
        Some(GroupId(characters))
    }

    /// `grp…`, its name to members.
    pub fn group(&self) -> String {
        Name::new("grp", self.0).as_str().to_owned()
    }

    /// `chn…`, its name to a channel's readers.
    pub fn reader(&self) -> String {
        Name::new("chn", self.0).as_str().to_owned()
    }
}

/// A topic as a client names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Topic<'a> {
    /// The user's own account and list of topics.
    Me,
    /// Search.
    Fnd,
    /// Notes to oneself.
    Slf,
    /// For those who run the server.
    Sys,
    /// A group that is to be made.
    New {
        /// A channel is asked for: `nch…`.
        channel: bool,
        /// What the client calls it until it is there.
        name: &'a str,
    },
    /// The pair with this user, who may be oneself.
    User(UserId),
    /// A group.
    Group(GroupId),
    /// A channel, for its readers.
    Reader(GroupId),
}

/// Why a text names no topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadTopic {
    /// No name, or no user's id: 400.
    Malformed,
    /// Of no kind that there is: 404.
    Unknown,
}

impl<'a> Topic<'a> {
    /// From its name.
    ///
    /// # Errors
    /// It names none.
    pub fn parse(text: &'a str) -> Result<Self, BadTopic> {
        match text {
            "" => return Err(BadTopic::Malformed),
            "me" => return Ok(Topic::Me),
            "fnd" => return Ok(Topic::Fnd),
            "slf" => return Ok(Topic::Slf),
            "sys" => return Ok(Topic::Sys),
            _ => {}
        }
        let (kind, id) = text.split_at_checked(3).ok_or(BadTopic::Unknown)?;
        match kind {
            "usr" => UserId::parse(text).map(Topic::User).ok_or(BadTopic::Malformed),
            "grp" => GroupId::parse(id).map(Topic::Group).ok_or(BadTopic::Unknown),
            "chn" => GroupId::parse(id).map(Topic::Reader).ok_or(BadTopic::Unknown),
            "new" => Ok(Topic::New { channel: false, name: text }),
            "nch" => Ok(Topic::New { channel: true, name: text }),
            _ => Err(BadTopic::Unknown),
        }
    }

    /// Which stored topic this user means. Nothing for those that are none: `me`, `fnd`, `sys`,
    /// what is to be made, and the pair with oneself.
    pub fn key(&self, me: UserId) -> Option<Key> {
        match self {
            Topic::Me | Topic::Fnd | Topic::Sys | Topic::New { .. } => None,
            Topic::Slf => Some(Key::Own(me)),
            Topic::User(peer) => (*peer != me).then(|| Key::pair(me, *peer)),
            Topic::Group(id) | Topic::Reader(id) => Some(Key::Group(*id)),
        }
    }

    /// Whether it is named as a channel's readers do.
    pub fn is_reader(&self) -> bool {
        matches!(self, Topic::Reader(_))
    }
}

/// A topic as it is stored, the same whoever looks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum Key {
    /// A group or channel.
    Group(GroupId),
    /// Two users, the smaller number first: [`Key::pair`].
    Pair(UserId, UserId),
    /// A user's notes.
    Own(UserId),
}

impl Key {
    /// The topic of these two.
    pub fn pair(a: UserId, b: UserId) -> Self {
        Key::Pair(a.min(b), a.max(b))
    }

    /// Its text in records and in the room's name.
    pub fn id(&self) -> String {
        match self {
            Key::Group(id) => id.group(),
            Key::Pair(first, second) => format!("{first}.{second}"),
            Key::Own(user) => format!("slf.{user}"),
        }
    }

    /// From [`Key::id`], and nothing else: not from a pair the wrong way round.
    pub fn parse(id: &str) -> Option<Self> {
        let key = match id.split_once('.') {
            None => Key::Group(GroupId::parse(id.strip_prefix("grp")?)?),
            Some(("slf", user)) => Key::Own(UserId::parse(user)?),
            Some((first, second)) => Key::Pair(UserId::parse(first)?, UserId::parse(second)?),
        };
        let in_order = !matches!(key, Key::Pair(first, second) if first >= second);
        (in_order && key.id() == id).then_some(key)
    }

    /// Of a pair that this user is one of, the other.
    pub fn peer(&self, me: UserId) -> Option<UserId> {
        match self {
            Key::Pair(first, second) if *first == me => Some(*second),
            Key::Pair(first, second) if *second == me => Some(*first),
            Key::Pair(..) | Key::Group(_) | Key::Own(_) => None,
        }
    }

    /// What this user calls it.
    pub fn shown(&self, me: UserId, reader: bool) -> String {
        View::of(self, me, reader).topic(self)
    }

    /// Its room, in this life.
    pub fn room(&self, life: &str) -> Result<RoomId, BadName> {
        RoomId::within(SPACE, &format!("{}:{life}", self.id()))
    }

    /// The topic of a room, and whether it is a channel.
    pub fn of_room(room: &RoomId) -> Option<(Self, bool)> {
        room.is_in(SPACE).then_some(())?;
        Some((Self::parse(room.called())?, room.life()?.starts_with('c')))
    }

    /// The id of this user's subscription.
    pub fn sub_id(&self, user: UserId) -> String {
        format!("{}/{user}", self.id())
    }
}

/// How a topic is seen. What is told of it is encoded once for each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub(super) enum View {
    /// By the members of a group, and by oneself.
    All = 0,
    /// By the first of a pair.
    First = 1,
    /// By the second of a pair.
    Second = 2,
    /// By a channel's readers.
    Reader = 3,
}

impl View {
    /// This user's.
    pub fn of(key: &Key, me: UserId, reader: bool) -> Self {
        match key {
            Key::Pair(first, _) if *first == me => View::First,
            Key::Pair(..) => View::Second,
            Key::Group(_) if reader => View::Reader,
            Key::Group(_) | Key::Own(_) => View::All,
        }
    }

    /// All that there are of a topic.
    pub fn of_room(key: &Key, channel: bool) -> &'static [View] {
        match key {
            Key::Pair(..) => &[View::First, View::Second],
            Key::Group(_) if channel => &[View::All, View::Reader],
            Key::Group(_) | Key::Own(_) => &[View::All],
        }
    }

    /// The topic's name in this view.
    pub fn topic(self, key: &Key) -> String {
        match (key, self) {
            (Key::Pair(_, second), View::First) => second.to_string(),
            (Key::Pair(first, _), View::All | View::Second | View::Reader) => first.to_string(),
            (Key::Group(id), View::Reader) => id.reader(),
            (Key::Group(id), View::All | View::First | View::Second) => id.group(),
            (Key::Own(_), View::All | View::First | View::Second | View::Reader) => "slf".into(),
        }
    }
}

/// A new life for a topic's room.
pub(super) fn life(rng: &dyn Rng, channel: bool) -> Result<String, NoRandomness> {
    let mut life = alphanumeric(rng, LIFE)?;
    life.insert(0, if channel { 'c' } else { 'g' });
    Ok(life)
}

impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name().as_str())
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "user's id", UserId::parse)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.id())
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "topic's key", Key::parse)
    }
}

/// What is written as a text and read by `parse`. `what` names it in errors.
pub(super) fn parsed<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    what: &'static str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    struct V<T>(&'static str, fn(&str) -> Option<T>);
    impl<T> serde::de::Visitor<'_> for V<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            (self.1)(text).ok_or_else(|| E::custom(format_args!("no {}", self.0)))
        }
    }
    deserializer.deserialize_str(V(what, parse))
}

#[cfg(test)]
mod tests;
