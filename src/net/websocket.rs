//! The reading side of a WebSocket (RFC 6455), by tungstenite. What goes out takes [`Link::send`]; tungstenite itself writes only answers
//! to pings and to a Close.
use std::{
    future::poll_fn,
    io::{ErrorKind, Read, Write},
    sync::Arc,
    task::{Context, Poll, ready},
};

use tungstenite::{
    Error, Message,
    protocol::{Role, WebSocketConfig},
};

use super::{link::Link, stream::Stream};

/// Bytes read at once; each connection keeps a buffer of this size.
const READ_BUFFER: usize = 512;

/// A WebSocket after its handshake, on the server's side.
pub struct WebSocket(tungstenite::WebSocket<Stream>);

impl WebSocket {
    /// Messages of more than `most` bytes end it.
    pub fn new(stream: Stream, most: usize) -> Self {
        stream.link().become_websocket();
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(most))
            .max_frame_size(Some(most));
        WebSocket(tungstenite::WebSocket::from_raw_socket(stream, Role::Server, Some(config)))
    }

    pub fn link(&self) -> &Arc<Link> {
        self.0.get_ref().link()
    }

    /// The next text or binary message. Nothing: the client closed, or broke the protocol, or [`Link::close`] was called. May be dropped
    /// and called again without losing anything.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.link().reader.register(cx.waker());
        loop {
            // What was read already waits as well.
            if self.link().is_held() && !self.link().is_ended() {
                return Poll::Pending;
            }
            match self.0.read() {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => return Poll::Ready(Some(message)),
                Ok(Message::Close(_)) => {
                    let _ = self.0.flush(); // the answer to it
                    return Poll::Ready(None);
                }
                Ok(_) => {} // the answer to a ping goes out with the next read
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    if ready!(self.link().stream.poll_read_ready(cx)).is_err() {
                        return Poll::Ready(None);
                    }
                }
                Err(_) => return Poll::Ready(None),
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.take(into)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.link().accept(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(()) // nothing is kept here but the link's queue, which flushes itself
    }
}
