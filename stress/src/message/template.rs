//! What a message is made of: data with a mark and a fill, in the envelope of a dialect.

use super::{DIGITS, HEX, Mark};
use crate::sys::Rng;
use clap::ValueEnum;
use memchr::memmem;
use std::sync::Arc;

/// How a message of always-online begins at those who get it.
pub const MSG: &[u8] = br#"42["msg","#;

/// What stands around a message's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// `42["msg",{"data":DATA,"s":STORE,"1":ID}]`
    Plain { store: u8 },
    /// `427["msg",…]`, which is acknowledged by `437[…]`. Acknowledgements are only counted, so one
    /// number does for all.
    Acknowledged { store: u8 },
    /// `{"type":2,"uuid":ID,"body":{"data":DATA,…}}` of gotapi-ws, stored and acknowledged.
    Gotapi,
    /// `42/chat-service,7["roomMessage",ROOM,{"textMessage":TEXT}]` of chat-service, stored and
    /// acknowledged. Its data is a text.
    ChatService,
    /// `{"type":"wechat/saveMessage","payload":{"from":ME,"to":PEER,"content":DATA,"timestamp":…}}`
    /// of react-wechat, which is kept until it has arrived; or the signalling of a call,
    /// `{"type":"new-ice-candidate","payload":{"from":ME,"to":PEER,"candidate":DATA}}`.
    Wechat { kept: bool },
    /// Nothing: who publishes by HTTP puts the data into a request.
    Data,
}

