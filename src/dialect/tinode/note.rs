//! `note`: what a member has received or read, and that it writes. It has no answer (S:111–115).
//!
//! What is wrong with a note is passed over in silence; only who would have to be attached, and is
//! not, is told. What was received may be said from outside, as by a client that a push has woken.
//!
//! A member's marks are in the topic's room. A channel may have more readers than a room has place
//! for marks: theirs are in their subscriptions, and told to nobody but their own sessions.
use std::sync::Arc;

use super::{
    ids::{BadTopic, Key, Topic, UserId},
    message::{Code, Noted},
    mode::Mode,
    post::{To, Told, Word},
    refusal::{Done, Refusal},
    request::Note,
    session::{Identity, Session},
    stored::{self, Mark, RoomEvent},
    topic::{self, Live},
};
use crate::{
    domain::{
        broker::{Audience, Entry},
        ids::{ConnectionId, RoomId},
        subscriber::Outcome,
    },
    throttle::throttled,
};

/// What a note says, if it says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// The member has come so far.
    Come { what: Noted, seq: u64 },
    /// The member writes, speaks, or shows itself.
    Writes(Noted),
}

impl Said {
    fn of(what: &str, seq: i64) -> Option<Self> {
        let what = Noted::parse(what)?;
        match what {
            Noted::Read | Noted::Recv => {
                let seq = u64::try_from(seq).ok().filter(|seq| *seq > 0)?;
                Some(Said::Come { what, seq })
            }
            Noted::Kp | Noted::Kpa | Noted::Kpv => (seq == 0).then_some(Said::Writes(what)),
        }
    }

    /// Whether it may be said from outside.
    fn is_of_outside(self) -> bool {
        match self {
            Said::Come { what: Noted::Recv, .. } => true,
            Said::Come { .. } | Said::Writes(_) => false,
        }
    }
}

/// How far a note brings its member: who has read has received.
fn mark(what: Noted, seq: u64) -> Mark {
    match what {
        Noted::Read => Mark::of(seq, seq),
        Noted::Recv | Noted::Kp | Noted::Kpa | Noted::Kpv => Mark::of(0, seq),
    }
}

/// Takes a note. Without a user it is passed over.
pub(super) async fn note(session: &Arc<Session>, who: Option<Identity>, note: &Note<'_>) {
    let Some(who) = who else { return };
    let topic = match Topic::parse(&note.topic) {
        Ok(topic) => Some(topic),
        Err(BadTopic::Malformed) => return session.ctrl("", &note.topic, Code::Malformed),
        // As of a group that nobody has made.
        Err(BadTopic::Unknown) => None,
    };
    let Some(said) = Said::of(&note.what, note.seq) else { return };
    let Some(key) = topic.and_then(|topic| topic.key(who.user)) else {
        if !is_on(session, topic) && !said.is_of_outside() {
            session.ctrl("", &note.topic, Code::MustAttach);
        }
        return;
    };
    let by = By { session, user: who.user, key };
    let done = match (session.attached(&key), said) {
        (Some(attach), Said::Writes(what)) => {
            if attach.mode().has(Mode::W) && session.may_note() {
                by.writes(&attach.live.room, what);
            }
            Ok(())
        }
        (Some(attach), Said::Come { seq, .. })
            if seq > attach.live.last() || !attach.mode().has(Mode::R) =>
        {
            Ok(())
        }
        (Some(attach), Said::Come { what, seq }) if attach.reader => by.reads(what, seq).await,
        (Some(attach), Said::Come { what, seq }) => by.come(&attach.live, what, seq).await,
        (None, said) if !said.is_of_outside() => Err(Code::MustAttach.into()),
        (None, Said::Come { what, seq }) => by.come_from_outside(what, seq).await,
        (None, Said::Writes(_)) => Ok(()), // that is refused above
    };
    match done {
        Ok(()) => {}
        Err(Refusal { code: Code::MustAttach, .. }) => {
            session.ctrl("", &note.topic, Code::MustAttach);
        }
        Err(Refusal { code, .. }) => {
            throttled!(warn, code = code.number(), "a note could not be taken");
        }
    }
}

/// Whether the session is on a topic that is not stored: there is nothing to note there.
fn is_on(session: &Session, topic: Option<Topic<'_>>) -> bool {
    match topic {
        Some(Topic::Me) => session.is_on_me(),
        Some(Topic::Fnd) => session.fnd().is_some(),
        Some(
            Topic::Slf
            | Topic::Sys
            | Topic::New { .. }
            | Topic::User(_)
            | Topic::Group(_)
            | Topic::Reader(_),
        )
        | None => false,
    }
}

/// Who notes something, and where.
struct By<'a> {
    session: &'a Arc<Session>,
    user: UserId,
    key: Key,
}

