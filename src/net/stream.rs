//! What hyper and the engine read from and write to: a [`Link`] with the manners of a stream.
use std::{
    future::Future,
    io,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::link::{Closing, Link, dead};

/// The one reader and writer of a link.
pub struct Stream {
    link: Arc<Link>,
    /// Read before, and to be read again.
    unread: Bytes,
    /// Runs while HTTP has something to write and the kernel takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Stream { link, unread: Bytes::new(), stall: None }
    }

    /// Puts back what was read too far.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        self.unread = bytes;
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
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
        if self.link.is_killed() {
            return Err(dead());
        }
        if self.link.is_ended() {
            return Ok(0);
        }
        if self.link.is_held() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.link.receive(into)
    }

    fn stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let bound = self.link.bounds.stall;
        let timer = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(bound)));
        ready!(timer.as_mut().poll(cx));
        self.link.close(Closing::Abrupt, "stalled");
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing"))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.link.reader.register(cx.waker());
        loop {
            if self.unread.is_empty() && !self.link.is_ended() {
                if self.link.is_held() {
                    return Poll::Pending;
                }
                ready!(self.link.stream.poll_read_ready(cx))?; // here, so that each read is a part of tokio's budget
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
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.link.is_killed() {
            return Poll::Ready(Err(dead()));
        }
        if self.link.is_websocket() {
            return Poll::Ready(self.link.accept(bytes).map(|()| bytes.len()));
        }
        loop {
            match self.link.stream.poll_write_ready(cx)? {
                Poll::Ready(()) => match self.link.stream.try_write(bytes) {
                    Ok(n) => {
                        self.stall = None;
                        return Poll::Ready(Ok(n));
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Poll::Ready(Err(e)),
                },
                Poll::Pending => return self.stalled(cx).map(Err),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // nothing is kept here but the queue, which flushes itself
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.writer.register(cx.waker());
        if self.link.is_killed() || self.link.is_flushed() {
            let _ = socket2::SockRef::from(&self.link.stream).shutdown(Shutdown::Write);
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let link = &self.link;
        if link.is_ended() && !link.is_killed() {
            link.bounds.writes.spawn(link.clone().linger());
        } else {
            // Nobody reads any more: what is queued must not keep the socket open.
            link.close(Closing::Abrupt, "closed");
        }
    }
}
