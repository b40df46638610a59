//! `del msg`: messages are deleted, for all or for oneself (S:116–120).
//!
//! Deletions of both kinds have one number per topic. It is taken first, then the record says what
//! was deleted: from then on nobody is shown it. What was deleted for all is taken out of the log
//! behind that, in small steps; the record says what is left to be done, and whoever sweeps goes on
//! with it.
use std::sync::Arc;

use super::{
    Tinode,
    cabinet::Step,
    files,
    history::{self, place},
    holes::{self, Holes, union},
    ids::{Key, UserId},
    merge,
    message::{Code, Params, Range},
    mode::Mode,
    post::{To, Told, Word},
    publish,
    record::{DELS, Dels, TopicRecord},
    refusal::{Done, Refusal},
    request::{Del, Options},
    session::{Identity, Session},
    stored::RoomEvent,
    topic::{self, Live},
};
use crate::{domain::ids::RoomId, throttle::throttled};

/// Deletions of an answer where no limit is asked for, and at most.
const MOST: usize = 1024;
/// Messages that are taken out of the log at a time.
const STEP: u64 = 200;
/// Records that are looked at in one go of the sweep.
const LOOK: usize = 100;

/// Deletes messages.
pub(super) async fn messages(session: &Arc<Session>, who: Identity, id: &str, d: &Del<'_>) {
    match delete(session, who, d).await {
        Ok(del) => {
            session.ctrl_with(id, &d.topic, Code::Ok, Params::default().number("del", del));
        }
        Err(why) => session.refuse(id, &d.topic, why),
    }
}

/// Returns the deletion's number.
async fn delete(session: &Arc<Session>, who: Identity, d: &Del<'_>) -> Done<u64> {
    let attach = publish::attached(session, who, &d.topic)?;
    let (node, live, mode) = (&session.node, &attach.live, attach.mode());
    if !mode.has(Mode::R) {
        return Err(Code::Denied.into());
    }
    let ranges = holes::asked(&d.ranges, live.last())?;
    let is_hard = d.hard
        && mode.has(Mode::D)
        && (is_own(&live.key, mode) || is_young(session, &live.room, &ranges).await?);
    let del = number(node, live, is_hard).await?;
    let by = who.user;
    if is_hard {
        let key = live.key;
        let note = |dels: &mut Dels| {
            dels.add(del, &ranges);
            dels.key = Some(key);
            dels.blank = union(dels.blank.iter().chain(&ranges).copied().collect());
            dels.dirty = true;
        };
        node.cabinet.change_dels(&live.life, None, note).await?;
        attach.forget_holes();
        let told = tell_all(session, live, by, del, &ranges).await;
        blank_soon(node, live.life.to_string());
        told?;
    } else {
        let note = |dels: &mut Dels| dels.add(del, &ranges);
        node.cabinet.change_dels(&live.life, Some(by), note).await?;
        attach.forget_holes();
        keep(node, &live.key, by, del).await?;
        let told = Told::Del { key: live.key, clear: del, ranges, by, soft: true };
        let (to, needs) = (To::Users(vec![by]), Mode::R);
        let word = Word { to, needs, unattached: false, told };
        node.post.say(node, vec![word], Some(session.id));
    }
    Ok(del)
}

/// Whether the topic is that of who may so much there: a group of its own, or its notes.
fn is_own(key: &Key, mode: Mode) -> bool {
    match key {
        Key::Own(_) => true,
        Key::Group(_) | Key::Pair(..) => mode.has(Mode::O),
    }
}

/// Whether all of these messages are young enough to be deleted for all by others than the owner.
/// The first is the oldest.
async fn is_young(session: &Session, room: &RoomId, ranges: &[Range]) -> Done<bool> {
    let Some(first) = ranges.first() else { return Ok(false) };
    let node = &session.node;
    let Some(oldest) = history::at(node, room, first.low).await? else { return Ok(false) };
    let age = session.now().0.saturating_sub(oldest.at_ms);
    Ok(u128::from(age) <= node.options.limits.delete_age.as_millis())
}

/// Takes the next number of a deletion.
async fn number(node: &Tinode, live: &Live, is_hard: bool) -> Done<u64> {
    let next = |t: &mut TopicRecord| -> Done<Step<u64>> {
        if *t.life != *live.life {
            return Err(Code::MustAttach.into()); // it was deleted, and there is another one
        }
        t.del += 1;
        if is_hard {
            t.hard = t.del;
        }
        Ok(Step::Write(t.del))
    };
    node.cabinet.change_topic(&live.key, next).await
}

