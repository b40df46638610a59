//! What is kept of users, topics, subscriptions and files as records.
//!
//! All are JSON objects. What is absent has its default, and neither `false` nor 0 is written: a
//! field that is an index is there only where something is to be found by it.
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    ids::{Key, UserId},
    message::{Raw, Ts},
    mode::{Defacs, Level, Mode},
    refusal::Done,
};
use crate::domain::{ids::RoomId, password::Hash, records::Collection};

mod dels;
mod sub;

pub(super) use self::{dels::Dels, sub::SubRecord};

/// Users, by id.
pub(super) const USERS: Collection =
    Collection::new("tinode-users", &["tags", "state"]).of_servers();
/// By what users sign in: `basic:LOGIN`, `jwt:SUB`; and whose address that is, `email:ADDRESS`.
pub(super) const LOGINS: Collection = Collection::new("tinode-logins", &["user"]);
/// Topics, by key.
pub(super) const TOPICS: Collection =
    Collection::new("tinode-topics", &["tags", "owner", "ending"]).of_servers();
/// Subscriptions, by key and user. `live` finds a topic's members, and `reads` the readers of a
/// channel, of whom there may be many more: neither finds who has left.
pub(super) const SUBS: Collection =
    Collection::new("tinode-subs", &["user", "live", "reads", "topic"]).of_servers();
/// What was deleted of a topic's life: `LIFE/-` for all, `LIFE/usr…` for one.
pub(super) const DELS: Collection = Collection::new("tinode-dels", &["of", "dirty"]).of_servers();
/// When users were there at last, by id.
pub(super) const SEEN: Collection = Collection::new("tinode-seen", &[]);
/// Codes that were sent, by user and method.
pub(super) const CODES: Collection = Collection::new("tinode-codes", &[]);
/// Files, by name.
pub(super) const FILES: Collection = Collection::new("tinode-files", &["user", "free"]);
/// What refers to files, by file and place.
pub(super) const REFS: Collection = Collection::new("tinode-refs", &["file", "by"]);
/// What users have uploaded, by id.
pub(super) const USAGE: Collection = Collection::new("tinode-usage", &[]);
/// API keys that were made here, by app and number.
pub(super) const KEYS: Collection = Collection::new("tinode-keys", &[]);
/// What all nodes share, where it is not configured.
pub(super) const SECRETS: Collection = Collection::new("tinode-secrets", &[]);

/// Devices that a user may have; the one that was there first gives way.
pub(super) const DEVICES: usize = 16;

fn body(record: &impl Serialize) -> Bytes {
    // Texts, numbers, JSON, and lists of such: always JSON.
    serde_json::to_vec(record).unwrap_or_default().into()
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What can be kept.
pub(super) trait Body {
    /// As it is kept.
    fn body(&self) -> Bytes;
}

macro_rules! bodies {
    ($($record:ty),+) => {
        $(impl $record {
            /// As it is kept.
            pub fn body(&self) -> Bytes {
                body(self)
            }
        }

        impl Body for $record {
            fn body(&self) -> Bytes {
                body(self)
            }
        })+
    };
}

bodies!(
    User,
    LoginRecord,
    TopicRecord,
    SubRecord,
    Dels,
    SeenRecord,
    CodeRecord,
    FileRecord,
    RefRecord,
    Usage,
    KeyRecord,
    SecretRecord
);

/// A user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct User {
    pub id: UserId,
    #[serde(default, skip_serializing_if = "UserState::is_ok")]
    pub state: UserState,
    pub level: Level,
    pub created: Ts,
    pub updated: Ts,
    pub defacs: Defacs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<Raw>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<Raw>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Raw>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub creds: Vec<CredRecord>,
    /// What it wants of `me`.
    pub me_want: Mode,
    /// Tokens of an earlier one count no more.
    #[serde(default)]
    pub generation: u16,
    /// The latest is the last one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
}

impl User {
    /// A new one, of whom nothing is known yet.
    pub fn new(id: UserId, level: Level, now: Ts) -> Self {
        User {
            id,
            state: UserState::Ok,
            level,
            created: now,
            updated: now,
            defacs: Defacs { auth: Mode::USER, anon: Mode::NONE },
            public: None,
            trusted: None,
            private: None,
            tags: Vec::new(),
            login: None,
            creds: Vec::new(),
            me_want: Mode::ME,
            generation: 0,
            devices: Vec::new(),
        }
    }

    /// Whether the user has shown that this is its own: `email`, and the address.
    pub fn has_shown(&self, meth: &str, val: &str) -> bool {
        self.creds.iter().any(|cred| cred.done && cred.meth == meth && cred.val == val)
    }

    /// Whether it is being deleted: for others it is gone already.
    pub fn is_ending(&self) -> bool {
        match self.state {
            UserState::Ok | UserState::Suspended => false,
            UserState::Ending => true,
        }
    }
}

/// What became of a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum UserState {
    #[default]
    Ok,
    /// It can't sign in.
    Suspended,
    /// It is being deleted.
    Ending,
}

impl UserState {
    fn is_ok(&self) -> bool {
        *self == UserState::Ok
    }
}

/// What a user is reached by besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CredRecord {
    pub meth: String,
    pub val: String,
    /// It was shown that it is the user's own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

/// What is pushed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Device {
    pub dev: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub platf: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lang: String,
    pub at: Ts,
}

/// By what a user signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LoginRecord {
    pub user: UserId,
    /// Of a password, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Hash>,
}

