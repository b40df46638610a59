//! What administrators can see of users and do about them: methods of the HTTP API,
//! `/v1/wechat/METHOD`, which the console asks, too. Routes, credentials, and that no field is
//! missing and none is there that is not in the documents, are HTTP's affair.
//!
//! `look` is what there is to see, `act` what can be done.
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::{Wechat, error::Failure};
use crate::domain::{
    json::Object,
    methods::{
        Audited, Effect, FieldDoc, Methods, Values,
        table::{self, BadField, LIMIT, Method, Stretch, Why, needed, text, told},
    },
};

mod act;
mod look;

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
const TEXT: FieldDoc = FieldDoc {
    name: "text",
    values: Values::Text,
    required: false,
    about: "A part of their phones, three characters or more, or the whole nickname. Without it: \
            all.",
};

/// The methods, in the order of the documents.
const METHODS: &[Method<Asked>] = &[
    Method {
        name: "listUsers",
        effect: Effect::Reads,
        summary: "List users, or look for some",
        about: "By phone, page by page. Users are told with or without a connection.",
        fields: &[TEXT, AFTER, LIMIT],
        gives: "`users`: of each `phone`, `nick`, `userName`, how many `contacts` it has, the \
                `nodes` that it is connected to, and how many messages are `waiting` for it. \
                `next`: where the next page begins, or `null`.",
        read: |fields| {
            let text = text(fields, &TEXT)?.filter(|text| !text.is_empty());
            Ok(Asked::ListUsers { text, stretch: Stretch::read(fields, &AFTER)? })
        },
    },
    Method {
        name: "userState",
        effect: Effect::Reads,
        summary: "See what there is to know of a user",
        about: "",
        fields: &[PHONE],
        gives: "`phone`, `nick`, `userName`, `email`, `region` or `null`, how many `contacts`, \
                `nodes` that it is connected to, how many messages are `waiting`, `waitingSince`, \
                when the oldest of them was stored, in milliseconds since 1970, or `null`, and \
                `tokensFrom`, from when on its tokens count, in seconds since 1970, or `null` \
                where all do.",
        read: |fields| Ok(Asked::UserState { phone: phone(fields)? }),
    },
    Method {
        name: "listContacts",
        effect: Effect::Reads,
        summary: "List a user's contacts",
        about: "In the order in which they came, page by page.",
        fields: &[PHONE, AFTER, LIMIT],
        gives: "`contacts`: of each `phone`, `nick`, or `null` where nobody has that phone, and \
                `mutual`: whether it has the user as a contact, too, or `null`. `next`: where the \
                next page begins, or `null`.",
        read: |fields| {
            let (phone, stretch) = (phone(fields)?, Stretch::read(fields, &AFTER)?);
            Ok(Asked::ListContacts { phone, stretch })
        },
    },
    Method {
        name: "removeContact",
        effect: Effect::Changes,
        summary: "Take two users out of each other's contacts",
        about: "On both sides; both clients are told their contacts anew. Either of them may add \
                the other again.",
        fields: &[PHONE, CONTACT],
        gives: "`removed`: whether one of the two had the other.",
        read: |fields| {
            let contact = needed(fields, &CONTACT, Some)?;
            Ok(Asked::RemoveContact { phone: phone(fields)?, contact })
        },
    },
    Method {
        name: "signOut",
        effect: Effect::Changes,
        summary: "Sign a user out",
        about: "The user's tokens that were issued until now count no more, and its connection is \
                closed with code 4000, on whatever node it is: its client stays away until \
                somebody logs in.",
        fields: &[PHONE],
        gives: "`connections`: how many were ended.",
        read: |fields| Ok(Asked::SignOut { phone: phone(fields)? }),
    },
    Method {
        name: "resetPassword",
        effect: Effect::Changes,
        summary: "Give a user another password",
        about: "It is random, and told here alone. The user is signed out as by `signOut`.",
        fields: &[PHONE],
        gives: "`password`; `connections`: how many were ended.",
        read: |fields| Ok(Asked::ResetPassword { phone: phone(fields)? }),
    },
    Method {
        name: "eraseMessages",
        effect: Effect::Changes,
        summary: "Erase what a user wrote",
        about: "Messages that wait for others, wherever they are, also of a user who is deleted. \
                It is a job, as of `erase`. Clients keep what they have.",
        fields: &[PHONE],
        gives: "`job`: its name; `GET /v1/jobs/{id}` tells how far it is.",
        read: |fields| Ok(Asked::EraseMessages { phone: phone(fields)? }),
    },
    Method {
        name: "deleteUser",
        effect: Effect::Changes,
        summary: "Delete a user",
        about: "Its tokens count no more, also if somebody registers the phone again; its \
                connection is closed with code 4000; what waits for it is gone. It is taken out of \
                its contacts' contacts; who had it as a contact one-sidedly keeps the phone, as \
                nobody's. What it wrote and others have not fetched yet stays: `eraseMessages`. \
                May be asked for again where it failed half way, or its answer was lost: contacts \
                may keep the phone then, until `removeContact`. Whoever has registered the phone \
                meanwhile is another user, and would be deleted.",
        fields: &[PHONE],
        gives: "`connections`: how many were ended; `removed`: how many messages waited.",
        read: |fields| Ok(Asked::DeleteUser { phone: phone(fields)? }),
    },
];

