//! What a session says to its client, and how it is closed: all of it through its [`Socket`].
//!
//! Below, what carries sockets today.
use std::{future::Future, pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::{
    AlwaysOnline,
    engined::Engined,
    msg::Target,
    session::{Session, lock},
    sync::Page,
    wire,
};
use crate::net::{Closing, Connection, send_queue::DISCONNECT};
use crate::reason::Reason;
use crate::socketio::Carry;

/// A page counts as written when no more than this is left of it.
pub(super) const NEARLY_WRITTEN: usize = 64 << 10;

impl Session {
    /// Sends finished frames.
    pub(super) fn emit(&self, frames: &Bytes) {
        self.socket.send(frames.clone());
    }

    /// Sends an event; `payload` is JSON.
    pub(super) fn tell(&self, event: &str, payload: &str) {
        let mut frames = BytesMut::new();
        wire::event(&mut frames, event, payload);
        self.socket.send(frames.freeze());
    }

    /// Sends an acknowledgement; `payload` is JSON.
    pub(super) fn acknowledge(&self, id: i64, payload: &str) {
        self.socket.ack(id, &[payload]);
    }

    /// Answers a request: the event of the same name, and the same as acknowledgement where one was
    /// asked for.
    pub(super) fn answer(&self, event: &str, ack: Option<i64>, payload: &str) {
        self.socket.send(wire::answer(event, ack, payload));
    }

    /// Sends a page, and returns when the client has it, nearly, or is gone.
    pub(super) async fn send_page(&self, Page { frames: page, mut patience }: Page) {
        let late = async {
            match &mut patience {
                Some(patience) => patience.over().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.socket.send_large(page) => {}
            // Others wait for the memory.
            () = late => self.drop_connection(Reason::Slow),
        }
    }

    /// *Refuse*: what was sent, then DISCONNECT, then the transport closes; the client stays away.
    /// The session ends when the transport has.
    pub(super) fn refuse(&self, why: Reason) {
        if self.socket.refuse(why) {
            self.leave_target();
        }
    }

    /// *Drop*: the transport closes, without a DISCONNECT; the client comes back by itself.
    pub(super) fn drop_connection(&self, why: Reason) {
        if self.socket.drop(why) {
            self.leave_target();
        }
    }

    /// No message of this client is taken any more.
    pub(super) fn leave_target(&self) {
        *lock(&self.target) = Target::Closed;
    }
}

/// How a connection is closed for this reason.
pub(super) fn closing(why: Reason) -> Closing {
    match why {
        Reason::Slow | Reason::Stalled => Closing::Abrupt,
        _ => Closing::Graceful,
    }
}

/// A session that began on this WebSocket, and never meets the engine ([`super::websocket`]). The
/// connection may outlive it, and be another session's.
pub(super) struct ByWebSocket {
    pub(super) connection: Arc<Connection>,
    /// Whose the connection is ([`Connection::give_to`]).
    pub(super) owner: u64,
}

impl Carry for ByWebSocket {
    fn send(&self, frames: &Bytes) {
        self.connection.send_of(self.owner, frames);
    }

    fn send_large<'a>(
        &'a self,
        frames: Bytes,
        over: &'a (dyn Fn() -> bool + Send + Sync),
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let connection = &self.connection;
            connection.allow_of(self.owner, frames.len());
            self.send(&frames);
            drop(frames);
            loop {
                let progress = connection.progress();
                if over() || connection.is_ended() || connection.backlog() <= NEARLY_WRITTEN {
                    break;
                }
                progress.await;
            }
            connection.allow_of(self.owner, 0);
        })
    }

    fn refuse(self: Arc<Self>, why: Reason) {
        let disconnect = Bytes::from_static(&DISCONNECT);
        self.connection.close_of(self.owner, Some(&disconnect), Closing::Graceful, why);
    }

    fn close(&self, why: Reason) {
        self.connection.close_of(self.owner, None, closing(why), why);
    }

    fn hold_reading(&self, hold: bool) {
        self.connection.hold_reading(hold);
    }
}

/// A session that the engine carries: by polling, or a WebSocket that polling was upgraded to.
pub(super) struct ByEngine {
    pub(super) dialect: Arc<AlwaysOnline>,
    pub(super) engined: Arc<Engined>,
}

impl Carry for ByEngine {
    fn send(&self, frames: &Bytes) {
        if !self.engined.emit(frames, &self.dialect.options) {
            self.engined.fall_behind(&self.dialect);
        }
    }

    fn send_large<'a>(
        &'a self,
        frames: Bytes,
        over: &'a (dyn Fn() -> bool + Send + Sync),
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let engined = &self.engined;
            let most = engined.accepted() + frames.len() / 2;
            engined.allow(frames.len());
            self.send(&frames);
            drop(frames);
            engined.written(most, over).await;
            engined.allow(0);
        })
    }

    fn refuse(self: Arc<Self>, why: Reason) {
        self.engined.refuse(&self.dialect, why);
    }

    fn close(&self, why: Reason) {
        self.engined.close(&self.dialect, closing(why), why);
    }

    fn hold_reading(&self, hold: bool) {
        self.engined.live_connections().iter().for_each(|l| l.hold_reading(hold));
    }
}
