//! What is kept of rooms and users as records.
//!
//! A room is one record by its name: who owns it, its mode, its lists, or of long ones where their
//! parts are. It names the *life* of the room (`names`). A user is one record too. Whoever changes
//! one reads it, decides by what it says, and writes it back only if nobody did so meanwhile; else
//! the whole decision is made again. So two nodes that change one list at once both count.
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    direct::{Recipient, UserList},
    list::{List, Parts},
    rights::{RoomList, Standing},
    wire::Known,
};
use crate::domain::records::Collection;

/// Rooms, by name.
pub(super) const ROOMS: Collection =
    Collection::new("chat-service-rooms", &["ending"]).of_servers();
/// Users, by name.
pub(super) const USERS: Collection = Collection::new("chat-service-users", &[]).of_servers();
/// Parts of long lists, by the life of their room or user, and their tag.
pub(super) const PARTS: Collection = Collection::new("chat-service-parts", &["of"]).of_servers();
/// When somebody came to a room or went, by the life of the room and the user.
pub(super) const SEEN: Collection = Collection::new("chat-service-seen", &["of"]);

/// A room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoomRecord {
    /// Of this room of this name, and of no other.
    pub life: String,
    /// It grows with each change.
    pub revision: u64,
    pub owner: Option<String>,
    pub whitelist_only: bool,
    pub adminlist: List,
    pub whitelist: List,
    pub blacklist: List,
    pub history_max_size: u64,
    pub enable_access_lists_updates: bool,
    pub enable_userlist_updates: bool,
    /// It is being deleted, and there for nobody but who goes on with that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ending: bool,
}

impl RoomRecord {
    /// The list.
    pub fn list(&self, list: RoomList) -> &List {
        match list {
            RoomList::Admins => &self.adminlist,
            RoomList::White => &self.whitelist,
            RoomList::Black => &self.blacklist,
        }
    }

    /// The list, to be changed.
    pub fn list_mut(&mut self, list: RoomList) -> &mut List {
        match list {
            RoomList::Admins => &mut self.adminlist,
            RoomList::White => &mut self.whitelist,
            RoomList::Black => &mut self.blacklist,
        }
    }

    /// What the room is to a user. `read`: the parts of its lists where the user would be.
    pub fn standing(&self, user: &str, read: &RoomParts) -> Standing {
        let on = |list: RoomList| self.list(list).has(user, read.of(list));
        Standing {
            owner: self.owner.as_deref() == Some(user),
            admin: on(RoomList::Admins),
            white: on(RoomList::White),
            black: on(RoomList::Black),
        }
    }

    /// Whether the owner is among names.
    pub fn concerns_owner(&self, names: &[String]) -> bool {
        self.owner.as_ref().is_some_and(|owner| names.contains(owner))
    }

    /// What all nodes know of it.
    pub fn known(&self) -> Known {
        Known {
            revision: self.revision,
            userlist_updates: self.enable_userlist_updates,
            history_max_size: self.history_max_size,
            ending: self.ending,
        }
    }

    /// As it is kept.
    pub fn body(&self) -> Bytes {
        body(self)
    }
}

/// Parts of a room's lists that were read.
#[derive(Debug, Default)]
pub(super) struct RoomParts {
    pub admins: Parts,
    pub white: Parts,
    pub black: Parts,
}

impl RoomParts {
    /// Of this list.
    pub fn of(&self, list: RoomList) -> &Parts {
        match list {
            RoomList::Admins => &self.admins,
            RoomList::White => &self.white,
            RoomList::Black => &self.black,
        }
    }

    /// Of this list, to be added to.
    pub fn of_mut(&mut self, list: RoomList) -> &mut Parts {
        match list {
            RoomList::Admins => &mut self.admins,
            RoomList::White => &mut self.white,
            RoomList::Black => &mut self.black,
        }
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserRecord {
    /// Of this user of this name, and of no other: parts of lists are named by it.
    pub life: String,
    pub whitelist_only: bool,
    pub whitelist: List,
    pub blacklist: List,
}

impl UserRecord {
    /// One without lists.
    pub fn new(life: String) -> Self {
        UserRecord {
            life,
            whitelist_only: false,
            whitelist: List::default(),
            blacklist: List::default(),
        }
    }

    /// The list.
    pub fn list(&self, list: UserList) -> &List {
        match list {
            UserList::White => &self.whitelist,
            UserList::Black => &self.blacklist,
        }
    }

    /// The list, to be changed.
    pub fn list_mut(&mut self, list: UserList) -> &mut List {
        match list {
            UserList::White => &mut self.whitelist,
            UserList::Black => &mut self.blacklist,
        }
    }

    /// What this user, `name`, is to who sends it a direct message. Nobody is on no list.
    pub fn recipient(
        &self,
        name: &str,
        sender: Option<&str>,
        white: &Parts,
        black: &Parts,
    ) -> Recipient {
        let on = |list: &List, read| sender.is_some_and(|sender| list.has(sender, read));
        Recipient {
            is_sender: sender == Some(name),
            white: on(&self.whitelist, white),
            black: on(&self.blacklist, black),
            whitelist_only: self.whitelist_only,
        }
    }

    /// As it is kept.
    pub fn body(&self) -> Bytes {
        body(self)
    }
}

/// What became of somebody in a room at last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The life of the room.
    pub of: String,
    /// Milliseconds since 1970.
    pub at: u64,
}

impl Seen {
    /// As it is kept.
    pub fn body(&self) -> Bytes {
        body(self)
    }
}

/// The names of a part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// The life of the room or user.
    pub of: String,
    pub names: super::list::Names,
}

