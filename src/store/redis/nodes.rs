//! Questions from node to node, over channels: `ao:{db}:asked:{node}`, to which one node listens,
//! and `ao:{db}:told`, to which all do. What is published there is a line of words, and behind it a
//! frame of the core:
//!
//! | line | where | what |
//! |---|---|---|
//! | `ask NUMBER NODE` | `asked:` | a node asks; the answer is for `asked:NODE` |
//! | `answer NUMBER` | `asked:` | the answer to the question with this number |
//! | `tell NODE` | `told` | a node tells all |
//!
//! Nodes of earlier versions listen to neither. A line that is not known is passed over.
//!
//! A node is asked only while its lease lasts. Nothing is kept: a node whose listening connection
//! is interrupted at that moment hears nothing, and whoever asked gives up.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Redis, answer, lock, script::Script};
use crate::{
    domain::{
        error::StoreError,
        nodes::{MAX_AT_ONCE, NoAnswer, Nodes},
    },
    throttle::throttled,
};

/// The channel of a node, and that of all, behind what all channels begin with.
const ASKED: &str = "asked:";
const TOLD: &str = "told";

/// Whether a channel is one of these.
pub(super) fn is_of_nodes(channel: &str) -> bool {
    channel == TOLD || channel.starts_with(ASKED)
}

/// The questions of this node that wait for an answer.
#[derive(Default)]
pub(super) struct Questions {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Bytes>>>,
    last: AtomicU64,
}

/// A question that waits, until this is dropped.
struct Waiting<'a> {
    questions: &'a Questions,
    number: u64,
    answer: oneshot::Receiver<Bytes>,
}

impl Questions {
    fn open(&self) -> Result<Waiting<'_>, StoreError> {
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= MAX_AT_ONCE {
            let why = format!("{MAX_AT_ONCE} questions of this node wait for an answer");
            return Err(StoreError::Unavailable(why));
        }
        let (tell, answer) = oneshot::channel();
        let number = self.last.fetch_add(1, Relaxed) + 1;
        waiting.insert(number, tell);
        Ok(Waiting { questions: self, number, answer })
    }

    fn answered(&self, number: u64, answer: Bytes) {
        let waiting = lock(&self.waiting).remove(&number);
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer); // whoever asked may have given up just now
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.questions.waiting).remove(&self.number);
    }
}

