//! What a room's log is named by: for those who keep pages of it, and for readers that come back.
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::domain::retention::Rule;

/// Fields of the room's counters by which a log is named.
pub(super) const NAMED_BY: [&str; 7] =
    ["epoch", "cleared", "recalled", "due", "kept", "next", "named"];

/// The values of [`NAMED_BY`].
pub(super) struct Named<'a>(pub(super) &'a [Option<Bytes>]);

impl Named<'_> {
    fn text(&self, at: usize) -> Option<&str> {
        std::str::from_utf8(self.0.get(at)?.as_ref()?).ok()
    }

    /// The name of a room's log, from that of the server's start, the room's epoch, the places of
    /// its last clearing and its last recall, whether its time is over (then it is another one, even
    /// if nobody has taken note yet), and where trimming has it begin, or the number of inserts that
    /// the rule keeps.
    pub(super) fn edition(&self, run: &str, now_ms: u64, rule: Rule) -> u64 {
        let due = self.text(3).and_then(|due| due.parse().ok());
        let mut extent =
            self.text(5).unwrap_or_default().split(' ').map(|n| n.parse().unwrap_or(0));
        let (next, begins) = (extent.next().unwrap_or(0), extent.next().unwrap_or(0));
        let first = rule.count.map(|_| rule.first_kept(next).max(begins));
        let named = self.0.get(..5).unwrap_or(self.0);
        let mut hasher = DefaultHasher::new();
        (run, named, due.is_some_and(|due: u64| due <= now_ms), first).hash(&mut hasher);
        hasher.finish()
    }

    /// Names a log for its readers, by its life of the Redis server and the index of its offset 0.
    /// All nodes say the same, of whatever build they are.
    pub(super) fn epoch(&self, origin: u64) -> u64 {
        epoch(self.text(0).unwrap_or_default(), origin, self.text(6).unwrap_or_default())
    }
}

/// As [`Named::epoch`], from the life and what the log was named when it was copied here: that holds
/// while it is the same log in the same life.
pub(super) fn epoch(life: &str, origin: u64, named: &str) -> u64 {
    let mut words = named.splitn(3, ' ');
    let is_same = words.next() == Some(life) && words.next() == Some(&origin.to_string());
    if let Some(carried) = words.next().filter(|_| is_same).and_then(|word| word.parse().ok()) {
        return carried;
    }
    let digest = Sha256::digest(format!("{life} {origin}"));
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)) >> 11
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_was_copied_keeps_its_name_as_long_as_it_is_that_log() {
        assert_eq!(epoch("77", 5, "77 5 123"), 123);
        let own = epoch("77", 5, "");
        assert!(own < 1 << 53);
        for other in ["78 5 123", "77 6 123", "77 5", "77 5 x", "by hand"] {
            assert_eq!(epoch("77", 5, other), own, "{other}");
        }
        assert_ne!(epoch("77", 6, "77 5 123"), own, "it was cleared");
    }
}
