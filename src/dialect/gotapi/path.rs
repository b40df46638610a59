//! Which room a URL names.
use crate::domain::ids::{BadName, RoomId, Space};

/// The rooms of this dialect.
pub(super) const SPACE: Space = Space::Dialect("gotapi");

/// Why a URL names no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRoom {
    #[error("the path is not percent-encoded UTF-8")]
    Encoding,
    #[error(transparent)]
    Name(#[from] BadName),
}

/// What a request's path stands for, as clients of this dialect mean it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// `/`: no room; a client can go from there to one.
    Lobby,
    /// `/timer`: the time, every second.
    Timer,
    /// Any other path.
    Room(RoomId),
}

impl Place {
    /// Reads a path.
    ///
    /// # Errors
    /// It can't be decoded, or is too long for a room's name.
    pub(super) fn read(path: &str) -> Result<Self, NoRoom> {
        Ok(match &*decode(path).ok_or(NoRoom::Encoding)? {
            "/" => Place::Lobby,
            "/timer" => Place::Timer,
            name => Place::Room(room(name)?),
        })
    }
}

/// The room of this name.
///
/// # Errors
/// It is empty, or too long.
pub(super) fn room(name: &str) -> Result<RoomId, BadName> {
    RoomId::within(SPACE, name)
}

/// Adds a room's name to a list with one in each line, so that it can be told from two, and
/// [`decode`] gives it back: control characters, other ends of lines and `%` become %XX.
pub(super) fn show(name: &str, list: &mut String) {
    for character in name.chars() {
        if character.is_control() || matches!(character, '%' | '\u{2028}' | '\u{2029}') {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                list.push('%');
                list.extend(
                    [byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)])),
                );
            }
        } else {
            list.push(character);
        }
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The path with its %XX resolved; nothing where it is not what RFC 3986, 2.1 has, or no UTF-8.
pub(super) fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let [high, low, tail @ ..] = tail else { return None };
        bytes.push(16 * hex(*high)? + hex(*low)?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_the_decoded_path_and_case_and_slashes_count() {
        for (path, name) in [
            ("/r/a", "/r/a"),
            ("/r/%61", "/r/a"),
            ("/room/9527/", "/room/9527/"),
            ("/Room", "/Room"),
            ("/a%2Fb%2fc", "/a/b/c"),
            ("/%E4%BD%A0", "/你"),
            ("//x", "//x"),
            ("/a+b", "/a+b"),
            ("/a%0Ab", "/a\nb"),
            ("/timer/", "/timer/"),
        ] {
            assert_eq!(Place::read(path), Ok(Place::Room(room(name).unwrap())), "{path}");
        }
    }

    #[test]
    fn two_paths_are_no_rooms_however_they_are_written() {
        assert_eq!(Place::read("/"), Ok(Place::Lobby));
        assert_eq!(Place::read("/timer"), Ok(Place::Timer));
        assert_eq!(Place::read("/%74imer"), Ok(Place::Timer));
    }

    #[test]
    fn a_name_in_a_list_is_one_line_and_can_be_read_back() {
        for (name, shown) in [
            ("/plain/你 +", "/plain/你 +"),
            ("/x\n/secret-room", "/x%0A/secret-room"),
            ("/\0\r\x7f", "/%00%0D%7F"),
            ("/\u{85}\u{2028}", "/%C2%85%E2%80%A8"),
            ("/%0A", "/%250A"),
        ] {
            let mut list = String::new();
            show(name, &mut list);
            assert_eq!(list, shown);
            assert_eq!(decode(&list).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_can_be_no_name_is_refused() {
        for path in ["/%", "/%6", "/%zz", "/%ff", "/%+1"] {
            assert_eq!(Place::read(path), Err(NoRoom::Encoding), "{path}");
        }
        assert!(Place::read(&format!("/{}", "x".repeat(1023))).is_ok());
        assert!(matches!(Place::read(&format!("/{}", "x".repeat(1024))), Err(NoRoom::Name(_))));
    }
}
