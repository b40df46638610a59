//! Questions from node to node: for what can be done only where a connection is.
//!
//! A dialect registers its [`Listener`] at the hub of each node ([`Hub::listen`]), and asks that of
//! another node ([`Hub::ask`]) or tells all of them ([`Hub::tell_nodes`]). Stores carry frames,
//! which begin with the dialect's name. They know nothing of what is in them.
//!
//! ```text
//! Hub::ask ──► Nodes::ask ── the store ──► NodeSink::asked ──► a task ──► Listener::asked
//! answer   ◄──────────────── the store ◄── answer ◄───────────────────────
//! ```
//!
//! Nothing is kept and nothing is sent twice. A question is lost with the node that it is for, and
//! with the connection to the store. Whoever asks gives up after a time, and does not know then
//! whether what was asked was done.
//!
//! ```
//! # use std::sync::Arc;
//! # use always_online::domain::{hub::Hub, nodes::{Listener, NoAnswer}};
//! # use async_trait::async_trait;
//! # use bytes::Bytes;
//! # use std::time::Duration;
//! struct Clock;
//!
//! #[async_trait]
//! impl Listener for Clock {
//!     async fn asked(&self, _: Bytes) -> Bytes {
//!         Bytes::from_static(b"noon")
//!     }
//!     async fn told(&self, _: Bytes) {}
//! }
//!
//! async fn time_on(hub: &Hub, node: &str) -> Result<Bytes, NoAnswer> {
//!     hub.listen("clock", Arc::new(Clock)); // done by each node, at its start
//!     hub.ask(node, "clock", Bytes::new(), Duration::from_secs(5)).await
//! }
//! ```
//!
//! [`Hub::listen`]: super::hub::Hub::listen
//! [`Hub::ask`]: super::hub::Hub::ask
//! [`Hub::tell_nodes`]: super::hub::Hub::tell_nodes
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use super::{cluster::Lost, error::StoreError};
use crate::{lock::lock, metrics::Metrics, throttle::throttled};

/// Most bytes of a frame: of a question, a word or an answer, with what stands before it.
pub const MAX_FRAME: usize = 4 << 20;
/// Most questions and words that a node sees to at once, and most of its own that are open.
pub const MAX_AT_ONCE: usize = 1024;

/// What stands before an answer, instead of a dialect's name.
const ANSWER: &str = "answer";
/// The node has no listener of this name.
const NOBODY: &str = "nobody";
/// The node sees to too much already.
const BUSY: &str = "busy";
/// There is an answer, and it is too large.
const TOO_LARGE: &str = "large";

/// A node did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// There is no such node, or it does not have the dialect. It has done nothing.
    #[error("there is no such node")]
    Gone,
    /// It did not answer in time. Whether it has done what it was asked is not known.
    #[error("the node did not answer in time")]
    Late,
    /// It sees to too much already. It has done nothing.
    #[error("the node is asked for too much at once")]
    Busy,
    /// The store did not carry the question, or not the answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How frames get from node to node. Whoever asks has a frame of [`MAX_FRAME`] at most. Stores
/// implement it, beside [`Cluster`](super::cluster::Cluster); see the [module](self) for how it is
/// used.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Asks a node by its name, or this one: its sink is told by
    /// [`NodeSink::asked`](super::cluster::NodeSink::asked). Waits for its answer, for ever: the
    /// caller sets a time.
    ///
    /// # Errors
    /// [`NoAnswer::Gone`] at once where no node of this name is alive; [`NoAnswer::Late`] where it
    /// is known that no answer comes.
    async fn ask(&self, node: &str, question: Bytes) -> Result<Bytes, NoAnswer>;

    /// Tells all nodes that are alive, this one too: their sinks are told by
    /// [`NodeSink::told`](super::cluster::NodeSink::told). Nobody answers, and a node that hears
    /// nothing at that moment is not told.
    ///
    /// # Errors
    /// Those of the store; some may have been told.
    async fn tell_all(&self, word: Bytes) -> Result<(), StoreError>;
}

