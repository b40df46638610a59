//! Pings. A client of a WebSocket is pinged every 49 seconds, and is gone if nothing has come from
//! it 6 seconds later, so 55 behind what it said last, at most (S:8). There are two queues for all
//! sessions, and no timer of a session's own.
//!
//! Whatever comes counts, and is known by the connection, which counts its bytes. Whether a client
//! is there is not known as long as nobody reads what it sends, because a request of it is being
//! done, or as long as it has not got what it was sent: the ping stands behind that. Who takes
//! nothing of it is found by its connection. Clients that poll are gone when they poll no more
//! (`polling.rs`), those of gRPC when their connection is.
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use super::{Tinode, outlet::Outlet, session::Session, wire};
use crate::{
    domain::{deadline::Deadlines, ids::ConnectionId},
    lock::lock,
    net::Connection,
    reason::Reason,
};

/// Between two pings.
const INTERVAL: Duration = Duration::from_secs(49);
/// Time for an answer.
const PATIENCE: Duration = Duration::from_secs(6);

/// Whose turn it is.
pub(super) struct Heart {
    pings: Arc<Deadlines<ConnectionId>>,
    checks: Arc<Deadlines<Pinged>>,
    /// Those of whom a request is being done.
    working: Mutex<HashSet<ConnectionId>>,
}

/// A client was pinged.
#[derive(Debug, Clone, Copy)]
struct Pinged {
    id: ConnectionId,
    /// What had come from it until then, bytes.
    before: u64,
    /// It could not have answered then.
    deaf: bool,
}

/// A request is being done, until this is dropped.
pub(super) struct Working<'a> {
    heart: &'a Heart,
    id: ConnectionId,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        lock(&self.heart.working).remove(&self.id);
    }
}

/// What is to be done about a client that was pinged.
#[derive(Debug, PartialEq, Eq)]
enum Pulse {
    Beats,
    /// It was not listened to, or not reached. It may well be alive.
    Unknown,
    Lost,
}

impl Pulse {
    fn of(before: u64, now: u64, deaf: bool) -> Self {
        match now > before {
            true => Pulse::Beats,
            false if deaf => Pulse::Unknown,
            false => Pulse::Lost,
        }
    }
}

fn received(connection: &Connection) -> u64 {
    connection.bytes().0
}

impl Heart {
    /// Of nobody.
    pub fn new() -> Self {
        Heart {
            pings: Deadlines::new(INTERVAL),
            checks: Deadlines::new(PATIENCE),
            working: Mutex::default(),
        }
    }

    /// The session is pinged from now on, until it is gone.
    pub fn watch(&self, session: &Session) {
        self.pings.push(session.id);
    }

    /// A request of this session is begun: nothing more is read from it meanwhile.
    pub fn work(&self, id: ConnectionId) -> Working<'_> {
        lock(&self.working).insert(id);
        Working { heart: self, id }
    }

    /// Whether nobody would know of an answer of this client just now.
    fn is_deaf(&self, id: ConnectionId, connection: &Connection) -> bool {
        connection.is_unread() || connection.backlog() > 0 || lock(&self.working).contains(&id)
    }

    /// Pings, for ever.
    pub async fn pings(node: Arc<Tinode>) {
        loop {
            let id = node.heart.pings.next().await;
            if let Some(connection) = connection(&node, id) {
                let (before, deaf) = (received(&connection), node.heart.is_deaf(id, &connection));
                node.heart.checks.push(Pinged { id, before, deaf });
                node.heart.pings.push(id);
                connection.send(&wire::ping());
            }
        }
    }

    /// Looks at who was pinged, for ever.
    pub async fn checks(node: Arc<Tinode>) {
        loop {
            let Pinged { id, before, deaf: was_deaf } = node.heart.checks.next().await;
            let Some(connection) = connection(&node, id) else { continue };
            let deaf = node.heart.is_deaf(id, &connection);
            match Pulse::of(before, received(&connection), was_deaf || deaf) {
                Pulse::Beats => {}
                // Whoever has just become able to answer has time for it.
                Pulse::Unknown => node.heart.checks.push(Pinged { id, before, deaf }),
                Pulse::Lost => {
                    if let Some(session) = session(&node, id) {
                        session.close(Reason::PingTimeout);
                    }
                }
            }
        }
    }
}

fn session(node: &Tinode, id: ConnectionId) -> Option<Arc<Session>> {
    lock(&node.sessions).get(&id).and_then(Weak::upgrade)
}

/// The connection of a session that is still there, and has one.
fn connection(node: &Tinode, id: ConnectionId) -> Option<Arc<Connection>> {
    let session = session(node, id)?;
    match session.outlet() {
        Outlet::WebSocket(connection) if !connection.is_ended() => Some(connection.clone()),
        Outlet::WebSocket(_) | Outlet::Polling(_) | Outlet::Grpc(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_sends_is_alive_and_who_is_not_read_may_be() {
        for (before, now, deaf, pulse) in [
            (10, 11, false, Pulse::Beats),
            (10, 11, true, Pulse::Beats),
            (10, 10, true, Pulse::Unknown),
            (10, 10, false, Pulse::Lost),
            (0, 0, false, Pulse::Lost),
        ] {
            assert_eq!(Pulse::of(before, now, deaf), pulse);
        }
    }

    #[test]
    fn a_session_works_until_its_request_is_done() {
        let (heart, id) = (Heart::new(), ConnectionId(7));
        let working = heart.work(id);
        assert!(lock(&heart.working).contains(&id));
        drop(working);
        assert!(lock(&heart.working).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_gone_after_55_seconds() {
        let (heart, begin) = (Heart::new(), tokio::time::Instant::now());
        heart.pings.push(ConnectionId(1));
        let id = heart.pings.next().await;
        heart.checks.push(Pinged { id, before: 0, deaf: false });
        let _ = heart.checks.next().await;
        assert_eq!(begin.elapsed(), Duration::from_secs(55));
    }
}
