//! What a client asks for, on its way to whoever does it.
//!
//! Requests of a session are done one after the other, and answered in their order. A message is
//! handed to its room at once, and the next request is read while it is stored; whatever else is
//! asked for then waits until all messages before it are answered.
//!
//! ```text
//! text ──► parse ──► judge: has it said hello, signed in, named a topic? ──► a verb's module
//! ```
use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{
    account, del, fnd, get, hello,
    ids::{BadTopic, Topic},
    leave, me,
    message::Code,
    note, publish,
    refusal::Refusal,
    request::{self, Del, Deleting, Pub, Query, Request, Sub, Verb, What},
    session::{Identity, Session},
    set, sub,
};
use crate::metrics::{Event, Outcome};

/// What a client sends to learn whether the way is open, and the answer, a text frame (S:9).
const PROBE: &[u8] = b"1";
const ANSWER: &[u8] = b"\x81\x010";

/// What is left to be done of a request; nothing where it is done.
type Later<'a> = Option<BoxFuture<'a, ()>>;

/// Who may ask for something.
#[derive(Debug, PartialEq, Eq)]
enum May {
    Anybody,
    As(Identity),
    Refused {
        code: Code,
        /// The answer names the topic.
        names_topic: bool,
    },
    /// Nobody is told.
    Ignored,
}

/// Judges a request before its verb does (S:25–27).
fn judge(said_hello: bool, who: Option<Identity>, verb: &Verb<'_>) -> May {
    if !said_hello && !matches!(verb, Verb::Hi(_)) {
        return May::Refused { code: Code::OutOfSequence, names_topic: false };
    }
    let topic = match verb {
        Verb::Hi(_) | Verb::Acc(_) | Verb::Login(_) => return May::Anybody,
        Verb::Note(_) => return who.map_or(May::Ignored, May::As),
        // It says itself whose account, or which credential.
        Verb::Del(Del { what: Deleting::User | Deleting::Cred | Deleting::Unknown, .. }) => None,
        Verb::Del(Del { what: Deleting::Msg | Deleting::Topic | Deleting::Sub, topic, .. })
        | Verb::Sub(Sub { topic, .. })
        | Verb::Leave { topic, .. }
        | Verb::Pub(Pub { topic, .. })
        | Verb::Get { topic, .. }
        | Verb::Set { topic, .. } => Some(&**topic),
    };
    let refused = |code| May::Refused { code, names_topic: true };
    let Some(who) = who else { return refused(Code::AuthRequired) };
    match topic.map(Topic::parse).transpose() {
        Ok(_) => May::As(who),
        Err(BadTopic::Malformed) => refused(Code::Malformed),
        Err(BadTopic::Unknown) => refused(unknown(verb)),
    }
}

/// What is answered of a topic of no kind that there is: the same as of one that nobody has made
/// (S:99).
fn unknown(verb: &Verb<'_>) -> Code {
    match verb {
        Verb::Leave { unsub: false, .. } => Code::NotJoined,
        Verb::Leave { unsub: true, .. }
        | Verb::Pub(_)
        | Verb::Note(_)
        | Verb::Del(Del { what: Deleting::Msg, .. }) => Code::MustAttach,
        Verb::Del(Del { what: Deleting::Topic | Deleting::Sub, .. }) => Code::NoAction,
        Verb::Set { .. } => Code::NotFound,
        Verb::Get { query: Query { what, .. }, .. }
            if !what.is_empty() && !what.has(What::DESC) && !what.has(What::SUB) =>
        {
            Code::Denied
        }
        Verb::Get { .. }
        | Verb::Sub(_)
        | Verb::Hi(_)
        | Verb::Acc(_)
        | Verb::Login(_)
        | Verb::Del(Del { what: Deleting::User | Deleting::Cred | Deleting::Unknown, .. }) => {
            Code::TopicNotFound
        }
    }
}

/// What a verb is in metrics.
fn event(verb: &Verb<'_>) -> Event {
    match verb {
        Verb::Acc(_) | Verb::Login(_) => Event::Authenticate,
        Verb::Sub(_) => Event::Join,
        Verb::Leave { .. } => Event::Leave,
        Verb::Pub(_) => Event::Msg,
        Verb::Get { .. } => Event::Sync,
        Verb::Hi(_) | Verb::Set { .. } | Verb::Del(_) | Verb::Note(_) => Event::Other,
    }
}

/// Does what a client has sent, as JSON.
pub(super) async fn text(session: &Arc<Session>, text: &[u8]) {
    if let Some(later) = begin(session, text) {
        later.await;
    }
}

/// Does what a client asks for.
pub(super) async fn handle(session: &Arc<Session>, request: Request<'_>) {
    session.heard();
    if let Some(later) = start(session, request) {
        later.await;
    }
}

