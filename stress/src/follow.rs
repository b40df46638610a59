//! Clients that follow the log of their room over many connections, by the recipe for resuming of
//! docs/PROTOCOL.md, and count what they missed or were told twice.
//!
//! Each room has one sender, whose messages are all stored: so a message's number is its place in
//! the log, and the next number is where to resume.

use crate::client::Conn;
use crate::message::{self, MSG, Template, number};
use anyhow::{Context, Result};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const SYNC: &[u8] = br#"42["sync","#;

/// What all followers of a run came to.
pub struct Following {
    template: Template,
    /// By follower: how many messages it has.
    had: Vec<AtomicU32>,
    tally: Mutex<Tally>,
}

/// What followers saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that came again, other than in a page and live, once each, of the same connection.
    pub duplicate: u64,
    /// Messages that were jumped over.
    pub missing: u64,
    pub damaged: u64,
    /// Messages that came in pages.
    pub replayed: u64,
    /// Times that the log was shorter than what was had of it.
    pub forgotten: u64,
}

impl Following {
    pub fn new(followers: usize, template: Template) -> Arc<Self> {
        let had = (0..followers).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Following { template, had, tally: Mutex::default() })
    }

    pub fn tally(&self) -> Tally {
        *self.tally.lock()
    }

    /// How many messages have come, and how many have not, if `sent` says how many each follower
    /// should have.
    pub fn delivered(&self, sent: impl Fn(usize) -> u32) -> (u64, u64) {
        self.had.iter().enumerate().fold((0, 0), |(came, lost), (no, had)| {
            let had = had.load(Relaxed);
            (came + u64::from(had), lost + u64::from(sent(no).saturating_sub(had)))
        })
    }

    /// What must never happen.
    pub fn faults(&self, sent: impl Fn(usize) -> u32) -> Vec<(u64, &'static str)> {
        let tally = self.tally();
        vec![
            (self.delivered(sent).1, "messages not delivered"),
            (tally.missing, "messages missing or out of order"),
            (tally.duplicate, "messages delivered twice"),
            (tally.damaged, "messages damaged or astray"),
            (tally.forgotten, "logs shorter than before"),
        ]
    }
}

/// One client.
pub struct Follower {
    all: Arc<Following>,
    no: usize,
    room: u16,
    /// The first message that this connection did not find here.
    begin: u32,
    /// The last one that came live on it.
    live: Option<u32>,
}

impl Follower {
    /// The one of this number, who is in this room.
    pub fn new(all: &Arc<Following>, no: usize, room: usize) -> Self {
        Follower { all: all.clone(), no, room: room as u16, begin: 0, live: None }
    }

    fn next(&self) -> u32 {
        self.all.had[self.no].load(Relaxed)
    }

    fn tell(&self, note: impl FnOnce(&mut Tally)) {
        note(&mut self.all.tally.lock());
    }

    /// The number of the first message in `text`, if it is whole, and what follows it.
    fn read<'a>(&self, text: &'a [u8]) -> Option<(u32, &'a [u8])> {
        let (mark, rest) = message::find(text)?;
        let rest = self.all.template.check(&mark, rest)?;
        (mark.room == self.room).then_some((mark.seq, rest))
    }

    /// A message is handed out.
    fn take(&self, seq: u32) {
        let next = self.next();
        if seq < next {
            return self.tell(|tally| tally.duplicate += 1);
        }
        if seq > next {
            self.tell(|tally| tally.missing += u64::from(seq - next));
        }
        self.all.had[self.no].store(seq + 1, Relaxed);
    }

    /// All messages of a page.
    fn page(&self, page: &[u8]) {
        let mut rest = page;
        while message::find(rest).is_some() {
            let Some((seq, behind)) = self.read(rest) else {
                return self.tell(|tally| tally.damaged += 1);
            };
            self.take(seq);
            self.tell(|tally| tally.replayed += 1);
            rest = behind;
        }
    }

    /// A message has come live. A page of this connection may have had it.
    fn hear(&mut self, seq: u32) {
        if self.live.is_some_and(|last| seq <= last) || seq < self.begin {
            return self.tell(|tally| tally.duplicate += 1);
        }
        self.live = Some(seq);
        if seq >= self.next() {
            self.take(seq);
        }
    }

    /// Catches up, on a connection that has joined.
    pub async fn resume(&mut self, conn: &mut Conn) -> Result<()> {
        (self.begin, self.live) = (self.next(), None);
        let mut waiting = Vec::new();
        loop {
            let offset = self.next();
            conn.tx.send(format!(r#"42["sync",{{"offset":{offset},"resume":true}}]"#)).await?;
            let page = loop {
                let packet = conn.rx.next().await?;
                if packet.starts_with(SYNC) {
                    break packet;
                }
                if packet.starts_with(MSG) {
                    match self.read(&packet) {
                        Some((seq, _)) => waiting.push(seq),
                        None => self.tell(|tally| tally.damaged += 1),
                    }
                }
            };
            self.page(&page);
            let log =
                number(&page, "\"log\":").context("a page that does not say where it ends")?;
            let next = u64::from(self.next());
            if log != next {
                self.tell(|tally| {
                    tally.forgotten += u64::from(log < next);
                    tally.missing += log.saturating_sub(next);
                });
            }
            if number(&page, "\"next\":") != Some(1) {
                break;
            }
        }
        waiting.into_iter().for_each(|seq| self.hear(seq));
        Ok(())
    }

    /// Reads to the end of the connection.
    pub async fn listen(&mut self, conn: &mut Conn) {
        while let Ok(packet) = conn.rx.next().await {
            if !packet.starts_with(MSG) {
                continue;
            }
            match self.read(&packet) {
                Some((seq, _)) => self.hear(seq),
                None => self.tell(|tally| tally.damaged += 1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Envelope, Mark, Shape};

    fn text(template: &mut Template, seqs: &[u32]) -> Vec<u8> {
        let mut page = br#"42["sync",{"data":["#.to_vec();
        for &seq in seqs {
            page.extend_from_slice(
                template.stamp(Mark { room: 3, sender: 0, seq, phase: 0, ts: 9 }, 0),
            );
        }
        page
    }

    fn follower() -> (Arc<Following>, Follower, Template) {
        let template = Template::new(100, Shape::Text, Envelope::Data, 1);
        let all = Following::new(1, template.clone());
        let follower = Follower::new(&all, 0, 3);
        (all, follower, template)
    }

    #[test]
    fn what_a_page_had_may_come_live_once_more() {
        let (all, mut follower, mut template) = follower();
        follower.page(&text(&mut template, &[0, 1, 2, 3]));
        for seq in [2, 3, 4, 5] {
            follower.hear(seq);
        }
        assert_eq!(all.tally(), Tally { replayed: 4, ..Tally::default() });
        assert_eq!(all.delivered(|_| 8), (6, 2));
        follower.hear(5);
        assert_eq!(all.tally().duplicate, 1);
    }

    #[test]
    fn what_is_missing_or_of_an_earlier_connection_is_counted() {
        let (all, mut follower, mut template) = follower();
        follower.page(&text(&mut template, &[0, 2]));
        assert_eq!(all.tally().missing, 1);
        // It comes back, and is told of what it had.
        (follower.begin, follower.live) = (3, None);
        follower.hear(2);
        follower.hear(3);
        assert_eq!(all.tally().duplicate, 1);
        follower.page(&text(&mut template, &[3]));
        assert_eq!(all.tally().duplicate, 2);
        // Of another room.
        let stranger = Follower::new(&all, 0, 4);
        stranger.page(&text(&mut template, &[4]));
        assert_eq!(all.tally().damaged, 1);
    }
}
