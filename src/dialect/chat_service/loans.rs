//! Turns among nodes. Whose turn it is of a user in a room is known to one node, which all find by
//! the two names. Another node has the turn *lent*: for a short time, and again and again for as
//! long as it needs it, so that a node that dies does not keep it.
//!
//! Two nodes that see different nodes for a moment may ask different ones. Then both go on at once,
//! which does no harm: who may be in a room is decided by the stores (`membership`).
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    chat::Chat,
    error::Error,
    hash::fnv,
    neighbour::{Question, Reply, written},
    nodes::NAME,
    turns::{PATIENCE, Turn},
};
use crate::{
    domain::{clock::alphanumeric, hub::Hub},
    lock::lock,
};

/// For how long a turn is lent at a time, and how often it is asked for again.
const LENT: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(10);
/// How long it is not asked which nodes there are.
const FRESH: Duration = Duration::from_secs(1);
/// Characters of a loan's name.
const NAME_OF_LOAN: usize = 20;

/// Whose turn it is: a user, and a room.
pub(super) type Key = (String, String);

/// Nodes by name, each with whether it is this one.
type Nodes = Arc<[(String, bool)]>;

/// The nodes that there were, and when that was.
#[derive(Default)]
pub(super) struct Known(Mutex<Option<(Instant, Nodes)>>);

/// Turns of this node that others have, each until the time that is set.
#[derive(Default)]
pub(super) struct Loans(Mutex<HashMap<String, watch::Sender<Instant>>>);

impl Loans {
    /// It is kept for some time more. False: it is over.
    pub fn keep(&self, loan: &str) -> bool {
        let loans = lock(&self.0);
        loans.get(loan).is_some_and(|until| until.send(Instant::now() + LENT).is_ok())
    }

    /// It is over.
    pub fn end(&self, loan: &str) {
        lock(&self.0).remove(loan);
    }

    fn begin(&self, loan: &str) -> watch::Receiver<Instant> {
        let (keep, until) = watch::channel(Instant::now() + LENT);
        lock(&self.0).insert(loan.to_owned(), keep);
        until
    }

    /// Waits until a loan is over.
    async fn over(&self, loan: &str, mut until: watch::Receiver<Instant>) {
        loop {
            let end = *until.borrow_and_update();
            tokio::select! {
                changed = until.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = sleep_until(end) => return self.end(loan),
            }
        }
    }
}

/// A turn, for as long as it is there.
pub(super) enum Held {
    /// This node knows of it.
    Here(#[expect(dead_code, reason = "it is held")] Turn<Key>),
    /// Another one does.
    There(#[expect(dead_code, reason = "it is held")] DropGuard),
}

/// The node that knows of a turn: of all the one that has most to do with it, by a hash that is the
/// same everywhere (rendezvous hashing).
fn keeper<'a>(nodes: &'a [(String, bool)], key: &Key) -> Option<&'a (String, bool)> {
    let weight = |node: &str| {
        let bytes = key.0.bytes().chain([0]).chain(key.1.bytes()).chain([0]).chain(node.bytes());
        let hash = fnv(bytes);
        // The last bytes alone would decide little: splitmix64's last steps.
        let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    };
    nodes.iter().max_by_key(|(node, _)| (weight(node), node.clone()))
}

impl Chat {
    /// Waits for a user's turn in a room.
    ///
    /// # Errors
    /// It took too long.
    pub async fn turn(&self, user: &str, room: &str) -> Result<Held, Error> {
        let key = (user.to_owned(), room.to_owned());
        let nodes = self.nodes_now().await;
        match keeper(&nodes, &key) {
            Some((node, false)) => match self.borrow(node, &key).await {
                Some(borrowed) => borrowed,
                // It has gone, and its turns with it.
                None => self.own_turn(key).await,
            },
            Some((_, true)) | None => self.own_turn(key).await,
        }
    }

    /// As [`Chat::turn`], without asking other nodes.
    ///
    /// # Errors
    /// It took too long.
    pub async fn own_turn(&self, key: Key) -> Result<Held, Error> {
        self.turns.wait(key).await.map(Held::Here).ok_or(Error::Timeout)
    }