impl Envelope {
    /// How a message begins at those who get it.
    pub fn arrives_as(self) -> &'static [u8] {
        match self {
            Envelope::Plain { .. } | Envelope::Acknowledged { .. } | Envelope::Data => MSG,
            Envelope::Gotapi => br#"{"type":2,"#,
            Envelope::ChatService => br#"42/chat-service,["roomMessage","#,
            Envelope::Wechat { kept: true } => br#"{"type":"wechat/saveMessage","#,
            Envelope::Wechat { kept: false } => br#"{"type":"new-ice-candidate","#,
        }
    }

    /// How its acknowledgement begins; none if there is none.
    pub fn acknowledged_by(self) -> Option<&'static [u8]> {
        match self {
            Envelope::Plain { .. } | Envelope::Wechat { .. } | Envelope::Data => None,
            Envelope::Acknowledged { .. } => Some(b"437["),
            Envelope::Gotapi => Some(br#"{"uuid":"#),
            Envelope::ChatService => Some(b"43/chat-service,7[null,"),
        }
    }

    /// Whether a sender gets its own messages, too.
    pub fn echoes(self) -> bool {
        match self {
            Envelope::ChatService => true,
            Envelope::Plain { .. }
            | Envelope::Acknowledged { .. }
            | Envelope::Gotapi
            | Envelope::Wechat { .. }
            | Envelope::Data => false,
        }
    }

    /// What stands before all of a message, where that says for which room it is, or from whom for
    /// whom.
    pub fn head(self, room: &str, from: &str, to: &str) -> Vec<u8> {
        let parties = format!(r#""payload":{{"from":"{from}","to":"{to}""#);
        match self {
            Envelope::ChatService => {
                format!(r#"42/chat-service,7["roomMessage","{room}""#).into_bytes()
            }
            Envelope::Wechat { .. } => [self.arrives_as(), parties.as_bytes()].concat(),
            Envelope::Plain { .. }
            | Envelope::Acknowledged { .. }
            | Envelope::Gotapi
            | Envelope::Data => Vec::new(),
        }
    }

    /// What stands before and behind the data. A room of gotapi-ws knows its uuids through all
    /// phases, so the phase is a part of them.
    fn around(self) -> (&'static str, String) {
        let event = |head, store| (head, format!(r#","s":{store},"1":"{ID}"}}]"#));
        match self {
            Envelope::Plain { store } => event(r#"42["msg",{"data":"#, store),
            Envelope::Acknowledged { store } => event(r#"427["msg",{"data":"#, store),
            Envelope::Gotapi => (
                r#"{"type":2,"uuid":"000000@@-0000-4000-8000-############","body":{"data":"#,
                r#","hash":"","sent":false}}"#.to_owned(),
            ),
            Envelope::ChatService => (r#",{"textMessage":"#, "}]".to_owned()),
            Envelope::Wechat { kept: true } => {
                (r#","content":"#, r#","timestamp":1700000000000}}"#.to_owned())
            }
            Envelope::Wechat { kept: false } => (r#","candidate":"#, "}}".to_owned()),
            Envelope::Data => ("", String::new()),
        }
    }

    /// What stands before a mark, between it and the fill, and behind that.
    fn data(self, shape: Shape) -> [&'static [u8]; 3] {
        match (self, shape) {
            (Envelope::ChatService, Shape::Text | Shape::Points) => [b"\"~LG", b"", b"\""],
            (_, Shape::Text) => [HEAD, b"\",\"p\":\"", b"\"}"],
            (_, Shape::Points) => [HEAD, b"\",\"p\":[", b"]}"],
        }
    }
}

/// Where the id's digits come.
const ID: &str = "############";
/// Where the phase's digits come.
const PHASE: &str = "@@";

/// What fills a message up to its size.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Shape {
    /// One long random string: the cheapest JSON there is to parse.
    Text,
    /// An array of [x,y] pairs, like the strokes of a whiteboard.
    Points,
}

impl Shape {
    /// What fills are cut from, the unit that a cut begins at, and the length of a fill of at most
    /// `room` bytes.
    fn pool(self, room: usize, seed: u64) -> (Vec<u8>, usize, usize) {
        let mut rng = Rng(seed);
        let mut pool = Vec::with_capacity(POOL + room + 16);
        match self {
            Shape::Text => {
                let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
                pool.extend((0..POOL + room).map(|_| alphabet[rng.below(64) as usize]));
                (pool, 1, room)
            }
            Shape::Points => {
                // A wandering pen; every pair has the same width.
                let (mut x, mut y) = (1400i64, 500i64);
                while pool.len() < POOL + room {
                    x = (x + rng.below(21) as i64 - 10).clamp(1000, 1999);
                    y = (y + rng.below(21) as i64 - 10).clamp(100, 999);
                    pool.extend_from_slice(format!("[{x},{y}],").as_bytes());
                }
                (pool, 11, ((room + 1) / 11 * 11).saturating_sub(1))
            }
        }
    }
}

/// Writes messages with the data `{"m":MARK,"p":FILL}`.
///
/// The fill is a piece of a seeded pool, at a place given by sender and
/// sequence number: messages differ (or gzip would look too good), and yet the
/// receiver can tell every byte of them.
#[derive(Clone)]
pub struct Template {
    /// What stands before all of it, where each message says for whom it is.
    head: Vec<u8>,
    buf: Vec<u8>,
    scratch: Vec<u8>,
    mark_at: usize,
    fill_at: usize,
    id_at: Option<usize>,
    phase_at: Option<usize>,
    fill_len: usize,
    /// Bytes of the data behind the fill.
    tail: usize,
    pool: Arc<[u8]>,
    /// A piece may begin at any multiple of this.
    unit: usize,
    /// Length of the JSON text of `data`.
    pub payload_bytes: usize,
}

const POOL: usize = 1 << 20;
const HEAD: &[u8] = br#"{"m":"~LG"#;

impl Template {
    pub fn new(bytes: usize, shape: Shape, envelope: Envelope, seed: u64) -> Self {
        let [head, between, tail] = envelope.data(shape);
        let fixed = head.len() + DIGITS + 1 + between.len() + tail.len();
        let (pool, unit, fill_len) = shape.pool(bytes.saturating_sub(fixed), seed);
        let (before, behind) = envelope.around();
        let mut buf = before.as_bytes().to_vec();
        let data_at = buf.len();
        buf.extend_from_slice(head);
        let mark_at = buf.len();
        buf.resize(mark_at + DIGITS, b'0');
        buf.push(b'~');
        buf.extend_from_slice(between);
        let fill_at = buf.len();
        buf.resize(fill_at + fill_len, b' ');
        buf.extend_from_slice(tail);
        let payload_bytes = buf.len() - data_at;
        buf.extend_from_slice(behind.as_bytes());
        Self {
            head: Vec::new(),
            tail: tail.len(),
            mark_at,
            fill_at,
            id_at: memmem::find(&buf, ID.as_bytes()),
            phase_at: memmem::find(&buf, PHASE.as_bytes()),
            fill_len,
            pool: pool.into(),
            unit,
            payload_bytes,
            buf,
            scratch: Vec::new(),
        }
    }

    /// For messages that begin so: see [`Envelope::head`].
    pub fn addressed(mut self, head: &[u8]) -> Self {
        self.head = head.to_vec();
        self
    }

    fn fill(&self, mark: &Mark) -> &[u8] {
        let n = Rng((mark.sender as u64) << 32 | mark.seq as u64).next() as usize;
        let at = n % (POOL / self.unit) * self.unit;
        &self.pool[at..at + self.fill_len]
    }

    /// The packet for `mark`, in a buffer that the sender may mask in place.
    pub fn stamp(&mut self, mark: Mark, id: u64) -> &mut [u8] {
        let mut packet = std::mem::take(&mut self.scratch);
        packet.clear();
        packet.extend_from_slice(&self.head);
        packet.extend_from_slice(&self.buf);
        let text = &mut packet[self.head.len()..];
        mark.write(&mut text[self.mark_at..self.mark_at + DIGITS]);
        text[self.fill_at..self.fill_at + self.fill_len].copy_from_slice(self.fill(&mark));
        if let Some(at) = self.id_at {
            hex(&mut text[at..at + ID.len()], id);
        }
        if let Some(at) = self.phase_at {
            hex(&mut text[at..at + PHASE.len()], mark.phase.into());
        }
        self.scratch = packet;
        &mut self.scratch
    }

    /// What follows the data of the message of `mark`, if `rest` (what follows
    /// the mark itself) is undamaged.
    pub fn check<'a>(&self, mark: &Mark, rest: &'a [u8]) -> Option<&'a [u8]> {
        let before = self.mark_at + DIGITS + 1..self.fill_at;
        let after = self.fill_at + self.fill_len..self.fill_at + self.fill_len + self.tail;
        rest.strip_prefix(&self.buf[before])?
            .strip_prefix(self.fill(mark))?
            .strip_prefix(&self.buf[after])
    }
}

/// Fills `digits` with `n`.
fn hex(digits: &mut [u8], n: u64) {
    for (i, digit) in digits.iter_mut().rev().enumerate() {
        *digit = HEX[(n >> (4 * i) & 15) as usize];
    }
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    #[test]
    fn mark_survives_the_trip_and_keys_in_any_order() {
        let mark = Mark { room: 7, sender: 65535, seq: 0xDEAD_BEEF, phase: 3, ts: (1 << 56) - 1 };
        for shape in [Shape::Text, Shape::Points] {
            let mut t = Template::new(300, shape, Envelope::Plain { store: 1 }, 5);
            let text = t.stamp(mark, 0xABC).to_vec();
            let json: serde_json::Value = serde_json::from_slice(&text[2..]).unwrap();
            assert_eq!(json[1]["s"], 1);
            assert_eq!(json[1]["1"], "000000000abc");
            let data = json[1]["data"].to_string();
            assert_eq!(data.len(), t.payload_bytes);
            assert!((289..=300).contains(&data.len()));
            // As Node writes it: integer keys first.
            let node = format!(r#"42["msg",{{"1":"x","2":"u1","data":{data},"s":1}}]"#);
            for mut text in [text, node.into_bytes()] {
                let (found, rest) = find(&text).unwrap();
                assert_eq!(found, mark);
                assert!(t.check(&found, rest).unwrap().starts_with(br#","s":1"#));
                assert_eq!(t.check(&Mark { seq: 1, ..found }, rest), None);
                // Damage one byte in the middle of the fill.
                let at = text.len() - rest.len() + 100;
                text[at] ^= 1;
                let (found, rest) = find(&text).unwrap();
                assert_eq!(t.check(&found, rest), None);
            }
        }
        assert_eq!(Template::new(300, Shape::Text, Envelope::Gotapi, 1).payload_bytes, 300);
        let mut bare = Template::new(300, Shape::Text, Envelope::Data, 1);
        let data: serde_json::Value = serde_json::from_slice(bare.stamp(mark, 7)).unwrap();
        assert_eq!(data.to_string().len(), 300);
        for shape in [Shape::Text, Shape::Points] {
            let mut least = Template::new(0, shape, Envelope::Plain { store: 0 }, 1);
            let text = least.stamp(mark, 0).to_vec();
            serde_json::from_slice::<serde_json::Value>(&text[2..]).unwrap();
        }
        assert_eq!(find(b"~LG0000"), None);
    }

    #[test]
    fn each_envelope_is_whole_and_a_uuid_differs_by_phase() {
        let json = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        let mark = |phase| Mark { room: 1, sender: 2, seq: 3, phase, ts: 4 };
        let mut asks = Template::new(99, Shape::Text, Envelope::Acknowledged { store: 0 }, 1);
        let text = asks.stamp(mark(1), 0xABC);
        assert!(text.starts_with(b"427["));
        assert_eq!(json(&text[3..])[1]["1"], "000000000abc");

        let mut gotapi = Template::new(99, Shape::Text, Envelope::Gotapi, 1);
        let mut uuid = |phase| {
            let text = gotapi.stamp(mark(phase), 0xABC);
            assert!(text.starts_with(Envelope::Gotapi.arrives_as()));
            let (found, rest) = find(text).unwrap();
            assert_eq!(found, mark(phase));
            let (text, rest) = (text.to_vec(), rest.to_vec());
            assert_eq!(gotapi.check(&found, &rest), Some(&br#","hash":"","sent":false}}"#[..]));
            let json = json(&text);
            assert_eq!(json["body"]["data"].to_string().len(), gotapi.payload_bytes);
            json["uuid"].as_str().unwrap().to_owned()
        };
        let envelope = Envelope::ChatService;
        let chat = Template::new(99, Shape::Text, envelope, 1);
        let head = envelope.head("r1", "u1", "u2");
        let text = chat.clone().addressed(&head).stamp(mark(1), 0).to_vec();
        let json = json(text.strip_prefix(b"42/chat-service,7").unwrap());
        assert_eq!((&json[0], &json[1]), (&"roomMessage".into(), &"r1".into()));
        assert_eq!(json[2]["textMessage"].to_string().len(), chat.payload_bytes);
        let at = text.iter().position(|byte| *byte == b'{').unwrap();
        let told = [envelope.arrives_as(), br#""r1","#, &text[at..]].concat();
        let (found, rest) = find(&told).unwrap();
        assert_eq!((found, chat.check(&found, rest)), (mark(1), Some(&b"}]"[..])));

        assert_eq!(uuid(1), "00000001-0000-4000-8000-000000000abc");
        assert_eq!(uuid(0x2f), "0000002f-0000-4000-8000-000000000abc");
    }

    /// `wechat-relay` of `stress/run` compares these: they have to be of one size.
    #[test]
    fn frames_of_two_dialects_are_of_one_size() {
        let mark = Mark { room: 1, sender: 0, seq: 3, phase: 1, ts: 4 };
        let frame = |envelope: Envelope, bytes| {
            let head = envelope.head("r1", "8612345600000", "8612345600001");
            let mut template = Template::new(bytes, Shape::Text, envelope, 1).addressed(&head);
            let text = template.stamp(mark, 0).to_vec();
            assert!(text.starts_with(envelope.arrives_as()));
            let (found, rest) = find(&text).unwrap();
            assert_eq!(found, mark);
            assert!(template.check(&found, rest).unwrap().ends_with(b"}}"));
            (text.len(), serde_json::from_slice::<serde_json::Value>(&text).unwrap())
        };
        let (gotapi, _) = frame(Envelope::Gotapi, 128);
        for (kept, bytes, kind, data) in [
            (true, 102, "wechat/saveMessage", "content"),
            (false, 127, "new-ice-candidate", "candidate"),
        ] {
            let (length, json) = frame(Envelope::Wechat { kept }, bytes);
            assert_eq!(length, gotapi);
            assert_eq!(json["type"], kind);
            let payload = &json["payload"];
            assert_eq!(payload["from"], "8612345600000");
            assert_eq!(payload["to"], "8612345600001");
            assert_eq!(payload[data].to_string().len(), bytes);
        }
    }
}