impl Part {
    /// As it is kept.
    pub fn body(&self) -> Bytes {
        body(self)
    }
}

/// What belongs to a life, as a record's name.
pub(super) fn within(life: &str, name: impl std::fmt::Display) -> String {
    format!("{life}/{name}")
}

fn body(record: &impl Serialize) -> Bytes {
    // These are texts, numbers and lists of such: they are always JSON.
    serde_json::to_vec(record).unwrap_or_default().into()
}

/// What `roomUserSeen` tells, JSON.
pub(super) fn seen(joined: bool, at: Option<u64>) -> String {
    let at = at.map_or_else(|| "null".to_owned(), |at| at.to_string());
    format!(r#"{{"joined":{joined},"timestamp":{at}}}"#)
}

/// What `roomNotificationsInfo` tells, JSON.
pub(super) fn notifications_info(room: &RoomRecord) -> String {
    format!(
        r#"{{"enableUserlistUpdates":{},"enableAccessListsUpdates":{}}}"#,
        room.enable_userlist_updates, room.enable_access_lists_updates
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::chat_service::list::Names;

    fn names(names: &[&str]) -> Names {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn short(of: &[&str]) -> List {
        List::Short(names(of))
    }

    fn room() -> RoomRecord {
        RoomRecord {
            life: "L1".into(),
            revision: 3,
            owner: Some("ann".into()),
            whitelist_only: true,
            adminlist: short(&["bob"]),
            whitelist: short(&["cleo"]),
            blacklist: short(&["dave", "bob"]),
            history_max_size: 5,
            enable_access_lists_updates: true,
            enable_userlist_updates: false,
            ending: false,
        }
    }

    #[test]
    fn a_room_is_kept_and_read_again() {
        let text = room().body();
        assert_eq!(serde_json::from_slice::<RoomRecord>(&text).unwrap(), room());
        assert_eq!(
            std::str::from_utf8(&text).unwrap(),
            concat!(
                r#"{"life":"L1","revision":3,"owner":"ann","whitelistOnly":true,"#,
                r#""adminlist":["bob"],"whitelist":["cleo"],"blacklist":["bob","dave"],"#,
                r#""historyMaxSize":5,"enableAccessListsUpdates":true,"#,
                r#""enableUserlistUpdates":false}"#
            )
        );
        let nobodys = RoomRecord { owner: None, ..room() };
        assert_eq!(serde_json::from_slice::<RoomRecord>(&nobodys.body()).unwrap(), nobodys);
        let ending = RoomRecord { ending: true, ..room() };
        assert_eq!(serde_json::from_slice::<RoomRecord>(&ending.body()).unwrap(), ending);
        assert!(ending.body().ends_with(br#","ending":true}"#), "it is found by that");
    }

    #[test]
    fn what_a_room_is_to_whom() {
        let read = RoomParts::default();
        for (user, owner, admin, white, black) in [
            ("ann", true, false, false, false),
            ("bob", false, true, false, true),
            ("cleo", false, false, true, false),
            ("dave", false, false, false, true),
            ("__proto__", false, false, false, false),
        ] {
            let standing = Standing { owner, admin, white, black };
            assert_eq!(room().standing(user, &read), standing, "{user}");
        }
        let given = |of: &[&str]| names(of).into_iter().collect::<Vec<_>>();
        assert!(room().concerns_owner(&given(&["x", "ann"])));
        assert!(!room().concerns_owner(&given(&["x"])));
        let nobodys = RoomRecord { owner: None, ..room() };
        assert!(!nobodys.concerns_owner(&given(&["", "null", "undefined"])));
    }

    #[test]
    fn what_a_user_is_to_whom() {
        let user = UserRecord {
            whitelist: short(&["ann"]),
            blacklist: short(&["cleo"]),
            whitelist_only: true,
            ..UserRecord::new("L".into())
        };
        let to = |sender| user.recipient("bob", sender, &Parts::new(), &Parts::new());
        for (sender, is_sender, white, black) in [
            (Some("ann"), false, true, false),
            (Some("cleo"), false, false, true),
            (Some("bob"), true, false, false),
            (None, false, false, false),
        ] {
            let expected = Recipient { is_sender, white, black, whitelist_only: true };
            assert_eq!(to(sender), expected, "{sender:?}");
        }
    }

    #[test]
    fn answers_about_rooms_are_json() {
        assert_eq!(seen(true, Some(7)), r#"{"joined":true,"timestamp":7}"#);
        assert_eq!(seen(false, None), r#"{"joined":false,"timestamp":null}"#);
        assert_eq!(
            notifications_info(&room()),
            r#"{"enableUserlistUpdates":false,"enableAccessListsUpdates":true}"#
        );
    }
}
