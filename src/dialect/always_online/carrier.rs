//! The way out to one client, and the ways to close it.
//!
//! Everything goes through `deliver` as finished frames. Whoever began as a WebSocket gets them on
//! its connection ([`crate::net::send_queue`]), the others by the engine ([`super::engined`]). What a
//! client has not read is bounded in bytes either way.
use std::sync::{Arc, atomic::Ordering::SeqCst};

use bytes::{Bytes, BytesMut};

use super::{
    engined::Engined,
    msg::Target,
    session::{Session, lock},
    sync::Page,
    wire,
};
use crate::net::{Closing, Connection, send_queue::DISCONNECT};
use crate::reason::Reason;
use crate::throttle::throttled;

/// A page counts as written when no more than this is left of it.
pub(super) const NEARLY_WRITTEN: usize = 64 << 10;

/// What carries a session.
pub(super) enum Carrier {
    /// It began on this WebSocket, and never meets the engine ([`super::websocket`]). The connection may
    /// outlive it, and be another session's.
    WebSocket(Arc<Connection>),
    /// The engine: polling, or a WebSocket that polling was upgraded to.
    Engine(Box<Engined>),
}

impl Session {
    /// Sends finished frames. Not with the target locked: who is too far behind is closed, and leaves
    /// it.
    pub(super) fn emit(&self, frames: &Bytes) {
        if !self.try_emit(frames) {
            self.fall_behind();
        }
    }

    /// As [`Session::emit`]. False: the client is too far behind, and the caller is to call
    /// [`Session::fall_behind`].
    pub(super) fn try_emit(&self, frames: &Bytes) -> bool {
        match &self.carrier {
            Carrier::WebSocket(connection) => {
                connection.send_of(self.id.0, frames);
                true
            }
            Carrier::Engine(engined) => engined.emit(frames, &self.dialect.options),
        }
    }

    /// The client reads too slowly, and is closed.
    pub(super) fn fall_behind(&self) {
        if self.is_open() {
            throttled!(info, socket = %self.public.0, "client does not read what it is sent; closed");
        }
        self.close_dropped(Reason::Slow, Closing::Abrupt);
    }

    /// Ends a client that polls, for what it posted.
    pub(super) fn end_polling(&self, why: Reason) {
        if why == Reason::Slow { self.fall_behind() } else { self.drop_connection(why) }
    }

    /// Sends an event; `payload` is JSON.
    pub(super) fn tell(&self, event: &str, payload: &str) {
        let mut frames = BytesMut::new();
        wire::event(&mut frames, event, payload);
        self.emit(&frames.freeze());
    }

    /// Sends an acknowledgement; `payload` is JSON.
    pub(super) fn acknowledge(&self, id: i64, payload: &str) {
        let mut frames = BytesMut::new();
        wire::ack(&mut frames, id, payload);
        self.emit(&frames.freeze());
    }

    /// Answers a request: the event of the same name, and the same as acknowledgement where one was
    /// asked for.
    pub(super) fn answer(&self, event: &str, ack: Option<i64>, payload: &str) {
        self.emit(&wire::answer(event, ack, payload));
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
            () = self.write_page(page) => {}
            // Others wait for the memory.
            () = late => self.fall_behind(),
        }
    }

    async fn write_page(&self, page: Bytes) {
        match &self.carrier {
            Carrier::WebSocket(connection) => {
                connection.allow_of(self.id.0, page.len());
                self.emit(&page);
                loop {
                    let progress = connection.progress();
                    if !self.is_open()
                        || connection.is_ended()
                        || connection.backlog() <= NEARLY_WRITTEN
                    {
                        break;
                    }
                    progress.await;
                }
                connection.allow_of(self.id.0, 0);
            }
            Carrier::Engine(engined) => {
                let most = engined.accepted() + page.len() / 2;
                engined.allow(page.len());
                self.emit(&page);
                engined.written(most, || !self.is_open()).await;
                engined.allow(0);
            }
        }
    }

    /// *Refuse*: what was sent, then DISCONNECT, then the transport closes; the client stays away.
    /// The session ends when the transport has.
    pub(super) fn refuse(self: &Arc<Self>, why: Reason) {
        if self.closing.swap(true, SeqCst) {
            return;
        }
        self.dialect.hub.metrics.refused(why.label());
        self.leave_target();
        match &self.carrier {
            Carrier::WebSocket(connection) => connection.close_of(
                self.id.0,
                Some(&Bytes::from_static(&DISCONNECT)),
                Closing::Graceful,
                why,
            ),
            Carrier::Engine(_) => self.clone().refuse_by_engine(why),
        }
    }

    /// *Drop*: the transport closes, without a DISCONNECT; the client comes back by itself.
    pub(super) fn drop_connection(&self, why: Reason) {
        self.close_dropped(why, Closing::Graceful);
    }

    fn close_dropped(&self, why: Reason, closing: Closing) {
        if self.closing.swap(true, SeqCst) {
            return;
        }
        self.dialect.hub.metrics.dropped(why.label());
        self.leave_target();
        match &self.carrier {
            Carrier::WebSocket(connection) => connection.close_of(self.id.0, None, closing, why),
            Carrier::Engine(engined) => engined.close(&self.dialect, closing, why),
        }
    }

    /// No message of this client is taken any more.
    pub(super) fn leave_target(&self) {
        *lock(&self.target) = Target::Closed;
    }

    /// Stops, or resumes, reading from a WebSocket client; a polling one waits for the answer to
    /// its POST.
    pub(super) fn hold_reading(&self, hold: bool) {
        match &self.carrier {
            Carrier::WebSocket(connection) => connection.hold_reading(hold),
            Carrier::Engine(engined) => {
                engined.live_connections().iter().for_each(|l| l.hold_reading(hold))
            }
        }
    }
}
