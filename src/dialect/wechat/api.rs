//! What administrators can see of users and do about them: methods of the HTTP API,
//! `/v1/wechat/METHOD`, which the console asks, too. Routes, credentials, and that no field is
//! missing and none is there that is not in the documents, are HTTP's affair.
//!
//! `look` is what there is to see, `act` what can be done.
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::{Wechat, error::Failure};
use crate::domain::{
    json::{self, Object},
    methods::{self, Audited, Effect, FieldDoc, MethodDoc, Methods, Named, Values},
};

mod act;
mod look;

/// What stands before the methods' names.
const PATH: &str = "wechat";
/// The name of all errors.
const NAME: &str = "WechatError";

/// How many users, or contacts, can be asked for, and how many are given where nobody says.
const MOST: usize = 100;
const SOME: usize = 50;

const PHONE: FieldDoc =
    FieldDoc { name: "phone", values: Values::Text, required: true, about: "The user's phone." };
const CONTACT: FieldDoc = FieldDoc {
    name: "contact",
    values: Values::Text,
    required: true,
    about: "The contact's phone, which may be nobody's.",
};
const AFTER: FieldDoc = FieldDoc {
    name: "after",
    values: Values::Text,
    required: false,
    about: "The phone that they come after: `next` of the page before.",
};
const LIMIT: FieldDoc = FieldDoc {
    name: "limit",
    values: Values::Number { least: 1, most: Some(MOST as u64) },
    required: false,
    about: "How many at most; 50 without it. There may be fewer before the last page.",
};
const TEXT: FieldDoc = FieldDoc {
    name: "text",
    values: Values::Text,
    required: false,
    about: "A part of their phones, three characters or more, or the whole nickname. Without it: \
            all.",
};

/// A method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    ListUsers,
    UserState,
    ListContacts,
    RemoveContact,
    SignOut,
    ResetPassword,
    EraseMessages,
    DeleteUser,
}

impl Method {
    /// All of them, in the order of the documents.
    const ALL: [Method; 8] = [
        Method::ListUsers,
        Method::UserState,
        Method::ListContacts,
        Method::RemoveContact,
        Method::SignOut,
        Method::ResetPassword,
        Method::EraseMessages,
        Method::DeleteUser,
    ];

    /// The method of this name.
    fn find(name: &str) -> Option<Self> {
        Method::ALL.into_iter().find(|method| method.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Method::ListUsers => "listUsers",
            Method::UserState => "userState",
            Method::ListContacts => "listContacts",
            Method::RemoveContact => "removeContact",
            Method::SignOut => "signOut",
            Method::ResetPassword => "resetPassword",
            Method::EraseMessages => "eraseMessages",
            Method::DeleteUser => "deleteUser",
        }
    }

    fn effect(self) -> Effect {
        match self {
            Method::ListUsers | Method::UserState | Method::ListContacts => Effect::Reads,
            Method::RemoveContact
            | Method::SignOut
            | Method::ResetPassword
            | Method::EraseMessages
            | Method::DeleteUser => Effect::Changes,
        }
    }

