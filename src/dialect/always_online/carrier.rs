//! What carries sockets.
use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;

use super::{AlwaysOnline, engined::Engined};
use crate::net::{Closing, Connection, send_queue::DISCONNECT};
use crate::reason::Reason;
use crate::socketio::Carry;

/// A page counts as written when no more than this is left of it.
pub(super) const NEARLY_WRITTEN: usize = 64 << 10;

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
        self.engined.polling.hold_reading(hold);
        self.engined.live_connections().iter().for_each(|l| l.hold_reading(hold));
    }
}
