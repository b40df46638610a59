//! How a topic stands: what its room's log shows, and what is known here beside that.
use std::collections::HashMap;

use super::read_update;
use crate::{
    dialect::tinode::{
        Tinode,
        ids::UserId,
        message::Ts,
        record::TopicRecord,
        refusal::Done,
        stored::{self, Mark},
    },
    domain::{broker::Updates, hub::Standing, ids::RoomId},
    throttle::throttled,
};

/// Bytes of a room's marks that are read at once. It has ten thousand of them at most.
const MARKS: usize = 4 << 20;

/// How a topic stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::dialect::tinode) struct TopicStanding {
    /// The number of the last message; 0: there was none.
    pub last: u64,
    /// When that was sent.
    pub touched: Option<Ts>,
    /// How far members have come: those of whom that is known.
    pub marks: HashMap<UserId, Mark>,
}

/// How a topic stands by its room, and by what is known here.
///
/// # Errors
/// Those of the store.
pub(in crate::dialect::tinode) async fn standing(
    node: &Tinode,
    t: &TopicRecord,
) -> Done<TopicStanding> {
    let Before { mut standing, sender } = read(node, &t.room()?).await?;
    if let Some((user, mark)) = sender {
        let known = standing.marks.entry(user).or_default();
        *known = known.raised(mark);
    }
    if let Some(live) = node.topics.known(&t.key).filter(|live| *live.life == *t.life) {
        standing.last = standing.last.max(live.last());
        for (user, mark) in live.marks() {
            let read = standing.marks.entry(user).or_default();
            *read = read.max(mark);
        }
    }
    Ok(standing)
}

/// What a room's log shows.
pub(super) struct Before {
    pub standing: TopicStanding,
    /// Who has sent the last message, and how far it has come by that: its node may not have said
    /// so yet.
    pub sender: Option<(UserId, Mark)>,
}

pub(super) async fn read(node: &Tinode, room: &RoomId) -> Done<Before> {
    let Standing { end, last, updates } = node.hub.standing(room, MARKS).await?;
    let updates = match updates {
        Updates::All(updates) => updates,
        Updates::Larger => {
            throttled!(warn, room = %room.shown(), "a topic has more marks than are read");
            Vec::new()
        }
    };
    let updates = updates.iter().filter_map(|stored| read_update(stored.body.as_deref()?));
    let marks: HashMap<UserId, Mark> = updates.collect();
    let message = last.as_ref().and_then(|last| stored::Stored::read(last.body.as_deref()?));
    let sent = || last.as_ref().map(|last| Ts(last.at_ms));
    let touched = message.map(|message| message.at).or_else(sent);
    let sender = message.and_then(|message| by_sending(&marks, message.from, message.at, end));
    Ok(Before { standing: TopicStanding { last: end, touched, marks }, sender })
}

/// How far somebody has come by sending message `seq` at this time, unless it has left since.
fn by_sending(
    marks: &HashMap<UserId, Mark>,
    from: UserId,
    at: Ts,
    seq: u64,
) -> Option<(UserId, Mark)> {
    let left = marks.get(&from).map_or(0, |mark| mark.since);
    (at.0 > left).then(|| (from, Mark::of(seq, seq)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserId {
        UserId::of_number(7).unwrap()
    }

    #[test]
    fn who_has_sent_the_last_message_has_read_all_unless_it_has_left_since() {
        let left = Mark { since: 50, ..Mark::default() };
        let marks = HashMap::from([(user(), left)]);
        let other = UserId::of_number(8).unwrap();
        for (from, at, read) in [(user(), 49, false), (user(), 51, true), (other, 1, true)] {
            let expected = read.then_some((from, Mark::of(7, 7)));
            assert_eq!(by_sending(&marks, from, Ts(at), 7), expected, "{at}");
        }
    }
}