/// As [`text`], as far as that is done at once: a message is, mostly, and then nothing takes memory
/// for the rest.
pub(super) fn begin<'a>(session: &'a Arc<Session>, text: &'a [u8]) -> Later<'a> {
    session.heard();
    if text == PROBE {
        session.send_frames(&Bytes::from_static(ANSWER));
        return None;
    }
    let request = std::str::from_utf8(text).ok().map(request::parse);
    match request {
        Some(Ok(request)) => start(session, request),
        Some(Err(request::Malformed)) | None => {
            let handled = &session.node.hub.metrics.messages;
            handled.handled(Event::Other, Outcome::Refused, 1);
            refuse(session, "".into(), "".into(), Code::Malformed)
        }
    }
}

/// Answers in its turn that a request is refused.
fn refuse<'a>(
    session: &'a Arc<Session>,
    id: Cow<'a, str>,
    topic: Cow<'a, str>,
    code: Code,
) -> Later<'a> {
    if session.is_publishing() {
        return later(async move {
            session.settled().await;
            session.ctrl(&id, &topic, code);
        });
    }
    session.ctrl(&id, &topic, code);
    None
}

fn later<'a>(work: impl Future<Output = ()> + Send + 'a) -> Later<'a> {
    Some(Box::pin(work))
}

/// Returns when the session's turn has come: what it has published is answered, and it has read
/// most of what it was sent.
async fn turn(session: &Session) {
    session.outlet().calm().await;
    session.settled().await;
}

/// Begins to do what is asked for.
fn start<'a>(session: &'a Arc<Session>, request: Request<'a>) -> Later<'a> {
    let Request { id, verb, attachments } = request;
    let (said_hello, who) = session.standing();
    let who = match judge(said_hello, who, &verb) {
        May::Anybody => None,
        May::As(who) => Some(who),
        May::Ignored => return None,
        May::Refused { code, names_topic } => {
            let messages = &session.node.hub.metrics.messages;
            messages.handled(event(&verb), Outcome::Refused, 1);
            let topic = verb.topic().filter(|_| names_topic).unwrap_or_default().to_owned();
            return refuse(session, id, topic.into(), code);
        }
    };
    // Those that need a user have one: see `judge`.
    match verb {
        Verb::Hi(hi) => later(async move {
            turn(session).await;
            hello::hi(session, &id, &hi).await;
        }),
        Verb::Acc(acc) => later(async move {
            turn(session).await;
            account::acc(session, &id, acc).await;
        }),
        Verb::Login(login) => later(async move {
            turn(session).await;
            account::login(session, &id, login).await;
        }),
        Verb::Pub(message) => {
            let who = who?;
            match publish::publish(session, who, &id, &message, &attachments) {
                Ok(()) => None,
                Err(Refusal { code, .. }) => {
                    let messages = &session.node.hub.metrics.messages;
                    messages.handled(Event::Msg, Outcome::Refused, 1);
                    refuse(session, id, message.topic, code)
                }
            }
        }
        Verb::Note(note) => {
            let who = who?;
            later(async move { note::note(session, Some(who), &note).await })
        }
        Verb::Sub(sub) => {
            let who = who?;
            later(async move {
                turn(session).await;
                subscribe(session, who, &id, sub).await;
            })
        }
        Verb::Leave { topic, unsub } => {
            let who = who?;
            later(async move {
                turn(session).await;
                leave::leave(session, who, &id, &topic, unsub).await;
            })
        }
        Verb::Get { topic, query } => {
            let who = who?;
            later(async move {
                turn(session).await;
                get::get(session, who, &id, &topic, &query).await;
            })
        }
        Verb::Set { topic, set: change } => {
            let who = who?;
            later(async move {
                turn(session).await;
                set::set(session, who, &id, &topic, &change).await;
            })
        }
        Verb::Del(what) => {
            let who = who?;
            later(async move {
                turn(session).await;
                del::del(session, who, &id, &what).await;
            })
        }
    }
}

