//! The order in which one session is told what happens in a topic, and what became of its own
//! publications there.
//!
//! The answer to a publication comes before the message itself, and both in their place among the
//! messages of others, in the order of `seq`. A room delivers a message before it tells the
//! sender's connection what became of it. So while publications are in flight, what the room
//! delivers is held, and let go up to the message that was settled: what stands before that, then
//! the answer, then the message, unless its sender wants no echo.
//!
//! What is to be sent is put into one list, and whoever finds nobody sending sends it, without a
//! lock: see [`Flow::begin_sending`].
use std::collections::VecDeque;

use bytes::Bytes;

use crate::dialect::tinode::message::Code;

/// Bytes that may be held.
const MOST: usize = 4 << 20;
/// What a held piece takes beside its bytes, about.
const PIECE: usize = 64;

/// What the room delivers, encoded for this session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Of a message: its number.
    pub seq: Option<u64>,
    pub frames: Bytes,
}

/// How a publication ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It is in the log, with this number.
    Stored {
        seq: u64,
        /// Since an earlier time: nobody is told again.
        again: bool,
    },
    /// It is not, or that is not known.
    Failed(Code),
}

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Out {
    Frames(Bytes),
    /// The answer to a publication.
    Answer {
        id: Box<str>,
        /// Size of the publication.
        bytes: usize,
        ended: Ended,
    },
}

/// The session reads nothing of what its own publications hold up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

struct Sent {
    ack: i64,
    id: Box<str>,
    noecho: bool,
    bytes: usize,
}

#[derive(Default)]
pub(super) struct Flow {
    in_flight: VecDeque<Sent>,
    last_ack: i64,
    held: VecDeque<Piece>,
    held_bytes: usize,
    out: Vec<Out>,
    sending: bool,
    /// Nothing is delivered any more. Answers are still owed.
    closed: bool,
}

impl Flow {
    /// A publication is about to be sent to the room. Returns the name by which it is settled.
    pub fn publish(&mut self, id: &str, noecho: bool, bytes: usize) -> i64 {
        self.last_ack += 1;
        self.in_flight.push_back(Sent { ack: self.last_ack, id: id.into(), noecho, bytes });
        self.last_ack
    }

    /// The room delivers something. Returns it where it can be sent at once, by who has begun to
    /// send by that.
    ///
    /// # Errors
    /// Too much is held.
    pub fn deliver(&mut self, piece: Piece) -> Result<Option<Bytes>, TooMuch> {
        let at_once = !self.closed && !self.sending && self.is_silent();
        if at_once {
            self.sending = true;
            return Ok(Some(piece.frames));
        }
        self.queue(piece).map(|()| None)
    }

    fn is_silent(&self) -> bool {
        self.in_flight.is_empty() && self.out.is_empty()
    }

    /// The room delivers something, to be sent with what else there is.
    ///
    /// # Errors
    /// Too much is held.
    pub fn queue(&mut self, piece: Piece) -> Result<(), TooMuch> {
        if self.closed {
            return Ok(());
        }
        if self.in_flight.is_empty() {
            self.out.push(Out::Frames(piece.frames));
            return Ok(());
        }
        self.held_bytes += piece.frames.len() + PIECE;
        if self.held_bytes > MOST {
            return Err(TooMuch);
        }
        self.held.push_back(piece);
        Ok(())
    }

    /// A publication has ended. One that is not known has been settled already.
    pub fn settled(&mut self, ack: i64, ended: Ended) {
        // Mostly it is the first.
        let Some(at) = self.in_flight.iter().position(|sent| sent.ack == ack) else { return };
        let Some(Sent { id, noecho, bytes, .. }) = self.in_flight.remove(at) else { return };
        let own = match ended {
            Ended::Stored { seq, again: false } => Some(seq),
            Ended::Stored { again: true, .. } | Ended::Failed(_) => None,
        };
        if let Some(seq) = own {
            let is_before = |piece: &Piece| piece.seq.is_none_or(|number| number < seq);
            let end = self.held.iter().position(|piece| !is_before(piece));
            self.let_go(end.unwrap_or(self.held.len()));
        }
        self.out.push(Out::Answer { id, bytes, ended });
        if own.is_some() && self.held.front().is_some_and(|piece| piece.seq == own) {
            if noecho {
                self.drop_first();
            } else {
                self.let_go(1);
            }
        }
        if self.in_flight.is_empty() {
            self.let_go(self.held.len());
            (self.in_flight, self.held) = (VecDeque::new(), VecDeque::new());
        }
    }

