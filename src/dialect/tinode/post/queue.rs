//! What other nodes are to be told, in frames with numbers, and what was heard of theirs.
//!
//! A node counts its frames from 1. Whoever hears a number and not the one before it has missed
//! something. Words wait in the frame that was begun last until it is under way; where too many
//! wait, the oldest frame goes, and the others find its number missing.
use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

/// Bytes of words in a frame; one word is in it however large it is.
pub(super) const FRAME: usize = 1 << 20;
/// Bytes of words that wait.
const MOST: usize = 8 << 20;
/// Nodes that are known: those that were heard last.
const NODES: usize = 1024;

/// Words under a number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub number: u64,
    /// JSON, with commas between.
    pub words: Vec<u8>,
}

/// What is sent next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Frame(Frame),
    /// That this number was the last so far.
    Tick(u64),
}

impl Next {
    /// The number of the frame, or of the last one so far.
    pub fn number(&self) -> u64 {
        match self {
            Next::Frame(frame) => frame.number,
            Next::Tick(number) => *number,
        }
    }
}

/// What waits to be sent.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The number that was given last.
    last: u64,
    waiting: VecDeque<Frame>,
    bytes: usize,
    tick: bool,
}

impl Outgoing {
    /// Adds a word, JSON. Returns how many frames are lost because of it.
    pub fn push(&mut self, word: &[u8]) -> usize {
        match self.waiting.back_mut() {
            Some(frame) if frame.words.len() + 1 + word.len() <= FRAME => {
                frame.words.push(b',');
                frame.words.extend_from_slice(word);
                self.bytes += 1 + word.len();
            }
            Some(_) | None => {
                self.last += 1;
                self.waiting.push_back(Frame { number: self.last, words: word.to_vec() });
                self.bytes += word.len();
            }
        }
        let mut lost = 0;
        while self.bytes > MOST && self.waiting.len() > 1 && self.take().is_some() {
            lost += 1;
        }
        lost
    }

    /// The number of the last frame.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The others are to learn which number was the last.
    pub fn tick(&mut self) {
        self.tick = true;
    }

    /// What is sent next, if there is anything.
    pub fn next(&mut self) -> Option<Next> {
        if let Some(frame) = self.take() {
            return Some(Next::Frame(frame));
        }
        std::mem::take(&mut self.tick).then_some(Next::Tick(self.last))
    }

    fn take(&mut self) -> Option<Frame> {
        let frame = self.waiting.pop_front()?;
        self.bytes -= frame.words.len();
        Some(frame)
    }
}

/// What a frame of another node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The next one, or the first that was heard of its node.
    Next,
    /// It was heard before.
    Known,
    /// Something before it was missed.
    BehindGap,
}

/// The number that was heard last of each node, and when.
#[derive(Debug, Default)]
pub(super) struct Heard(HashMap<Box<str>, (u64, Instant)>);

impl Heard {
    /// A frame of the node with this tag came; a tick has the number of the last one before it.
    pub fn note(&mut self, tag: &str, number: u64, is_tick: bool, now: Instant) -> Place {
        let Some((last, at)) = self.0.get_mut(tag) else {
            self.make_room();
            self.0.insert(tag.into(), (number, now));
            return Place::Next;
        };
        *at = now;
        let expected = if is_tick { *last } else { *last + 1 };
        if number <= *last {
            return Place::Known;
        }
        *last = number;
        if number == expected { Place::Next } else { Place::BehindGap }
    }

    /// Each start of a node has another tag.
    fn make_room(&mut self) {
        if self.0.len() < NODES {
            return;
        }
        let oldest = self.0.iter().min_by_key(|(_, (_, at))| *at).map(|(tag, _)| tag.clone());
        if let Some(oldest) = oldest {
            self.0.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(number: u64, words: &str) -> Option<Next> {
        Some(Next::Frame(Frame { number, words: words.into() }))
    }

    #[test]
    fn what_waits_goes_together_and_what_is_under_way_is_not_changed() {
        let mut out = Outgoing::default();
        assert_eq!(out.next(), None);
        assert_eq!([out.push(b"1"), out.push(b"2")], [0, 0]);
        assert_eq!(out.next(), frame(1, "1,2"));
        out.push(b"3");
        out.tick();
        assert_eq!(
            [out.next(), out.next(), out.next()],
            [frame(2, "3"), Some(Next::Tick(2)), None]
        );
        assert_eq!(out.bytes, 0);
    }

    #[test]
    fn a_frame_has_an_end_and_of_too_many_the_oldest_is_lost_with_its_number() {
        let (mut out, half) = (Outgoing::default(), vec![b'x'; FRAME / 2]);
        let lost: Vec<usize> = (0..20).map(|_| out.push(&half)).collect();
        // With a comma two halves are more than a frame.
        assert_eq!(lost.iter().sum::<usize>(), 4);
        let mut numbers = Vec::new();
        while let Some(Next::Frame(frame)) = out.next() {
            numbers.push(frame.number);
        }
        assert_eq!(numbers, (5..=20).collect::<Vec<_>>());
        assert_eq!(out.push(&vec![b'x'; MOST + 1]), 0, "one is there however large it is");
        assert_eq!(out.push(b"1"), 1);
        assert_eq!(out.next(), frame(22, "1"));
    }

    #[test]
    fn a_number_that_is_missing_is_found_by_the_next_frame_or_tick_once() {
        use Place::{BehindGap, Known, Next};
        let begin = Instant::now();
        for (heard, expected) in [
            (&[(1, false), (2, false), (2, true), (3, false)][..], &[Next, Next, Known, Next][..]),
            (&[(7, false), (8, false)], &[Next, Next]), // it began before this node
            (&[(7, true), (8, false)], &[Next, Next]),
            (&[(0, true), (1, false), (1, true)], &[Next, Next, Known]),
            (&[(1, false), (3, false), (4, false)], &[Next, BehindGap, Next]),
            (&[(1, false), (3, true), (3, true), (4, false)], &[Next, BehindGap, Known, Next]),
            (&[(5, false), (5, false), (4, false), (6, false)], &[Next, Known, Known, Next]),
            (&[(0, true), (2, false)], &[Next, BehindGap]),
        ] {
            let mut known = Heard::default();
            known.note("another", 1, false, begin);
            let places: Vec<Place> =
                heard.iter().map(|(number, tick)| known.note("a", *number, *tick, begin)).collect();
            assert_eq!(places, expected, "{heard:?}");
        }
    }

    #[test]
    fn nodes_that_were_not_heard_for_long_are_forgotten() {
        let (begin, mut known) = (Instant::now(), Heard::default());
        for n in 0..NODES as u64 + 10 {
            known.note(&n.to_string(), 1, false, begin + Duration::from_secs(n));
        }
        assert_eq!(known.0.len(), NODES);
        assert_eq!(known.note("9", 5, false, begin), Place::Next);
        assert_eq!(known.note("1000", 5, false, begin), Place::BehindGap);
    }
}