async fn subscribe(session: &Arc<Session>, who: Identity, id: &str, sub: Sub<'_>) {
    match Topic::parse(&sub.topic) {
        Ok(Topic::Me) => me::sub(session, who, id, &sub).await,
        Ok(Topic::Fnd) => fnd::sub(session, who, id, &sub).await,
        Ok(
            Topic::Slf
            | Topic::Sys
            | Topic::New { .. }
            | Topic::User(_)
            | Topic::Group(_)
            | Topic::Reader(_),
        )
        | Err(_) => sub::sub(session, who, id, sub).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::tinode::{ids::UserId, mode::Level};

    const REQUESTS: [(&str, &str); 12] = [
        ("hi", r#"{"hi":{"id":"1","ver":"0.25"}}"#),
        ("acc", r#"{"acc":{"id":"1","user":"new"}}"#),
        ("login", r#"{"login":{"id":"1","scheme":"basic"}}"#),
        ("sub", r#"{"sub":{"id":"1","topic":"me"}}"#),
        ("leave", r#"{"leave":{"id":"1","topic":"me"}}"#),
        ("pub", r#"{"pub":{"id":"1","topic":"me"}}"#),
        ("get", r#"{"get":{"id":"1","topic":"me","what":"desc"}}"#),
        ("set", r#"{"set":{"id":"1","topic":"me"}}"#),
        ("del", r#"{"del":{"id":"1","topic":"me","what":"topic"}}"#),
        ("del user", r#"{"del":{"id":"1","what":"user"}}"#),
        ("del cred", r#"{"del":{"id":"1","what":"cred"}}"#),
        ("note", r#"{"note":{"topic":"me","what":"kp"}}"#),
    ];

    fn somebody() -> Identity {
        Identity { user: UserId::of_number(7).unwrap(), level: Level::Auth }
    }

    fn judged(said_hello: bool, who: Option<Identity>, json: &str) -> May {
        judge(said_hello, who, &request::parse(json).unwrap().verb)
    }

    #[test]
    fn nothing_but_hi_comes_before_hi() {
        for (verb, json) in REQUESTS {
            let expected = match verb {
                "hi" => May::Anybody,
                _ => May::Refused { code: Code::OutOfSequence, names_topic: false },
            };
            for who in [None, Some(somebody())] {
                assert_eq!(judged(false, who, json), expected, "{verb}");
            }
        }
    }

    #[test]
    fn who_has_not_signed_in_may_sign_in_and_notes_of_others_are_passed_over() {
        for (verb, json) in REQUESTS {
            let expected = match verb {
                "hi" | "acc" | "login" => May::Anybody,
                "note" => May::Ignored,
                _ => May::Refused { code: Code::AuthRequired, names_topic: true },
            };
            assert_eq!(judged(true, None, json), expected, "{verb}");
            let expected = match verb {
                "hi" | "acc" | "login" => May::Anybody,
                _ => May::As(somebody()),
            };
            assert_eq!(judged(true, Some(somebody()), json), expected, "{verb}");
        }
    }

    #[test]
    fn topics_are_looked_at_behind_all_that() {
        for (topic, code) in [
            ("", Some(Code::Malformed)),
            ("usr", Some(Code::Malformed)),
            ("usrAAAAAAAAAAA", Some(Code::Malformed)),
            ("usrAQAAAAAAAAA", None),
            ("grpAAAAAAAAAAA", None),
            ("chnAAAAAAAAAAA", None),
            ("new1", None),
            ("slf", None),
            ("sys", None),
        ] {
            let expected = match code {
                Some(code) => May::Refused { code, names_topic: true },
                None => May::As(somebody()),
            };
            for verb in ["sub", "leave", "pub", "get", "set"] {
                let json = format!(r#"{{"{verb}":{{"id":"1","topic":"{topic}"}}}}"#);
                assert_eq!(judged(true, Some(somebody()), &json), expected, "{json}");
                let unknown = May::Refused { code: Code::AuthRequired, names_topic: true };
                assert_eq!(judged(true, None, &json), unknown, "{json}");
            }
        }
    }

    #[test]
    fn of_what_nobody_has_made_each_verb_says_what_it_says_of_an_unknown_group() {
        for (json, code) in [
            (r#"{"sub":{"topic":"T"}}"#, Code::TopicNotFound),
            (r#"{"get":{"topic":"T","what":"desc data"}}"#, Code::TopicNotFound),
            (r#"{"get":{"topic":"T","what":"sub"}}"#, Code::TopicNotFound),
            (r#"{"get":{"topic":"T","what":"data"}}"#, Code::Denied),
            (r#"{"get":{"topic":"T"}}"#, Code::TopicNotFound),
            (r#"{"set":{"topic":"T","tags":["x"]}}"#, Code::NotFound),
            (r#"{"pub":{"topic":"T","content":1}}"#, Code::MustAttach),
            (r#"{"del":{"topic":"T","what":"msg"}}"#, Code::MustAttach),
            (r#"{"del":{"topic":"T","what":"topic"}}"#, Code::NoAction),
            (r#"{"del":{"topic":"T","what":"sub"}}"#, Code::NoAction),
            (r#"{"leave":{"topic":"T"}}"#, Code::NotJoined),
            (r#"{"leave":{"topic":"T","unsub":true}}"#, Code::MustAttach),
        ] {
            for topic in ["nosuch", "x", "grp1"] {
                let json = json.replace('T', topic);
                let refused = May::Refused { code, names_topic: true };
                assert_eq!(judged(true, Some(somebody()), &json), refused, "{json}");
            }
        }
    }

    #[test]
    fn the_answer_to_a_probe_is_a_text_frame() {
        use crate::net::websocket::frame::{Opcode, payloads};
        let frames: Vec<_> = payloads(ANSWER).collect();
        assert_eq!(frames, [(Opcode::Text, &b"0"[..])]);
        for no_request in ["0", "11", " 1", "[]", "", "null", "{}", r#"{"hi":1}"#] {
            assert!(request::parse(no_request).is_err(), "{no_request}");
        }
    }
}
