//! How the messages of some rooms are written, for those who are no clients of theirs.
//!
//! A dialect writes messages as its clients read them. Who erases a user's messages has to know
//! which are the user's, and webhooks tell of messages as JSON. A dialect whose messages do not say
//! their sender as those of shared rooms do, by a uid in `2` or `uid`, or are stored as something
//! that a stranger can't read, says so by a [`Form`]. Whoever opens a store gives it all forms,
//! whether or not their dialects are served.
use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::{
    ids::{RoomId, Space, Uid},
    json::{self, Object},
};

/// How messages are written in the rooms of a space.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// The rooms.
    pub space: Space,
    /// Who sent a stored message; `None`: it does not say.
    pub sender: fn(&[u8]) -> Option<Uid>,
    /// Whether others than clients are told of it.
    pub is_told: fn(&[u8]) -> bool,
    /// What others than clients are told instead of a stored message, JSON; `None`: the message as
    /// it is.
    pub told: fn(&[u8]) -> Option<String>,
}

/// All forms that there are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forms(&'static [Form]);

impl Forms {
    /// These, each of a space of its own.
    pub const fn new(forms: &'static [Form]) -> Self {
        Forms(forms)
    }

    fn of(self, room: &RoomId) -> Option<&'static Form> {
        // Most rooms are shared ones, which have none.
        (!room.is_shared()).then(|| self.0.iter().find(|form| room.is_in(form.space))).flatten()
    }

    /// Whether a message of this room says that this user sent it.
    pub fn is_of(self, room: &RoomId, body: &[u8], uid: &Uid) -> bool {
        if let Some(form) = self.of(room) {
            // Its sender may be written otherwise than the uid is.
            return (form.sender)(body).is_some_and(|sender| sender == *uid);
        }
        let Ok(text) = std::str::from_utf8(body) else { return false };
        // Most messages are of others, and are not read for it.
        if !text.contains(uid.as_str()) && !text.contains('\\') {
            return false;
        }
        let Some(object) = Object::parse(text) else { return false };
        let named = ["2", "uid"].into_iter().filter_map(|key| object.get(key));
        named.filter_map(json::uid).any(|sender| sender == *uid)
    }

    /// A message of this room as it is told to others than clients. `None`: it is not.
    pub fn read<'a>(self, room: &RoomId, body: &'a [u8]) -> Option<Told<'a>> {
        if let Some(form) = self.of(room) {
            if !(form.is_told)(body) {
                return None;
            }
            let sender = (form.sender)(body).map(|uid| uid.json().into_owned().into());
            let instead = (form.told)(body).or_else(|| no_json(body));
            return Some(Told { sender, instead });
        }
        // Mostly it is an object, and is read once.
        let object = std::str::from_utf8(body).ok().and_then(Object::parse);
        let uid = object.as_ref().and_then(|object| object.get("uid").or_else(|| object.get("2")));
        let instead = if object.is_some() { None } else { no_json(body) };
        Some(Told { sender: uid.map(|uid| RawValue::get(uid).into()), instead })
    }
}

/// A message for others than clients.
#[derive(Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// Who sent it, as it says itself: JSON. Dialects put it there, whatever the client wrote.
    pub sender: Option<Cow<'a, str>>,
    /// What stands for it, JSON; `None`: its body, which is JSON.
    pub instead: Option<String>,
}

