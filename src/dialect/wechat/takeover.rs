//! Taking over what the original has stored: its users, and the messages that wait for them.
//!
//! Until all of it is there nobody is let in: a phone that is not there yet could be registered by
//! a stranger, and what is said now would stand before what waits. Once everything is marked that
//! takes no time.
//!
//! A document is marked once what is in it is stored here. If the server dies between the two, or
//! another node does the same at the same time, a user is there already, and a message has a key by
//! which it is not stored twice. What can't be understood stays where it is, unmarked.
use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::{
    Wechat,
    error::Failure,
    frames, inbox,
    password::Hash,
    registration::Registration,
    socket::uid,
    users::{Rest, User},
};
use crate::{
    domain::{
        broker::Entry,
        json::{self, Object},
        originals::{Original, Originals},
        records::MAX_ID,
        subscriber::Outcome,
    },
    throttle::throttled,
};

/// Documents that are read at a time. A user has a picture of some 70 KB.
const BATCH: usize = 100;
/// Messages that are put into an inbox at a time.
const AT_ONCE: usize = 500;
/// Before it is tried again where a store does not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes of the largest picture that is taken over: a record has to hold it.
const THUMB: usize = 512 << 10;

/// How far it has come.
pub(super) struct Progress(AtomicBool);

impl Progress {
    /// Whether there is nothing to be taken over.
    pub fn new(is_over: bool) -> Self {
        Progress(AtomicBool::new(is_over))
    }