/// What a dialect does about questions and words of its own kind, which may be those of another
/// version of itself. But for [`Listener::hears`] each is called in a task of its own, so it may
/// take its time, but has to end: there are [`MAX_AT_ONCE`] at most. What is asked or told later
/// may be done earlier.
#[async_trait]
pub trait Listener: Send + Sync {
    /// A node asks, maybe this one. Returns the answer.
    async fn asked(&self, question: Bytes) -> Bytes;
    /// A node tells all, maybe this one. Called at once, in the order in which the words of one
    /// node come; it must not block. Returns whether that was all; otherwise [`Listener::told`] is
    /// called.
    fn hears(&self, _word: &Bytes) -> bool {
        false
    }
    /// A node tells all, maybe this one.
    async fn told(&self, word: Bytes);
    /// Connections are gone with their node, maybe of another dialect. The core has told their
    /// rooms; what else is to be told of them is this node's affair.
    async fn lost(&self, _lost: Arc<[Lost]>) {}
}

/// The listeners of this node, by the names of their dialects.
pub(crate) struct Listeners {
    by_name: Mutex<HashMap<&'static str, Arc<dyn Listener>>>,
    free: Arc<Semaphore>,
    tasks: TaskTracker,
    metrics: Arc<Metrics>,
}

impl Default for Listeners {
    fn default() -> Self {
        Listeners::new(TaskTracker::new(), Arc::default())
    }
}

impl Listeners {
    /// None yet. Their work is tracked by `tasks`, and what is not done is counted in `metrics`.
    pub(crate) fn new(tasks: TaskTracker, metrics: Arc<Metrics>) -> Self {
        let free = Arc::new(Semaphore::new(MAX_AT_ONCE));
        Listeners { by_name: Mutex::default(), free, tasks, metrics }
    }

    /// This one is called from now on.
    pub(crate) fn add(&self, dialect: &'static str, listener: Arc<dyn Listener>) {
        lock(&self.by_name).insert(dialect, listener);
    }

    fn named(&self, dialect: &str) -> Option<Arc<dyn Listener>> {
        lock(&self.by_name).get(dialect).cloned()
    }

    /// The right to do one more thing; none: they are too many.
    fn begin(&self) -> Option<OwnedSemaphorePermit> {
        let begun = self.free.clone().try_acquire_owned().ok();
        if begun.is_none() {
            self.metrics.node.unanswered.inc();
            throttled!(warn, "other nodes ask for too much at once; some of it is not done");
        }
        begun
    }

    /// A node asks. The frame of the answer comes by what is returned, or nothing does.
    pub(crate) fn asked(&self, question: &Bytes) -> oneshot::Receiver<Bytes> {
        let (tell, answer) = oneshot::channel();
        let Some((dialect, question)) = unframe(question) else { return answer };
        let Some(listener) = self.named(dialect) else {
            let _ = tell.send(frame(NOBODY, b"")); // somebody waits, or not any more
            return answer;
        };
        let Some(begun) = self.begin() else {
            let _ = tell.send(frame(BUSY, b"")); // as above
            return answer;
        };
        self.tasks.spawn(async move {
            let answer = frame(ANSWER, &listener.asked(question).await);
            let fits = answer.len() <= MAX_FRAME;
            let _ = tell.send(if fits { answer } else { frame(TOO_LARGE, b"") });
            drop(begun);
        });
        answer
    }

    /// Connections are gone with their node. That is told once, so it waits where questions don't.
    pub(crate) fn lost(&self, lost: &Arc<[Lost]>) {
        let all: Vec<_> = lock(&self.by_name).values().cloned().collect();
        for listener in all {
            let (free, lost) = (self.free.clone(), lost.clone());
            self.tasks.spawn(async move {
                let begun = free.acquire_owned().await;
                listener.lost(lost).await;
                drop(begun);
            });
        }
    }

    /// A node tells all.
    pub(crate) fn told(&self, word: &Bytes) {
        let Some((dialect, word)) = unframe(word) else { return };
        let Some(listener) = self.named(dialect) else { return };
        if listener.hears(&word) {
            return;
        }
        if let Some(begun) = self.begin() {
            self.tasks.spawn(async move {
                listener.told(word).await;
                drop(begun);
            });
        }
    }
}

