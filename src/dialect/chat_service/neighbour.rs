//! What instances ask each other and tell each other, as JSON. An instance that does not understand
//! a question, because that is of another version, says so. So fields and kinds may be added.
use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;

use super::{chat::Answer, error::Error};
use crate::domain::ids::Uid;

/// Bytes: base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File(pub Bytes);

impl Serialize for File {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(|bytes| File(bytes.into())).map_err(D::Error::custom)
    }
}

/// JSON with placeholders, and the bytes that belong there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Packed {
    pub json: Box<RawValue>,
    pub files: Vec<File>,
}

impl Packed {
    fn of(answer: Answer) -> Result<Self, serde_json::Error> {
        let json = RawValue::from_string(answer.json)?;
        Ok(Packed { json, files: answer.files.into_iter().map(File).collect() })
    }

    fn answer(self) -> Answer {
        let files = self.files.into_iter().map(|file| file.0).collect();
        Answer::with(self.json.get().to_owned(), files)
    }
}

/// A command that a socket is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Order {
    pub user: String,
    /// The socket's id.
    pub id: String,
    pub command: String,
    pub arguments: Vec<Box<RawValue>>,
    /// What stands for placeholders in them.
    pub files: Vec<File>,
    pub bypass_permissions: bool,
    pub bypass_hooks: bool,
}

/// What one instance is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Question {
    Command(Order),
    /// What the client with this socket said when it connected.
    Handshake {
        id: String,
    },
    /// Its sockets whose ids come behind this one, and whose they are.
    Sockets {
        after: Option<String>,
    },
    /// To end all of its sockets, if this is its name.
    Recover {
        instance: String,
    },
    /// To send an event to a room of the core, but not to this socket of its own.
    Send {
        room: String,
        body: File,
        except: String,
    },
    /// To lend the turn of a user in a room.
    Turn {
        user: String,
        room: String,
        loan: String,
    },
    /// The loan is needed for some time more.
    TurnKept {
        loan: String,
    },
    /// It is over.
    TurnOver {
        loan: String,
    },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reply {
    Done,
    /// It has no such socket, or loan, or can't lend it.
    Missing,
    /// It does not know what that is.
    Unknown,
    Results(Vec<Packed>),
    Failed(Failure),
    Handshake(Box<RawValue>),
    /// Ids and users; whether there are more behind them.
    Sockets {
        sockets: BTreeMap<String, String>,
        more: bool,
    },
}

/// What all instances are told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Word {
    /// To end all sockets of a user.
    Disconnect { user: String },
    /// To call the hook clusterBus.
    Bus { event: String, args: Box<RawValue> },
}

/// An error, as another instance tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Failure {
    /// Of this protocol; arguments are JSON.
    Coded { code: String, args: Vec<String> },
    /// A hook said so in a text.
    Text(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Text(text) => Failure::Text(text),
            coded => {
                let (code, args) = coded.code();
                Failure::Coded { code: code.into_owned(), args }
            }
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Coded { code, args } => Error::Coded { code, args },
            Failure::Text(text) => Error::Text(text),
        }
    }
}

impl Reply {
    /// Of a command.
    pub fn of(outcome: Result<Vec<Answer>, Error>) -> Self {
        match outcome {
            Ok(answers) => match answers.into_iter().map(Packed::of).collect() {
                Ok(results) => Reply::Results(results),
                Err(error) => Reply::Failed(Error::Internal(error.to_string()).into()),
            },
            Err(error) => Reply::Failed(error.into()),
        }
    }

    /// Of the sockets behind an id, in the order of ids, until so many bytes of names are there.
    pub fn page(mut all: Vec<(Arc<str>, Uid)>, after: Option<&str>, most: usize) -> Self {
        all.retain(|(id, _)| after.is_none_or(|after| **id > *after));
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let (mut sockets, mut bytes) = (BTreeMap::new(), 0);
        for (id, user) in all {
            if bytes >= most {
                return Reply::Sockets { sockets, more: true };
            }
            bytes += id.len() + user.as_str().len();
            sockets.insert(id.to_string(), user.to_string());
        }
        Reply::Sockets { sockets, more: false }
    }

