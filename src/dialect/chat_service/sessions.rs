//! The sockets of this node, by their ids: for what the server API, or another node, asks of one.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use tokio::sync::Notify;

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
pub(super) struct Sessions {
    there: Mutex<HashMap<Arc<str>, Weak<dyn LocalSocket>>>,
    /// One is there no more.
    gone: Notify,
}

impl Sessions {
    /// It is there.
    pub fn add(&self, id: &Arc<str>, socket: Weak<dyn LocalSocket>) {
        lock(&self.there).insert(id.clone(), socket);
    }

    /// One with this id is there no more, unless its client has connected again since.
    pub fn remove(&self, id: &str) {
        let mut sockets = lock(&self.there);
        if sockets.get(id).is_some_and(|socket| socket.strong_count() == 0) {
            sockets.remove(id);
        }
        drop(sockets);
        self.gone.notify_waiters();
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        lock(&self.there).is_empty()
    }

    /// The socket with this id.
    pub fn find(&self, id: &str) -> Option<Arc<dyn LocalSocket>> {
        lock(&self.there).get(id).and_then(Weak::upgrade)
    }

    /// All that are there.
    pub fn all(&self) -> Vec<Arc<dyn LocalSocket>> {
        lock(&self.there).values().filter_map(Weak::upgrade).collect()
    }

    /// Ends all that are there, and returns once they have departed. Who comes meanwhile stays.
    pub async fn end_all(&self, how: Ending) {
        let ending: Vec<_> = lock(&self.there).values().cloned().collect();
        ending.iter().filter_map(Weak::upgrade).for_each(|socket| socket.end(how));
        for socket in ending {
            loop {
                let gone = self.gone.notified(); // counts from here on
                // Whatever is still done for a socket holds it: its departure too.
                if socket.strong_count() == 0 {
                    break;
                }
                gone.await;
            }
        }
    }

    /// The socket with this id, if it is this user's.
    pub fn of(&self, user: &Uid, id: &str) -> Option<Arc<dyn LocalSocket>> {
        self.find(id).filter(|socket| socket.user().as_ref() == Some(user))
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::atomic::AtomicUsize, sync::atomic::Ordering::Relaxed};

    use futures_util::FutureExt;

    use super::*;
    use crate::{
        dialect::chat_service::{error::Error, notice::Notice, wire::Known},
        domain::{
            ids::{ConnectionId, RoomId},
            room::Room,
            subscriber::Subscriber,
        },
        socketio::Connect,
    };

    /// A socket that is told to end, and departs when the test lets go of it.
    struct Told {
        id: Arc<str>,
        sessions: Arc<Sessions>,
        handshake: Handshake,
        ended: AtomicUsize,
    }

    impl Told {
        fn comes(sessions: &Arc<Sessions>, id: &str) -> Arc<Self> {
            let socket = Arc::new(Told {
                id: id.into(),
                sessions: sessions.clone(),
                handshake: Handshake::of(&Connect::default()),
                ended: AtomicUsize::new(0),
            });
            let weak: Weak<dyn LocalSocket> = Arc::<Told>::downgrade(&socket);
            sessions.add(&socket.id, weak);
            socket
        }

        fn ended(&self) -> usize {
            self.ended.load(Relaxed)
        }
    }

    impl Drop for Told {
        fn drop(&mut self) {
            self.sessions.remove(&self.id);
        }
    }

    impl LocalSocket for Told {
        fn user(&self) -> Option<Uid> {
            None
        }
        fn is_or_will_be(&self, _: &str) -> bool {
            false
        }
        fn handshake(&self) -> &Handshake {
            &self.handshake
        }
        fn stay(&self) -> Option<Stay> {
            None
        }
        fn end(&self, how: Ending) {
            assert_eq!(how, Ending::Recover);
            self.ended.fetch_add(1, Relaxed);
        }
        fn drop_client(&self, _: Reason) {}
    }

    impl Seat for Told {
        fn id(&self) -> &Arc<str> {
            &self.id
        }
        fn connection(&self) -> ConnectionId {
            ConnectionId(1)
        }
        fn subscriber(&self) -> Option<Arc<dyn Subscriber>> {
            None
        }
        fn is_in(&self, _: &RoomId) -> bool {
            false
        }
        fn room(&self, _: &str) -> Option<RoomId> {
            None
        }
        fn may_enter(&self, _: &RoomId) -> Result<(), Error> {
            Ok(())
        }
        fn may_make(&self, _: &RoomId) -> Result<(), Error> {
            Ok(())
        }
        fn enter(&self, _: &RoomId, _: Known) {}
        fn entered(&self, _: Arc<Room>) {}
        fn left(&self, _: &RoomId) {}
        fn tell(&self, _: &Notice<'_>) {}
    }

    #[test]
    fn whoever_ends_all_waits_until_each_has_departed() {
        let sessions = Arc::new(Sessions::default());
        assert_eq!(sessions.end_all(Ending::Recover).now_or_never(), Some(()), "nobody is there");
        let (ann, ben) = (Told::comes(&sessions, "a"), Told::comes(&sessions, "b"));
        let mut ends = pin!(sessions.end_all(Ending::Recover));
        assert_eq!(ends.as_mut().now_or_never(), None);
        assert_eq!((ann.ended(), ben.ended()), (1, 1));
        drop(ann);
        assert_eq!(ends.as_mut().now_or_never(), None, "one is still departing");
        let newcomer = Told::comes(&sessions, "c");
        let again = Told::comes(&sessions, "b"); // its client has connected again
        drop(ben);
        assert_eq!(ends.as_mut().now_or_never(), Some(()));
        assert_eq!((newcomer.ended(), again.ended()), (0, 0), "they came later");
        assert!(sessions.find("b").is_some());
        drop((newcomer, again));
        assert!(sessions.is_empty());
    }
}