    fn document(self) -> MethodDoc {
        let (summary, about, fields, gives) = match self {
            Method::ListUsers => (
                "List users, or look for some",
                "By phone, page by page. Users are told with or without a connection.",
                vec![TEXT, AFTER, LIMIT],
                "`users`: of each `phone`, `nick`, `userName`, how many `contacts` it has, the \
                 `nodes` that it is connected to, and how many messages are `waiting` for it. \
                 `next`: where the next page begins, or `null`.",
            ),
            Method::UserState => (
                "See what there is to know of a user",
                "",
                vec![PHONE],
                "`phone`, `nick`, `userName`, `email`, `region` or `null`, how many `contacts`, \
                 `nodes` that it is connected to, how many messages are `waiting`, \
                 `waitingSince`, when the oldest of them was stored, in milliseconds since 1970, \
                 or `null`, and `tokensFrom`, from when on its tokens count, in seconds since \
                 1970, or `null` where all do.",
            ),
            Method::ListContacts => (
                "List a user's contacts",
                "In the order in which they came, page by page.",
                vec![PHONE, AFTER, LIMIT],
                "`contacts`: of each `phone`, `nick`, or `null` where nobody has that phone, and \
                 `mutual`: whether it has the user as a contact, too, or `null`. `next`: where \
                 the next page begins, or `null`.",
            ),
            Method::RemoveContact => (
                "Take two users out of each other's contacts",
                "On both sides; both clients are told their contacts anew. Either of them may add \
                 the other again.",
                vec![PHONE, CONTACT],
                "`removed`: whether one of the two had the other.",
            ),
            Method::SignOut => (
                "Sign a user out",
                "The user's tokens that were issued until now count no more, and its connection \
                 is closed with code 4000, on whatever node it is: its client stays away until \
                 somebody logs in.",
                vec![PHONE],
                "`connections`: how many were ended.",
            ),
            Method::ResetPassword => (
                "Give a user another password",
                "It is random, and told here alone. The user is signed out as by `signOut`.",
                vec![PHONE],
                "`password`; `connections`: how many were ended.",
            ),
            Method::EraseMessages => (
                "Erase what a user wrote",
                "Messages that wait for others, wherever they are, also of a user who is deleted. \
                 It is a job, as of `erase`. Clients keep what they have.",
                vec![PHONE],
                "`job`: its name; `GET /v1/jobs/{id}` tells how far it is.",
            ),
            Method::DeleteUser => (
                "Delete a user",
                "Its tokens count no more, also if somebody registers the phone again; its \
                 connection is closed with code 4000; what waits for it is gone. It is taken out \
                 of its contacts' contacts; who had it as a contact one-sidedly keeps the phone, \
                 as nobody's. What it wrote and others have not fetched yet stays: \
                 `eraseMessages`. May be asked for again where it failed half way, or its answer \
                 was lost: contacts may keep the phone then, until `removeContact`. Whoever has \
                 registered the phone meanwhile is another user, and would be deleted.",
                vec![PHONE],
                "`connections`: how many were ended; `removed`: how many messages waited.",
            ),
        };
        MethodDoc {
            name: self.name(),
            summary,
            about,
            effect: self.effect(),
            fields,
            result: Values::Object,
            gives,
        }
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    ListUsers { text: Option<String>, stretch: Stretch },
    UserState { phone: String },
    ListContacts { phone: String, stretch: Stretch },
    RemoveContact { phone: String, contact: String },
    SignOut { phone: String },
    ResetPassword { phone: String },
    EraseMessages { phone: String },
    DeleteUser { phone: String },
}

/// Where a page begins, and how long it may be.
#[derive(Debug, PartialEq, Eq)]
struct Stretch {
    after: Option<String>,
    limit: usize,
}

impl Stretch {
    fn read(fields: &Object<'_>) -> Result<Self, Error> {
        Ok(Stretch { after: text(fields, &AFTER)?, limit: limit(fields)? })
    }
}

impl Asked {
    fn read(method: Method, fields: &Object<'_>) -> Result<Self, Error> {
        let phone = || text(fields, &PHONE)?.ok_or(Error::BadField(&PHONE));
        Ok(match method {
            Method::ListUsers => {
                let text = text(fields, &TEXT)?.filter(|text| !text.is_empty());
                Asked::ListUsers { text, stretch: Stretch::read(fields)? }
            }
            Method::UserState => Asked::UserState { phone: phone()? },
            Method::ListContacts => {
                Asked::ListContacts { phone: phone()?, stretch: Stretch::read(fields)? }
            }
            Method::RemoveContact => {
                let contact = text(fields, &CONTACT)?.ok_or(Error::BadField(&CONTACT))?;
                Asked::RemoveContact { phone: phone()?, contact }
            }
            Method::SignOut => Asked::SignOut { phone: phone()? },
            Method::ResetPassword => Asked::ResetPassword { phone: phone()? },
            Method::EraseMessages => Asked::EraseMessages { phone: phone()? },
            Method::DeleteUser => Asked::DeleteUser { phone: phone()? },
        })
    }

