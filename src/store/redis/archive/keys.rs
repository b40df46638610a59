//! Names of keys. A room's id stands between a beginning and an end that are the same for all
//! rooms, so it may hold anything, such an end too: the last one counts. The original's further
//! keys of a room (`_update_backup`, `_ignore`) end otherwise.
use crate::domain::ids::RoomId;

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Content {
    Inserts,
    Updates,
}

pub(in super::super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(in super::super) fn new(prefix: &str) -> Self {
        Keys { prefix: prefix.to_owned() }
    }

    #[cfg(test)]
    pub(in super::super) fn inserts(&self, room: &RoomId) -> String {
        format!("{}msg_{room}_insert", self.prefix)
    }

    pub(in super::super) fn updates(&self, room: &RoomId) -> String {
        format!("{}msg_{room}_update", self.prefix)
    }

    /// Where a server counts the room's publications.
    pub(in super::super) fn counter(&self, room: &RoomId) -> String {
        format!("{}ao:seq:{room}", self.prefix)
    }

    /// What SCAN is to look for: all keys that may be a room's.
    pub(in super::super) fn pattern(&self) -> String {
        self.beginning("msg_")
    }

    /// All keys that begin so behind the prefix.
    pub(in super::super) fn beginning(&self, begins: &str) -> String {
        let mut pattern = String::new();
        for c in self.prefix.chars().chain(begins.chars()) {
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern + "*"
    }

    /// What a key has behind the prefix and this beginning.
    pub(in super::super) fn behind<'a>(&self, begins: &str, key: &'a [u8]) -> Option<&'a str> {
        let rest = key.strip_prefix(self.prefix.as_bytes())?.strip_prefix(begins.as_bytes())?;
        std::str::from_utf8(rest).ok()
    }

    /// Whose key it is, also one of those that hold copies.
    pub(in super::super) fn any_room(&self, key: &[u8]) -> Option<RoomId> {
        if let Some((room, _)) = self.room(key) {
            return room.ok();
        }
        let rest = key.strip_prefix(self.prefix.as_bytes())?.strip_prefix(b"msg_")?;
        let room = rest.strip_suffix(b"_update_backup").or(rest.strip_suffix(b"_ignore"))?;
        RoomId::stored(std::str::from_utf8(room).ok()?).ok()
    }

    /// Whose key it is, and for what; nothing if it is another one. The error says why it can't be
    /// a room's.
    pub(in super::super) fn room(&self, key: &[u8]) -> Option<(Result<RoomId, String>, Content)> {
        let rest = key.strip_prefix(self.prefix.as_bytes())?.strip_prefix(b"msg_")?;
        let (room, content) = match (rest.strip_suffix(b"_insert"), rest.strip_suffix(b"_update")) {
            (Some(room), _) => (room, Content::Inserts),
            (_, Some(room)) => (room, Content::Updates),
            _ => return None,
        };
        let text = std::str::from_utf8(room).map_err(|_| "its room is no text".to_owned());
        Some((
            text.and_then(|text| RoomId::stored(text).map_err(|why| format!("its room: {why}"))),
            content,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_may_be_named_like_the_end_of_a_key() {
        let keys = Keys::new("p*");
        for name in ["x", "x_update_backup", "a_insert", "_update", "msg_", "päivä \"*?[", "p*"] {
            let room = RoomId::new(name).unwrap();
            assert_eq!(
                keys.room(keys.inserts(&room).as_bytes()),
                Some((Ok(room.clone()), Content::Inserts))
            );
            assert_eq!(
                keys.room(keys.updates(&room).as_bytes()),
                Some((Ok(room), Content::Updates))
            );
        }
        for other in [
            "p*msg_x_update_backup",
            "p*msg_x_ignore",
            "p*msg_insert",
            "msg_x_insert",
            "p*ao:seq:x",
            "pxmsg_x_insert",
        ] {
            assert_eq!(keys.room(other.as_bytes()), None, "{other}");
        }
        assert!(keys.room(b"p*msg__insert").unwrap().0.is_err());
        assert!(keys.room(b"p*msg_\xff_insert").unwrap().0.is_err());
        assert_eq!(keys.pattern(), "p\\*msg_*");
    }
}
