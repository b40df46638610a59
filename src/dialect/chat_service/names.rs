//! Names of users and rooms, and what the core makes of them.
//!
//! A room of this protocol that is deleted and created again begins with message 1, while the index
//! of a room's log never comes again. So each *life* of a room is a room of the core: its name is
//! the room's, a colon, which no name has, and the life, which is random. What was on its way when
//! a room was deleted can't turn up in its successor.
use super::error::Error;
use crate::domain::ids::{RoomId, Space, Uid};

/// Rooms.
pub(super) const ROOMS: Space = Space::Lives("chat-service");
/// One for each user, in which all its sockets are: what is for them all goes there.
const INBOXES: Space = Space::Inboxes("chat-service-user");

/// As long as all lives are.
const ANY_LIFE: &str = "0000000000";

/// Whether a user or a room may be called so: `/^[^\x00-\x1F:{}\x7F]+$/`.
pub(super) fn is_name(name: &str) -> bool {
    let is_good = |c: char| !matches!(c, '\0'..='\x1f' | ':' | '{' | '}' | '\x7f');
    !name.is_empty() && name.chars().all(is_good)
}

/// Names in commands are checked where something is made.
///
/// # Errors
/// It is none.
pub(super) fn check(name: &str) -> Result<(), Error> {
    if is_name(name) { Ok(()) } else { Err(Error::InvalidName(name.to_owned())) }
}

/// The user as the core knows it. It has bounds of its own, which are those of uids everywhere.
///
/// # Errors
/// It can't be one.
pub(super) fn uid(user: &str) -> Result<Uid, Error> {
    check(user)?;
    Uid::stored(user).map_err(|_| Error::InvalidName(user.to_owned()))
}

/// The core's room of this life of a room.
///
/// # Errors
/// The name is longer than the core's may be.
pub(super) fn room(name: &str, life: &str) -> Result<RoomId, Error> {
    check(name)?;
    RoomId::within(ROOMS, &format!("{name}:{life}"))
        .map_err(|_| Error::InvalidName(name.to_owned()))
}

/// A room that is asked for may be there: where nothing can be called so, no store and no other
/// node needs to be asked.
///
/// # Errors
/// It can't be there.
pub(super) fn may_be_room(name: &str) -> Result<(), Error> {
    match room(name, ANY_LIFE) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::NoRoom(name.to_owned())),
    }
}

/// The core's room in which a user's sockets are.
///
/// # Errors
/// The name can't be a user's.
pub(super) fn inbox(user: &str) -> Result<RoomId, Error> {
    check(user)?;
    RoomId::within(INBOXES, user).map_err(|_| Error::InvalidName(user.to_owned()))
}

/// Whether this is a room in which a user's sockets are.
pub(super) fn is_inbox(room: &RoomId) -> bool {
    room.is_in(INBOXES)
}

/// The room's name, as clients know it, if it is one of this protocol.
pub(super) fn shown(room: &RoomId) -> Option<&str> {
    room.life().filter(|_| room.is_in(ROOMS)).map(|_| room.called())
}

/// The life of a room of this protocol.
pub(super) fn life(room: &RoomId) -> Option<&str> {
    room.life().filter(|_| room.is_in(ROOMS))
}

/// Whether a room stands before all that are called so, where rooms are sorted by [`RoomId::name`].
pub(super) fn is_before(room: &RoomId, name: &str) -> bool {
    room.name().bytes().lt(name.bytes().chain([b':']))
}

/// What an event goes to that the server API sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Channel<'a> {
    /// The sockets that have joined this room.
    Room(&'a str),
    /// The sockets of this user.
    User(&'a str),
}

impl<'a> Channel<'a> {
    /// Reads `ROOM`, or `echo:USER`.
    pub fn read(channel: &'a str) -> Self {
        channel.strip_prefix("echo:").map_or(Channel::Room(channel), Channel::User)
    }
}

/// Events that socket.io keeps for itself. From clients they are ignored; the server API may not
/// send them.
const RESERVED: [&str; 10] = [
    "connect",
    "connect_error",
    "connect_timeout",
    "connection",
    "disconnect",
    "disconnecting",
    "error",
    "newListener",
    "ping",
    "removeListener",
];

/// Whether socket.io keeps an event for itself.
pub(super) fn is_reserved(event: &str) -> bool {
    RESERVED.contains(&event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_the_original_has_them() {
        for good in [
            "a",
            " ",
            "with space ü 😀",
            "__proto__",
            "undefined",
            "a;b|c~",
            "\u{80}",
            "\u{2028}",
            "/chat-service#X",
            "]",
        ] {
            assert!(is_name(good) && uid(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a:b", "{", "}", "a{b", "\0", "tab\tname", "\n", "\u{1f}", "\u{7f}"] {
            assert!(!is_name(bad), "{bad:?}");
            assert_eq!(uid(bad), Err(Error::InvalidName(bad.into())));
            assert_eq!(room(bad, "1").err(), Some(Error::InvalidName(bad.into())));
            assert_eq!(inbox(bad).err(), Some(Error::InvalidName(bad.into())));
            assert_eq!(may_be_room(bad), Err(Error::NoRoom(bad.into())));
        }
    }

    #[test]
    fn no_room_is_looked_for_that_can_not_be_there() {
        let longest = "x".repeat(1_013);
        assert!(may_be_room(&longest).is_ok() && room(&longest, ANY_LIFE).is_ok());
        let longer = longest + "x";
        assert_eq!(may_be_room(&longer), Err(Error::NoRoom(longer.clone())));
    }

    #[test]
    fn each_life_of_a_room_is_a_room_of_its_own() {
        let (first, second) = (room("r", "a1").unwrap(), room("r", "b2").unwrap());
        assert_ne!(first, second);
        assert_eq!((shown(&first), shown(&second)), (Some("r"), Some("r")));
        assert_eq!((life(&first), life(&second)), (Some("a1"), Some("b2")));
        assert_eq!((shown(&inbox("r").unwrap()), life(&inbox("r").unwrap())), (None, None));
        assert_eq!(shown(&RoomId::new("r").unwrap()), None);
        assert!(!is_before(&first, "r") && is_before(&first, "s") && is_before(&first, "r;"));
        assert!(!is_before(&first, "r a") && !is_before(&first, ""));
        assert!(!first.is_shared() && !inbox("r").unwrap().is_shared());
        assert_ne!(inbox("r").unwrap().as_str(), first.as_str());
    }

    #[test]
    fn what_the_core_can_not_have_is_refused_like_a_wrong_name() {
        let long = "x".repeat(257);
        assert_eq!(uid(&long), Err(Error::InvalidName(long.clone())));
        assert!(room(&long, "1234567890").is_ok());
        let longer = "x".repeat(1025);
        assert_eq!(room(&longer, "1").err(), Some(Error::InvalidName(longer)));
    }

    #[test]
    fn a_channel_is_a_room_or_a_user() {
        for (text, channel) in [
            ("r", Channel::Room("r")),
            ("echo:ann", Channel::User("ann")),
            ("echo", Channel::Room("echo")),
            ("", Channel::Room("")),
        ] {
            assert_eq!(Channel::read(text), channel);
        }
        assert!(is_reserved("disconnect") && !is_reserved("roomMessage"));
    }
}