impl By<'_> {
    /// It writes: nothing is kept, and nothing waits for a store that is out.
    fn writes(&self, room: &RoomId, what: Noted) {
        let By { session, user, key } = *self;
        let event = stored::event(&RoomEvent::Kp { from: user, what }, Some(session.id));
        session.node.hub.announce(room, event);
        let told = Told::Info { key, from: user, what, seq: 0 };
        self.say(To::Others(key, user), told);
    }

    /// A member that is attached has come so far.
    async fn come(&self, live: &Arc<Live>, what: Noted, seq: u64) -> Done<()> {
        let Some(raised) = live.raise(self.user, mark(what, seq)) else { return Ok(()) };
        if self.publish(&live.room, raised, what).await {
            live.said(self.user, raised);
            let told = Told::Info { key: self.key, from: self.user, what, seq };
            self.say(To::Members(self.key), told);
        } else {
            // Nobody has heard of it. It is kept at least, once that is possible.
            self.session.node.flushes.later(live, self.user);
        }
        Ok(())
    }

    /// The mark of a member. Whether it is in the room now.
    async fn publish(&self, room: &RoomId, mark: Mark, what: Noted) -> bool {
        let entry = except(topic::update(self.user, mark, Some(what)), self.session.id);
        let bytes = size_of::<Mark>();
        match self.session.node.hub.publish(room, entry, bytes).await {
            Outcome::Done(_) => true,
            Outcome::Duplicate
            | Outcome::Replayed { .. }
            | Outcome::Reused
            | Outcome::Unavailable
            | Outcome::Full
            | Outcome::Unknown => false,
        }
    }

    /// A member that is not attached has received so much.
    async fn come_from_outside(&self, what: Noted, seq: u64) -> Done<()> {
        let By { session, user, key } = *self;
        let node = &session.node;
        let Some(t) = node.cabinet.topic(&key).await? else { return Ok(()) };
        let row = node.cabinet.sub(&key, user).await?.map(|read| read.record);
        let Some(row) = row.filter(|row| !row.deleted && row.acs().mode().has(Mode::R)) else {
            return Ok(());
        };
        let standing = topic::standing(node, &t.record).await?;
        if seq > standing.last {
            return Ok(());
        }
        if row.reader {
            return self.reads(what, seq).await;
        }
        let before = standing.marks.get(&user).copied().unwrap_or_default();
        let live = node.topics.known(&key).filter(|live| *live.life == *t.record.life);
        if let Some(live) = live {
            live.said(user, before); // it may not know that yet
            return self.come(&live, what, seq).await;
        }
        let raised = before.raised(mark(what, seq));
        if raised != before && self.publish(&t.record.room()?, raised, what).await {
            self.say(To::Members(key), Told::Info { key, from: user, what, seq });
        }
        Ok(())
    }

    /// A channel's reader has come so far.
    async fn reads(&self, what: Noted, seq: u64) -> Done<()> {
        let By { session, user, key } = *self;
        let mark = mark(what, seq);
        let change = session.node.cabinet.change_sub(&key, user, |row| {
            let Some(mut row) = row else { return Ok((None, false)) };
            let before = Mark::of(row.read, row.recv);
            let raised = before.max(mark);
            (row.read, row.recv) = (raised.read, raised.recv);
            Ok(if raised == before { (None, false) } else { (Some(row), true) })
        });
        let (is_news, _) = change.await?;
        if is_news {
            self.say(To::Users(vec![user]), Told::Info { key, from: user, what, seq });
        }
        Ok(())
    }

    /// To sessions on `me` that are not attached to the topic, but for this one.
    fn say(&self, to: To, told: Told) {
        let needs = Mode::R.with(Mode::P);
        let word = Word { to, needs, unattached: true, told };
        let node = &self.session.node;
        node.post.say(node, vec![word], Some(self.session.id));
    }
}

/// The entry, told to all but this session, which has said it.
fn except(entry: Entry, by: ConnectionId) -> Entry {
    match entry {
        Entry::Message { from, message, receipt, .. } => {
            Entry::Message { from, audience: Audience::ExceptConnection(by), message, receipt }
        }
        Entry::Synced { .. } | Entry::System { .. } => entry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_says_nothing() {
        let come = |what, seq| Some(Said::Come { what, seq });
        for (what, seq, said) in [
            // As it was recorded: notes, steps 12 to 26.
            ("kp", 0, Some(Said::Writes(Noted::Kp))),
            ("recv", 2, come(Noted::Recv, 2)),
            ("read", 3, come(Noted::Read, 3)),
            ("read", 0, None),
            ("nosuch", 3, None),
            ("kp", 4, None),
            ("kpa", 0, Some(Said::Writes(Noted::Kpa))),
            ("kpv", 0, Some(Said::Writes(Noted::Kpv))),
            ("data", 0, None),
            ("call", 5, None),
            // Not recorded.
            ("recv", -1, None),
            ("", 0, None),
        ] {
            assert_eq!(Said::of(what, seq), said, "{what} {seq}");
        }
        let outside = ["kp", "kpa", "read", "recv"];
        let outside = outside.map(|what| {
            Said::of(what, 1).or_else(|| Said::of(what, 0)).is_some_and(Said::is_of_outside)
        });
        assert_eq!(outside, [false, false, false, true]);
    }

    #[test]
    fn who_has_read_has_received() {
        assert_eq!(mark(Noted::Read, 5), Mark::of(5, 5));
        assert_eq!(mark(Noted::Recv, 5), Mark::of(0, 5));
    }
}
