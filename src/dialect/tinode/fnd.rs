//! `fnd`: search. What is looked for is a session's own, and gone with it.
use std::sync::Arc;

use serde_json::value::{RawValue, to_raw_value};

use super::{
    get, me,
    message::{Code, Desc, Row, ShownAcs},
    mode::{Acs, Defacs, Mode},
    rate::{self, Act},
    record::User,
    refusal::Done,
    request::{Change, Query, Sub, What},
    search::{self, Terms},
    session::{Found, Identity, Session},
};

const FND: &str = "fnd";
/// What clears a field.
const CLEARED: &str = "\u{2421}";

/// Attaches the session.
pub(super) async fn sub(session: &Arc<Session>, who: Identity, id: &str, sub: &Sub<'_>) {
    if session.fnd().is_some() {
        return session.ctrl(id, FND, Code::AlreadySubscribed);
    }
    let query = match sub.set.desc.public.map(query).transpose() {
        Ok(query) => query.flatten(),
        Err(why) => return session.refuse(id, FND, why),
    };
    session.set_fnd(Some(Found { query }));
    session.ctrl(id, FND, Code::Ok);
    if let Some(q) = &sub.get {
        get(session, who, id, q, true).await;
    }
}

/// Takes the session off it.
pub(super) async fn leave(session: &Arc<Session>, _who: Identity, id: &str, unsub: bool) {
    let code = match (session.fnd().is_some(), unsub) {
        (false, true) => Code::MustAttach,
        (false, false) => Code::NotJoined,
        (true, true) => Code::Denied,
        (true, false) => {
            session.set_fnd(None);
            Code::Ok
        }
    };
    session.ctrl(id, FND, code);
}

/// Answers what is asked of it. Nothing depends on whether it is the first time.
pub(super) async fn get(
    session: &Arc<Session>,
    who: Identity,
    id: &str,
    q: &Query<'_>,
    _first: bool,
) {
    let what = q.what;
    let found = session.fnd();
    if what.has(What::DESC) {
        let user = session.node.cabinet.user(who.user).await;
        let user = user.and_then(|user| Ok(user.ok_or(Code::UserNotFound)?.record));
        let shown = user.map(|user| match &found {
            Some(found) => desc(&user, found.query.as_deref()),
            // As of `me` (S:64).
            None => me::short(&user),
        });
        get::desc(session, id, FND, shown);
    }
    let Some(found) = found else {
        for part in [What::SUB, What::TAGS, What::CRED, What::AUX, What::DATA, What::DEL] {
            if what.has(part) {
                session.ctrl(id, FND, Code::Denied);
            }
        }
        return;
    };
    if what.has(What::SUB) {
        get::rows(session, id, FND, look(session, who, found.query.as_deref(), q).await);
    }
    for (part, code) in [
        (What::TAGS, Code::Denied),
        (What::CRED, Code::Denied),
        (What::AUX, Code::NotAllowed),
        (What::DATA, Code::Denied),
    ] {
        if what.has(part) {
            session.ctrl(id, FND, code);
        }
    }
    if what.has(What::DEL) {
        get::nothing(session, id, FND, "del");
    }
}

/// R:fnd#5.
fn desc(user: &User, query: Option<&str>) -> Desc {
    Desc {
        created: Some(user.created),
        updated: Some(user.updated),
        touched: Some(user.updated),
        defacs: Some(Defacs { auth: Mode::NONE, anon: Mode::NONE }),
        acs: Some(ShownAcs::All(Acs { want: Mode::ME, given: Mode::ME })),
        public: query.and_then(|query| to_raw_value(query).ok()),
        ..Desc::default()
    }
}

async fn look(
    session: &Arc<Session>,
    who: Identity,
    query: Option<&str>,
    q: &Query<'_>,
) -> Done<Vec<Row>> {
    let Some(query) = query else { return Ok(Vec::new()) };
    rate::admit(session, Act::Search)?;
    let limit = usize::try_from(q.sub.limit).unwrap_or(0);
    search::search(&session.node, who.user, &Terms::parse(query), limit).await
}

/// Answers `set`: what to look for.
pub(super) async fn set(session: &Arc<Session>, _who: Identity, id: &str, c: &Change<'_>) {
    let asked = c.desc.public.filter(|_| session.fnd().is_some());
    let Some(asked) = asked else { return session.ctrl(id, FND, Code::NotModified) };
    match query(asked) {
        Ok(query) => {
            session.set_fnd(Some(Found { query }));
            session.ctrl(id, FND, Code::Ok);
        }
        Err(why) => session.refuse(id, FND, why),
    }
}

/// What is to be looked for; `None`: nothing any more.
///
/// # Errors
/// It is no text.
fn query(public: &RawValue) -> Done<Option<String>> {
    let query: String = serde_json::from_str(public.get()).map_err(|_| Code::Malformed)?;
    Ok(Some(query).filter(|query| query != CLEARED && !query.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_a_text() {
        for (public, expected) in [
            (r#""basic:gwen""#, Some(Some("basic:gwen"))),
            (r#""rose\u0020club""#, Some(Some("rose club"))),
            (r#""␡""#, Some(None)),
            (r#""""#, Some(None)),
            (r#""  ""#, Some(None)),
            (r#"{"fn":"x"}"#, None),
            ("7", None),
        ] {
            let raw = RawValue::from_string(public.to_owned()).unwrap();
            let query = query(&raw).ok();
            assert_eq!(query.as_ref().map(Option::as_deref), expected, "{public}");
        }
    }
}
