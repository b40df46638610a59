//! A user's inbox: a room, whose one member is the user's socket, wherever that is. What is said
//! there reaches it, and a chat message waits in the room's log until it is known to have arrived.
//!
//! [`waiting`] makes of the log what a client is sent when it comes. [`delivery`] decides what is
//! sent when, and what may be erased.
use std::sync::Arc;

use bytes::Bytes;

use super::{Wechat, frames};
use crate::domain::{
    broker::{Audience, Entry, PageLimit},
    error::StoreError,
    hub::Hub,
    ids::{BadName, RoomId, Space},
    message::{Kind, Message},
};

pub(super) mod delivery;
pub(super) mod waiting;

/// The inboxes of this dialect, by phone.
pub(super) const SPACE: Space = Space::Inboxes("wechat");

/// Messages that may wait in an inbox. Chat messages beyond that are dropped and counted. Whoever
/// has so many has not come for very long.
const MOST: u64 = 50_000;

/// What is said in an inbox when its user's contacts have changed. It is for the server alone.
const CONTACTS: Bytes = Bytes::from_static(b"\"contacts\"");

/// The inbox of this phone.
///
/// # Errors
/// Nobody can have such a phone.
pub(super) fn room(phone: &str) -> Result<RoomId, BadName> {
    RoomId::within(SPACE, phone)
}

/// A frame as it is said in an inbox. Of one that is kept, `key` tells it from others, if it has
/// one. Signalling goes on while the store is out, among users of this node.
pub(super) fn entry(kind: frames::Kind, body: Bytes, key: Option<Arc<str>>) -> Entry {
    let (kind, may_pass) = match kind {
        frames::Kind::Message => (Kind::Insert, false),
        frames::Kind::Signal => (Kind::Ignore, true),
    };
    Entry::Message {
        from: None,
        audience: Audience::All,
        message: Message { kind, body, key, may_pass },
        receipt: None,
    }
}

/// Whether so many messages wait in an inbox that no more can. None of them is read.
///
/// # Errors
/// Those of the store.
pub(super) async fn is_full(hub: &Hub, inbox: &RoomId) -> Result<bool, StoreError> {
    let one = PageLimit { entries: 1, bytes: 0 };
    let page = hub.page(inbox, u64::MAX, one).await?;
    Ok(page.log_length > MOST)
}

/// The contacts of this phone have changed: its socket, if it has one, wherever that is, forgets
/// what it knows of them, and tells its client. This is lost while the store is out.
pub(super) async fn contacts_changed(wechat: &Wechat, phone: &str) {
    if let Ok(room) = room(phone) {
        wechat.hub.announce(&room, Entry::System { content: CONTACTS });
    }
}