fn phone(fields: &Object<'_>) -> Result<String, BadField> {
    needed(fields, &PHONE, Some)
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

#[async_trait]
impl table::Asked for Asked {
    const PATH: &'static str = "wechat";
    const METHODS: &'static [Method<Self>] = METHODS;
    type Node = Wechat;
    type Error = Error;

    /// On whom it was, and which contact. No answer's password is told.
    fn audited(fields: &Object<'_>) -> Audited {
        let contact = told(fields, &CONTACT);
        let contact = contact.map(|phone| (CONTACT.name, json!(phone).to_string()));
        let asked = contact.into_iter().collect();
        Audited { user: told(fields, &PHONE), room: None, asked }
    }

    async fn answer(self, wechat: &Wechat) -> Result<Json, Error> {
        if !wechat.progress.is_over() {
            return Err(Failure::Starting.into());
        }
        match self {
            Asked::ListUsers { text, stretch } => wechat.list_users(text.as_deref(), stretch).await,
            Asked::UserState { phone } => wechat.user_state(&phone).await,
            Asked::ListContacts { phone, stretch } => wechat.list_contacts(&phone, &stretch).await,
            Asked::RemoveContact { phone, contact } => {
                wechat.remove_contact(&phone, &contact).await
            }
            Asked::SignOut { phone } => wechat.sign_out(&phone).await,
            Asked::ResetPassword { phone } => wechat.reset_password(&phone).await,
            Asked::EraseMessages { phone } => wechat.erase_messages(&phone).await,
            Asked::DeleteUser { phone } => wechat.delete_user(&phone).await,
        }
    }
}

/// Why something is not done, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Error {
    #[error(transparent)]
    BadField(#[from] BadField),
    /// This is nobody's phone.
    #[error("nobody has the phone {0}")]
    NoUser(String),
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Why for Error {
    const NAME: &'static str = "WechatError";

    fn code(&self) -> (u16, &'static str) {
        match self {
            Error::BadField(_) => BadField::CODE,
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

    fn args(&self) -> Json {
        match self {
            Error::BadField(bad) => bad.args(),
            Error::NoUser(phone) => json!([phone]),
            Error::Failed(_) => json!([]),
        }
    }
}

/// The methods of this node.
pub(super) fn methods(wechat: Arc<Wechat>) -> Arc<dyn Methods> {
    table::methods::<Asked>(wechat)
}

#[cfg(test)]
mod tests;
