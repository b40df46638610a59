//! Whether what was stored and what was shown agree with what senders were told.
use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{
    load::{Outcome, ROOMS, Sender, Traffic, Watcher, last_of, number},
    nodes::member,
};
use support::{server::Server, stored::Stored};

impl Traffic {
    /// The whole promise. On every node the room's log is the same; of each sender it holds, in
    /// order and once, everything acknowledged and nothing refused; watchers saw runs of it
    /// without a hole.
    pub async fn is_kept(&self, nodes: &[Server]) {
        println!("{}", self.summary());
        for room in ROOMS {
            let mut logs = Vec::new();
            for (index, node) in nodes.iter().enumerate() {
                logs.push(
                    Stored::walk(
                        &mut member(node, &format!("reader {index}"), room).await,
                        index == 0,
                    )
                    .await,
                );
            }
            let stored = logs.pop().unwrap();
            for log in &logs {
                assert!(
                    log.inserts == stored.inserts && log.updates == stored.updates,
                    "{room}: two nodes have different logs"
                );
            }
            let senders: Vec<&Sender> = self.senders.iter().filter(|s| s.room == room).collect();
            let known: usize = senders.iter().map(|sender| check_sender(sender, &stored)).sum();
            assert_eq!(
                known,
                stored.inserts.len() + stored.updates.len(),
                "{room}: stored, but sent by nobody here"
            );
            for watcher in self.watchers.iter().filter(|w| w.room == room) {
                check_watcher(watcher, &stored.inserts, &senders);
            }
        }
    }

    /// Nobody was dropped, so nobody was said to be gone, or to have come again.
    pub fn nobody_went(&self) {
        for watcher in &self.watchers {
            assert_eq!(watcher.seen.len(), 1, "{} was dropped", watcher.uid);
            let seen = &watcher.seen[0];
            assert_eq!(seen.gone, Vec::<String>::new(), "said to be gone to {}", watcher.uid);
            let mut joined = seen.joined.clone();
            joined.sort();
            joined.dedup();
            assert_eq!(
                joined.len(),
                seen.joined.len(),
                "said to have come twice to {}",
                watcher.uid
            );
        }
    }

    pub fn count(&self, outcome: Outcome) -> usize {
        self.senders.iter().flat_map(|s| &s.sent).filter(|s| s.outcome == outcome).count()
    }

    fn summary(&self) -> String {
        let [stored, unavailable, unknown, untold] =
            [Outcome::Stored, Outcome::Unavailable, Outcome::Unknown, Outcome::Untold]
                .map(|o| self.count(o));
        let connections: Vec<usize> = self.watchers.iter().map(|w| w.seen.len()).collect();
        format!(
            "{stored} stored, {unavailable} unavailable, {unknown} unknown, {untold} untold; the watchers' connections: {connections:?}"
        )
    }
}

/// What is stored of this sender; returns how much that is.
fn check_sender(sender: &Sender, stored: &Stored) -> usize {
    let uid = &sender.uid;
    let of_sender =
        |all: &[Value]| all.iter().filter(|m| m["2"] == **uid).cloned().collect::<Vec<_>>();
    let (inserts, updates) = (of_sender(&stored.inserts), of_sender(&stored.updates));
    let mut last = None;
    for message in inserts.iter().chain(&updates) {
        let sent = &sender.sent[number(message) as usize];
        assert_eq!(*message, sent.message, "{uid}: stored otherwise than it was sent");
        assert_ne!(
            sent.outcome,
            Outcome::Unavailable,
            "{uid}: {message} was answered `store unavailable`, and is stored"
        );
    }
    for message in &inserts {
        assert!(
            last < Some(number(message)),
            "{uid}: in the log {} follows {last:?}",
            number(message)
        );
        last = Some(number(message));
    }
    let mut there = inserts.iter().map(number).peekable();
    for sent in sender.sent.iter().filter(|s| s.message["s"] == 0) {
        let found = there.next_if_eq(&number(&sent.message)).is_some();
        assert!(
            found || sent.outcome != Outcome::Stored,
            "{uid}: {} was acknowledged, and is lost",
            sent.message
        );
    }
    let mut acked: BTreeMap<&str, u64> = BTreeMap::new();
    for sent in sender.sent.iter().filter(|s| s.message["s"] == 1 && s.outcome == Outcome::Stored) {
        acked.insert(sent.message["1"].as_str().unwrap(), number(&sent.message));
    }
    for (id, acked) in acked {
        let there = updates.iter().find(|m| m["1"] == id).map(number);
        assert!(
            there >= Some(acked),
            "{uid}: update {acked} of {id} was acknowledged, but {there:?} is stored"
        );
    }
    inserts.len() + updates.len()
}

fn check_watcher(watcher: &Watcher, log: &[Value], senders: &[&Sender]) {
    let uid = &watcher.uid;
    for (index, seen) in watcher.seen.iter().enumerate() {
        let inserts: Vec<&Value> = seen.messages.iter().filter(|m| m["s"] == 0).collect();
        let from = match inserts.first() {
            _ if index == 0 => 0,
            Some(first) => log
                .iter()
                .position(|m| m == *first)
                .unwrap_or_else(|| panic!("{uid} was shown {first}, which is not stored")),
            None => continue,
        };
        for (place, shown) in (from..).zip(&inserts) {
            let stored = log.get(place);
            assert!(
                stored == Some(shown),
                "{uid}, connection {index}: at {place} the log has {stored:?}, but {shown} was shown"
            );
        }
        let mut last: HashMap<&str, u64> = HashMap::new();
        for message in &seen.messages {
            let before = last.insert(message["2"].as_str().unwrap(), number(message));
            assert!(
                before < Some(number(message)),
                "{uid}, connection {index}: {message} was shown after {before:?}"
            );
        }
    }
    // Updates leave no trace in the log: what was acknowledged has to have been shown to those who
    // were there all the time.
    if let [seen] = &watcher.seen[..] {
        let shown: HashMap<&str, Vec<&Value>> =
            seen.messages.iter().fold(HashMap::new(), |mut all, message| {
                all.entry(message["2"].as_str().unwrap()).or_default().push(message);
                all
            });
        for sender in senders.iter().filter(|s| s.uid != last_of(s.room)) {
            let mut shown = shown.get(&*sender.uid).into_iter().flatten().peekable();
            for sent in &sender.sent {
                let found = shown.next_if(|m| ***m == sent.message).is_some();
                assert!(
                    found || sent.outcome != Outcome::Stored,
                    "{uid} was not shown {}",
                    sent.message
                );
                assert!(
                    !found || sent.outcome != Outcome::Unavailable,
                    "{uid} was shown {}, which was refused",
                    sent.message
                );
            }
            assert_eq!(shown.next(), None, "{uid} was shown what {} has not sent", sender.uid);
        }
    }
}
