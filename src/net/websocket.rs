//! The reading side of a WebSocket (RFC 6455), on the server. What goes out takes
//! [`Connection::send`].
//!
//! Most connections are silent most of the time, so one that has nothing half read keeps no buffer:
//! bytes are read into one that belongs to the thread, and only what is there is kept, until it is
//! handled.
use std::{
    cell::RefCell,
    future::poll_fn,
    io::ErrorKind,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::Instant;
use tungstenite::Utf8Bytes;

use self::frame::{Header, Opcode};
use super::{connection::Connection, meter::Meter, stream::Stream};
use crate::reason::Reason;

pub mod frame;

/// Bytes read at once.
const READ: usize = 32 << 10;
/// Reads and frames after which others get their turn.
const TURNS: u32 = 32;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// From text frames. It is known to be UTF-8.
    Text(Utf8Bytes),
    /// From binary frames.
    Binary(Bytes),
}

/// Why there is no next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The connection broke, or [`Connection::close`] was called.
    Gone,
    /// The client sent a Close frame, with this code; [`Connection::answer_close`] is the answer.
    Closed(Option<u16>),
    /// The client broke the protocol.
    Broken(Broken),
}

/// How a client broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// What came is no frame, or none that may come here.
    Frame,
    /// Text, or a Close frame's reason, that is no UTF-8.
    Text,
    /// A frame, or a message of several, beyond the bound.
    TooLarge,
}

/// Why whoever serves a WebSocket is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// It broke, or we have closed it.
    Gone,
    /// The client sent a Close frame, with this code.
    Closed(Option<u16>),
    /// It is to be closed.
    Because(Reason),
}

impl From<Reason> for Over {
    fn from(why: Reason) -> Self {
        Over::Because(why)
    }
}

impl From<End> for Over {
    fn from(end: End) -> Self {
        match end {
            End::Gone => Over::Gone,
            End::Closed(code) => Over::Closed(code),
            End::Broken(Broken::Frame) => Reason::Malformed.into(),
            End::Broken(Broken::Text) => Reason::NotUtf8.into(),
            End::Broken(Broken::TooLarge) => Reason::TooLarge.into(),
        }
    }
}

/// A WebSocket after its handshake.
pub struct WebSocket {
    stream: Stream,
    frames: Frames,
    pongs: u64,
    /// What the last pong with eight bytes echoes of its ping.
    echo: Option<u64>,
    /// Where what its client may send is bounded.
    meter: Option<Box<Meter>>,
}

impl WebSocket {
    /// Messages of more than `most` bytes break it. Its handshake is accepted now, unless the
    /// answer was taken from the stream.
    pub fn new(mut stream: Stream, most: usize) -> Self {
        stream.accept();
        let frames = Frames { bytes: BytesMut::new(), parts: None, most };
        let meter = stream.connection().meter();
        WebSocket { stream, frames, pongs: 0, echo: None, meter }
    }

    /// Pongs that have come so far.
    pub fn pongs(&self) -> u64 {
        self.pongs
    }

    /// The number in the last pong that has one: eight bytes, big-endian, which are those of the
    /// ping that it answers (RFC 6455, 5.5.3).
    pub fn echo(&self) -> Option<u64> {
        self.echo
    }

    /// What it is read from, and written to.
    pub fn connection(&self) -> &Arc<Connection> {
        self.stream.connection()
    }