    /// Lets the first pieces go.
    fn let_go(&mut self, count: usize) {
        for piece in self.held.drain(..count) {
            self.held_bytes -= piece.frames.len() + PIECE;
            self.out.push(Out::Frames(piece.frames));
        }
    }

    fn drop_first(&mut self) {
        if let Some(piece) = self.held.pop_front() {
            self.held_bytes -= piece.frames.len() + PIECE;
        }
    }

    /// Nothing more is delivered.
    pub fn close(&mut self) {
        self.closed = true;
        (self.held, self.held_bytes) = (VecDeque::new(), 0);
    }

    /// As [`Flow::close`], but what is held is told first, and this behind it.
    pub fn close_with(&mut self, last: Bytes) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.held_bytes += last.len() + PIECE;
        self.held.push_back(Piece { seq: None, frames: last });
        if self.in_flight.is_empty() {
            self.let_go(self.held.len());
        }
    }

    /// What is to be sent now, if nobody else is sending: then the caller is, until
    /// [`Flow::go_on`] gives nothing more.
    pub fn begin_sending(&mut self) -> Option<Vec<Out>> {
        if self.sending || self.out.is_empty() {
            return None;
        }
        self.sending = true;
        Some(std::mem::take(&mut self.out))
    }

    /// What has come meanwhile; nothing: the caller sends no more.
    pub fn go_on(&mut self) -> Option<Vec<Out>> {
        if self.out.is_empty() {
            self.sending = false;
            return None;
        }
        Some(std::mem::take(&mut self.out))
    }

    /// Whoever was sending has failed. What it has not sent is lost with it.
    pub fn give_up_sending(&mut self) {
        self.sending = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done to a flow.
    enum Step {
        /// A publication, with the id `p` and its number.
        Publish,
        Quiet,
        /// A message with this number, or something else (0).
        Deliver(u64),
        /// Of this publication.
        Settle(i64, Ended),
        Close,
        Evict,
    }
    use Step::{Close, Deliver, Evict, Publish, Quiet, Settle};

    const fn stored(seq: u64) -> Ended {
        Ended::Stored { seq, again: false }
    }

    /// What comes out, in words: `d7` a message, `x` something else, `p1=7` an answer.
    fn run(steps: Vec<Step>) -> String {
        let mut flow = Flow::default();
        let mut said = Vec::new();
        let mut published = 0;
        for step in steps {
            match step {
                Publish | Quiet => {
                    published += 1;
                    let ack = flow.publish(&format!("p{published}"), matches!(step, Quiet), 10);
                    assert_eq!(ack, published);
                }
                Deliver(seq) => {
                    let name = if seq == 0 { "x".to_owned() } else { format!("d{seq}") };
                    let piece = Piece { seq: (seq > 0).then_some(seq), frames: name.into() };
                    if let Some(now) = flow.deliver(piece).unwrap() {
                        said.push(String::from_utf8(now.to_vec()).unwrap());
                        assert_eq!(flow.go_on(), None);
                    }
                }
                Settle(ack, ended) => flow.settled(ack, ended),
                Close => flow.close(),
                Evict => flow.close_with("bye".into()),
            }
            let mut next = flow.begin_sending();
            while let Some(outs) = next {
                said.extend(outs.into_iter().map(|out| match out {
                    Out::Frames(frames) => String::from_utf8(frames.to_vec()).unwrap(),
                    Out::Answer { id, bytes, ended } => {
                        assert_eq!(bytes, 10);
                        match ended {
                            Ended::Stored { seq, .. } => format!("{id}={seq}"),
                            Ended::Failed(code) => format!("{id}!{}", code.number()),
                        }
                    }
                }));
                next = flow.go_on();
            }
        }
        assert!(!flow.sending && flow.out.is_empty());
        if flow.in_flight.is_empty() {
            assert_eq!((flow.held.len(), flow.held_bytes), (0, 0));
        }
        said.join(" ")
    }

    #[test]
    fn the_answer_comes_before_the_message_and_both_in_their_place() {
        for (what, steps, said) in [
            ("nothing in flight", vec![Deliver(1), Deliver(0), Deliver(2)], "d1 x d2"),
            ("own echo", vec![Publish, Deliver(1), Settle(1, stored(1))], "p1=1 d1"),
            ("no echo", vec![Quiet, Deliver(1), Settle(1, stored(1)), Deliver(2)], "p1=1 d2"),
            (
                "others before and behind",
                vec![
                    Publish,
                    Deliver(4),
                    Deliver(0),
                    Deliver(5),
                    Deliver(0),
                    Deliver(6),
                    Settle(1, stored(5)),
                ],
                "d4 x p1=5 d5 x d6",
            ),
            (
                "a batch of three, one of them quiet",
                vec![
                    Publish,
                    Quiet,
                    Publish,
                    Deliver(1),
                    Deliver(2),
                    Deliver(3),
                    Settle(1, stored(1)),
                    Settle(2, stored(2)),
                    Settle(3, stored(3)),
                ],
                "p1=1 d1 p2=2 p3=3 d3",
            ),
            (
                "one settled, another one in flight",
                vec![Publish, Publish, Deliver(1), Deliver(2), Settle(1, stored(1)), Deliver(3)],
                "p1=1 d1",
            ),
            (
                "a failure lets all go",
                vec![Publish, Deliver(1), Settle(1, Ended::Failed(Code::Unavailable))],
                "p1!503 d1",
            ),
            (
                "a failure before one that is in flight",
                vec![
                    Publish,
                    Publish,
                    Deliver(1),
                    Settle(1, Ended::Failed(Code::KeyUsed)),
                    Deliver(2),
                    Settle(2, stored(2)),
                ],
                "p1!409 d1 p2=2 d2",
            ),
            (
                "a replay tells nothing again",
                vec![
                    Publish,
                    Deliver(9),
                    Settle(1, Ended::Stored { seq: 3, again: true }),
                    Deliver(10),
                ],
                "p1=3 d9 d10",
            ),
            (
                "without R the own message does not come",
                vec![Publish, Deliver(0), Settle(1, stored(7)), Deliver(0)],
                "x p1=7 x",
            ),
            (
                "a message that comes late",
                vec![Publish, Settle(1, stored(1)), Deliver(1)],
                "p1=1 d1",
            ),
            ("settled twice", vec![Publish, Settle(1, stored(1)), Settle(1, stored(1))], "p1=1"),
        ] {
            assert_eq!(run(steps), said, "{what}");
        }
    }

    #[test]
    fn behind_the_end_only_answers_come() {
        for (what, steps, said) in [
            ("left", vec![Close, Deliver(1)], ""),
            (
                "left with one in flight",
                vec![Publish, Deliver(1), Close, Settle(1, stored(1)), Deliver(2)],
                "p1=1",
            ),
            ("evicted", vec![Deliver(1), Evict, Deliver(2)], "d1 bye"),
            (
                "evicted with one in flight",
                vec![Publish, Deliver(1), Evict, Deliver(2), Settle(1, stored(1))],
                "p1=1 d1 bye",
            ),
            ("evicted twice", vec![Evict, Evict], "bye"),
            ("left, then evicted", vec![Close, Evict], ""),
        ] {
            assert_eq!(run(steps), said, "{what}");
        }
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut flow = Flow::default();
        flow.publish("1", false, 1);
        let piece = |seq| Piece { seq: Some(seq), frames: vec![b'x'; 1 << 20].into() };
        for seq in 1..4 {
            assert_eq!(flow.deliver(piece(seq)), Ok(None));
        }
        assert_eq!(flow.deliver(piece(4)), Err(TooMuch));
    }

    #[test]
    fn one_sends_and_what_comes_meanwhile_goes_behind() {
        let mut flow = Flow::default();
        let piece = |text: &'static str| Piece { seq: None, frames: text.into() };
        assert_eq!(flow.deliver(piece("a")), Ok(Some("a".into())), "sends from now on");
        assert_eq!(flow.deliver(piece("b")), Ok(None));
        assert_eq!(flow.begin_sending(), None, "another one is sending");
        assert_eq!(flow.go_on(), Some(vec![Out::Frames("b".into())]));
        assert_eq!(flow.go_on(), None);
        assert_eq!(flow.deliver(piece("c")), Ok(Some("c".into())));
        flow.give_up_sending();
        assert_eq!(flow.deliver(piece("d")), Ok(Some("d".into())));
    }
}
