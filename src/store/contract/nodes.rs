//! What nodes ask each other and tell each other.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::{Notify, Semaphore};

use super::{NodesHome, witness::Witness};
use crate::domain::{
    broker::Broker,
    cluster::Cluster,
    nodes::{self, Listener, MAX_FRAME, NoAnswer, Nodes},
};

/// A node, as it is opened.
pub(crate) struct Parts {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) nodes: Arc<dyn Nodes>,
    pub(crate) cluster: Arc<dyn Cluster>,
}

/// Says of each question where it was heard, and remembers the words. Those that begin with `quick`
/// it hears at once.
pub(crate) struct Echo {
    name: String,
    words: Mutex<Vec<Bytes>>,
    heard: Notify,
    /// Until then it does not answer what is to be waited for.
    pub(crate) may: Semaphore,
}

#[async_trait]
impl Listener for Echo {
    async fn asked(&self, question: Bytes) -> Bytes {
        if question.starts_with(b"wait") {
            self.may.acquire().await.unwrap().forget();
        }
        [self.name.as_bytes(), b": ", &question].concat().into()
    }

    fn hears(&self, word: &Bytes) -> bool {
        let is_quick = word.starts_with(b"quick");
        if is_quick {
            self.remember(word.clone());
        }
        is_quick
    }

    async fn told(&self, word: Bytes) {
        self.remember(word);
    }
}

impl Echo {
    fn remember(&self, word: Bytes) {
        self.words.lock().unwrap().push(word);
        self.heard.notify_one();
    }
}

/// A node that is there.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) nodes: Arc<dyn Nodes>,
    pub(crate) echo: Arc<Echo>,
}

/// Far above what it takes: a busy machine must not fail it.
const LONG: Duration = Duration::from_secs(60);

impl Node {
    pub(crate) async fn begin(parts: Parts) -> Self {
        let witness = Witness::of(&parts.broker);
        let all = parts.cluster.nodes().await.unwrap();
        let name = all.into_iter().find(|node| node.this).unwrap().id;
        let (words, heard) = Default::default();
        let echo = Echo { name: name.clone(), words, heard, may: Semaphore::new(0) };
        let echo = Arc::new(echo);
        witness.listeners.add("echo", echo.clone());
        Node { name, nodes: parts.nodes, echo }
    }

    pub(crate) async fn asks(&self, node: &str, question: &[u8]) -> Result<Bytes, NoAnswer> {
        nodes::ask(&*self.nodes, node, "echo", question, LONG).await
    }

    pub(crate) async fn tells(&self, word: &[u8]) {
        nodes::tell(&*self.nodes, "echo", word).await.unwrap();
    }

    /// Waits until it was told of so many words, and returns them.
    pub(crate) async fn hears(&self, count: usize) -> Vec<Bytes> {
        let wait = async {
            while self.echo.words.lock().unwrap().len() < count {
                self.echo.heard.notified().await;
            }
        };
        tokio::time::timeout(LONG, wait).await.expect("it is told");
        std::mem::take(&mut *self.echo.words.lock().unwrap())
    }
}

async fn begin(home: &impl NodesHome) -> Vec<Node> {
    join_all(home.open().await.into_iter().map(Node::begin)).await
}

pub(crate) async fn each_node_is_asked_by_its_name(home: &impl NodesHome) {
    let nodes = begin(home).await;
    for asker in &nodes {
        for asked in &nodes {
            let answer = asker.asks(&asked.name, b"x").await;
            assert_eq!(answer, Ok(format!("{}: x", asked.name).into()));
        }
    }
}

pub(crate) async fn a_node_that_is_not_there_is_gone(home: &impl NodesHome) {
    let nodes = begin(home).await;
    for name in ["nobody", "", "*", "embedded.2", "no\nbody", "no body"] {
        assert_eq!(nodes[0].asks(name, b"x").await, Err(NoAnswer::Gone), "{name:?}");
    }
}

pub(crate) async fn a_dialect_that_a_node_does_not_have_is_gone(home: &impl NodesHome) {
    let nodes = begin(home).await;
    for asked in &nodes {
        let answer = nodes::ask(&*nodes[0].nodes, &asked.name, "talk", b"x", LONG).await;
        assert_eq!(answer, Err(NoAnswer::Gone));
    }
    nodes::tell(&*nodes[0].nodes, "talk", b"nobody listens").await.unwrap();
    nodes[0].tells(b"y").await;
    for node in &nodes {
        assert_eq!(node.hears(1).await, [&b"y"[..]]);
    }
}

pub(crate) async fn who_does_not_answer_in_time_is_late(home: &impl NodesHome) {
    let nodes = begin(home).await;
    for asked in &nodes {
        let soon = Duration::from_millis(50);
        let answer = nodes::ask(&*nodes[0].nodes, &asked.name, "echo", b"wait", soon).await;
        assert_eq!(answer, Err(NoAnswer::Late));
        // Its answer comes to nobody, and others are answered.
        asked.echo.may.add_permits(1);
        let answer = nodes[0].asks(&asked.name, b"x").await;
        assert_eq!(answer, Ok(format!("{}: x", asked.name).into()));
    }
}

pub(crate) async fn a_question_and_its_answer_may_be_any_bytes(home: &impl NodesHome) {
    let nodes = begin(home).await;
    let bytes: Vec<u8> = (0..=255).chain(*b"\n\r\n\0").collect();
    let large = bytes.repeat(MAX_FRAME / bytes.len() / 4);
    for asked in &nodes {
        for question in [&b""[..], b"\n", &bytes, &large] {
            let answer = nodes[0].asks(&asked.name, question).await.unwrap();
            let expected = [asked.name.as_bytes(), b": ", question].concat();
            assert!(answer == expected, "{} bytes came back otherwise", question.len());
        }
    }
}

pub(crate) async fn all_nodes_are_told_once(home: &impl NodesHome) {
    let nodes = begin(home).await;
    let last = nodes.len() - 1;
    nodes[0].tells(b"a\nb\xff").await;
    for node in &nodes {
        assert_eq!(node.hears(1).await, [&b"a\nb\xff"[..]]);
    }
    nodes[last].tells(b"second").await;
    for node in &nodes {
        assert_eq!(node.hears(1).await, [&b"second"[..]]);
    }
}

pub(crate) async fn the_words_of_one_node_come_in_their_order(home: &impl NodesHome) {
    let nodes = begin(home).await;
    let words: Vec<String> = (0..200).map(|number| format!("quick {number}")).collect();
    for word in &words {
        nodes[0].tells(word.as_bytes()).await;
    }
    for node in &nodes {
        assert_eq!(node.hears(words.len()).await, *words);
    }
}

pub(crate) async fn of_many_questions_at_once_each_has_its_answer(home: &impl NodesHome) {
    let nodes = begin(home).await;
    let asked = &nodes[nodes.len() - 1];
    let ask = async |question: String| {
        let answer = nodes[0].asks(&asked.name, question.as_bytes()).await;
        assert_eq!(answer, Ok(format!("{}: {question}", asked.name).into()));
    };
    let slow = join_all((0..100).map(|number| ask(format!("wait {number}"))));
    let quick = async {
        join_all((0..200).map(|number| ask(number.to_string()))).await;
        asked.echo.may.add_permits(100);
    };
    tokio::join!(slow, quick);
}
