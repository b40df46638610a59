//! `me`: the user's own account, and the list of its topics (`topics`). `change` is what it sets.
use std::sync::Arc;

use self::{
    change::{change, want},
    topics::topics,
};
use super::{
    Tinode, access,
    cabinet::Read,
    credential, get,
    ids::Key,
    message::{Code, CredShown, Desc, Happened, Part, Pres, Row, ShownAcs},
    mode::{Acs, Mode},
    presence,
    record::{CredRecord, SubRecord, User},
    refusal::Done,
    request::{Change, Options, Query, Sub, What},
    roll::Entry,
    session::{Identity, Session},
};
use crate::throttle::throttled;

mod change;
mod topics;

const ME: &str = "me";

type Subs = Vec<Read<SubRecord>>;

/// Attaches the session.
pub(super) async fn sub(session: &Arc<Session>, who: Identity, id: &str, sub: &Sub<'_>) {
    if session.is_on_me() {
        return session.ctrl(id, ME, Code::AlreadySubscribed);
    }
    let (first, subs) = match arrive(session, who, &sub.set).await {
        Ok(arrived) => arrived,
        Err(why) => return session.refuse(id, ME, why),
    };
    session.set_on_me(true);
    // Read ahead of the first answer: who waits for that says what comes next, and the list is to be
    // without it (R:notes#11).
    let asked = match &sub.get {
        Some(q) => Some((q, read(&session.node, who, q, first, subs).await)),
        None => None,
    };
    session.ctrl(id, ME, Code::Ok);
    if let Some((q, account)) = asked {
        answer(session, id, q, account);
    }
    if first {
        announce(session, who).await;
    }
}

/// The session is about to be on `me`. Returns whether it is the first one of its user, and the
/// user's subscriptions where they were read.
async fn arrive(
    session: &Arc<Session>,
    who: Identity,
    wanted: &Change<'_>,
) -> Done<(bool, Option<Subs>)> {
    let node = &session.node;
    let wants = node.cabinet.user(who.user).await?.ok_or(Code::UserNotFound)?.record.me_want;
    if !wants.has(Mode::J) {
        // It had enough of `me` once, and comes back.
        want(node, who, Mode::ME).await?;
    }
    let refuses = |mode: &str| !Mode::ME.changed_by(mode).is_some_and(|mode| mode.has(Mode::J));
    if wanted.sub.as_ref().is_some_and(|sub| !sub.mode.is_empty() && refuses(&sub.mode)) {
        return Err(Code::Denied.into());
    }
    let mut subs = None;
    if node.roll.begin(who.user) {
        let read = node.cabinet.subs_of(who.user).await?;
        node.roll.fill(who.user, read.iter().map(known).collect());
        subs = Some(read);
    }
    change(session, who, wanted).await?;
    // From here to the caller's `set_on_me` nothing waits: who is there is on `me`.
    Ok((presence::arrive(session, who).await?, subs))
}

fn known(read: &Read<SubRecord>) -> (Key, Option<Entry>) {
    let Read { record: row, version } = read;
    let entry = Entry { acs: row.acs(), reader: row.reader, version: *version };
    (row.topic, access::is_live(row).then_some(entry))
}

/// Contacts are told that the user is there, and the user which of them are (R:reattach#15).
async fn announce(session: &Arc<Session>, who: Identity) {
    match presence::announce(session, who).await {
        Ok(keys) => {
            let node = &session.node;
            for key in keys {
                let is_reader = node.roll.entry(who.user, &key).is_some_and(|entry| entry.reader);
                let src = key.shown(who.user, is_reader);
                session.pres(&Pres::new(ME, &src, Happened::On));
            }
        }
        Err(why) => {
            throttled!(warn, ?why, "it can't be learnt which contacts of a user are there");
        }
    }
}

/// Takes the session off `me`. Nobody ends its subscription to itself (S:63).
pub(super) async fn leave(session: &Arc<Session>, _who: Identity, id: &str, unsub: bool) {
    let code = match (session.is_on_me(), unsub) {
        (false, true) => Code::MustAttach,
        (false, false) => Code::NotJoined,
        (true, true) => Code::Denied,
        (true, false) => {
            go(session);
            Code::Ok
        }
    };
    session.ctrl(id, ME, code);
}

fn go(session: &Arc<Session>) {
    session.set_on_me(false);
    presence::leave_me(session);
}

/// Answers what is asked of `me`. `first`: the user was not there before, and is told apart which
/// of its contacts are.
pub(super) async fn get(
    session: &Arc<Session>,
    who: Identity,
    id: &str,
    q: &Query<'_>,
    first: bool,
) {
    if session.is_on_me() {
        answer(session, id, q, read(&session.node, who, q, first, None).await);
    } else {
        outside(session, who, id, q).await;
    }
}

/// A session that is not attached gets a short description, and nothing else (S:64).
async fn outside(session: &Session, who: Identity, id: &str, q: &Query<'_>) {
    if q.what.has(What::DESC) {
        let user = user(&session.node, who).await;
        get::desc(session, id, ME, user.map(|user| short(&user)));
    }
    for part in [What::SUB, What::TAGS, What::CRED, What::AUX, What::DATA, What::DEL] {
        if q.what.has(part) {
            session.ctrl(id, ME, Code::Denied);
        }
    }
}

async fn user(node: &Tinode, who: Identity) -> Done<User> {
    Ok(node.cabinet.user(who.user).await?.ok_or(Code::UserNotFound)?.record)
}

/// What an answer rests on: the user, and its topics where they are asked for.
struct Account {
    user: User,
    topics: Option<Done<Vec<Row>>>,
}

