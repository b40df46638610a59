//! What HTTP reads from and writes to: a [`Connection`] with the manners of a stream.
use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Semaphore,
    time::{Instant, Sleep, timeout},
};

use super::{
    connection::{Connection, dead},
    socket::Socket,
};
use crate::metrics::Handshake;
use crate::reason::Reason;

#[cfg(test)]
mod tests;

/// How long a part of a TLS handshake may wait for its turn. Who has waited longer is let go before
/// the work on it is begun: its client would hardly wait for the end.
const TURN: Duration = Duration::from_secs(10);

/// The one reader and writer of a connection.
pub struct Stream {
    connection: Arc<Connection>,
    /// Read before, and to be read again.
    unread: Bytes,
    /// What accepts the handshake that it began with, until that is sent.
    answer: Option<Bytes>,
    /// Runs while HTTP has something to write and the kernel takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    /// When the TLS handshake began that has not ended yet.
    shaking: Option<Instant>,
}

impl Stream {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        let shaking = connection.socket.is_handshaking().then(Instant::now);
        Stream { connection, unread: Bytes::new(), answer: None, stall: None, shaking }
    }

    /// Does the costly parts of a TLS handshake, before anything is read: some of the workers alone
    /// work on them, so each waits for one of the `turns`. A turn is asked for when bytes are
    /// there, and over once they are dealt with: a client that sends nothing has none. What follows
    /// needs none, or of many who begin at once nobody would come to an end in time: each would
    /// wait behind all who have just begun. Without TLS there is nothing to do.
    ///
    /// # Errors
    /// The connection broke, or its client took more than `patience` for one of the parts, not
    /// counting what it had to wait for its turns, or no turn came.
    pub(super) async fn shake_hands(
        &mut self,
        turns: &Semaphore,
        patience: Duration,
    ) -> io::Result<()> {
        let socket = &self.connection.socket;
        Self::work(socket, Socket::is_unanswered, turns, patience).await?;
        Self::work(socket, Socket::is_exchanging_keys, turns, patience).await?;
        self.count_handshake();
        Ok(())
    }

    /// Works on a handshake as long as this part of it is to come.
    async fn work(
        socket: &Socket,
        is_to_come: fn(&Socket) -> bool,
        turns: &Semaphore,
        patience: Duration,
    ) -> io::Result<()> {
        let (mut patience, mut turn) = (patience, TURN);
        while is_to_come(socket) && !socket.has_more() {
            let asked = Instant::now();
            timeout(patience, poll_fn(|cx| socket.poll_readable(cx))).await??;
            let came = Instant::now();
            let _turn = timeout(turn, turns.acquire()).await?.map_err(io::Error::other)?;
            patience = patience.saturating_sub(came.saturating_duration_since(asked));
            turn = turn.saturating_sub(came.elapsed());
            match socket.shake_hands() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts back what was read too far.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        self.unread = bytes;
    }

    /// Keeps what accepts its handshake.
    pub(super) fn answer_with(&mut self, answer: Bytes) {
        self.answer = Some(answer);
    }

    /// What accepts its handshake, 101, for whoever sends it later, as the first of a WebSocket.
    pub fn take_answer(&mut self) -> Option<Bytes> {
        self.answer.take()
    }

    /// It is a WebSocket from now on, and its client is told so.
    pub(super) fn accept(&mut self) {
        self.connection.become_websocket();
        if let Some(answer) = self.answer.take() {
            self.connection.send(&answer);
        }
    }

    /// The connection that it reads from.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Reads what is there. `WouldBlock`: nothing is, or reading is held; 0: the end.
    pub(super) fn take(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.unread.is_empty() {
            let length = into.len().min(self.unread.len());
            into[..length].copy_from_slice(&self.unread.split_to(length));
            if self.unread.is_empty() {
                self.unread = Bytes::new(); // frees it
            }
            return Ok(length);
        }
        if self.connection.is_killed() {
            return Err(dead());
        }
        if self.connection.is_ended() {
            return Ok(0);
        }
        if self.connection.is_held() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let received = self.connection.socket.receive(into);
        self.count_handshake();
        if let Ok(bytes) = received {
            self.connection.has_read(bytes);
        }
        received
    }

    /// Counts a TLS handshake once that is done.
    fn count_handshake(&mut self) {
        if let Some(begun) = self.shaking
            && !self.connection.socket.is_handshaking()
        {
            let connections = &self.connection.bounds.metrics.connections;
            connections.shook_hands(Handshake::Done);
            connections.handshake_seconds.took(begun.elapsed());
            self.shaking = None;
        }
    }

    fn stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let bound = self.connection.bounds.stall;
        let timer = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(bound)));
        ready!(timer.as_mut().poll(cx));
        self.connection.cut(Reason::Stalled.label());
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing"))
    }

    /// Writes as HTTP does: waits while the kernel takes nothing, but not for ever.
    fn poll_write_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&Connection) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            match self.connection.socket.poll_writable(cx)? {
                Poll::Ready(()) => match write(&self.connection) {
                    Ok(written) => {
                        self.stall = None;
                        return Poll::Ready(Ok(written));
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Poll::Ready(Err(e)),
                },
                Poll::Pending => return self.stalled(cx).map(Err),
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.connection.reader.register(cx.waker());
        loop {
            if self.unread.is_empty() && !self.connection.is_ended() {
                if self.connection.is_held() {
                    return Poll::Pending;
                }
                if !self.connection.socket.has_more() {
                    // Here, so that each read is a part of tokio's budget.
                    ready!(self.connection.socket.poll_readable(cx))?;
                }
            }
            match self.take(into.initialize_unfilled()) {
                Ok(n) => {
                    into.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.connection.is_killed() {
            return Poll::Ready(Err(dead()));
        }
        self.poll_write_with(cx, |connection| {
            let sent = connection.socket.send(bytes)?;
            connection.bounds.metrics.connections.sent.inc_by(sent as u64);
            Ok(sent)
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.connection.socket.owes() {
            self.stall = None; // whoever read meanwhile may have written, too
            return Poll::Ready(Ok(()));
        }
        self.poll_write_with(cx, |connection| connection.socket.flush())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.connection.socket.say_goodbye();
        self.connection.socket.finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let connection = &self.connection;
        if self.shaking.is_some() {
            connection.bounds.metrics.connections.shook_hands(Handshake::Failed);
        }
        if connection.is_ended() && !connection.is_killed() {
            connection.bounds.writes.spawn(connection.clone().linger());
        } else {
            // Nobody reads any more: what is queued must not keep the socket open.
            connection.cut("closed");
        }
    }
}
