//! The way out to one client, whatever carries it.
//!
//! A WebSocket has its own queue in [`Connection`]. A client that polls, and one of gRPC, has a
//! [`Queue`] here: what is said waits there until it is fetched, or until the stream takes it.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::Notify, time::sleep};

use super::{
    grpc, json,
    message::{Message, Ts},
    wire::{JsonFrames, PbxFrames},
};
use crate::{
    domain::subscriber::Codec,
    lock::lock,
    metrics::Carriage,
    net::{
        Closing, Connection,
        websocket::frame::{self, Opcode},
    },
    reason::Reason,
};

/// From so many bytes on, one piece is a page, which a client may ask for however slowly it reads.
const PAGE: usize = 256 << 10;
/// Bytes that may wait for a client when what it asks for next is begun.
const CALM: usize = 256 << 10;
/// What a piece takes beside its bytes, about.
const PIECE: usize = 64;

/// Where what is said to one client goes.
pub(super) enum Outlet {
    /// Text frames.
    WebSocket(Arc<Connection>),
    /// JSON texts, which the client fetches one by one.
    Polling(Arc<Queue>),
    /// Messages of gRPC, each with its prefix of 5 bytes.
    Grpc(Arc<Queue>),
}

impl Outlet {
    /// Sends what was encoded for this client, behind all that was sent before. False: too much
    /// waits already. A WebSocket sees to that itself.
    pub fn send(&self, frames: &Bytes) -> bool {
        match self {
            Outlet::WebSocket(connection) => {
                if frames.len() >= PAGE {
                    connection.allow_if(|| true, frames.len());
                }
                connection.send(frames);
                true
            }
            Outlet::Polling(queue) => queue.push_all(texts(frames)),
            Outlet::Grpc(queue) => queue.push(frames),
        }
    }

    /// A message as this client reads it.
    pub fn encode(&self, message: &Message<'_>, now: Ts) -> Bytes {
        match self {
            Outlet::WebSocket(_) | Outlet::Polling(_) => json::frame(message, now),
            Outlet::Grpc(_) => grpc::convert::message(message, now),
        }
    }

    /// How rooms encode for this client.
    pub fn codec(&self) -> &'static dyn Codec {
        match self {
            Outlet::WebSocket(_) | Outlet::Polling(_) => &JsonFrames,
            Outlet::Grpc(_) => &PbxFrames,
        }
    }

    /// Stops, or resumes, reading from the client.
    pub fn hold_reading(&self, hold: bool) {
        match self {
            Outlet::WebSocket(connection) => connection.hold_reading(hold),
            Outlet::Polling(queue) | Outlet::Grpc(queue) => queue.hold(hold),
        }
    }

    /// Returns once the client has read most of what it was sent, or is gone: what it asks for next
    /// need not wait in memory.
    pub async fn calm(&self) {
        match self {
            Outlet::WebSocket(connection) => {
                loop {
                    let progress = connection.progress();
                    if connection.is_ended() || connection.backlog() <= CALM {
                        break;
                    }
                    progress.await;
                }
                connection.limit_allowance();
            }
            Outlet::Polling(queue) | Outlet::Grpc(queue) => queue.calm().await,
        }
    }

    /// Ends the way out, behind what was sent.
    pub fn close(&self, why: Reason) {
        match self {
            Outlet::WebSocket(connection) => connection.close(Closing::Graceful, why),
            Outlet::Polling(queue) | Outlet::Grpc(queue) => queue.close(),
        }
    }

    /// Whether it has ended, however that came.
    pub fn is_ended(&self) -> bool {
        match self {
            Outlet::WebSocket(connection) => connection.is_ended(),
            Outlet::Polling(queue) | Outlet::Grpc(queue) => queue.is_closed(),
        }
    }

    /// What it is in metrics.
    pub fn carriage(&self) -> Carriage {
        match self {
            Outlet::WebSocket(_) => Carriage::TinodeWebsocket,
            Outlet::Polling(_) => Carriage::TinodePolling,
            Outlet::Grpc(_) => Carriage::TinodeGrpc,
        }
    }

    /// How many messages these are, for the line of the log about the connection.
    pub fn count(&self, frames: &[u8]) -> usize {
        match self {
            Outlet::WebSocket(_) | Outlet::Polling(_) => frame::payloads(frames).count(),
            Outlet::Grpc(_) => messages(frames),
        }
    }
}

/// What text frames hold. They are copied: the piece of memory that they are in may be larger by
/// far, and waits for nobody.
fn texts(frames: &[u8]) -> impl Iterator<Item = Bytes> {
    let texts = frame::payloads(frames).filter(|(opcode, _)| *opcode == Opcode::Text);
    texts.map(|(_, text)| Bytes::copy_from_slice(text))
}

/// How many messages of gRPC these are: each has a byte of flags and its length before it.
fn messages(mut frames: &[u8]) -> usize {
    let mut count = 0;
    while let Some((head, rest)) = frames.split_first_chunk::<5>() {
        let [_, length @ ..] = *head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        frames = rest.get(length..).unwrap_or_default();
        count += 1;
    }
    count
}