/// Asks a dialect's listener on a node, and waits so long for its answer.
///
/// # Errors
/// There is none.
pub(crate) async fn ask(
    nodes: &dyn Nodes,
    node: &str,
    dialect: &str,
    question: &[u8],
    within: Duration,
) -> Result<Bytes, NoAnswer> {
    let question = checked(frame(dialect, question))?;
    let answer = timeout(within, nodes.ask(node, question)).await;
    let answer = answer.map_err(|_| NoAnswer::Late)??;
    let unknown = |why: &str| NoAnswer::Store(StoreError::OutcomeUnknown(why.to_owned()));
    match unframe(&answer) {
        Some((ANSWER, answer)) => Ok(answer),
        Some((NOBODY, _)) => Err(NoAnswer::Gone),
        Some((BUSY, _)) => Err(NoAnswer::Busy),
        Some((TOO_LARGE, _)) => Err(unknown("the answer of a node is too large")),
        Some(_) | None => Err(unknown("the answer of a node can't be read")),
    }
}

/// Tells a dialect's listeners on all nodes.
///
/// # Errors
/// Those of the store, or the word is too large.
pub(crate) async fn tell(nodes: &dyn Nodes, dialect: &str, word: &[u8]) -> Result<(), StoreError> {
    nodes.tell_all(checked(frame(dialect, word))?).await
}

/// A frame that may be sent.
fn checked(frame: Bytes) -> Result<Bytes, StoreError> {
    if frame.len() <= MAX_FRAME {
        return Ok(frame);
    }
    let why = format!("what nodes tell each other has {MAX_FRAME} bytes at most");
    Err(StoreError::Unavailable(why))
}

/// A line with a name, and what is behind it.
fn frame(name: &str, body: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(name.len() + 1 + body.len());
    frame.extend_from_slice(name.as_bytes());
    frame.push(b'\n');
    frame.extend_from_slice(body);
    frame.into()
}

