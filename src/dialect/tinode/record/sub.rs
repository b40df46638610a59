//! The record of a subscription.
use serde::{Deserialize, Serialize};

use super::is_zero;
use crate::dialect::tinode::{
    ids::{Key, UserId},
    message::{Raw, Ts},
    mode::{Acs, Mode},
};

/// What a user is in a topic, or was.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "KeptSub", into = "KeptSub")]
pub(in crate::dialect::tinode) struct SubRecord {
    pub topic: Key,
    pub user: UserId,
    /// The topic, unless the user has left it, or was removed.
    pub live: Option<Key>,
    pub want: Mode,
    pub given: Mode,
    pub created: Ts,
    pub updated: Ts,
    pub deleted: bool,
    /// It reads a channel, and is no member.
    pub reader: bool,
    pub private: Option<Raw>,
    /// The number of the user's last soft deletion.
    pub del: u64,
    /// Marks, of readers alone: those of members are in the topic's room.
    pub read: u64,
    pub recv: u64,
}

impl SubRecord {
    /// What the user wants and is given.
    pub fn acs(&self) -> Acs {
        Acs { want: self.want, given: self.given }
    }
}

/// A [`SubRecord`] as it is kept: members and readers of a channel are found apart.
#[derive(Serialize, Deserialize)]
struct KeptSub {
    topic: Key,
    user: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    live: Option<Key>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reads: Option<Key>,
    want: Mode,
    given: Mode,
    created: Ts,
    updated: Ts,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    reader: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private: Option<Raw>,
    #[serde(default, skip_serializing_if = "is_zero")]
    del: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    read: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    recv: u64,
}

impl From<SubRecord> for KeptSub {
    fn from(row: SubRecord) -> Self {
        let (live, reads) = if row.reader { (None, row.live) } else { (row.live, None) };
        KeptSub {
            topic: row.topic,
            user: row.user,
            live,
            reads,
            want: row.want,
            given: row.given,
            created: row.created,
            updated: row.updated,
            deleted: row.deleted,
            reader: row.reader,
            private: row.private,
            del: row.del,
            read: row.read,
            recv: row.recv,
        }
    }
}

impl From<KeptSub> for SubRecord {
    fn from(kept: KeptSub) -> Self {
        SubRecord {
            topic: kept.topic,
            user: kept.user,
            live: kept.live.or(kept.reads),
            want: kept.want,
            given: kept.given,
            created: kept.created,
            updated: kept.updated,
            deleted: kept.deleted,
            reader: kept.reader,
            private: kept.private,
            del: kept.del,
            read: kept.read,
            recv: kept.recv,
        }
    }
}
