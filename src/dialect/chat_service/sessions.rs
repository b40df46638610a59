//! The sockets of this node, by their ids: for what the server API, or another node, asks of one.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use super::{chat::Seat, login::Handshake};
use crate::{domain::ids::Uid, lock::lock, reason::Reason};

/// How a socket ends that the server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// DISCONNECT: its client stays away. All else is as if it had gone by itself.
    Dismiss,
    /// *Drop*: its client comes back. It leaves its rooms as one that goes, and the hook
    /// onDisconnect is not called.
    Recover,
}

/// What keeps a socket from departing, until it is dropped: else it could enter a room behind that,
/// and would never leave it.
pub(super) type Stay = Box<dyn Send + Sync>;

/// A socket of this node.
pub(super) trait LocalSocket: Seat {
    /// Its user, from the login on, until it departs.
    fn user(&self) -> Option<Uid>;
    /// Whether it is this user's, or is being signed in as this user.
    fn is_or_will_be(&self, user: &str) -> bool;
    /// What its client said when it connected.
    fn handshake(&self) -> &Handshake;
    /// It does not depart as long as what is returned is there. `None`: it departs already, or is
    /// nobody yet.
    fn stay(&self) -> Option<Stay>;
    /// Ends it. Returns before it has departed.
    fn end(&self, how: Ending);
    /// Closes its connection; the client comes back.
    fn drop_client(&self, why: Reason);
}

/// Those that are there: from their CONNECT on, until they have departed.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Arc<str>, Weak<dyn LocalSocket>>>);

impl Sessions {
    /// It is there.
    pub fn add(&self, id: &Arc<str>, socket: Weak<dyn LocalSocket>) {
        lock(&self.0).insert(id.clone(), socket);
    }

    /// One with this id is there no more, unless its client has connected again since.
    pub fn remove(&self, id: &str) {
        let mut sockets = lock(&self.0);
        if sockets.get(id).is_some_and(|socket| socket.strong_count() == 0) {
            sockets.remove(id);
        }
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// The socket with this id.
    pub fn find(&self, id: &str) -> Option<Arc<dyn LocalSocket>> {
        lock(&self.0).get(id).and_then(Weak::upgrade)
    }

    /// All that are there.
    pub fn all(&self) -> Vec<Arc<dyn LocalSocket>> {
        lock(&self.0).values().filter_map(Weak::upgrade).collect()
    }

    /// The socket with this id, if it is this user's.
    pub fn of(&self, user: &Uid, id: &str) -> Option<Arc<dyn LocalSocket>> {
        self.find(id).filter(|socket| socket.user().as_ref() == Some(user))
    }
}