    /// The nodes; none, where that can't be learnt.
    async fn nodes_now(&self) -> Nodes {
        let known = lock(&self.nodes.0).clone();
        if let Some((at, nodes)) = known
            && at.elapsed() < FRESH
        {
            return nodes;
        }
        let found = self.hub.nodes().await.unwrap_or_default().into_iter();
        let nodes: Nodes = found.map(|node| (node.id, node.this)).collect();
        *lock(&self.nodes.0) = Some((Instant::now(), nodes.clone()));
        nodes
    }

    /// Has another node lend a turn. `None`: it does not answer, or can't.
    async fn borrow(&self, node: &str, key: &Key) -> Option<Result<Held, Error>> {
        let loan = alphanumeric(&*self.hub.rng, NAME_OF_LOAN).ok()?;
        let (user, room) = key.clone();
        let question = Question::Turn { user, room, loan: loan.clone() };
        let within = self.options.bus_ack_timeout;
        let answer = self.ask_node(node, &question, PATIENCE + within).await;
        match answer {
            Ok(Some(Reply::Done)) => {}
            Ok(Some(Reply::Missing)) => return Some(Err(Error::Timeout)),
            Ok(_) | Err(_) => return None,
        }
        let over = CancellationToken::new();
        let (hub, node, held) = (self.hub.clone(), node.to_owned(), over.clone());
        self.hub.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = held.cancelled() => break,
                    () = sleep(AGAIN) => {
                        tell(&hub, &node, Question::TurnKept { loan: loan.clone() }, within).await;
                    }
                }
            }
            tell(&hub, &node, Question::TurnOver { loan }, within).await;
        });
        Some(Ok(Held::There(over.drop_guard())))
    }

    /// Another node wants a turn of which this one knows. False: it took too long.
    pub async fn lend(self: &Arc<Self>, key: Key, loan: String) -> bool {
        let Some(turn) = self.turns.wait(key).await else { return false };
        let (chat, until) = (self.clone(), self.loans.begin(&loan));
        self.hub.tasks.spawn(async move {
            chat.loans.over(&loan, until).await;
            drop(turn);
        });
        true
    }
}

/// Tells a node something of a loan. If it does not hear it, the loan ends by itself.
async fn tell(hub: &Hub, node: &str, question: Question, within: Duration) {
    if let Ok(question) = written(&question) {
        drop(hub.ask(node, NAME, question, within).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loan_is_over_when_it_is_not_kept_any_more() {
        let loans = Arc::new(Loans::default());
        let begin = Instant::now();
        let until = loans.begin("a");
        let other = loans.begin("b");
        let kept = loans.clone();
        let keep = async {
            for _ in 0..3 {
                sleep(AGAIN).await;
                assert!(kept.keep("a"));
            }
        };
        let ((), ()) = tokio::join!(loans.over("a", until), keep);
        assert_eq!(begin.elapsed(), 3 * AGAIN + LENT);
        assert!(!loans.keep("a"));
        loans.end("b");
        loans.over("b", other).await;
        assert_eq!(begin.elapsed(), 3 * AGAIN + LENT, "it ends at once");
    }

    #[test]
    fn all_find_the_same_keeper_and_each_node_is_one() {
        let nodes = |names: &[&str]| -> Vec<_> {
            names.iter().map(|name| ((*name).to_owned(), false)).collect()
        };
        let (three, other) = (nodes(&["n1", "n2", "n3"]), nodes(&["n3", "n1", "n2"]));
        let mut found = HashMap::<String, usize>::new();
        for number in 0..300 {
            let key = (format!("user {number}"), "r".to_owned());
            let node = keeper(&three, &key).unwrap();
            assert_eq!(keeper(&other, &key), Some(node));
            *found.entry(node.0.clone()).or_default() += 1;
            // Where a node goes, the others keep what they have.
            let two: Vec<_> = three.iter().filter(|left| left.0 != "n3").cloned().collect();
            assert!(node.0 == "n3" || keeper(&two, &key) == Some(node));
        }
        assert!(found.len() == 3 && found.values().all(|count| *count > 50), "{found:?}");
        assert_eq!(keeper(&[], &(String::new(), String::new())), None);
    }
}