/// What waits for a client that fetches it. Bounded: one push may exceed the bound, the next one
/// finds it exceeded, unless that was a page.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Something has come or gone, or the end has come.
    changed: Notify,
    bytes: usize,
    count: usize,
}

#[derive(Default)]
struct Waiting {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// Bytes that may wait besides, of a page: what is said behind it finds place.
    allowed: usize,
    /// How often something was taken.
    taken: u64,
    held: bool,
    closed: bool,
}

impl Queue {
    /// For so many bytes and pieces.
    pub fn new(bytes: usize, count: usize) -> Arc<Self> {
        Arc::new(Queue { waiting: Mutex::default(), changed: Notify::new(), bytes, count })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    /// Adds a piece. False: there are too many, and this is none of them. What comes behind the end
    /// is thrown away.
    pub fn push(&self, piece: &Bytes) -> bool {
        self.push_all(std::iter::once(piece.clone()))
    }

    /// As [`Queue::push`], of several.
    fn push_all(&self, pieces: impl Iterator<Item = Bytes>) -> bool {
        let mut waiting = self.waiting();
        if waiting.closed {
            return true;
        }
        if waiting.bytes >= self.bytes + waiting.allowed || waiting.pieces.len() >= self.count {
            return false;
        }
        let before = waiting.bytes;
        for piece in pieces {
            waiting.bytes += piece.len() + PIECE;
            waiting.pieces.push_back(piece);
        }
        let pushed = waiting.bytes - before;
        if pushed >= PAGE {
            waiting.allowed = waiting.allowed.max(pushed);
        }
        drop(waiting);
        self.changed.notify_waiters();
        true
    }

    /// The next piece; nothing behind the end. May be dropped without losing one.
    pub async fn next(&self) -> Option<Bytes> {
        self.when(|waiting| match waiting.pop() {
            Some(piece) => Some(Some(piece)),
            None => waiting.closed.then_some(None),
        })
        .await
    }

    /// As [`Queue::next`], but of a piece with more bytes than that only some: what is on its way
    /// to a client that reads no more is counted nowhere.
    pub async fn next_of(&self, most: usize) -> Option<Bytes> {
        self.when(|waiting| match waiting.pop_of(most) {
            Some(piece) => Some(Some(piece)),
            None => waiting.closed.then_some(None),
        })
        .await
    }

    /// Returns once something waits of which nothing was taken for so long, or up to twice as long:
    /// it is looked at now and then, as most of the time nothing waits.
    pub async fn stalled(&self, patience: Duration) {
        let waits = || {
            let waiting = self.waiting();
            (!waiting.pieces.is_empty()).then_some(waiting.taken)
        };
        loop {
            let before = waits();
            sleep(patience).await;
            if before.is_some() && waits() == before {
                return;
            }
        }
    }

    /// Nothing is added any more. What waits may still be fetched.
    pub fn close(&self) {
        self.waiting().closed = true;
        self.changed.notify_waiters();
    }

    fn is_closed(&self) -> bool {
        self.waiting().closed
    }

    /// Whoever reads from the client is to stop, or may go on: [`Queue::flow`].
    fn hold(&self, hold: bool) {
        self.waiting().held = hold;
        if !hold {
            self.changed.notify_waiters();
        }
    }

    /// Returns once the client may be read from, or at the end.
    pub async fn flow(&self) {
        self.when(|waiting| (!waiting.held || waiting.closed).then_some(())).await;
    }

    /// Returns at the end.
    pub async fn closed(&self) {
        self.when(|waiting| waiting.closed.then_some(())).await;
    }

    /// Returns once nothing waits any more.
    pub async fn emptied(&self) {
        self.when(|waiting| waiting.pieces.is_empty().then_some(())).await;
    }

    /// Returns once no more waits than half of what may, or at the end.
    async fn calm(&self) {
        let (bytes, count) = (self.bytes / 2, self.count / 2);
        self.when(|waiting| {
            let is_calm = waiting.bytes <= bytes && waiting.pieces.len() <= count;
            (is_calm || waiting.closed).then_some(())
        })
        .await;
    }

    /// Waits until `look` finds something.
    async fn when<T>(&self, mut look: impl FnMut(&mut Waiting) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            let (found, fewer) = {
                let mut waiting = self.waiting();
                let before = waiting.taken;
                (look(&mut waiting), waiting.taken > before)
            };
            if fewer {
                self.changed.notify_waiters();
            }
            match found {
                Some(found) => return found,
                None => changed.await,
            }
        }
    }
}

