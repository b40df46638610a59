//! What is said to clients, before it is written as JSON or for gRPC.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    ids::UserId,
    mode::{Acs, Dacs, Defacs, Mode},
};

mod time;
pub(super) use time::Ts;

/// JSON that is kept as it came.
pub(super) type Raw = Box<RawValue>;

/// How a request ended, or what happened to a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Code {
    Ok,
    Created,
    Accepted,
    NoContent,
    /// The session is out of the topic, or out at all.
    Evicted,
    /// All that was asked for was sent.
    Delivered,
    /// A credential has to be confirmed.
    Validate,
    AlreadySubscribed,
    NotJoined,
    NotModified,
    NoAction,
    Malformed,
    AuthRequired,
    AuthFailed,
    UnknownScheme,
    Denied,
    /// No valid API key.
    BadKey,
    /// No such session of long polling.
    BadSession,
    TopicNotFound,
    UserNotFound,
    NotFound,
    NotAllowed,
    /// Nothing was said before that has to be.
    OutOfSequence,
    MustAttach,
    AlreadyAuthenticated,
    DuplicateCredential,
    /// Something else was published with this key.
    KeyUsed,
    TooLarge,
    UnsupportedMedia,
    Policy,
    Internal,
    Unavailable,
}

impl Code {
    /// Its number.
    pub fn number(self) -> u16 {
        match self {
            Code::Ok => 200,
            Code::Created => 201,
            Code::Accepted => 202,
            Code::NoContent => 204,
            Code::Evicted => 205,
            Code::Delivered => 208,
            Code::Validate => 300,
            Code::AlreadySubscribed | Code::NotJoined | Code::NotModified | Code::NoAction => 304,
            Code::Malformed => 400,
            Code::AuthRequired | Code::AuthFailed | Code::UnknownScheme => 401,
            Code::Denied | Code::BadKey | Code::BadSession => 403,
            Code::TopicNotFound | Code::UserNotFound | Code::NotFound => 404,
            Code::NotAllowed => 405,
            Code::OutOfSequence
            | Code::MustAttach
            | Code::AlreadyAuthenticated
            | Code::DuplicateCredential
            | Code::KeyUsed => 409,
            Code::TooLarge => 413,
            Code::UnsupportedMedia => 415,
            Code::Policy => 422,
            Code::Internal => 500,
            Code::Unavailable => 503,
        }
    }

    /// The words that stand with it. Clients show them, and some compare them.
    pub fn text(self) -> &'static str {
        match self {
            Code::Ok => "ok",
            Code::Created => "created",
            Code::Accepted => "accepted",
            Code::NoContent => "no content",
            Code::Evicted => "evicted",
            Code::Delivered => "delivered",
            Code::Validate => "validate credentials",
            Code::AlreadySubscribed => "already subscribed",
            Code::NotJoined => "not joined",
            Code::NotModified => "not modified",
            Code::NoAction => "no action",
            Code::Malformed => "malformed",
            Code::AuthRequired => "authentication required",
            Code::AuthFailed => "authentication failed",
            Code::UnknownScheme => "unknown authentication scheme",
            Code::Denied => "permission denied",
            Code::BadKey => "valid API key required",
            Code::BadSession => "invalid or expired session",
            Code::TopicNotFound => "topic not found",
            Code::UserNotFound => "user not found",
            Code::NotFound => "not found",
            Code::NotAllowed => "operation or method not allowed",
            Code::OutOfSequence => "command out of sequence",
            Code::MustAttach => "must attach first",
            Code::AlreadyAuthenticated => "already authenticated",
            Code::DuplicateCredential => "duplicate credential",
            Code::KeyUsed => "key was used",
            Code::TooLarge => "too large",
            Code::UnsupportedMedia => "unsupported media type",
            Code::Policy => "policy violation",
            Code::Internal => "internal error",
            Code::Unavailable => "service unavailable",
        }
    }
}

/// What belongs to a [`Code`]: names, each with JSON.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Params(Vec<(&'static str, String)>);

impl Params {
    /// With this text.
    #[must_use]
    pub fn text(self, n: &'static str, v: &str) -> Self {
        self.json(n, serde_json::Value::from(v).to_string())
    }

