//! What clients ask for, read from JSON. gRPC's requests become the same.
//!
//! ```text
//! {"pub":{"id":"3","topic":"usrAQAAAAAAAAA","content":"hello"},"extra":{"attachments":["/v0/"]}}
//! ```
use std::{borrow::Cow, ops::BitOr};

use serde_json::value::RawValue;

use super::message::Ts;

mod read;
pub(super) use read::parse;

/// It is no request: no JSON, without a verb that is known, or with a field of another type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no request")]
pub(super) struct Malformed;

/// A request. What is missing is empty, zero or false.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    /// What the answer is to have again.
    pub id: Cow<'a, str>,
    pub verb: Verb<'a>,
    /// URLs of files that belong to it.
    pub attachments: Vec<Cow<'a, str>>,
}

/// What is asked for.
#[expect(clippy::large_enum_variant, reason = "it is on the stack of whoever reads it, once")]
#[derive(Clone, Debug)]
pub(super) enum Verb<'a> {
    Hi(Hi<'a>),
    Acc(Acc<'a>),
    Login(Login<'a>),
    Sub(Sub<'a>),
    Leave {
        topic: Cow<'a, str>,
        /// The subscription is to end too.
        unsub: bool,
    },
    Pub(Pub<'a>),
    Get {
        topic: Cow<'a, str>,
        query: Query<'a>,
    },
    Set {
        topic: Cow<'a, str>,
        set: Change<'a>,
    },
    Del(Del<'a>),
    Note(Note<'a>),
}

impl Verb<'_> {
    /// The topic that it is about, as the client calls it.
    pub fn topic(&self) -> Option<&str> {
        match self {
            Verb::Hi(_) | Verb::Acc(_) | Verb::Login(_) => None,
            Verb::Sub(Sub { topic, .. })
            | Verb::Leave { topic, .. }
            | Verb::Pub(Pub { topic, .. })
            | Verb::Get { topic, .. }
            | Verb::Set { topic, .. }
            | Verb::Del(Del { topic, .. })
            | Verb::Note(Note { topic, .. }) => Some(topic),
        }
    }
}

/// The first that a client says.
#[derive(Clone, Default, Debug)]
pub(super) struct Hi<'a> {
    /// Of the protocol.
    pub ver: Cow<'a, str>,
    /// What the client is.
    pub ua: Cow<'a, str>,
    pub lang: Cow<'a, str>,
    pub platf: Cow<'a, str>,
    /// By which push services reach the device.
    pub dev: Cow<'a, str>,
    /// Nobody looks at the client.
    pub background: bool,
}

/// An account is to be made or changed.
#[derive(Clone, Default, Debug)]
pub(super) struct Acc<'a> {
    /// Whose; `new…`: a new one; empty: one's own.
    pub user: Cow<'a, str>,
    pub scheme: Cow<'a, str>,
    pub secret: Vec<u8>,
    /// The session is to be signed in.
    pub login: bool,
    pub tags: Option<Vec<Cow<'a, str>>>,
    pub desc: ChangeDesc<'a>,
    pub creds: Vec<Cred<'a>>,
    /// That a credential is to be confirmed with.
    pub token: Vec<u8>,
    pub state: Cow<'a, str>,
}

/// A session is to be signed in.
#[derive(Clone, Default, Debug)]
pub(super) struct Login<'a> {
    pub scheme: Cow<'a, str>,
    pub secret: Vec<u8>,
    pub creds: Vec<Cred<'a>>,
}

/// A credential.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Cred<'a> {
    /// `email`.
    pub method: Cow<'a, str>,
    pub value: Cow<'a, str>,
    /// The code that confirms it.
    pub response: Cow<'a, str>,
}

/// A session is to be attached, and subscribed before where it is not.
#[derive(Clone, Default, Debug)]
pub(super) struct Sub<'a> {
    pub topic: Cow<'a, str>,
    pub get: Option<Query<'a>>,
    pub set: Change<'a>,
}