/// The user's last own deletion has this number.
async fn keep(node: &Tinode, key: &Key, user: UserId, del: u64) -> Done<()> {
    let change = node.cabinet.change_sub(key, user, |row| {
        let later = row.filter(|row| row.del < del).map(|mut row| {
            row.del = del;
            row
        });
        Ok((later, ()))
    });
    change.await?;
    Ok(())
}

/// Tells all others of a deletion.
async fn tell_all(
    session: &Session,
    live: &Live,
    by: UserId,
    clear: u64,
    ranges: &[Range],
) -> Done<()> {
    let (node, ranges) = (&session.node, ranges.to_vec());
    let event = RoomEvent::Del { by, clear, ranges: ranges.clone() };
    let told = topic::tell(node, &live.room, &event, Some(session.id)).await;
    let deleted = Told::Del { key: live.key, clear, ranges, by, soft: false };
    let (to, needs) = (To::Members(live.key), Mode::R.with(Mode::P));
    let word = Word { to, needs, unattached: true, told: deleted };
    node.post.say(node, vec![word], Some(session.id));
    told
}

/// What this user is told of deletions: the number of the last of them, 0 where there is none, and
/// what they have deleted together.
///
/// # Errors
/// Those of the store.
pub(super) async fn log(
    node: &Tinode,
    life: &str,
    user: UserId,
    o: &Options<'_>,
) -> Done<(u64, Vec<Range>)> {
    let hard = node.cabinet.dels(life, None).await?.unwrap_or_default();
    let soft = node.cabinet.dels(life, Some(user)).await?.unwrap_or_default();
    Ok(joined(&hard, &soft, o))
}

/// Deletions of both logs. Where the limit cuts one of them, nothing is told of what the other has
/// behind the cut: whoever asks for what is next begins behind the last number.
fn joined(hard: &Dels, soft: &Dels, o: &Options<'_>) -> (u64, Vec<Range>) {
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    let (since, mut before) = (number(o.since), number(o.before));
    let limit = match usize::try_from(o.limit) {
        Ok(0) | Err(_) => MOST,
        Ok(limit) => limit.min(MOST),
    };
    for dels in [hard, soft] {
        let (last, _) = dels.between(since, before, limit);
        let next = last.saturating_add(1);
        // A log that goes on behind its last one was cut.
        if last > 0 && dels.between(next, before, 1).0 > 0 {
            before = next;
        }
    }
    let (last_hard, of_hard) = hard.between(since, before, limit);
    let (last_soft, of_soft) = soft.between(since, before, limit);
    (last_hard.max(last_soft), union([of_hard, of_soft].concat()))
}

/// Takes what is to go out of a topic's log, in a task of its own.
fn blank_soon(node: &Arc<Tinode>, life: String) {
    let node = node.clone();
    node.hub.tasks.clone().spawn(async move { blank_life(&node, &life).await });
}

/// Goes on with what was cut off. Done by one node at a time, though two do no harm.
pub(super) async fn blank(node: &Tinode) {
    let mut after = None;
    loop {
        let index = ("dirty", "true");
        let page = node.cabinet.find::<Dels>(&DELS, index.0, index.1, after.as_deref(), LOOK).await;
        let page = match page {
            Ok(page) => page,
            Err(Refusal { code, .. }) => {
                throttled!(warn, code = code.number(), "deleted messages can't be looked for");
                return;
            }
        };
        for (_, dels) in page.records {
            blank_life(node, &dels.record.of).await;
        }
        after = page.next;
        if after.is_none() {
            return;
        }
    }
}

async fn blank_life(node: &Tinode, life: &str) {
    if let Err(Refusal { code, .. }) = take_out(node, life).await {
        throttled!(
            warn,
            code = code.number(),
            "deleted messages are still in the log; that is tried again"
        );
    }
}

async fn take_out(node: &Tinode, life: &str) -> Done<()> {
    let Some(dels) = node.cabinet.dels(life, None).await? else { return Ok(()) };
    let Some(key) = dels.key else { return Ok(()) };
    let room = key.room(life)?;
    for range in &dels.blank {
        let mut low = range.low;
        while low < range.hi {
            let step = Range { low, hi: range.hi.min(low.saturating_add(STEP)) };
            release(node, &key, &room, step).await?;
            // Indexes begin with 0, numbers with 1.
            node.hub.erasure().erase_inserts(&room, step.low - 1, step.hi - 1).await?;
            low = step.hi;
        }
    }
    let done = Holes::merged(&dels.blank, &[]);
    let note = |now: &mut Dels| {
        now.blank = now.blank.iter().flat_map(|range| done.left(*range)).collect();
        now.dirty = !now.blank.is_empty();
    };
    node.cabinet.change_dels(life, None, note).await
}

