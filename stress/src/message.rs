//! The `msg` event as the generator writes and recognises it.
//!
//! Every message carries a mark, `~LG` + 32 hex digits + `~`, in a JSON string
//! that survives a parse and re-serialisation by the server, whatever order
//! the server gives the keys. So the receiving side needs no JSON parser.

use crate::sys::Rng;
use clap::ValueEnum;
use memchr::memmem;
use std::sync::{Arc, LazyLock};

pub const MSG: &[u8] = br#"42["msg","#;

const OPEN: &[u8] = b"~LG";
const DIGITS: usize = 32;
const MARK_LEN: usize = OPEN.len() + DIGITS + 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub room: u16,
    pub sender: u16,
    pub seq: u32,
    pub phase: u8,
    /// Monotonic nanoseconds (56 bits: two years).
    pub ts: u64,
}

impl Mark {
    fn write(&self, out: &mut [u8]) {
        let n = (self.room as u128) << 112
            | (self.sender as u128) << 96
            | (self.seq as u128) << 64
            | (self.phase as u128) << 56
            | (self.ts & ((1 << 56) - 1)) as u128;
        for (i, b) in n.to_be_bytes().into_iter().enumerate() {
            out[2 * i] = HEX[(b >> 4) as usize];
            out[2 * i + 1] = HEX[(b & 15) as usize];
        }
    }

    fn read(digits: &[u8]) -> Option<Mark> {
        let mut n = 0u128;
        for &d in digits {
            n = n << 4 | (d as char).to_digit(16)? as u128;
        }
        Some(Mark {
            room: (n >> 112) as u16,
            sender: (n >> 96) as u16,
            seq: (n >> 64) as u32,
            phase: (n >> 56) as u8,
            ts: n as u64 & ((1 << 56) - 1),
        })
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The first mark in `text` and what follows it.
pub fn find(text: &[u8]) -> Option<(Mark, &[u8])> {
    static FINDER: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(OPEN));
    let at = FINDER.find(text)?;
    let rest = text.get(at + MARK_LEN..)?;
    let digits = &text[at + OPEN.len()..at + OPEN.len() + DIGITS];
    Some((Mark::read(digits)?, rest))
}

/// What fills a message up to its size.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Shape {
    /// One long random string: the cheapest JSON there is to parse.
    Text,
    /// An array of [x,y] pairs, like the strokes of a whiteboard.
    Points,
}

/// Writes `42["msg",{"data":{"m":MARK,"p":FILL},"s":S,"1":ID}]`.
///
/// The fill is a piece of a seeded pool, at a place given by sender and
/// sequence number: messages differ (or gzip would look too good), and yet the
/// receiver can tell every byte of them.
#[derive(Clone)]
pub struct Template {
    buf: Vec<u8>,
    scratch: Vec<u8>,
    mark_at: usize,
    fill_at: usize,
    id_at: usize,
    fill_len: usize,
    pool: Arc<[u8]>,
    /// A piece may begin at any multiple of this.
    unit: usize,
    /// Length of the JSON text of `data`.
    pub payload_bytes: usize,
}

const POOL: usize = 1 << 20;
const ID_DIGITS: usize = 12;
const HEAD: &[u8] = br#"{"m":"~LG"#;
const FILL: &[u8] = br#"","p":"#;