impl Waiting {
    fn pop(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        self.taken += 1;
        self.bytes -= piece.len() + PIECE;
        self.allowed = self.allowed.min(self.bytes);
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new(); // most of the time nothing waits
        }
        Some(piece)
    }

    fn pop_of(&mut self, most: usize) -> Option<Bytes> {
        let first = self.pieces.front_mut().filter(|first| first.len() > most);
        let Some(first) = first else { return self.pop() };
        let some = first.split_to(most);
        self.taken += 1;
        self.bytes -= some.len();
        self.allowed = self.allowed.min(self.bytes);
        Some(some)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use futures_util::FutureExt;
    use tokio::time::timeout;

    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[tokio::test]
    async fn a_queue_gives_what_it_got_and_ends_behind_it() {
        let queue = Queue::new(1000, 10);
        assert_eq!(queue.next().now_or_never(), None, "nothing yet");
        assert!(queue.push(&bytes("a")) && queue.push(&bytes("b")));
        assert_eq!(queue.next().await, Some(bytes("a")));
        queue.close();
        assert!(queue.push(&bytes("c")), "thrown away");
        assert_eq!((queue.next().await, queue.next().await), (Some(bytes("b")), None));
    }

    #[tokio::test]
    async fn a_queue_is_bounded_by_bytes_and_by_pieces_but_takes_one_page() {
        let queue = Queue::new(200, 3);
        let page = Bytes::from(vec![b'x'; 5000]);
        assert!(queue.push(&page));
        assert!(!queue.push(&bytes("a")), "too many bytes");
        assert_eq!(queue.next().await, Some(page));
        assert!((0..3).all(|_| queue.push(&Bytes::new())));
        assert!(!queue.push(&Bytes::new()), "too many pieces");
    }

    #[tokio::test]
    async fn behind_a_page_there_is_place_for_what_else_was_asked_for() {
        let queue = Queue::new(PAGE, 100);
        let page = Bytes::from(vec![b'x'; 4 * PAGE]);
        assert!(queue.push(&page) && queue.push(&bytes("no content")));
        let much = Bytes::from(vec![b'x'; PAGE - 1]);
        assert!(queue.push(&much) && !queue.push(&bytes("a")), "it is bounded still");
        for piece in [page, bytes("no content"), much] {
            assert_eq!(queue.next().await, Some(piece));
        }
        let half = Bytes::from(vec![b'x'; PAGE / 2]);
        let found_place = [(); 3].map(|()| queue.push(&half));
        assert_eq!(found_place, [true, true, false], "what the page was allowed is gone with it");
    }

    #[tokio::test]
    async fn of_a_large_piece_some_is_taken_and_the_rest_waits_still() {
        let queue = Queue::new(1000, 10);
        assert!(queue.push(&bytes("abcde")) && queue.push(&bytes("f")));
        for (part, left) in [("ab", 2), ("cd", 2), ("e", 1), ("f", 0)] {
            assert_eq!(queue.next_of(2).await, Some(bytes(part)));
            assert_eq!(queue.waiting().pieces.len(), left);
        }
        assert_eq!(queue.waiting().bytes, 0);
        queue.close();
        assert_eq!(queue.next_of(2).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_of_what_waits_is_found() {
        const PATIENCE: Duration = Duration::from_secs(30);
        let queue = Queue::new(1000, 100);
        let mut stalled = Box::pin(queue.stalled(PATIENCE));
        assert!(timeout(3 * PATIENCE, &mut stalled).await.is_err(), "nothing waits");
        assert!(queue.push(&bytes("abcdefgh")));
        for _ in 0..7 {
            assert!(timeout(PATIENCE, &mut stalled).await.is_err(), "some is taken each time");
            assert!(queue.next_of(1).await.is_some());
        }
        assert!(timeout(2 * PATIENCE, &mut stalled).await.is_ok());
    }

    #[tokio::test]
    async fn who_waits_for_calm_or_for_the_flow_is_woken() {
        let queue = Queue::new(400, 100);
        queue.hold(true);
        (0..5).for_each(|_| assert!(queue.push(&bytes("a"))));
        let mut calm = Box::pin(queue.calm());
        let mut flow = Box::pin(queue.flow());
        assert!(calm.as_mut().now_or_never().is_none() && flow.as_mut().now_or_never().is_none());
        for _ in 0..3 {
            assert_eq!(queue.next().await, Some(bytes("a")));
        }
        calm.await;
        queue.hold(false);
        flow.await;
        queue.hold(true);
        queue.close();
        queue.flow().await;
        queue.closed().await;
    }

    #[test]
    fn a_client_that_polls_gets_the_texts_of_frames() {
        let mut frames = BytesMut::new();
        frame::text(&mut frames, &[b"{\"ctrl\":1}"]);
        frames.extend_from_slice(&frame::pong(b""));
        frame::text(&mut frames, &[b"0"]);
        let texts: Vec<Bytes> = texts(&frames).collect();
        assert_eq!(texts, [bytes("{\"ctrl\":1}"), bytes("0")]);
    }

    #[test]
    fn messages_of_grpc_are_counted() {
        for (frames, count) in [
            (&b""[..], 0),
            (&b"\0\0\0\0\x02ab"[..], 1),
            (&b"\0\0\0\0\0\0\0\0\0\x01a"[..], 2),
            (&b"\0\xff\xff\xff\xffa"[..], 1),
            (&b"\0\0\0"[..], 0),
        ] {
            assert_eq!(messages(frames), count, "{frames:?}");
        }
    }
}
