//! Methods that a dialect adds to the HTTP API. HTTP knows who asks, how much may come and how an
//! answer goes back; the dialect knows what its methods take and do. Neither names the other.
//!
//! What a dialect says of its methods ([`MethodDoc`]) is what there is: router, documents and
//! metrics are made of it.
use async_trait::async_trait;

use super::json::Object;

pub(crate) mod table;

/// What a method does to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: administrators who only read may call it too.
    Reads,
    /// It sends messages, or is made of methods that have effects of their own. It is not in the
    /// audit log, or only as far as it changes something.
    Publishes,
    /// It changes something that is theirs, and is in the audit log.
    Changes,
}

/// What values a field has, or a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// `null`, and nothing else.
    Nothing,
    /// A string.
    Text,
    /// A string, or `null`.
    TextOrNull,
    /// `true` or `false`.
    Flag,
    /// A whole number within these bounds, both included.
    Number {
        /// The least.
        least: u64,
        /// The most; `None`: there is no bound.
        most: Option<u64>,
    },
    /// A number, or `null`.
    NumberOrNull,
    /// An array of whatever values.
    List,
    /// An object.
    Object,
}

/// A field of a method's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldDoc {
    /// Its name.
    pub name: &'static str,
    /// What it may be. A field that is not required may be `null`, too.
    pub values: Values,
    /// Whether it must be there.
    pub required: bool,
    /// What it means, in a sentence.
    pub about: &'static str,
}

/// A method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodDoc {
    /// Its name, behind the path of its dialect.
    pub name: &'static str,
    /// What it does, in a line without a full stop.
    pub summary: &'static str,
    /// What else there is to know of it, in sentences. They may be none.
    pub about: &'static str,
    /// What it does to others.
    pub effect: Effect,
    /// Its fields. It has no others.
    pub fields: Vec<FieldDoc>,
    /// What `result` is.
    pub result: Values,
    /// What that means, in a sentence.
    pub gives: &'static str,
}

/// An error that has a name in the dialect's protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name of all errors of that protocol.
    pub name: &'static str,
    /// Which one it is.
    pub code: String,
    /// What its text is made of: a JSON array.
    pub args: String,
}

/// Why a method did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status, 400 or more.
    pub status: u16,
    /// What is wrong, for people.
    pub detail: String,
    /// Which error of the protocol it is, if it is one.
    pub error: Option<Named>,
}

/// What the audit log tells of a call. It never has a message or a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audited {
    /// On whom.
    pub user: Option<String>,
    /// In which room.
    pub room: Option<String>,
    /// What else was asked for: names, with JSON values.
    pub asked: Vec<(&'static str, String)>,
}

/// Methods of a dialect, served as `POST /v1/PATH/METHOD` for administrators.
///
/// ```
/// use always_online::domain::{
///     json::Object,
///     methods::{Audited, Effect, Failure, FieldDoc, MethodDoc, Methods, Values},
/// };
///
/// struct Echo;
///
/// #[async_trait::async_trait]
/// impl Methods for Echo {
///     fn path(&self) -> &'static str {
///         "echo"
///     }
///
///     fn documents(&self) -> Vec<MethodDoc> {
///         let text = FieldDoc {
///             name: "text",
///             values: Values::Text,
///             required: true,
///             about: "What comes back.",
///         };
///         vec![MethodDoc {
///             name: "say",
///             summary: "Say something",
///             about: "",
///             effect: Effect::Reads,
///             fields: vec![text],
///             result: Values::Text,
///             gives: "The text.",
///         }]
///     }
///
///     fn audited(&self, _: &str, _: &Object<'_>) -> Option<Audited> {
///         None
///     }
///
///     async fn call(&self, _: &str, fields: &Object<'_>) -> Result<String, Failure> {
///         Ok(fields.get("text").map_or("null", |raw| raw.get()).to_owned())
///     }
/// }
/// ```
#[async_trait]
pub trait Methods: Send + Sync {
    /// What stands before their names in the path.
    fn path(&self) -> &'static str;

    /// All of them, in the order of the documents. Always the same.
    fn documents(&self) -> Vec<MethodDoc>;

    /// What the audit log tells of this call; `None`: it is not in there. Asked of calls whose
    /// method does not only read.
    fn audited(&self, method: &str, fields: &Object<'_>) -> Option<Audited>;

    /// Does it. There is such a method, with all fields that it needs, and no others; what values
    /// they have was not looked at. Returns the result, JSON.
    ///
    /// # Errors
    /// It is not done, or not all of it.
    async fn call(&self, method: &str, fields: &Object<'_>) -> Result<String, Failure>;
}
