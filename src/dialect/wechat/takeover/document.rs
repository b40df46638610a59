//! What the documents of the original say.
use std::{borrow::Cow, collections::HashSet};

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    dialect::wechat::{
        frames,
        password::Hash,
        registration::Registration,
        socket::uid,
        users::{Rest, User},
    },
    domain::{
        json::{self, Object},
        records::MAX_ID,
    },
};

/// Bytes of the largest picture that is taken over: a record has to hold it.
const THUMB: usize = 512 << 10;

/// What is taken over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Users,
    Conversations,
}

impl Part {
    /// In this order: who has written is there before what was written.
    pub(super) const ALL: [Part; 2] = [Part::Users, Part::Conversations];

    /// The original's collection.
    pub(super) fn collection(self) -> &'static str {
        match self {
            Part::Users => "user",
            Part::Conversations => "conversation",
        }
    }

    /// What a document of it says; nothing where that can't be understood, or not be kept.
    pub(super) fn read(self, document: &str) -> Option<Document> {
        match self {
            Part::Users => {
                user(document).filter(User::can_be_kept).map(Box::new).map(Document::User)
            }
            Part::Conversations => waiting(document).map(Document::Waiting),
        }
    }
}

/// What a document says.
pub(super) enum Document {
    User(Box<User>),
    Waiting(Waiting),
}

impl Document {
    /// Whom it is about.
    pub(super) fn phone(&self) -> &str {
        match self {
            Document::User(user) => &user.phone,
            Document::Waiting(waiting) => &waiting.phone,
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
pub(super) struct Waiting {
    pub(super) phone: String,
    /// As clients would have sent them: for each sender in their order.
    pub(super) frames: Vec<Bytes>,
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

    #[test]
    fn who_can_not_be_kept_is_not_understood() {
        let kept = |name: usize| {
            let name = "x".repeat(name);
            let document = format!(r#"{{"phone":"111","userName":"{name}"}}"#);
            Part::Users.read(&document).is_some()
        };
        assert!(kept(10) && !kept(1 << 20));
        assert!(Part::Users.read("{}").is_none() && Part::Conversations.read("{}").is_none());
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