    /// Does it. Returns the result, JSON.
    async fn answer(self, wechat: &Wechat) -> Result<String, Error> {
        if !wechat.progress.is_over() {
            return Err(Failure::Starting.into());
        }
        let result = match self {
            Asked::ListUsers { text, stretch } => {
                wechat.list_users(text.as_deref(), stretch).await?
            }
            Asked::UserState { phone } => wechat.user_state(&phone).await?,
            Asked::ListContacts { phone, stretch } => {
                wechat.list_contacts(&phone, &stretch).await?
            }
            Asked::RemoveContact { phone, contact } => {
                wechat.remove_contact(&phone, &contact).await?
            }
            Asked::SignOut { phone } => wechat.sign_out(&phone).await?,
            Asked::ResetPassword { phone } => wechat.reset_password(&phone).await?,
            Asked::EraseMessages { phone } => wechat.erase_messages(&phone).await?,
            Asked::DeleteUser { phone } => wechat.delete_user(&phone).await?,
        };
        Ok(result.to_string())
    }
}

/// The text of a field; nothing where it is not there, or `null`.
fn text(fields: &Object<'_>, of: &'static FieldDoc) -> Result<Option<String>, Error> {
    match fields.get(of.name) {
        None => Ok(None),
        Some(raw) if raw.get() == "null" => Ok(None),
        Some(raw) => match json::string(raw) {
            Some(text) => Ok(Some(text.into_owned())),
            None => Err(Error::BadField(of)),
        },
    }
}

fn limit(fields: &Object<'_>) -> Result<usize, Error> {
    match fields.get(LIMIT.name) {
        None => Ok(SOME),
        Some(raw) if raw.get() == "null" => Ok(SOME),
        Some(raw) => {
            let number = serde_json::from_str::<usize>(raw.get()).ok();
            number.filter(|number| (1..=MOST).contains(number)).ok_or(Error::BadField(&LIMIT))
        }
    }
}

/// Why something is not done, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Error {
    /// The field is not as it has to be.
    #[error("{} is not as it has to be", .0.name)]
    BadField(&'static FieldDoc),
    /// This is nobody's phone.
    #[error("nobody has the phone {0}")]
    NoUser(String),
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Error {
    /// The HTTP status, and a word.
    fn code(&self) -> (u16, &'static str) {
        match self {
            Error::BadField(_) => (400, "badField"),
            Error::NoUser(_) => (404, "noUser"),
            Error::Failed(Failure::Busy) => (503, "busy"),
            Error::Failed(Failure::Starting) => (503, "starting"),
            Error::Failed(Failure::Unavailable | Failure::Ending) => (503, "unavailable"),
            // A defect; and what only clients are told.
            Error::Failed(
                Failure::Internal
                | Failure::NotRegistered
                | Failure::WrongPassword
                | Failure::Missing(_)
                | Failure::Taken
                | Failure::Token(_)
                | Failure::NoRoute
                | Failure::Handshake(_)
                | Failure::Body
                | Failure::TooLarge(_)
                | Failure::TooLong(_)
                | Failure::Late
                | Failure::TooOften(_)
                | Failure::TooManyFailures(_),
            ) => (500, "failure"),
        }
    }

    /// What its text is made of.
    fn args(&self) -> serde_json::Value {
        match self {
            Error::BadField(of) => json!([of.name]),
            Error::NoUser(phone) => json!([phone]),
            Error::Failed(_) => json!([]),
        }
    }
}

impl From<Error> for methods::Failure {
    fn from(error: Error) -> Self {
        let (status, code) = error.code();
        let named = Named { name: NAME, code: code.to_owned(), args: error.args().to_string() };
        methods::Failure { status, detail: error.to_string(), error: Some(named) }
    }
}

/// The methods of this node.
pub(super) fn methods(wechat: Arc<Wechat>) -> Arc<dyn Methods> {
    Arc::new(Administration(wechat))
}

struct Administration(Arc<Wechat>);

#[async_trait]
impl Methods for Administration {
    fn path(&self) -> &'static str {
        PATH
    }

    fn documents(&self) -> Vec<MethodDoc> {
        Method::ALL.into_iter().map(Method::document).collect()
    }

    /// On whom it was, and which contact. No answer's password is told.
    fn audited(&self, method: &str, fields: &Object<'_>) -> Option<Audited> {
        audited(Method::find(method)?, fields)
    }

    async fn call(&self, method: &str, fields: &Object<'_>) -> Result<String, methods::Failure> {
        // Nobody asks for a method that is not in the documents.
        let found = Method::find(method).ok_or(Error::Failed(Failure::NoRoute))?;
        let asked = Asked::read(found, fields)?;
        Ok(asked.answer(&self.0).await?)
    }
}

fn audited(method: Method, fields: &Object<'_>) -> Option<Audited> {
    match method.effect() {
        Effect::Reads => None,
        Effect::Publishes | Effect::Changes => {
            let user = text(fields, &PHONE).ok().flatten();
            let contact = text(fields, &CONTACT).ok().flatten();
            let contact = contact.map(|phone| (CONTACT.name, json!(phone).to_string()));
            Some(Audited { user, room: None, asked: contact.into_iter().collect() })
        }
    }
}

#[cfg(test)]
mod tests;
