//! Exact book-keeping of what one receiver got from each sender of its room.

use std::collections::HashSet;

#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// First arrival, and nothing of this sender's with a higher number came before.
    InOrder,
    /// First arrival, but after a later message of the same sender.
    Late,
    Duplicate,
}

#[derive(Default)]
pub struct Ledger {
    /// Per sender: one more than the highest number seen.
    next: Vec<u32>,
    /// Numbers that were jumped over and have not come since.
    missing: HashSet<(u16, u32)>,
}

impl Ledger {
    pub fn new(senders: usize) -> Self {
        Self { next: vec![0; senders], missing: HashSet::new() }
    }

    pub fn see(&mut self, sender: u16, seq: u32) -> Seen {
        let next = &mut self.next[sender as usize];
        if seq >= *next {
            self.missing.extend((*next..seq).map(|n| (sender, n)));
            *next = seq + 1;
            Seen::InOrder
        } else if self.missing.remove(&(sender, seq)) {
            Seen::Late
        } else {
            Seen::Duplicate
        }
    }

    /// Messages that never came, of those `sent` by each sender but `me`.
    pub fn lost(&self, sent: &[u32], me: usize) -> u64 {
        let tails = sent.iter().zip(&self.next).enumerate();
        tails.filter(|&(s, _)| s != me).map(|(_, (&sent, &next))| (sent - next.min(sent)) as u64).sum::<u64>() + self.missing.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_kind_once() {
        let mut l = Ledger::new(2);
        assert_eq!(l.see(0, 0), Seen::InOrder);
        assert_eq!(l.see(0, 3), Seen::InOrder); // 1 and 2 are missing
        assert_eq!(l.see(0, 2), Seen::Late);
        assert_eq!(l.see(0, 2), Seen::Duplicate);
        assert_eq!(l.see(0, 3), Seen::Duplicate);
        assert_eq!(l.see(1, 0), Seen::InOrder);
        // Sender 0 sent 6: number 1, 4 and 5 are lost; sender 1 sent 1: none.
        assert_eq!(l.lost(&[6, 1], 9), 3);
        // A sender does not get its own messages.
        assert_eq!(Ledger::new(2).lost(&[5, 7], 0), 7);
    }
}