/// What was published.
#[derive(Debug, PartialEq, Eq)]
enum Word<'a> {
    Ask { number: u64, node: &'a str },
    Answer { number: u64 },
    Tell { node: &'a str },
}

/// The line, and what is behind it. `None`: it can't be read.
fn read(payload: &Bytes) -> Option<(Word<'_>, Bytes)> {
    let end = payload.iter().position(|byte| *byte == b'\n')?;
    let mut words = std::str::from_utf8(&payload[..end]).ok()?.split(' ');
    // Further words are those of a later version.
    let word = match (words.next()?, words.next()?) {
        ("ask", number) => Word::Ask { number: number.parse().ok()?, node: words.next()? },
        ("answer", number) => Word::Answer { number: number.parse().ok()? },
        ("tell", node) => Word::Tell { node },
        _ => return None,
    };
    Some((word, payload.slice(end + 1..)))
}

/// The name that a node has kept through all its lives.
fn first_name(node: &str) -> &str {
    node.split_once('.').map_or(node, |(name, _)| name)
}

impl Redis {
    /// Where a node is asked, and answered.
    pub(super) fn asked_channel(&self, node: &str) -> String {
        format!("{}{ASKED}{node}", self.channels)
    }

    /// Where all nodes are told.
    pub(super) fn told_channel(&self) -> String {
        format!("{}{TOLD}", self.channels)
    }

    /// Something was published in one of these channels. It may not keep what comes next waiting.
    pub(super) fn hear_node(self: &Arc<Self>, payload: &Bytes) {
        match read(payload) {
            Some((Word::Ask { number, node }, question)) => {
                let answer = self.sink().asked(question);
                let (this, to) = (self.clone(), self.asked_channel(node));
                self.spawn(async move {
                    let Ok(answer) = answer.await else { return }; // there is none
                    let sent = this.publish_line(&to, &format!("answer {number}"), &answer).await;
                    if let Err(error) = sent {
                        throttled!(warn, %error, "a node that has asked could not be answered");
                    }
                });
            }
            Some((Word::Answer { number }, answer)) => self.questions.answered(number, answer),
            Some((Word::Tell { node }, word)) => {
                // It has told itself.
                if first_name(node) != first_name(&self.node()) {
                    self.sink().told(word);
                }
            }
            None => {
                throttled!(warn, "an unknown word was published in a channel of nodes");
            }
        }
    }

    async fn publish_line(&self, to: &str, line: &str, frame: &[u8]) -> Result<(), StoreError> {
        if self.ended.is_cancelled() {
            return Err(StoreError::Unavailable("the store is closed".into()));
        }
        let mut payload = Vec::with_capacity(line.len() + 1 + frame.len());
        payload.extend_from_slice(line.as_bytes());
        payload.push(b'\n');
        payload.extend_from_slice(frame);
        let live = self.client.live()?;
        let mut command = redis::cmd("PUBLISH");
        command.arg(to).arg(payload);
        self.client.send(&live, &command, self.deadline()).await?;
        Ok(())
    }
}

#[async_trait]
impl Nodes for Redis {
    async fn ask(&self, node: &str, question: Bytes) -> Result<Bytes, NoAnswer> {
        if *node == *self.node() {
            return self.sink().asked(question).await.map_err(|_| NoAnswer::Late);
        }
        let mut waiting = self.questions.open()?;
        let asked = self.call(Script::Ask, self.deadline(), |a| {
            a.text(node).number(waiting.number).bodies([question])
        });
        let asked = asked.await.map_err(StoreError::from)?;
        match answer::number(Some(asked))? {
            0 => Err(NoAnswer::Gone),
            1 => Err(NoAnswer::Late),
            _ => (&mut waiting.answer).await.map_err(|_| NoAnswer::Late),
        }
    }

    async fn tell_all(&self, word: Bytes) -> Result<(), StoreError> {
        let line = format!("tell {}", self.node());
        self.publish_line(&self.told_channel(), &line, &word).await?;
        // Not by Redis: the connection that listens may be interrupted.
        self.sink().told(word);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read_and_what_is_not_known_is_passed_over() {
        let read = |text: &'static [u8]| {
            let payload = Bytes::from_static(text);
            read(&payload).map(|(word, rest)| (format!("{word:?}"), rest))
        };
        let is = |word: Word<'_>, rest: &'static [u8]| {
            Some((format!("{word:?}"), Bytes::from_static(rest)))
        };
        let ask = Word::Ask { number: 7, node: "abc.2" };
        assert_eq!(read(b"ask 7 abc.2\nx\ny\0"), is(ask, b"x\ny\0"));
        assert_eq!(read(b"answer 7\n"), is(Word::Answer { number: 7 }, b""));
        assert_eq!(read(b"answer 7 later\nx"), is(Word::Answer { number: 7 }, b"x"));
        assert_eq!(read(b"tell abc\nx"), is(Word::Tell { node: "abc" }, b"x"));
        for text in [&b""[..], b"ask", b"ask 7\nx", b"ask x abc\nx", b"tell\nx", b"sing 7\nx"] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(read(b"\xff 7\nx"), None);
    }

    #[test]
    fn a_question_waits_until_it_is_answered_or_given_up() {
        let questions = Questions::default();
        let mut first = questions.open().unwrap();
        let second = questions.open().unwrap();
        questions.answered(first.number, Bytes::from_static(b"x"));
        questions.answered(first.number, Bytes::from_static(b"again"));
        questions.answered(99, Bytes::new());
        assert_eq!(first.answer.try_recv(), Ok(Bytes::from_static(b"x")));
        drop(second);
        assert!(lock(&questions.waiting).is_empty());
        let many: Vec<_> = (0..MAX_AT_ONCE).map(|_| questions.open().unwrap()).collect();
        assert!(matches!(questions.open(), Err(StoreError::Unavailable(_))));
        drop(many);
        assert!(questions.open().is_ok());
    }
}
