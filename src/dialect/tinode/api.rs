//! What administrators can see of users, topics and API keys, and do about them: methods of the
//! HTTP API, `/v1/tinode/METHOD`, which the console and the command `tinode key` ask, too. Routes,
//! credentials, and that no field is missing and none is there that is not in the documents, are
//! HTTP's affair.
//!
//! `look` is what there is to see, `act` what can be done, `keys` both of API keys.
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use self::{
    documents::{AFTER, KEY, NOTE, TEXT, TOPIC, USER},
    keys::KeyName,
};
use super::{
    Tinode,
    ids::{Key, Topic, UserId},
    message::Code,
    refusal::Refusal,
};
use crate::domain::{
    json::Object,
    methods::{
        Audited, Methods,
        table::{self, BadField, Method, Stretch, Why, needed, text, told},
    },
};

mod act;
mod documents;
mod keys;
mod look;

/// Characters of a note.
const LONGEST_NOTE: usize = 200;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    ListUsers { text: Option<String>, stretch: Stretch },
    UserState { user: UserId },
    ListUserTopics { user: UserId, stretch: Stretch },
    SignOut { user: UserId },
    SuspendUser { user: UserId },
    ResumeUser { user: UserId },
    EraseMessages { user: UserId },
    DeleteUser { user: UserId },
    ListTopics { text: Option<String>, stretch: Stretch },
    TopicState { topic: Key },
    ListMembers { topic: Key, readers: bool, stretch: Stretch },
    DeleteTopic { topic: Key },
    CreateKey { note: String },
    RevokeKey { key: KeyName },
    ListKeys { stretch: Stretch },
}

#[async_trait]
impl table::Asked for Asked {
    const PATH: &'static str = "tinode";
    const METHODS: &'static [Method<Self>] = documents::METHODS;
    type Node = Tinode;
    type Error = Error;

    /// On whom it was, on which topic, or on which API key: by its name, never the key itself.
    fn audited(fields: &Object<'_>) -> Audited {
        let key = told(fields, &KEY).and_then(|key| KeyName::parse(&key));
        let key = key.map(|key| ("key", key.id()));
        let note = told(fields, &NOTE).map(|note| ("note", note));
        let asked = key.into_iter().chain(note).map(|(name, text)| (name, json!(text).to_string()));
        let (user, room) = (told(fields, &USER), told(fields, &TOPIC));
        Audited { user, room, asked: asked.collect() }
    }

    async fn answer(self, node: &Tinode) -> Result<Json, Error> {
        if !node.has_secrets() {
            return Err(Error::Starting);
        }
        match self {
            Asked::ListUsers { text, stretch } => look::users(node, text, stretch).await,
            Asked::UserState { user } => look::user(node, user).await,
            Asked::ListUserTopics { user, stretch } => look::topics_of(node, user, stretch).await,
            Asked::SignOut { user } => act::sign_out(node, user).await,
            Asked::SuspendUser { user } => act::suspend(node, user).await,
            Asked::ResumeUser { user } => act::resume(node, user).await,
            Asked::EraseMessages { user } => act::erase(node, user).await,
            Asked::DeleteUser { user } => act::delete_user(node, user).await,
            Asked::ListTopics { text, stretch } => look::topics(node, text, stretch).await,
            Asked::TopicState { topic } => look::topic(node, topic).await,
            Asked::ListMembers { topic, readers, stretch } => {
                look::members(node, topic, readers, stretch).await
            }
            Asked::DeleteTopic { topic } => act::delete_topic(node, topic).await,
            Asked::CreateKey { note } => keys::create(node, note).await,
            Asked::RevokeKey { key } => keys::revoke(node, &key).await,
            Asked::ListKeys { stretch } => keys::list(node, stretch).await,
        }
    }
}

/// The topic with this id, as the methods tell it; a channel may be named as readers know it, and a
/// pair in any order.
fn named(text: &str) -> Option<Key> {
    if let Some(key) = Key::parse(text) {
        return Some(key);
    }
    if let Ok(Topic::Reader(group)) = Topic::parse(text) {
        return Some(Key::Group(group));
    }
    let (one, other) = text.split_once('.')?;
    let (one, other) = (UserId::parse(one)?, UserId::parse(other)?);
    (one != other).then(|| Key::pair(one, other))
}

fn user(fields: &Object<'_>) -> Result<UserId, BadField> {
    needed(fields, &USER, |text| UserId::parse(&text))
}

fn topic(fields: &Object<'_>) -> Result<Key, BadField> {
    needed(fields, &TOPIC, |text| named(&text))
}

fn key(fields: &Object<'_>) -> Result<KeyName, BadField> {
    needed(fields, &KEY, |text| KeyName::parse(&text))
}

fn stretch(fields: &Object<'_>) -> Result<Stretch, BadField> {
    Stretch::read(fields, &AFTER)
}

fn looked_for(fields: &Object<'_>) -> Result<Option<String>, BadField> {
    Ok(text(fields, &TEXT)?.filter(|text| !text.is_empty()))
}

fn note(fields: &Object<'_>) -> Result<String, BadField> {
    let note = text(fields, &NOTE)?.unwrap_or_default();
    match note.chars().count() <= LONGEST_NOTE && !note.chars().any(char::is_control) {
        true => Ok(note),
        false => Err(BadField(&NOTE)),
    }
}

/// Why something is not done, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Error {
    #[error(transparent)]
    BadField(#[from] BadField),
    #[error("there is no user {0}")]
    NoUser(UserId),
    #[error("there is no topic {}", .0.id())]
    NoTopic(Key),
    #[error("there is no API key {0}")]
    NoKey(String),
    #[error("this server is starting")]
    Starting,
    #[error("the store does not answer")]
    Unavailable,
    /// A defect: what a client would be told.
    #[error("{}", .0.text())]
    Failed(Code),
}

impl Why for Error {
    const NAME: &'static str = "TinodeError";

    fn code(&self) -> (u16, &'static str) {
        match self {
            Error::BadField(_) => BadField::CODE,
            Error::NoUser(_) => (404, "noUser"),
            Error::NoTopic(_) => (404, "noTopic"),
            Error::NoKey(_) => (404, "noKey"),
            Error::Starting => (503, "starting"),
            Error::Unavailable => (503, "unavailable"),
            Error::Failed(_) => (500, "failure"),
        }
    }

    fn args(&self) -> Json {
        match self {
            Error::BadField(bad) => bad.args(),
            Error::NoUser(user) => json!([user]),
            Error::NoTopic(topic) => json!([topic]),
            Error::NoKey(key) => json!([key]),
            Error::Starting | Error::Unavailable | Error::Failed(_) => json!([]),
        }
    }
}

impl From<Refusal> for Error {
    fn from(why: Refusal) -> Self {
        match why.code.number() {
            503 => Error::Unavailable,
            _ => Error::Failed(why.code),
        }
    }
}

/// The methods of this node.
pub(super) fn methods(node: Arc<Tinode>) -> Arc<dyn Methods> {
    table::methods::<Asked>(node)
}

#[cfg(test)]
mod tests;