    /// The next message. May be dropped and called again without losing anything.
    pub async fn next(&mut self) -> Result<Message, End> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, End>> {
        self.connection().reader.register(cx.waker());
        if let Some(meter) = &mut self.meter {
            if meter.poll_pause(cx).is_pending() && !self.stream.connection().is_ended() {
                return Poll::Pending;
            }
            self.stream.connection().pause_reading(false);
        }
        for _ in 0..TURNS {
            // What was read already waits as well, or has come too late.
            if self.connection().is_ended() {
                return Poll::Ready(Err(End::Gone));
            }
            if self.connection().is_held() {
                return Poll::Pending;
            }
            match self.frames.next() {
                Ok(Some(Frame::Message(message))) => {
                    self.count(&message);
                    return Poll::Ready(Ok(message));
                }
                Ok(Some(Frame::Ping(payload))) => self.connection().send(&frame::pong(&payload)),
                Ok(Some(Frame::Pong(echo))) => {
                    self.pongs += 1;
                    self.echo = echo.or(self.echo);
                }
                Ok(Some(Frame::Part)) => {}
                Ok(Some(Frame::Close(code))) => return Poll::Ready(Err(End::Closed(code))),
                Err(broken) => return Poll::Ready(Err(End::Broken(broken))),
                Ok(None) => {
                    let (stream, frames) = (&mut self.stream, &mut self.frames);
                    let read = BUFFER.with_borrow_mut(|buffer| {
                        stream.take(buffer).inspect(|n| frames.add(&buffer[..*n]))
                    });
                    match read {
                        Ok(1..) => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            if ready!(self.connection().socket.poll_readable(cx)).is_err() {
                                return Poll::Ready(Err(End::Gone));
                            }
                        }
                        Ok(0) | Err(_) => return Poll::Ready(Err(End::Gone)),
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// A message has come. What comes behind it may have to wait.
    fn count(&mut self, message: &Message) {
        let Some(meter) = &mut self.meter else { return };
        let bytes = match message {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
        };
        if meter.count(bytes, Instant::now()) {
            self.stream.connection().pause_reading(true);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Frame {
    Message(Message),
    /// A message goes on.
    Part,
    Ping(Bytes),
    /// With the number that it echoes, if it has one.
    Pong(Option<u64>),
    /// With its code.
    Close(Option<u16>),
}

/// Bytes on their way to messages.
struct Frames {
    bytes: BytesMut,
    /// A message whose last frame has not come: whether it is text, and what it is so far.
    parts: Option<(bool, Vec<u8>)>,
    most: usize,
}

impl Frames {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What the next frame is, or makes whole; nothing, where more of it has to come.
    fn next(&mut self) -> Result<Option<Frame>, Broken> {
        let Some((header, payload)) = self.frame()? else { return Ok(None) };
        let last = header.last;
        let frame = match header.opcode {
            Opcode::Text | Opcode::Binary if self.parts.is_some() => return Err(Broken::Frame),
            opcode @ (Opcode::Text | Opcode::Binary) if last => {
                Frame::Message(message(opcode == Opcode::Text, payload.freeze())?)
            }
            opcode @ (Opcode::Text | Opcode::Binary) => {
                self.parts = Some((opcode == Opcode::Text, payload.to_vec()));
                Frame::Part
            }
            Opcode::Continuation => {
                let (text, mut whole) = self.parts.take().ok_or(Broken::Frame)?;
                if whole.len() + payload.len() > self.most {
                    return Err(Broken::TooLarge);
                }
                whole.extend_from_slice(&payload);
                if last {
                    Frame::Message(message(text, whole.into())?)
                } else {
                    self.parts = Some((text, whole));
                    Frame::Part
                }
            }
            Opcode::Close => Frame::Close(close(&payload)?),
            Opcode::Ping => Frame::Ping(payload.freeze()),
            Opcode::Pong => Frame::Pong(number(&payload)),
        };
        Ok(Some(frame))
    }

    /// The header and the payload of the next frame, unmasked.
    fn frame(&mut self) -> Result<Option<(Header, BytesMut)>, Broken> {
        // Clients have to mask (5.1).
        if self.bytes.get(1).is_some_and(|second| second & 0x80 == 0) {
            return Err(Broken::Frame);
        }
        let header = Header::read(&self.bytes).map_err(|_| Broken::Frame)?;
        let Some(header) = header else { return Ok(None) };
        let length = usize::try_from(header.length)
            .ok()
            .filter(|l| *l <= self.most)
            .ok_or(Broken::TooLarge)?;
        if self.bytes.len() < header.size + length {
            return Ok(None);
        }
        let mut frame = self.bytes.split_to(header.size + length);
        // The frame alone keeps the memory: what is behind a large one must not keep that for good.
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        } else if frame.len() > READ {
            self.bytes = BytesMut::from(&*self.bytes);
        }
        let mask = header.mask(&frame);
        frame.advance(header.size);
        if let Some(mask) = mask {
            unmask(&mut frame, mask);
        }
        Ok(Some((header, frame)))
    }
}

/// The number that a payload is, big-endian; none where it has not eight bytes.
fn number(payload: &[u8]) -> Option<u64> {
    payload.try_into().ok().map(u64::from_be_bytes)
}

fn unmask(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    rest.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
}

fn message(text: bool, payload: Bytes) -> Result<Message, Broken> {
    Ok(if text {
        Message::Text(Utf8Bytes::try_from(payload).map_err(|_| Broken::Text)?)
    } else {
        Message::Binary(payload)
    })
}

/// The code in a Close frame's payload (5.5.1, 7.4).
fn close(payload: &[u8]) -> Result<Option<u16>, Broken> {
    match payload {
        [] => Ok(None),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(Broken::Frame);
            }
            std::str::from_utf8(reason).map(|_| Some(code)).map_err(|_| Broken::Text)
        }
        [_] => Err(Broken::Frame),
    }
}

#[cfg(test)]
mod tests;