    /// What a command is answered.
    pub fn results(results: Vec<Packed>) -> Vec<Answer> {
        results.into_iter().map(Packed::answer).collect()
    }
}

/// What is sent of it.
///
/// # Errors
/// It can't be written.
pub(super) fn written(what: &impl Serialize) -> Result<Bytes, Error> {
    let written = serde_json::to_vec(what);
    written.map(Bytes::from).map_err(|error| Error::Internal(error.to_string()))
}

/// What was sent; `None`: it is of another version.
pub(super) fn read<T: for<'de> Deserialize<'de>>(what: &[u8]) -> Option<T> {
    serde_json::from_slice(what).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn a_command_and_its_results_come_as_they_were() {
        let order = Order {
            user: "é\"".into(),
            id: "/chat-service#X".into(),
            command: "roomMessage".into(),
            arguments: vec![raw(r#""r""#), raw(r#"{"b": 1,"a":{"_placeholder":true,"num":0}}"#)],
            files: vec![File(Bytes::from_static(b"\0\xff"))],
            bypass_permissions: true,
            bypass_hooks: false,
        };
        let sent = written(&Question::Command(order.clone())).unwrap();
        let Some(Question::Command(read)) = read(&sent) else { panic!("{sent:?}") };
        assert_eq!(format!("{read:?}"), format!("{order:?}"));

        let answer = Answer::with("[1, 2]".into(), vec![Bytes::from_static(b"x")]);
        let answers = vec![answer, Answer::null()];
        let sent = written(&Reply::of(Ok(answers.clone()))).unwrap();
        let Some(Reply::Results(results)) = super::read(&sent) else { panic!("{sent:?}") };
        assert_eq!(Reply::results(results), answers);
    }

    #[test]
    fn an_error_is_the_same_on_the_other_node() {
        for error in [
            Error::BadArgument { position: 1, value: r#"{"a":null}"#.into() },
            Error::Internal("x".into()),
            Error::NoRoom("r".into()),
            Error::NoSocket("roomJoin"),
            Error::NotAllowed,
            Error::Timeout,
            Error::ListLimitExceeded("blacklist".into()),
            Error::WrongArgumentsCount { expected: 2, got: 0 },
            Error::Coded { code: "too late".into(), args: vec!["[1]".into()] },
            Error::Text("Error: no".into()),
        ] {
            let sent = written(&Reply::of(Err(error.clone()))).unwrap();
            let Some(Reply::Failed(failure)) = read(&sent) else { panic!("{sent:?}") };
            let told = Error::from(failure);
            assert_eq!(told.json(true), error.json(true));
            assert_eq!(told.json(false), error.json(false));
            assert_eq!(told.described(), error.described());
            assert_eq!((told.status(), told.has_code()), (error.status(), error.has_code()));
        }
    }

    #[test]
    fn sockets_come_in_pages_by_their_ids() {
        let socket = |id: &str| (Arc::from(id), Uid::text("ann").unwrap());
        let all = || ["d", "b", "a", "c"].map(socket).to_vec();
        for (after, most, ids, expected_more) in [
            (None, 99, "abcd", false),
            (None, 5, "ab", true),
            (Some("b"), 5, "cd", false),
            (Some("b"), 4, "c", true),
            (Some("aa"), 0, "", true),
            (Some("d"), 0, "", false),
        ] {
            let page = Reply::page(all(), after, most);
            let Reply::Sockets { sockets, more } = page else { panic!("{page:?}") };
            let read: String = sockets.keys().map(String::as_str).collect();
            assert_eq!((read.as_str(), more), (ids, expected_more), "{after:?}, {most} bytes");
            assert!(sockets.values().all(|user| user == "ann"));
        }
    }

    #[test]
    fn what_is_of_another_version_is_not_understood() {
        for text in [&b""[..], b"{}", b"\xff", br#"{"sing":{}}"#, br#""sing""#, b"null"] {
            assert!(read::<Question>(text).is_none());
            assert!(read::<Reply>(text).is_none());
            assert!(read::<Word>(text).is_none());
        }
        // One more field is passed over.
        let later = br#"{"handshake":{"id":"X","more":1}}"#;
        assert!(matches!(read(later), Some(Question::Handshake { id }) if id == "X"));
    }
}