    /// With this number.
    #[must_use]
    pub fn number(self, n: &'static str, v: u64) -> Self {
        self.json(n, v.to_string())
    }

    /// With yes or no.
    #[must_use]
    pub fn flag(self, n: &'static str, v: bool) -> Self {
        self.json(n, v.to_string())
    }

    /// With this JSON.
    #[must_use]
    pub fn json(mut self, n: &'static str, v: String) -> Self {
        self.0.push((n, v));
        self
    }

    /// With the modes of a subscription.
    #[must_use]
    pub fn acs(self, acs: Acs) -> Self {
        let Acs { want, given } = acs;
        let mode = acs.mode();
        self.json("acs", format!(r#"{{"want":"{want}","given":"{given}","mode":"{mode}"}}"#))
    }

    /// What of several things it is about.
    pub fn what(w: &str) -> Self {
        Params::default().text("what", w)
    }

    /// Each name with its JSON.
    pub fn iter(&self) -> std::slice::Iter<'_, (&'static str, String)> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Messages from `low` on, before `hi`, by seq. As a record has it: `[low, hi]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub(super) struct Range {
    /// The first.
    pub low: u64,
    /// The one behind the last: greater than `low`.
    pub hi: u64,
}

impl From<(u64, u64)> for Range {
    fn from((low, hi): (u64, u64)) -> Self {
        Range { low, hi }
    }
}

impl From<Range> for (u64, u64) {
    fn from(Range { low, hi }: Range) -> Self {
        (low, hi)
    }
}

/// An answer, or what happened to the session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ctrl<'a> {
    /// Of the request; empty: it answers none.
    pub id: &'a str,
    /// As the client calls it; empty: it is about none.
    pub topic: &'a str,
    pub code: Code,
    pub params: Params,
}

/// A part of what is known of a topic.
#[derive(Clone, Debug)]
pub(super) struct Meta<'a> {
    /// Of the request.
    pub id: &'a str,
    /// As the client calls it.
    pub topic: &'a str,
    pub part: Part<'a>,
}

/// Which part.
#[derive(Clone, Debug)]
pub(super) enum Part<'a> {
    Desc(&'a Desc),
    /// Subscriptions: of `me` its topics, of a topic its users, of `fnd` what was found.
    Sub(&'a [Row]),
    Tags(&'a [String]),
    Cred(&'a [CredShown]),
    Aux(&'a BTreeMap<String, Raw>),
    /// Deleted messages, and the number of the last deletion among them.
    Del {
        clear: u64,
        ranges: &'a [Range],
    },
}

/// A topic's description. What is nothing, zero, false or empty is not told.
#[derive(Clone, Default, Debug)]
pub(super) struct Desc {
    pub created: Option<Ts>,
    pub updated: Option<Ts>,
    /// When the last message came.
    pub touched: Option<Ts>,
    pub online: bool,
    pub defacs: Option<Defacs>,
    pub acs: Option<ShownAcs>,
    pub seq: u64,
    pub read: u64,
    pub recv: u64,
    /// The number of the last deletion.
    pub clear: u64,
    pub subcnt: u64,
    pub public: Option<Raw>,
    pub private: Option<Raw>,
    pub trusted: Option<Raw>,
    pub chan: bool,
    pub seen: Option<Seen>,
}

/// A subscription. What is nothing, zero, false or empty is not told.
#[derive(Clone, Default, Debug)]
pub(super) struct Row {
    pub topic: Option<String>,
    pub user: Option<UserId>,
    pub updated: Option<Ts>,
    pub touched: Option<Ts>,
    pub online: bool,
    pub acs: Option<ShownAcs>,
    pub seq: u64,
    pub read: u64,
    pub recv: u64,
    pub clear: u64,
    pub subcnt: u64,
    pub public: Option<Raw>,
    pub private: Option<Raw>,
    pub trusted: Option<Raw>,
    pub seen: Option<Seen>,
}

/// How modes are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ShownAcs {
    /// Wanted, given, and in effect.
    All(Acs),
    /// In effect alone: to those who are not subscribed.
    Mode(Mode),
}

/// When a user was there last, and with what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub when: Ts,
    pub ua: String,
}

/// A credential of one's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CredShown {
    pub method: String,
    pub value: String,
    pub done: bool,
}

/// A message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data<'a> {
    pub topic: &'a str,
    /// Nothing to a channel's readers.
    pub from: Option<UserId>,
    pub ts: Ts,
    pub seq: u64,
    pub head: Option<&'a RawValue>,
    pub content: &'a RawValue,
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pres<'a> {
    /// Whose sessions are told.
    pub topic: &'a str,
    /// What it happened to.
    pub src: &'a str,
    pub what: Happened,
    pub seq: u64,
    pub clear: u64,
    pub ranges: &'a [Range],
    pub ua: &'a str,
    /// Who did it.
    pub act: Option<UserId>,
    pub dacs: Option<&'a Dacs>,
}

impl<'a> Pres<'a> {
    /// Of which there is no more to say.
    pub fn new(topic: &'a str, src: &'a str, what: Happened) -> Self {
        Pres { topic, src, what, seq: 0, clear: 0, ranges: &[], ua: "", act: None, dacs: None }
    }
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Happened {
    On,
    Off,
    Upd,
    Gone,
    Acs,
    Msg,
    Del,
}

impl Happened {
    /// As clients read it.
    pub fn word(self) -> &'static str {
        match self {
            Happened::On => "on",
            Happened::Off => "off",
            Happened::Upd => "upd",
            Happened::Gone => "gone",
            Happened::Acs => "acs",
            Happened::Msg => "msg",
            Happened::Del => "del",
        }
    }
}

/// What a client notes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Noted {
    /// All up to a message was read.
    Read,
    /// All up to a message has arrived.
    Recv,
    /// Somebody writes,
    Kp,
    /// or records sound,
    Kpa,
    /// or pictures.
    Kpv,
}

impl Noted {
    /// All of them.
    pub const ALL: [Noted; 5] = [Noted::Read, Noted::Recv, Noted::Kp, Noted::Kpa, Noted::Kpv];

    /// As clients read and write it.
    pub fn word(self) -> &'static str {
        match self {
            Noted::Read => "read",
            Noted::Recv => "recv",
            Noted::Kp => "kp",
            Noted::Kpa => "kpa",
            Noted::Kpv => "kpv",
        }
    }

    /// From [`Noted::word`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|noted| noted.word() == word)
    }
}

/// What somebody noted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Info<'a> {
    /// Whose sessions are told.
    pub topic: &'a str,
    /// Where it was noted; empty: in `topic`.
    pub src: &'a str,
    pub from: UserId,
    pub what: Noted,
    /// Zero: it is about no message.
    pub seq: u64,
}

/// Whatever is said to a client.
#[derive(Clone, Debug)]
pub(super) enum Message<'a> {
    Ctrl(Ctrl<'a>),
    Meta(Meta<'a>),
    Data(Data<'a>),
    Pres(Pres<'a>),
    Info(Info<'a>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_are_json() {
        let acs = Acs { want: Mode::P2P, given: Mode::USER };
        let params = Params::what("a\"b").number("seq", 7).flag("unsub", false).acs(acs);
        let params: Vec<_> = params.iter().map(|(name, json)| (*name, json.as_str())).collect();
        assert_eq!(
            params,
            [
                ("what", r#""a\"b""#),
                ("seq", "7"),
                ("unsub", "false"),
                ("acs", r#"{"want":"JRWPAD","given":"JRWPASD","mode":"JRWPAD"}"#),
            ]
        );
        assert!(Params::default().is_empty());
    }

    #[test]
    fn ranges_are_pairs_in_records() {
        let ranges = [Range { low: 2, hi: 3 }, Range { low: 4, hi: 6 }];
        let json = serde_json::to_string(&ranges).unwrap();
        assert_eq!(json, "[[2,3],[4,6]]");
        assert_eq!(serde_json::from_str::<Vec<Range>>(&json).unwrap(), ranges);
    }

    #[test]
    fn notes_have_words() {
        for noted in Noted::ALL {
            assert_eq!(Noted::parse(noted.word()), Some(noted));
            assert_eq!(serde_json::to_string(&noted).unwrap(), format!("\"{}\"", noted.word()));
        }
        for none in ["", "Read", "call", "data", "nosuch"] {
            assert_eq!(Noted::parse(none), None);
        }
    }
}
