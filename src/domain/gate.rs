//! Who is asked before something is done: a business server, by hooks that are waited for.
//!
//! A dialect asks about each connection, join and message that the gate [`asks`](Gate::asks) for,
//! and does what the [`Answer`] says. What the server sends by itself, and what a business server
//! publishes, is never asked about.
use std::{net::IpAddr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    access::{Caps, Rights},
    ids::{RoomId, Uid},
};
use crate::live::Live;

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// May this user, whose credentials are right, have a session?
    Connect,
    /// May it enter this room?
    Join,
    /// May it send this message there?
    Message,
}

impl Question {
    /// All of them.
    pub const ALL: [Question; 3] = [Question::Connect, Question::Join, Question::Message];

    /// Its word in settings and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Question::Connect => "connect",
            Question::Join => "join",
            Question::Message => "message",
        }
    }
}

/// Whom a question is about.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user.
    pub uid: Uid,
    /// The public name of its connection.
    pub connection: Arc<str>,
    /// Where that comes from.
    pub address: IpAddr,
    /// What the business server said of the user before, JSON.
    pub meta: Option<Arc<str>>,
}

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Yes, and this is to be changed.
    Allowed(Changes),
    /// No. The connection stays, unless it was asked whether it may be there at all.
    Refused(Refusal),
    /// No, and the connection has to end.
    Disconnect {
        /// Why, for the log.
        reason: Arc<str>,
        /// Whether the client is to come back.
        reconnect: bool,
    },
    /// Nothing can be learnt, and without consent nothing is done.
    Failed,
}

/// Why a business server says no, for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A number of its own.
    pub code: i64,
    /// A text of its own.
    pub message: Arc<str>,
}

/// What an answer changes. What it says nothing of stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// What is sent instead of the message, a JSON object.
    pub message: Option<Bytes>,
    /// What the session may do from now on.
    pub caps: Option<Arc<Caps>>,
    /// When the session expires, in seconds since 1970.
    pub expire_at: Option<u64>,
    /// What is said of the user in questions from now on, JSON.
    pub meta: Option<Arc<str>>,
}

impl Changes {
    /// Whether they change what a session has.
    pub fn concern_rights(&self) -> bool {
        self.caps.is_some() || self.expire_at.is_some() || self.meta.is_some()
    }

    /// These, and behind them `later` ones, which overrule them. What is said of one message is of
    /// no other.
    #[must_use]
    pub fn and(self, later: &Changes) -> Changes {
        Changes {
            message: None,
            caps: later.caps.clone().or(self.caps),
            expire_at: later.expire_at.or(self.expire_at),
            meta: later.meta.clone().or(self.meta),
        }
    }

    /// The rights with these changes.
    #[must_use]
    pub fn applied(&self, rights: Rights) -> Rights {
        Rights {
            caps: self.caps.clone().or(rights.caps),
            expires_at: self.expire_at.or(rights.expires_at),
            meta: self.meta.clone().or(rights.meta),
            ..rights
        }
    }
}

/// Who answers. Every call returns after a bounded time.
///
/// ```
/// # use always_online::domain::{gate::{Answer, Caller, Changes, Gate, Question, Refusal}, ids::RoomId};
/// # use bytes::Bytes;
/// /// Lets nobody into one room, and is not asked of anything else.
/// struct Closed(RoomId);
///
/// #[async_trait::async_trait]
/// impl Gate for Closed {
///     fn asks(&self, question: Question, room: Option<&RoomId>) -> bool {
///         question == Question::Join && room == Some(&self.0)
///     }
///     async fn connect(&self, _: &Caller) -> Answer {
///         Answer::Allowed(Changes::default())
///     }
///     async fn join(&self, _: &Caller, _: &RoomId, _: bool) -> Answer {
///         Answer::Refused(Refusal { code: 1, message: "closed".into() })
///     }
///     async fn message(&self, _: &Caller, _: &RoomId, _: Bytes) -> Answer {
///         Answer::Allowed(Changes::default())
///     }
/// }
/// ```
#[async_trait]
pub trait Gate: Send + Sync {
    /// Whether it wants to be asked this, of this room where the question is about one. Costs
    /// nearly nothing.
    fn asks(&self, question: Question, room: Option<&RoomId>) -> bool;

    /// Whether this user may have a session.
    async fn connect(&self, caller: &Caller) -> Answer;

    /// Whether it may enter the room, unseen and silent where `dummy`.
    async fn join(&self, caller: &Caller, room: &RoomId, dummy: bool) -> Answer;

    /// Whether it may send this there, a complete message: a JSON object.
    async fn message(&self, caller: &Caller, room: &RoomId, message: Bytes) -> Answer;
}

/// Who is asked, if anybody is; it may be replaced while the server runs.
pub type LiveGate = Arc<Live<Option<Arc<dyn Gate>>>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_says_nothing_of_stays() {
        let before = Rights {
            expires_at: Some(100),
            issued_at: Some(1),
            jti: Some("a".into()),
            meta: Some("1".into()),
            ..Rights::default()
        };
        assert_eq!(Changes::default().applied(before.clone()), before);
        assert!(!Changes::default().concern_rights());
        let changes = Changes { expire_at: Some(50), meta: Some("2".into()), ..Changes::default() };
        let after = changes.applied(before.clone());
        assert_eq!(after, Rights { expires_at: Some(50), meta: Some("2".into()), ..before });
        assert!(changes.concern_rights());
        let later = Changes { meta: Some("3".into()), ..Changes::default() };
        assert_eq!(changes.and(&later), Changes { expire_at: Some(50), ..later });
    }
}