impl Template {
    pub fn new(bytes: usize, shape: Shape, store: u8, seed: u64) -> Self {
        let mut rng = Rng(seed);
        let fixed = HEAD.len() + DIGITS + 1 + FILL.len() + 3; // the quotes or brackets, and }
        let room = bytes.saturating_sub(fixed);
        let mut pool = Vec::with_capacity(POOL + room + 16);
        let (unit, fill_len, quotes) = match shape {
            Shape::Text => {
                let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
                pool.extend((0..POOL + room).map(|_| alphabet[rng.below(64) as usize]));
                (1, room, b"\"\"")
            }
            Shape::Points => {
                // A wandering pen; every pair has the same width.
                let (mut x, mut y) = (1400i64, 500i64);
                while pool.len() < POOL + room {
                    x = (x + rng.below(21) as i64 - 10).clamp(1000, 1999);
                    y = (y + rng.below(21) as i64 - 10).clamp(100, 999);
                    pool.extend_from_slice(format!("[{x},{y}],").as_bytes());
                }
                (11, ((room + 1) / 11 * 11).saturating_sub(1), b"[]")
            }
        };
        let mut buf = br#"42["msg",{"data":"#.to_vec();
        let data_at = buf.len();
        buf.extend_from_slice(HEAD);
        let mark_at = buf.len();
        buf.resize(mark_at + DIGITS, b'0');
        buf.push(b'~');
        buf.extend_from_slice(FILL);
        buf.push(quotes[0]);
        let fill_at = buf.len();
        buf.resize(fill_at + fill_len, b' ');
        buf.push(quotes[1]);
        buf.push(b'}');
        let payload_bytes = buf.len() - data_at;
        buf.extend_from_slice(format!(r#","s":{store},"1":""#).as_bytes());
        let id_at = buf.len();
        buf.resize(id_at + ID_DIGITS, b'0');
        buf.extend_from_slice(br#""}]"#);
        let (scratch, pool) = (Vec::new(), pool.into());
        Self { buf, scratch, mark_at, fill_at, id_at, fill_len, pool, unit, payload_bytes }
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
        packet.extend_from_slice(&self.buf);
        mark.write(&mut packet[self.mark_at..self.mark_at + DIGITS]);
        packet[self.fill_at..self.fill_at + self.fill_len].copy_from_slice(self.fill(&mark));
        for i in 0..ID_DIGITS {
            packet[self.id_at + i] = HEX[(id >> (4 * (ID_DIGITS - 1 - i)) & 15) as usize];
        }
        self.scratch = packet;
        &mut self.scratch
    }

    /// What follows the data of the message of `mark`, if `rest` (what follows
    /// the mark itself) is undamaged.
    pub fn check<'a>(&self, mark: &Mark, rest: &'a [u8]) -> Option<&'a [u8]> {
        let before = self.mark_at + DIGITS + 1..self.fill_at;
        let after = self.fill_at + self.fill_len..self.fill_at + self.fill_len + 2;
        rest.strip_prefix(&self.buf[before])?.strip_prefix(self.fill(mark))?.strip_prefix(&self.buf[after])
    }
}

/// The unsigned number after `key` (as in `"offset":`), looked for near the
/// end and the beginning before anywhere else: a page can be megabytes long.
pub fn number(text: &[u8], key: &str) -> Option<u64> {
    let near = text.len().min(256);
    let at = memmem::rfind(&text[text.len() - near..], key.as_bytes())
        .map(|i| text.len() - near + i)
        .or_else(|| memmem::find(&text[..near], key.as_bytes()))
        .or_else(|| memmem::find(text, key.as_bytes()))?;
    let digits = text[at + key.len()..].iter().take_while(|c| c.is_ascii_digit());
    let (mut n, mut any) = (0u64, false);
    for d in digits {
        n = n.checked_mul(10)?.checked_add((d - b'0') as u64)?;
        any = true;
    }
    any.then_some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_survives_the_trip_and_keys_in_any_order() {
        let mark = Mark { room: 7, sender: 65535, seq: 0xDEAD_BEEF, phase: 3, ts: (1 << 56) - 1 };
        for shape in [Shape::Text, Shape::Points] {
            let mut t = Template::new(300, shape, 1, 5);
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
        assert_eq!(Template::new(300, Shape::Text, 0, 1).payload_bytes, 300);
        for shape in [Shape::Text, Shape::Points] {
            let mut least = Template::new(0, shape, 0, 1);
            let text = least.stamp(mark, 0).to_vec();
            serde_json::from_slice::<serde_json::Value>(&text[2..]).unwrap();
        }
        assert_eq!(find(b"~LG0000"), None);
    }

    #[test]
    fn numbers_are_found_at_either_end() {
        let long = "x".repeat(5000);
        let last = format!(r#"{{"data":"{long}","offset":200,"next":1}}"#);
        let first = format!(r#"{{"next":0,"offset":7,"data":"{long}"}}"#);
        assert_eq!(number(last.as_bytes(), "\"offset\":"), Some(200));
        assert_eq!(number(first.as_bytes(), "\"next\":"), Some(0));
        assert_eq!(number(b"{}", "\"next\":"), None);
    }
}