/// A topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TopicRecord {
    pub key: Key,
    /// Of this topic of this key, and of no other.
    pub life: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub channel: bool,
    pub created: Ts,
    pub updated: Ts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    pub defacs: Defacs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<Raw>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<Raw>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aux: BTreeMap<String, Raw>,
    /// The number of the last deletion, soft or hard.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub del: u64,
    /// That of the last hard one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hard: u64,
    /// Of a channel, about.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub readers: u64,
    /// It is being deleted, and there for nobody but who goes on with that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ending: bool,
}

impl TopicRecord {
    /// One of which nothing is known yet, made at this time: nobody is given anything.
    pub fn new(key: Key, life: String, now: Ts) -> Self {
        TopicRecord {
            key,
            life,
            channel: false,
            created: now,
            updated: now,
            owner: None,
            defacs: Defacs { auth: Mode::NONE, anon: Mode::NONE },
            public: None,
            trusted: None,
            tags: Vec::new(),
            aux: BTreeMap::new(),
            del: 0,
            hard: 0,
            readers: 0,
            ending: false,
        }
    }

    /// Where its messages are.
    ///
    /// # Errors
    /// The record is not as we write it.
    pub fn room(&self) -> Done<RoomId> {
        Ok(self.key.room(&self.life)?)
    }
}

/// When a user was there at last, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenRecord {
    pub when: Ts,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ua: String,
}

/// A code that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CodeRecord {
    /// Where it was sent.
    pub val: String,
    /// SHA-256 of it, in hexadecimal digits.
    pub digest: String,
    /// How often another one was shown instead.
    #[serde(default)]
    pub tries: u32,
    /// How often one was sent.
    #[serde(default)]
    pub sent: u32,
}

/// A file that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileRecord {
    pub user: UserId,
    /// Bytes.
    pub size: u64,
    pub mime: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub at: Ts,
    /// Nothing refers to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub free: bool,
}

/// Something refers to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RefRecord {
    pub file: String,
    pub by: String,
}

/// What a user has uploaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Usage {
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub files: u64,
}

/// An API key that was made here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    pub app: u32,
    pub seq: u16,
    /// When; 0 of the one that was made with the salt.
    pub at: Ts,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
}

impl KeyRecord {
    /// Its name among records.
    pub fn id(app: u32, seq: u16) -> String {
        format!("{app}-{seq}")
    }
}

/// Something secret that all nodes share.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SecretRecord {
    /// Base64.
    pub value: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::records::Draft;

    fn user(number: u64) -> UserId {
        UserId::of_number(number).unwrap()
    }

    fn keys(of: &Collection, body: Bytes) -> Vec<String> {
        let draft = Draft::new(of, "x", body).unwrap();
        draft.keys.iter().map(|(index, value)| format!("{index}={value}")).collect()
    }

    fn raw(json: &str) -> Raw {
        serde_json::value::RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn a_user_comes_back_as_it_was_and_is_found_by_its_tags() {
        let mut ann = User::new(user(1), Level::Auth, Ts(5));
        assert_eq!(keys(&USERS, ann.body()), [""; 0]);
        ann.state = UserState::Ending;
        ann.tags = vec!["rose club".into(), "basic:ann".into()];
        ann.public = Some(raw(r#"{"fn":"Ann"}"#));
        ann.creds = vec![CredRecord { meth: "email".into(), val: "a@b".into(), done: true }];
        let found = keys(&USERS, ann.body());
        assert_eq!(found, ["state=ending", "tags=basic:ann", "tags=rose club"]);
        let again: User = serde_json::from_slice(&ann.body()).unwrap();
        assert_eq!(again.body(), ann.body());
        assert!(again.has_shown("email", "a@b") && !again.has_shown("email", "a"));
        assert!(again.is_ending());
    }

    #[test]
    fn members_and_readers_are_found_apart_and_who_left_by_neither() {
        let key = Key::Own(user(2));
        let row = SubRecord {
            topic: key,
            user: user(2),
            live: Some(key),
            want: Mode::USER,
            given: Mode::GROUP,
            created: Ts(1),
            updated: Ts(2),
            deleted: false,
            reader: false,
            private: Some(raw("[1, 2]")),
            del: 0,
            read: 7,
            recv: 0,
        };
        let (topic, own) = (format!("topic={}", key.id()), format!("user={}", user(2)));
        for (reader, live, index) in [
            (false, Some(key), Some("live")),
            (true, Some(key), Some("reads")),
            (false, None, None),
            (true, None, None),
        ] {
            let row = SubRecord { reader, live, deleted: live.is_none(), ..row.clone() };
            let mut expected = vec![topic.clone(), own.clone()];
            expected.extend(index.map(|index| format!("{index}={}", key.id())));
            expected.sort();
            assert_eq!(keys(&SUBS, row.body()), expected);
            let again: SubRecord = serde_json::from_slice(&row.body()).unwrap();
            assert_eq!((again.body(), again.live), (row.body(), live));
        }
    }

    #[test]
    fn what_is_not_so_is_no_index() {
        let file = FileRecord {
            user: user(1),
            size: 3,
            mime: "a/b".into(),
            name: String::new(),
            at: Ts(1),
            free: false,
        };
        assert_eq!(keys(&FILES, file.body()).len(), 1);
        let free = FileRecord { free: true, ..file };
        assert!(keys(&FILES, free.body()).contains(&"free=true".to_owned()));
        let dels = Dels { of: "L".into(), ..Dels::default() };
        assert_eq!(keys(&DELS, dels.body()), ["of=L"]);
    }
}
