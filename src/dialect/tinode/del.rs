//! `del`: messages, a topic, a member of one, a user, or a credential.
use std::sync::Arc;

use super::{
    access,
    apply::{self, Cause},
    cabinet::Step,
    credential, delete, ending, get,
    ids::{Key, Topic, UserId},
    leave,
    message::Code,
    mode::Level,
    record::{SubRecord, TopicRecord, User, UserState},
    refusal::Done,
    request::{Del, Deleting},
    session::{Identity, Session},
};
use crate::throttle::throttled;

/// Answers `del`.
pub(super) async fn del(session: &Arc<Session>, who: Identity, id: &str, d: &Del<'_>) {
    let done = match d.what {
        Deleting::Msg => return delete::messages(session, who, id, d).await,
        Deleting::User => return user(session, who, id, &d.user).await,
        Deleting::Cred => match &d.cred {
            // As `set` of one: R:me#27.
            Some(_) if !session.is_on_me() => Err(Code::Denied.into()),
            Some(cred) => return credential::del(session, who, id, cred).await,
            None => Err(Code::Malformed.into()),
        },
        Deleting::Topic => match topic(session, who, id, &d.topic).await {
            Ok(Answered::ByLeaving) => return,
            Ok(Answered::Not) => Ok(()),
            Err(why) => Err(why),
        },
        Deleting::Sub => member(session, who, d).await,
        Deleting::Unknown => Err(Code::Malformed.into()),
    };
    match done {
        Ok(()) => session.ctrl(id, &d.topic, Code::Ok),
        Err(why) => session.refuse(id, &d.topic, why),
    }
}

/// The topic that is named, and its record.
///
/// # Errors
/// It is none that is stored.
async fn named(session: &Session, who: Identity, topic: &str) -> Done<(Key, Option<TopicRecord>)> {
    let parsed = Topic::parse(topic).map_err(get::bad)?;
    let key = match parsed {
        Topic::New { .. } => return Err(Code::NoAction.into()),
        Topic::Me | Topic::Fnd | Topic::Sys => None,
        Topic::Slf | Topic::User(_) | Topic::Group(_) | Topic::Reader(_) => parsed.key(who.user),
    };
    let key = key.ok_or(Code::Denied)?;
    let t = session.node.cabinet.topic(&key).await?;
    Ok((key, t.map(|read| read.record)))
}

/// Whether a request was answered.
enum Answered {
    ByLeaving,
    Not,
}

/// Whose topic it is deletes it; anybody else gives up its subscription (S:95–96).
async fn topic(session: &Arc<Session>, who: Identity, id: &str, topic: &str) -> Done<Answered> {
    let node = &session.node;
    let (key, t) = named(session, who, topic).await?;
    let t = t.ok_or(Code::NoAction)?;
    let is_own = match key {
        Key::Own(_) => true,
        Key::Group(_) | Key::Pair(..) => access::owns(&t, who.user),
    };
    if is_own {
        ending::topic(node, &t).await?;
        return Ok(Answered::Not);
    }
    if session.attached(&key).is_some() {
        leave::leave(session, who, id, topic, true).await;
        return Ok(Answered::ByLeaving);
    }
    let now = session.now();
    let decide = |row: Option<SubRecord>| {
        let row = row.filter(access::is_live).ok_or(Code::NoAction)?;
        let changed = access::leave(&t, row, now)?;
        Ok((Some(changed.row.clone()), changed))
    };
    let (changed, version) = node.cabinet.change_sub(&key, who.user, decide).await?;
    apply::tell(session, who, &t, &changed, version, Cause::Left).await?;
    Ok(Answered::Not)
}

/// A member of a group is taken out.
async fn member(session: &Arc<Session>, who: Identity, d: &Del<'_>) -> Done<()> {
    let node = &session.node;
    let (key, t) = named(session, who, &d.topic).await?;
    let user = UserId::parse(&d.user).ok_or(Code::Malformed)?;
    let t = t.ok_or(Code::NoAction)?;
    if session.attached(&key).is_none() {
        return Err(Code::MustAttach.into());
    }
    let actor = node.cabinet.sub(&key, who.user).await?.ok_or(Code::Denied)?.record;
    let now = session.now();
    let decide = |row: Option<SubRecord>| {
        let changed = access::remove(&t, &actor, row, now)?;
        Ok((Some(changed.row.clone()), changed))
    };
    match node.cabinet.change_sub(&key, user, decide).await {
        Ok((changed, version)) => {
            apply::tell(session, who, &t, &changed, version, Cause::Removed).await
        }
        Err(why) if why.code == Code::NoAction => {
            // It may have been removed by who was cut off before its sessions were out.
            apply::out(node, &t.room()?, user).await?;
            Err(why)
        }
        Err(why) => Err(why),
    }
}

/// A user is deleted: itself, or by who runs the server. That is written down before it is
/// answered, and the answer comes before the user's sessions end (S:133–134).
async fn user(session: &Arc<Session>, who: Identity, id: &str, named: &str) {
    let node = &session.node;
    let gone = match user_named(who, named) {
        Ok(gone) => gone,
        Err(code) => return session.ctrl(id, "", code),
    };
    let now = session.now();
    let mark = |user: &mut User| {
        let is_new = std::mem::replace(&mut user.state, UserState::Ending) != UserState::Ending;
        user.updated = now.max(user.updated);
        Ok(if is_new { Step::Write(()) } else { Step::Keep(()) })
    };
    if let Err(why) = node.cabinet.change_user(gone, mark).await {
        return session.refuse(id, "", why);
    }
    session.ctrl(id, "", Code::Ok);
    // The session that asked may end, and all that it waits for.
    let of = node.clone();
    node.hub.tasks.spawn(async move {
        if let Err(why) = ending::user(&of, gone).await {
            throttled!(warn, ?why, "the deletion of a user was cut off; it goes on later");
        }
    });
}

/// Who is to be deleted; no name: oneself.
fn user_named(who: Identity, named: &str) -> Result<UserId, Code> {
    let named = match named {
        "" => who.user,
        named => UserId::parse(named).ok_or(Code::Malformed)?,
    };
    match who.level {
        Level::Root => Ok(named),
        Level::Anon | Level::Auth if named == who.user => Ok(named),
        Level::Anon | Level::Auth => Err(Code::Denied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_delete_themselves_and_nobody_else() {
        let (a, b) = (UserId::of_number(1).unwrap(), UserId::of_number(2).unwrap());
        for (level, named, expected) in [
            (Level::Auth, String::new(), Ok(a)),
            (Level::Anon, String::new(), Ok(a)),
            (Level::Auth, a.to_string(), Ok(a)),
            (Level::Auth, b.to_string(), Err(Code::Denied)),
            (Level::Root, b.to_string(), Ok(b)),
            (Level::Root, String::new(), Ok(a)),
            (Level::Auth, "usr".to_owned(), Err(Code::Malformed)),
            (Level::Auth, "me".to_owned(), Err(Code::Malformed)),
        ] {
            let who = Identity { user: a, level };
            assert_eq!(user_named(who, &named), expected, "{level:?} {named}");
        }
    }
}
