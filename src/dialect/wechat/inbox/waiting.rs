//! What waits in an inbox, put together for its client: messages by their senders, each sender's in
//! the order in which they were stored, and none twice.
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    dialect::wechat::{
        frames,
        wire::{self, Conversation},
    },
    domain::broker::Stored,
};

/// Messages of one sender.
struct Sender {
    peer: Box<str>,
    latest_ms: u64,
    items: Vec<Arc<str>>,
    /// The same, to be looked for.
    known: HashSet<Arc<str>>,
}

/// Messages that wait.
#[derive(Default)]
pub(in crate::dialect::wechat) struct Waiting {
    senders: Vec<Sender>,
    /// Where in `senders` each is.
    places: HashMap<Box<str>, usize>,
    bytes: usize,
}

impl Waiting {
    /// Adds the next message of the log. What is no chat message, or can't be read, is left out.
    pub(in crate::dialect::wechat) fn add(&mut self, stored: &Stored) {
        let Some(body) = stored.body.as_deref() else { return };
        // Also where it is told only once: somebody waits until all of it is read.
        self.bytes += body.len();
        let Some((peer, item)) = frames::item(body) else { return };
        let place = match self.places.get(&*peer) {
            Some(place) => *place,
            None => self.begin(&peer),
        };
        let Some(sender) = self.senders.get_mut(place) else { return };
        sender.latest_ms = sender.latest_ms.max(stored.at_ms);
        let item: Arc<str> = item.into();
        if sender.known.insert(item.clone()) {
            sender.items.push(item);
        }
    }

    fn begin(&mut self, peer: &str) -> usize {
        let place = self.senders.len();
        self.places.insert(peer.into(), place);
        self.senders.push(Sender {
            peer: peer.into(),
            latest_ms: 0,
            items: Vec::new(),
            known: HashSet::new(),
        });
        place
    }

    /// Bytes of all that was added, whether or not it is told.
    pub(in crate::dialect::wechat) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The frame that tells of all that was added; none where that is nothing.
    pub(in crate::dialect::wechat) fn frame<'a>(&'a self) -> Option<Bytes> {
        let conversation = |sender: &'a Sender| Conversation {
            peer: &sender.peer,
            timestamp: sender.latest_ms,
            count: sender.items.len(),
            items: sender.items.iter().map(|item| &**item),
        };
        let some = !self.senders.is_empty();
        some.then(|| wire::conversations(self.senders.iter().map(conversation)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::websocket::frame;

    fn stored(from: &str, content: &str, at_ms: u64) -> Stored {
        let body = Some(frames::message(from, "222", content, "5"));
        Stored { body, at_ms, recalled: false, n: None }
    }

    fn told(all: &[Stored]) -> Option<serde_json::Value> {
        let mut waiting = Waiting::default();
        all.iter().for_each(|stored| waiting.add(stored));
        let frame = waiting.frame()?;
        let (_, json) = frame::payloads(&frame).next().unwrap();
        let frame: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(frame["type"], "wechat/saveConversation");
        Some(frame["payload"]["conversations"].clone())
    }

    #[test]
    fn messages_are_told_by_their_senders_in_their_order_and_none_twice() {
        let waiting = [
            stored("111", r#""a""#, 1000),
            stored("333", "{}", 2000),
            stored("111", r#""b""#, 3000),
            stored("111", r#""a""#, 4000),
            stored("333", "null", 1500),
        ];
        let item = |from: &str, content: serde_json::Value| {
            let (to, at) = ("222", 5);
            serde_json::json!({ "content": content, "to": to, "from": from, "timestamp": at })
        };
        assert_eq!(
            told(&waiting).unwrap(),
            serde_json::json!({
                "111": {
                    "timestamp": 4000,
                    "newCount": 2,
                    "items": [item("111", "a".into()), item("111", "b".into())],
                },
                "333": {
                    "timestamp": 2000,
                    "newCount": 2,
                    "items": [item("333", serde_json::json!({})), item("333", ().into())],
                },
            })
        );
    }

    #[test]
    fn what_is_no_message_is_left_out_and_of_nothing_nothing_is_told() {
        assert_eq!(told(&[]), None);
        let signal = Bytes::from_static(br#"{"type":"hang-up","payload":{"from":"1","to":"2"}}"#);
        for body in [None, Some(Bytes::from_static(b"\xff")), Some("[]".into()), Some(signal)] {
            let stored = Stored { body, at_ms: 1, recalled: false, n: None };
            assert_eq!(told(&[stored]), None);
        }
    }

    #[test]
    fn what_comes_twice_is_told_once_and_counts_nonetheless() {
        let mut waiting = Waiting::default();
        let one = stored("1", "\"a\"", 1);
        let length = one.body.as_ref().map_or(0, Bytes::len);
        for times in 1..=3 {
            waiting.add(&one);
            assert_eq!(waiting.bytes(), times * length);
        }
        assert_eq!(told(&[one.clone(), one.clone()]), told(&[one]));
    }
}