/// The files of these messages are no longer theirs.
async fn release(node: &Tinode, key: &Key, room: &RoomId, within: Range) -> Done<()> {
    // Of so few the messages may be in memory.
    for (seq, stored) in history::some(node, room, within).await? {
        let body = stored.body.unwrap_or_default();
        let mut names = Default::default();
        merge::files(std::str::from_utf8(&body).unwrap_or_default(), &mut names);
        if !names.is_empty() {
            files::release(node, &place(key, seq)).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dels(log: &[(u64, &[(u64, u64)])]) -> Dels {
        let mut dels = Dels::default();
        for (id, ranges) in log {
            dels.add(*id, &range(ranges));
        }
        dels
    }

    fn range(pairs: &[(u64, u64)]) -> Vec<Range> {
        pairs.iter().map(|(low, hi)| Range { low: *low, hi: *hi }).collect()
    }

    fn asked(since: i64, before: i64, limit: i64) -> Options<'static> {
        Options { since, before, limit, ..Options::default() }
    }

    #[test]
    fn whose_old_messages_are() {
        let (a, b) = (UserId::of_number(1).unwrap(), UserId::of_number(2).unwrap());
        let group = Key::parse("grpGardenClub_").unwrap();
        for (key, mode, own) in [
            (Key::Own(a), Mode::OWN, true),
            (Key::pair(a, b), Mode::P2P, false),
            (group, Mode::USER, false),
            (group, Mode::ALL, true),
        ] {
            assert_eq!(is_own(&key, mode), own, "{key:?}");
        }
    }

    #[test]
    fn a_log_has_what_was_deleted_for_all_and_for_oneself() {
        let none = Dels::default();
        let hana = dels(&[(1, &[(2, 3), (4, 6)])]);
        let gerd = dels(&[(2, &[(1, 2)])]);
        let hard = dels(&[(3, &[(7, 9)]), (6, &[(20, 21)]), (7, &[(30, 31)])]);
        let soft = dels(&[(2, &[(1, 2)]), (5, &[(9, 10)]), (9, &[(40, 41)])]);
        for (hard, soft, o, last, ranges) in [
            // As it was recorded: delete-soft, steps 13 to 18; reattach-with-token, step 16.
            (&none, &hana, asked(0, 0, 0), 1, vec![(2, 3), (4, 6)]),
            (&none, &none, asked(0, 0, 0), 0, vec![]),
            (&none, &gerd, asked(1, 0, 0), 2, vec![(1, 2)]),
            (&none, &gerd, asked(2, 0, 0), 2, vec![(1, 2)]),
            (&none, &none, asked(1, 0, 0), 0, vec![]),
            // Not recorded.
            (&none, &gerd, asked(3, 0, 0), 0, vec![]),
            (&none, &gerd, asked(-1, -1, -1), 2, vec![(1, 2)]),
            (&hard, &soft, asked(0, 0, 0), 9, vec![(1, 2), (7, 10), (20, 21), (30, 31), (40, 41)]),
            (&hard, &soft, asked(3, 6, 0), 5, vec![(7, 10)]),
            // Nothing is left out by going on behind the last number.
            (&hard, &soft, asked(0, 0, 1), 3, vec![(1, 2), (7, 9)]),
            (&hard, &soft, asked(3, 0, 1), 3, vec![(7, 9)]),
            (&hard, &soft, asked(4, 0, 1), 6, vec![(9, 10), (20, 21)]),
            (&hard, &soft, asked(6, 0, 1), 6, vec![(20, 21)]),
            (&hard, &soft, asked(0, 0, 2), 6, vec![(1, 2), (7, 10), (20, 21)]),
            (&hard, &soft, asked(0, 0, 3), 9, vec![(1, 2), (7, 10), (20, 21), (30, 31), (40, 41)]),
        ] {
            assert_eq!(joined(hard, soft, &o), (last, range(&ranges)), "{o:?}");
        }
    }

    #[test]
    fn a_log_that_is_read_by_its_limit_is_read_as_a_whole() {
        let (hard, soft) = (
            dels(&[(1, &[(1, 2)]), (4, &[(4, 5)]), (5, &[(5, 6)])]),
            dels(&[(2, &[(2, 3)]), (3, &[(3, 4)]), (9, &[(9, 10)])]),
        );
        for limit in 1..5 {
            let (mut since, mut all) = (0, Vec::new());
            loop {
                let (last, ranges) = joined(&hard, &soft, &asked(since, 0, limit));
                if last == 0 {
                    break;
                }
                all.extend(ranges);
                since = i64::try_from(last).unwrap() + 1;
            }
            assert_eq!(union(all), range(&[(1, 6), (9, 10)]), "{limit}");
        }
    }
}
