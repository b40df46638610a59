//! What is known here of everybody's marks in a topic, and which of them the room does not show.
use std::collections::HashMap;

use crate::dialect::tinode::{ids::UserId, stored::Mark};

/// One member's mark.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    known: Mark,
    /// As far as is known, the room shows this one.
    shown: Mark,
    /// It waits to be published.
    waits: bool,
}

impl Held {
    fn is_behind(&self) -> bool {
        self.shown.max(self.known) != self.shown
    }
}

/// Everybody's marks in one topic.
#[derive(Debug, Default)]
pub(super) struct Marks(HashMap<UserId, Held>);

impl Marks {
    #[cfg(test)]
    fn get(&self, user: UserId) -> Mark {
        self.0.get(&user).map(|held| held.known).unwrap_or_default()
    }

    /// All of them.
    pub fn known(&self) -> impl Iterator<Item = (UserId, Mark)> {
        self.0.iter().map(|(user, held)| (*user, held.known))
    }

    /// Raises a mark; returns it, if that is news.
    pub fn raise(&mut self, user: UserId, mark: Mark) -> Option<Mark> {
        let held = self.0.entry(user).or_default();
        let raised = held.known.raised(mark);
        (raised != held.known).then(|| {
            held.known = raised;
            raised
        })
    }

    /// The room shows this one now.
    pub fn show(&mut self, user: UserId, mark: Mark) {
        let held = self.0.entry(user).or_default();
        held.known = held.known.max(mark);
        held.shown = mark;
    }

    /// The room showed this one when it was read, which may be a while ago.
    pub fn read(&mut self, user: UserId, mark: Mark) {
        let held = self.0.entry(user).or_default();
        held.known = held.known.max(mark);
        held.shown = held.shown.max(mark);
    }

    /// Whether somebody has to publish it later, who has not been asked to.
    pub fn wait(&mut self, user: UserId) -> bool {
        let Some(held) = self.0.get_mut(&user) else { return false };
        let waits = held.is_behind() && !held.waits;
        held.waits |= waits;
        waits
    }

    /// What is to be published now, if the room shows less.
    pub fn take(&mut self, user: UserId) -> Option<Mark> {
        let held = self.0.get_mut(&user)?;
        held.waits = false;
        held.is_behind().then(|| {
            held.shown = held.known;
            held.known
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserId {
        UserId::of_number(7).unwrap()
    }

    fn mark(read: u64, recv: u64) -> Mark {
        Mark::of(read, recv)
    }

    #[test]
    fn a_mark_only_grows_and_is_news_once() {
        let mut marks = Marks::default();
        for (raised, news) in [
            (mark(0, 2), Some(mark(0, 2))),
            (mark(0, 2), None),
            (mark(0, 1), None),
            (mark(3, 3), Some(mark(3, 3))),
            (mark(2, 2), None),
            (mark(0, 3), None),
            (mark(0, 5), Some(mark(3, 5))),
            (mark(4, 4), Some(mark(4, 5))),
        ] {
            assert_eq!(marks.raise(user(), raised), news, "{raised:?}");
        }
        assert_eq!(marks.get(user()), mark(4, 5));
        assert_eq!(marks.get(UserId::of_number(8).unwrap()), Mark::default());
    }

    #[test]
    fn what_the_room_does_not_show_is_published_once() {
        let mut marks = Marks::default();
        assert!(!marks.wait(user()), "nothing is known");
        marks.raise(user(), mark(1, 1));
        assert!(marks.wait(user()));
        marks.raise(user(), mark(2, 2));
        assert!(!marks.wait(user()), "it waits already");
        assert_eq!(marks.take(user()), Some(mark(2, 2)), "all of a burst");
        assert_eq!(marks.take(user()), None);
        marks.show(user(), mark(2, 2));
        assert!(!marks.wait(user()));
        // A note that another node had published comes behind it, and says less.
        marks.show(user(), mark(1, 2));
        assert!(marks.wait(user()));
        assert_eq!(marks.take(user()), Some(mark(2, 2)));
        // What was read long ago does not count against what is shown now.
        marks.read(user(), mark(0, 1));
        assert!(!marks.wait(user()));
    }

    /// Two nodes publish marks of one member at the same time, in whatever order: in the end the
    /// room shows the greatest, and nobody publishes any more.
    #[test]
    fn marks_converge() {
        for first in [true, false] {
            let mut nodes = [Marks::default(), Marks::default()];
            let notes = [mark(0, 9), mark(5, 5)];
            let mut room: Vec<Mark> = Vec::new();
            for (node, note) in nodes.iter_mut().zip(notes) {
                assert_eq!(node.raise(user(), note), Some(note));
                room.insert(if first { room.len() } else { 0 }, note);
            }
            let mut told = 0;
            for _ in 0..4 {
                for shown in &room[told..] {
                    nodes.iter_mut().for_each(|node| node.show(user(), *shown));
                }
                told = room.len();
                for node in &mut nodes {
                    if node.wait(user()) {
                        room.extend(node.take(user()));
                    }
                }
            }
            assert_eq!(room.last(), Some(&mark(5, 9)), "{room:?}");
            assert!(room.len() <= 4, "each has said it once more at most: {room:?}");
            assert_eq!(told, room.len(), "nothing is left to be said");
        }
    }

    #[test]
    fn who_has_left_begins_anew_on_all_nodes() {
        let mut marks = Marks::default();
        marks.raise(user(), mark(5, 7));
        let left = Mark { since: 9, ..Mark::default() };
        marks.show(user(), left);
        assert_eq!(marks.get(user()), left);
        // A mark of before that comes behind it is corrected.
        marks.show(user(), mark(5, 7));
        assert!(marks.wait(user()));
        assert_eq!(marks.take(user()), Some(left));
        let again = Mark { since: 9, ..mark(2, 2) };
        assert_eq!(marks.raise(user(), mark(2, 2)), Some(again));
    }
}
