//! `leave`: a session goes, and maybe the subscription with it (S:63, S:99, S:131–135).
use std::sync::Arc;

use super::{
    access,
    apply::{self, Cause},
    attach::Attach,
    fnd, get,
    ids::{Key, Topic},
    me,
    message::Code,
    refusal::Done,
    session::{Identity, Session},
    topic,
};
use crate::domain::presence::Departure;

/// Leaves a topic. `unsub`: for good.
pub(super) async fn leave(
    session: &Arc<Session>,
    who: Identity,
    id: &str,
    topic: &str,
    unsub: bool,
) {
    let parsed = match Topic::parse(topic) {
        Ok(parsed) => parsed,
        Err(why) => return session.ctrl(id, topic, get::bad(why)),
    };
    let key = match parsed {
        Topic::Me => return me::leave(session, who, id, unsub).await,
        Topic::Fnd => return fnd::leave(session, who, id, unsub).await,
        Topic::Sys | Topic::New { .. } => None,
        Topic::Slf | Topic::User(_) | Topic::Group(_) | Topic::Reader(_) => parsed.key(who.user),
    };
    let attach = key.and_then(|key| session.attached(&key));
    match attach {
        None if unsub => session.ctrl(id, topic, Code::MustAttach),
        None => session.ctrl(id, topic, Code::NotJoined),
        Some(attach) if unsub => match unsubscribe(&attach).await {
            Ok(()) => session.ctrl(id, topic, Code::Ok),
            Err(why) => session.refuse(id, topic, why),
        },
        Some(attach) => {
            depart(&attach, Departure::Left).await;
            session.ctrl(id, topic, Code::Ok);
        }
    }
}

/// The subscription ends, and all sessions of the user are out of the topic.
async fn unsubscribe(attach: &Arc<Attach>) -> Done<()> {
    let Attach { session, live, who, .. } = &**attach;
    let node = &session.node;
    let Some(t) = node.cabinet.topic(&live.key).await? else {
        depart(attach, Departure::Left).await; // it has ended
        return Ok(());
    };
    let now = session.now();
    let change = node.cabinet.change_sub(&live.key, who.user, |row| {
        let changed = access::leave(&t.record, row.ok_or(Code::NotJoined)?, now)?;
        Ok((Some(changed.row.clone()), changed))
    });
    let (changed, version) = change.await?;
    // It is told nothing more, but it is in the room until the others have been told why it goes:
    // first that it has no access any more, then that it is off.
    attach.go();
    session.forget_attach(attach);
    node.flushes.now(node, live, who.user);
    let told = apply::tell(session, *who, &t.record, &changed, version, Cause::Left).await;
    depart(attach, Departure::Left).await;
    told
}

/// Takes a session out of a topic; it is told nothing of it any more. It may be out already.
pub(super) async fn depart(attach: &Arc<Attach>, said: Departure) {
    let Attach { session, live, who, .. } = &**attach;
    let node = &session.node;
    attach.go();
    session.forget_attach(attach);
    node.flushes.now(node, live, who.user);
    // A failure is in the log, and nothing more is delivered in any case.
    let left = node.hub.depart(&live.room, session.id, said).await;
    match live.key {
        Key::Group(_) if !matches!(left, Ok(Some(1..))) => {
            topic::left(node, live.key, &live.room);
        }
        Key::Group(_) | Key::Pair(..) | Key::Own(_) => {}
    }
}