    /// Whether all is there.
    pub fn is_over(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// What is taken over.
#[derive(Debug, Clone, Copy)]
enum Part {
    Users,
    Conversations,
}

impl Part {
    /// The original's collection.
    fn collection(self) -> &'static str {
        match self {
            Part::Users => "user",
            Part::Conversations => "conversation",
        }
    }

    /// Takes over one document. False: it can't be understood.
    async fn take(self, wechat: &Wechat, original: &Original) -> Result<bool, Failure> {
        match self {
            Part::Users => {
                let Some(user) = user(&original.json) else { return Ok(false) };
                match wechat.users.add(&user).await {
                    // Where there is one, it was taken over before this was marked.
                    Ok(_) => Ok(true),
                    // No record can be like this; that is in the log.
                    Err(Failure::Internal) => Ok(false),
                    Err(failure) => Err(failure),
                }
            }
            Part::Conversations => {
                let Some(waiting) = waiting(&original.json) else { return Ok(false) };
                put(wechat, &original.id, waiting).await.map(|()| true)
            }
        }
    }
}

/// Puts what waits for a phone into its inbox, in order. `id` tells from which document it is.
async fn put(wechat: &Wechat, id: &str, waiting: Waiting) -> Result<(), Failure> {
    let room = inbox::room(&waiting.phone).map_err(|_| Failure::Internal)?;
    let numbered = waiting.frames.into_iter().enumerate();
    let mut entries: Vec<(Entry, usize)> = numbered
        .map(|(number, frame)| {
            let (key, bytes) = (format!("original/{id}/{number}"), frame.len());
            (inbox::entry(frames::Kind::Message, frame, Some(key.into())), bytes)
        })
        .collect();
    while !entries.is_empty() {
        let behind = entries.split_off(entries.len().min(AT_ONCE));
        let now = std::mem::replace(&mut entries, behind);
        for outcome in wechat.hub.publish_all(&room, now).await {
            match outcome {
                Outcome::Done(_) | Outcome::Duplicate | Outcome::Replayed { .. } => {}
                Outcome::Unavailable | Outcome::Full | Outcome::Unknown | Outcome::Reused => {
                    return Err(Failure::Unavailable);
                }
            }
        }
    }
    Ok(())
}

/// Takes over all that there is. Ends when that is done.
pub(super) async fn run(wechat: Arc<Wechat>, originals: Arc<dyn Originals>) {
    for part in [Part::Users, Part::Conversations] {
        let collection = part.collection();
        let number = loop {
            match take_all(&wechat, &*originals, part).await {
                Ok(number) => break number,
                Err(failure) => {
                    throttled!(warn, collection, %failure, "a takeover has to wait");
                    sleep(PAUSE).await;
                }
            }
        };
        if number > 0 {
            tracing::info!(collection, number, "documents of the original were taken over");
        }
    }
    wechat.progress.0.store(true, Relaxed);
}

/// Takes over what is not marked. Returns how many documents that were.
async fn take_all(wechat: &Wechat, originals: &dyn Originals, part: Part) -> Result<u64, Failure> {
    let (collection, mut after, mut number) = (part.collection(), None::<String>, 0);
    loop {
        let batch = originals.next(collection, after.as_deref(), BATCH).await?;
        let Some(last) = batch.last() else { return Ok(number) };
        after = Some(last.id.clone());
        let mut taken = Vec::with_capacity(batch.len());
        for original in &batch {
            if part.take(wechat, original).await? {
                taken.push(original.id.clone());
            } else {
                let id = &*original.id;
                throttled!(warn, collection, id, "a document can't be taken over");
            }
        }
        number += taken.len() as u64;
        if !taken.is_empty() {
            originals.taken(collection, &taken).await?;
        }
    }
}

/// Whether a user can have this phone: the original asks for no form.
fn is_somebody(phone: &str) -> bool {
    !phone.is_empty() && uid(phone).is_ok()
}

/// A user of the original; nothing where there is no phone that could be somebody's.
fn user(document: &str) -> Option<User> {
    let document = Object::parse(document)?;
    let text = |name: &str| document.get(name).and_then(json::string).map(Cow::into_owned);
    let phone = text("phone").filter(|phone| is_somebody(phone))?;
    let contacts = document.get("contacts").map(contacts).unwrap_or_default();
    let mut seen = HashSet::from([phone.clone()]);
    let rest = Rest {
        id: text("_id").unwrap_or_default(),
        password: Hash::kept(text("password").unwrap_or_default()),
        contacts: contacts.into_iter().filter(|phone| seen.insert(phone.clone())).collect(),
    };
    let registration = Registration {
        nick: cut(text("nick").unwrap_or_default()),
        user_name: text("userName").unwrap_or_default(),
        password: String::new(),
        email: text("email").unwrap_or_default(),
        thumb: text("thumb").filter(|thumb| thumb.len() <= THUMB),
        region: text("region"),
        phone,
    };
    Some(User::new(registration, rest))
}

/// A nick, as far as a user can be found by it.
fn cut(mut nick: String) -> String {
    nick.truncate(nick.floor_char_boundary(MAX_ID));
    nick
}

/// The phones in a list: there may be null.
fn contacts(list: &RawValue) -> Vec<String> {
    let list = elements(list);
    list.into_iter().filter_map(json::string).map(Cow::into_owned).collect()
}

/// The elements of an array; of anything else there are none.
fn elements(list: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(list.get()).unwrap_or_default()
}

/// What waits for a phone.
#[derive(Debug, PartialEq, Eq)]
struct Waiting {
    phone: String,
    /// As clients would have sent them: for each sender in their order.
    frames: Vec<Bytes>,
}

/// What a document of the original's says that waits; nothing where there is no phone that could be
/// somebody's.
fn waiting(document: &str) -> Option<Waiting> {
    let document = Object::parse(document)?;
    let phone = document.get("phone").and_then(json::string)?.into_owned();
    if !is_somebody(&phone) {
        return None;
    }
    let mut frames = Vec::new();
    // It is missing where everything was delivered.
    let conversations = document.get("conversation").and_then(|json| Object::parse(json.get()));
    for (peer, conversation) in conversations.unwrap_or_default().iter() {
        let Some(conversation) = Object::parse(conversation.get()) else { continue };
        let latest = conversation.get("timestamp").map_or("null", RawValue::get);
        let items = conversation.get("items").map(elements).unwrap_or_default();
        frames.extend(items.into_iter().filter_map(|item| frame(peer, &phone, latest, item)));
    }
    Some(Waiting { phone, frames })
}

/// An item as its sender's frame. Old ones are the bare content. Of nothing there is none.
fn frame(from: &str, to: &str, latest: &str, item: &RawValue) -> Option<Bytes> {
    let message = |content: &str, timestamp: &str| frames::message(from, to, content, timestamp);
    match Object::parse(item.get()) {
        Some(fields) => {
            let get = |name, other| fields.get(name).map_or(other, RawValue::get);
            Some(message(get("content", "null"), get("timestamp", latest)))
        }
        None if item.get() == "null" => None,
        None => Some(message(item.get(), latest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &str = concat!(
        r#"{"_id":"5f0000000000000000000001","contacts":["222",null,"111","333","222",7],"#,
        r#""nick":"张三","#,
        r#""thumb":"data:,x","userName":"ann","password":"0123456789abcdef0123456789abcdef","#,
        r#""region":"北京","email":"a@x","phone":"111","group":"Z","__v":0}"#
    );

    #[test]
    fn a_user_of_the_original_stays_who_it_is() {
        let ann = user(ANN).unwrap();
        assert_eq!(
            (&*ann.id, &*ann.nick, &*ann.user_name),
            ("5f0000000000000000000001", "张三", "ann")
        );
        assert_eq!((&*ann.email, &*ann.phone, &*ann.group), ("a@x", "111", "Z"));
        assert_eq!((ann.thumb.as_deref(), ann.region.as_deref()), (Some("data:,x"), Some("北京")));
        assert_eq!(ann.password, Hash::kept("0123456789abcdef0123456789abcdef"));
        assert_eq!(ann.contacts, ["222", "333"], "without nobody, itself, and twice");
    }

    #[test]
    fn what_a_user_of_the_original_lacks_is_empty() {
        let bob = user(r#"{"_id":{"x":1},"phone":"222","thumb":null,"contacts":null}"#).unwrap();
        assert_eq!((&*bob.id, &*bob.nick, bob.thumb, bob.region), ("", "", None, None));
        assert_eq!((bob.password, bob.contacts), (Hash::kept(""), vec![]));
        for document in [
            "",
            "[]",
            "{}",
            r#"{"phone":null}"#,
            r#"{"phone":""}"#,
            r#"{"phone":5}"#,
            r#"{"phone":"1\u0000"}"#,
            &format!(r#"{{"phone":"{}"}}"#, "1".repeat(3000)),
        ] {
            assert_eq!(user(document), None, "{document}");
        }
        let large = format!(r#"{{"phone":"222","thumb":"{}"}}"#, "x".repeat(THUMB + 1));
        assert_eq!(user(&large).unwrap().thumb, None);
        let long = format!(r#"{{"phone":"222","nick":"x{}"}}"#, "é".repeat(MAX_ID));
        assert_eq!(user(&long).unwrap().nick.len(), MAX_ID - 1);
    }

    fn waits(document: &str) -> Vec<String> {
        let waiting = waiting(document).unwrap();
        assert_eq!(waiting.phone, "111");
        let items = waiting.frames.iter().map(|frame| frames::item(frame).unwrap().1);
        items.collect()
    }

    #[test]
    fn what_waits_is_taken_over_in_its_order() {
        assert_eq!(
            waits(concat!(
                r#"{"_id":"5f","phone":"111","conversation":{"#,
                r#""333":{"timestamp":9,"newCount":2,"items":["#,
                r#"{"content":{"z":1,"a":2},"to":"111","from":"333","timestamp":5},"#,
                r#"{"content":null,"to":"111","from":"333","timestamp":"then","x":1}]},"#,
                r#""222":{"timestamp":7,"newCount":1,"items":["hi",null,{"content":"ho"},5]},"#,
                r#""444":{"timestamp":7,"newCount":0,"items":[]},"555":{},"666":null}}"#
            )),
            [
                r#"{"content":{"z":1,"a":2},"to":"111","from":"333","timestamp":5}"#,
                r#"{"content":null,"to":"111","from":"333","timestamp":"then"}"#,
                r#"{"content":"hi","to":"111","from":"222","timestamp":7}"#,
                r#"{"content":"ho","to":"111","from":"222","timestamp":7}"#,
                r#"{"content":5,"to":"111","from":"222","timestamp":7}"#,
            ]
        );
    }

    #[test]
    fn where_everything_was_delivered_nothing_waits() {
        for document in [
            r#"{"phone":"111"}"#,
            r#"{"phone":"111","conversation":null}"#,
            r#"{"phone":"111","conversation":{}}"#,
            r#"{"phone":"111","conversation":"x"}"#,
        ] {
            assert_eq!(waits(document), [""; 0], "{document}");
        }
        for document in ["{}", r#"{"phone":1}"#, r#"{"phone":""}"#, r#"{"phone":"1\n"}"#] {
            assert_eq!(waiting(document), None, "{document}");
        }
    }

    #[test]
    fn who_sent_an_item_is_whose_conversation_it_is() {
        let forged = concat!(
            r#"{"phone":"111","conversation":{"222":{"timestamp":1,"items":["#,
            r#"{"content":"x","to":"999","from":"333","timestamp":5}]}}}"#
        );
        let expected = r#"{"content":"x","to":"111","from":"222","timestamp":5}"#;
        assert_eq!(waits(forged), [expected]);
    }
}