/// A message.
#[derive(Clone, Default, Debug)]
pub(super) struct Pub<'a> {
    pub topic: Cow<'a, str>,
    /// The session itself is not told.
    pub noecho: bool,
    /// An object that is not empty.
    pub head: Option<&'a RawValue>,
    /// Nothing where it is null.
    pub content: Option<&'a RawValue>,
}

/// What of a topic is asked for.
#[derive(Clone, Default, Debug)]
pub(super) struct Query<'a> {
    pub what: What,
    pub desc: Options<'a>,
    pub sub: Options<'a>,
    pub data: Options<'a>,
    pub del: Options<'a>,
}

/// Parts of what is known of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct What(u8);

impl What {
    pub const DESC: What = What(1);
    pub const SUB: What = What(2);
    pub const TAGS: What = What(4);
    pub const CRED: What = What(8);
    pub const AUX: What = What(16);
    pub const DATA: What = What(32);
    pub const DEL: What = What(64);

    /// From words with spaces between them. Others than those that are known are ignored.
    pub fn parse(text: &str) -> Self {
        let of = |word: &str| match word {
            "desc" => What::DESC,
            "sub" => What::SUB,
            "tags" => What::TAGS,
            "cred" => What::CRED,
            "aux" => What::AUX,
            "data" => What::DATA,
            "del" => What::DEL,
            _ => What::default(),
        };
        text.split_ascii_whitespace().map(of).fold(What::default(), BitOr::bitor)
    }

    /// Whether all of these are asked for.
    pub fn has(self, o: What) -> bool {
        self.0 & o.0 == o.0
    }

    /// Whether nothing is asked for.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for What {
    type Output = What;

    fn bitor(self, o: What) -> What {
        What(self.0 | o.0)
    }
}

/// Which of a part is asked for. Numbers may be anything that a client can write.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Options<'a> {
    /// What has changed since then.
    pub ims: Option<Ts>,
    pub user: Cow<'a, str>,
    pub topic: Cow<'a, str>,
    /// From this on,
    pub since: i64,
    /// and before that.
    pub before: i64,
    pub limit: i64,
    pub ranges: Vec<Given>,
}

/// Messages from `low` on, before `hi`, as a client writes it: perhaps none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Given {
    pub low: i64,
    /// Zero: one message is meant.
    pub hi: i64,
}

/// What of a topic is to be changed.
#[derive(Clone, Default, Debug)]
pub(super) struct Change<'a> {
    pub desc: ChangeDesc<'a>,
    pub sub: Option<ChangeSub<'a>>,
    pub tags: Option<Vec<Cow<'a, str>>>,
    pub cred: Option<Cred<'a>>,
    /// An object that is not empty.
    pub aux: Option<&'a RawValue>,
}

/// What of a description is to be changed.
#[derive(Clone, Default, Debug)]
pub(super) struct ChangeDesc<'a> {
    pub public: Option<&'a RawValue>,
    pub private: Option<&'a RawValue>,
    pub trusted: Option<&'a RawValue>,
    /// What those are given who have signed in; empty: unchanged.
    pub auth: Cow<'a, str>,
    /// What the others are given; empty: unchanged.
    pub anon: Cow<'a, str>,
}

/// A subscription's mode is to be changed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct ChangeSub<'a> {
    /// Whose; empty: one's own.
    pub user: Cow<'a, str>,
    pub mode: Cow<'a, str>,
}

/// Something is to be deleted.
#[derive(Clone, Default, Debug)]
pub(super) struct Del<'a> {
    pub topic: Cow<'a, str>,
    pub what: Deleting,
    /// The messages.
    pub ranges: Vec<Given>,
    /// Whose subscription, or account.
    pub user: Cow<'a, str>,
    pub cred: Option<Cred<'a>>,
    /// For everybody.
    pub hard: bool,
}

/// What is to be deleted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Deleting {
    Msg,
    Topic,
    Sub,
    User,
    Cred,
    /// Nothing that there is.
    #[default]
    Unknown,
}

/// A client has read something, or its user types.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Note<'a> {
    pub topic: Cow<'a, str>,
    pub what: Cow<'a, str>,
    pub seq: i64,
}

#[cfg(test)]
mod tests;