/// The two parts of a frame; none, if it is none.
fn unframe(frame: &Bytes) -> Option<(&str, Bytes)> {
    let end = frame.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&frame[..end]).ok()?, frame.slice(end + 1..)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use tokio::sync::Notify;

    use super::*;

    /// A cluster of one.
    struct Alone(Listeners);

    #[async_trait]
    impl Nodes for Alone {
        async fn ask(&self, node: &str, question: Bytes) -> Result<Bytes, NoAnswer> {
            if node != "me" {
                return Err(NoAnswer::Gone);
            }
            self.0.asked(&question).await.map_err(|_| NoAnswer::Late)
        }

        async fn tell_all(&self, word: Bytes) -> Result<(), StoreError> {
            self.0.told(&word);
            Ok(())
        }
    }

    /// Says after each question what it was, once it may; and how many words there were. Words that
    /// begin with `quick` it hears at once.
    #[derive(Default)]
    struct Parrot {
        may: Notify,
        words: Mutex<Vec<Bytes>>,
        heard: Notify,
        lost: AtomicBool,
    }

    #[async_trait]
    impl Listener for Parrot {
        async fn asked(&self, question: Bytes) -> Bytes {
            match &question[..] {
                b"wait" => self.may.notified().await,
                b"much" => return vec![0; MAX_FRAME].into(),
                _ => {}
            }
            question
        }

        fn hears(&self, word: &Bytes) -> bool {
            let is_quick = word.starts_with(b"quick");
            if is_quick {
                self.words.lock().unwrap().push(word.clone());
            }
            is_quick
        }

        async fn told(&self, word: Bytes) {
            self.words.lock().unwrap().push(word);
            self.heard.notify_one();
        }

        async fn lost(&self, _: Arc<[Lost]>) {
            self.lost.store(true, Relaxed);
        }
    }

    const SOON: Duration = Duration::from_secs(5);

    fn alone() -> (Alone, Arc<Parrot>) {
        let (alone, parrot) = (Alone(Listeners::default()), Arc::new(Parrot::default()));
        alone.0.add("parrot", parrot.clone());
        (alone, parrot)
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_is_answered_by_its_dialect_or_there_is_none() {
        let (nodes, _) = alone();
        let ask =
            async |node, dialect, question: &[u8]| ask(&nodes, node, dialect, question, SOON).await;
        assert_eq!(ask("me", "parrot", b"a\nb\0").await, Ok(Bytes::from_static(b"a\nb\0")));
        assert_eq!(ask("me", "parrot", b"").await, Ok(Bytes::new()));
        assert_eq!(ask("me", "cat", b"x").await, Err(NoAnswer::Gone));
        assert_eq!(ask("you", "parrot", b"x").await, Err(NoAnswer::Gone));
        assert_eq!(ask("me", "parrot", b"wait").await, Err(NoAnswer::Late));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_is_not_sent() {
        let (nodes, _) = alone();
        let large = vec![b'x'; MAX_FRAME];
        let asked = ask(&nodes, "me", "parrot", &large, SOON).await;
        assert!(matches!(asked, Err(NoAnswer::Store(StoreError::Unavailable(_)))), "{asked:?}");
        let told = tell(&nodes, "parrot", &large).await;
        assert!(matches!(told, Err(StoreError::Unavailable(_))), "{told:?}");
        let asked = ask(&nodes, "me", "parrot", b"much", SOON).await;
        assert!(matches!(asked, Err(NoAnswer::Store(StoreError::OutcomeUnknown(_)))), "{asked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_too_much_at_once_is_told_so_and_that_is_counted() {
        let (nodes, parrot) = alone();
        let question = frame("parrot", b"wait");
        let waiting: Vec<_> = (0..MAX_AT_ONCE).map(|_| nodes.0.asked(&question)).collect();
        assert_eq!(ask(&nodes, "me", "parrot", b"x", SOON).await, Err(NoAnswer::Busy));
        assert_eq!(ask(&nodes, "me", "cat", b"x", SOON).await, Err(NoAnswer::Gone));
        nodes.0.lost(&Arc::from([]));
        tell(&nodes, "parrot", b"lost").await.unwrap();
        assert_eq!(nodes.0.metrics.node.unanswered.get(), 2);
        tokio::time::sleep(Duration::from_millis(1)).await; // until all of them wait
        assert!(!parrot.lost.load(Relaxed));
        parrot.may.notify_waiters();
        for answer in waiting {
            assert_eq!(answer.await, Ok(frame(ANSWER, b"wait")));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(parrot.lost.load(Relaxed), "it is told when there is room for it");
        assert_eq!(ask(&nodes, "me", "parrot", b"x", SOON).await, Ok(Bytes::from_static(b"x")));
        tell(&nodes, "cat", b"nobody hears it").await.unwrap();
        tell(&nodes, "parrot", b"heard").await.unwrap();
        parrot.heard.notified().await;
        assert_eq!(*parrot.words.lock().unwrap(), [Bytes::from_static(b"heard")]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_heard_at_once_keeps_its_order_and_needs_no_place() {
        let (nodes, parrot) = alone();
        let question = frame("parrot", b"wait");
        let waiting: Vec<_> = (0..MAX_AT_ONCE).map(|_| nodes.0.asked(&question)).collect();
        for word in [&b"quick 1"[..], b"slow", b"quick 2"] {
            tell(&nodes, "parrot", word).await.unwrap();
        }
        // There was no place for the task of the one that is not heard at once.
        assert_eq!(nodes.0.metrics.node.unanswered.get(), 1);
        assert_eq!(*parrot.words.lock().unwrap(), [&b"quick 1"[..], b"quick 2"]);
        drop(waiting);
    }

    #[tokio::test]
    async fn what_is_no_frame_is_nothing() {
        let (nodes, _) = alone();
        for text in [&b""[..], b"parrot", b"\xff\nx"] {
            assert!(nodes.0.asked(&Bytes::from_static(text)).await.is_err());
            nodes.0.told(&Bytes::from_static(text));
        }
    }
}