/// What stands for a message that is no JSON, which would spoil the batch that it is in.
fn no_json(body: &[u8]) -> Option<String> {
    let json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    let text = || serde_json::Value::from(String::from_utf8_lossy(body)).to_string();
    (!json || std::str::from_utf8(body).is_err()).then(text)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Messages that are a list of their sender and of what is said. Of an empty list nobody is
    /// told.
    pub(crate) const LISTS: Forms = Forms::new(&[Form {
        space: Space::Lives("talk"),
        sender: |body| {
            let list: Vec<String> = serde_json::from_slice(body).ok()?;
            Uid::text(list.first()?).ok()
        },
        is_told: |body| body != b"[]",
        told: |body| {
            let list: Vec<String> = serde_json::from_slice(body).ok()?;
            Some(serde_json::json!({ "said": list.get(1)? }).to_string())
        },
    }]);

    fn room() -> RoomId {
        RoomId::new("class").unwrap()
    }

    fn life() -> RoomId {
        RoomId::within(Space::Lives("talk"), "class:1").unwrap()
    }

    #[test]
    fn a_message_is_whose_uid_it_says() {
        let is = |body: &str| LISTS.is_of(&room(), body.as_bytes(), &Uid::text("ann").unwrap());
        assert!(is(r#"{"text":"hi","2":"ann","s":1}"#));
        assert!(is(r#"{"uid":"ann","2":"ann"}"#));
        assert!(is(r#"{"2":"\u0061nn"}"#));
        assert!(!is(r#"{"text":"ann","2":"bob"}"#));
        assert!(!is(r#"{"to":{"2":"ann"},"2":"bob"}"#));
        assert!(!is(r#""ann""#) && !is("no json, ann") && !is(""));
        let number = Uid::text("7").unwrap();
        let is = |body: &[u8]| LISTS.is_of(&room(), body, &number);
        assert!(is(br#"{"2":7}"#) && is(br#"{"2":"7"}"#) && !is(br#"{"2":70}"#));
    }

    #[test]
    fn a_form_knows_users_whose_uid_stands_in_no_message() {
        let forms = Forms::new(&[Form {
            space: Space::Inboxes("talk"),
            sender: |body| Uid::text(&format!("talk {}", std::str::from_utf8(body).ok()?)).ok(),
            is_told: |_| true,
            told: |_| None,
        }]);
        let room = RoomId::within(Space::Inboxes("talk"), "ben").unwrap();
        let is = |uid: &str| forms.is_of(&room, b"ann", &Uid::text(uid).unwrap());
        assert!(is("talk ann") && !is("ann") && !is("talk ben"));
    }

    #[test]
    fn a_form_counts_in_its_own_rooms_alone() {
        let ann = Uid::text("ann").unwrap();
        let (list, object) = (br#"["ann","hi"]"#, br#"{"2":"ann"}"#);
        assert!(LISTS.is_of(&life(), list, &ann) && !LISTS.is_of(&life(), object, &ann));
        let others = [
            room(),
            RoomId::within(Space::Dialect("talk"), "class:1").unwrap(),
            RoomId::within(Space::Lives("walk"), "class:1").unwrap(),
        ];
        for other in &others {
            assert!(!LISTS.is_of(other, list, &ann) && LISTS.is_of(other, object, &ann));
        }
        assert!(!Forms::default().is_of(&life(), list, &ann));
        assert!(!LISTS.is_of(&life(), br#"["ben","ann"]"#, &ann));
    }

    #[test]
    fn a_message_says_who_sent_it() {
        let sender = |room: &RoomId, body: &[u8]| {
            LISTS.read(room, body).unwrap().sender.map(Cow::into_owned)
        };
        let sender = |room: RoomId, body: &[u8]| sender(&room, body);
        assert_eq!(sender(room(), br#"{"2":"x","uid":"ann"}"#).as_deref(), Some("\"ann\""));
        assert_eq!(sender(room(), br#"{"2":17,"s":0}"#).as_deref(), Some("17"));
        assert_eq!(sender(room(), b"[1]"), None);
        assert_eq!(sender(room(), b"\xff"), None);
        assert_eq!(sender(life(), br#"["a\"","hi"]"#).as_deref(), Some(r#""a\"""#));
        assert_eq!(sender(life(), br#"{"2":"ann"}"#), None);
    }

    #[test]
    fn what_is_told_is_json() {
        let instead = |room: RoomId, body: &[u8]| LISTS.read(&room, body).unwrap().instead;
        assert_eq!(instead(room(), br#"["ann","hi"]"#), None);
        assert_eq!(instead(room(), b"\"\xff\"").as_deref(), Some("\"\\\"\u{fffd}\\\"\""));
        assert_eq!(instead(life(), br#"["ann","hi"]"#).as_deref(), Some(r#"{"said":"hi"}"#));
        assert_eq!(instead(life(), b"}x").as_deref(), Some(r#""}x""#), "in no form");
    }

    #[test]
    fn of_some_messages_nobody_is_told() {
        assert_eq!(LISTS.read(&life(), b"[]"), None);
        assert!(LISTS.read(&room(), b"[]").is_some(), "its rooms alone");
    }
}