async fn read(
    node: &Tinode,
    who: Identity,
    q: &Query<'_>,
    first: bool,
    subs: Option<Subs>,
) -> Done<Account> {
    let user = user(node, who).await?;
    let topics = match q.what.has(What::SUB) {
        true => Some(topics(node, who.user, subs, first, &q.sub).await),
        false => None,
    };
    Ok(Account { user, topics })
}

fn answer(session: &Arc<Session>, id: &str, q: &Query<'_>, account: Done<Account>) {
    let what = q.what;
    let Account { user, topics } = match account {
        Ok(account) => account,
        Err(why) => return session.refuse(id, ME, why),
    };
    if what.has(What::DESC) {
        session.meta(id, ME, Part::Desc(&desc(&user, &q.desc)));
    }
    if let Some(topics) = topics {
        get::rows(session, id, ME, topics);
    }
    if what.has(What::TAGS) {
        match &user.tags[..] {
            [] => get::nothing(session, id, ME, "tags"),
            tags => session.meta(id, ME, Part::Tags(tags)),
        }
    }
    if what.has(What::CRED) {
        let creds: Vec<CredShown> = user.creds.iter().map(shown_cred).collect();
        match creds.is_empty() {
            // R:me#7: it has another name here than in the request.
            true => get::nothing(session, id, ME, "creds"),
            false => session.meta(id, ME, Part::Cred(&creds)),
        }
    }
    if what.has(What::AUX) {
        session.ctrl(id, ME, Code::NotAllowed);
    }
    if what.has(What::DATA) {
        session.ctrl(id, ME, Code::Denied);
    }
    if what.has(What::DEL) {
        get::nothing(session, id, ME, "del");
    }
}

fn shown_cred(cred: &CredRecord) -> CredShown {
    CredShown { method: cred.meth.clone(), value: cred.val.clone(), done: cred.done }
}

/// R:me#7, R:me#23.
fn desc(user: &User, o: &Options<'_>) -> Desc {
    let is_new = get::is_news(user.updated, o.ims);
    Desc {
        created: is_new.then_some(user.created),
        updated: Some(user.updated),
        touched: Some(user.updated),
        defacs: Some(user.defacs),
        acs: Some(ShownAcs::All(Acs { want: user.me_want, given: Mode::ME })),
        public: user.public.clone().filter(|_| is_new),
        private: user.private.clone().filter(|_| is_new),
        trusted: user.trusted.clone().filter(|_| is_new),
        ..Desc::default()
    }
}

/// R:me#3.
pub(super) fn short(user: &User) -> Desc {
    Desc {
        created: Some(user.created),
        updated: Some(user.updated),
        acs: Some(ShownAcs::Mode(user.defacs.auth)),
        public: user.public.clone(),
        trusted: user.trusted.clone(),
        ..Desc::default()
    }
}

/// Answers `set`.
pub(super) async fn set(session: &Arc<Session>, who: Identity, id: &str, c: &Change<'_>) {
    if !session.is_on_me() {
        // R:me#27, R:me#4.
        let code = if c.cred.is_some() { Code::Denied } else { Code::NotModified };
        return session.ctrl(id, ME, code);
    }
    match (change(session, who, c).await, &c.cred) {
        (Err(why), _) => session.refuse(id, ME, why),
        // It has answers of its own.
        (Ok(_), Some(cred)) => credential::set(session, who, id, cred).await,
        (Ok(outcome), None) => {
            let (code, params) = outcome.answer();
            session.ctrl_with(id, ME, code, params);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, value::RawValue};

    use super::*;
    use crate::dialect::tinode::{
        ids::UserId,
        json,
        message::{Message, Meta, Ts},
        mode::Level,
    };

    fn told(desc: &Desc) -> Value {
        let meta = Meta { id: "1", topic: ME, part: Part::Desc(desc) };
        let mut text = Vec::new();
        json::write(&Message::Meta(meta), Ts(0), &mut text);
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        value["meta"]["desc"].take()
    }

    #[test]
    fn an_account_looks_as_it_was_recorded() {
        let raw = |text: &str| Some(RawValue::from_string(text.to_owned()).unwrap());
        let mut ivy = User::new(UserId::of_number(7).unwrap(), Level::Auth, Ts(5_000));
        ivy.public = raw(r#"{"fn":"Ivy"}"#);
        ivy.private = raw(r#"{"comment":"secret"}"#);
        let value = |text: &str| -> Value {
            serde_json::from_str(&text.replace("{ts}", &Ts(5_000).to_string())).unwrap()
        };
        let since = |ims| Options { ims, ..Options::default() };
        let modes = r#""defacs":{"auth":"JRWPASD","anon":"N"},"acs":{"want":"JPS","given":"JPS","mode":"JPS"}"#;
        let times = r#""updated":"{ts}","touched":"{ts}""#;
        let all = format!(
            r#"{{"created":"{{ts}}",{times},{modes},"public":{{"fn":"Ivy"}},"private":{{"comment":"secret"}}}}"#
        );
        let short_one =
            r#"{"created":"{ts}","updated":"{ts}","acs":{"mode":"JRWPASD"},"public":{"fn":"Ivy"}}"#;
        assert_eq!(told(&desc(&ivy, &since(None))), value(&all), "R:me#7");
        assert_eq!(told(&desc(&ivy, &since(Some(Ts(4_999))))), value(&all));
        let known = value(&format!("{{{times},{modes}}}"));
        assert_eq!(told(&desc(&ivy, &since(Some(Ts(5_000))))), known, "R:me#23");
        assert_eq!(told(&short(&ivy)), value(short_one), "R:me#3");
    }
}
