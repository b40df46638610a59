//! A dialect's methods as one table: of each what the documents say of it, and how what is asked
//! for is read of its fields. [`methods`] makes [`Methods`] of it.
//!
//! Fields that all dialects have alike are read here, and a page is asked for by all in the same
//! way.
use std::{fmt, sync::Arc};

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::{Audited, Effect, Failure, FieldDoc, MethodDoc, Methods, Named, Values};
use crate::domain::json::{self, Object};

/// How many there are at most on a page, and how many where nobody says.
const MOST: usize = 100;
const SOME: usize = 50;

/// How long a page may be.
pub(crate) const LIMIT: FieldDoc = FieldDoc {
    name: "limit",
    values: Values::Number { least: 1, most: Some(MOST as u64) },
    required: false,
    about: "How many at most; 50 without it. There may be fewer before the last page.",
};

/// A method. Its result is an object.
pub(crate) struct Method<A> {
    /// As [`MethodDoc`] has them.
    pub name: &'static str,
    pub effect: Effect,
    pub summary: &'static str,
    pub about: &'static str,
    pub fields: &'static [FieldDoc],
    pub gives: &'static str,
    /// Reads what is asked for.
    pub read: fn(&Object<'_>) -> Result<A, BadField>,
}

/// What is asked for by one of a dialect's methods.
#[async_trait]
pub(crate) trait Asked: Sized + Send + 'static {
    /// What stands before the methods' names.
    const PATH: &'static str;
    /// All methods, in the order of the documents.
    const METHODS: &'static [Method<Self>];
    /// What does it.
    type Node: Send + Sync + 'static;
    /// Why it is not done, or not all of it.
    type Error: Why + From<BadField>;

    /// What the audit log tells of a call that does not only read.
    fn audited(fields: &Object<'_>) -> Audited;

    /// Does it. Returns the result.
    async fn answer(self, node: &Self::Node) -> Result<Json, Self::Error>;
}

/// An error in the words of a dialect.
pub(crate) trait Why: fmt::Display {
    /// The name of all of them.
    const NAME: &'static str;

    /// The HTTP status, and a word.
    fn code(&self) -> (u16, &'static str);

    /// What its text is made of: an array.
    fn args(&self) -> Json;
}

impl<E: Why> From<E> for Failure {
    fn from(error: E) -> Self {
        let (status, code) = error.code();
        let named = Named { name: E::NAME, code: code.to_owned(), args: error.args().to_string() };
        Failure { status, detail: error.to_string(), error: Some(named) }
    }
}

/// This field is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not as it has to be", .0.name)]
pub(crate) struct BadField(pub &'static FieldDoc);

impl BadField {
    /// As [`Why::code`].
    pub const CODE: (u16, &'static str) = (400, "badField");

    /// As [`Why::args`].
    pub fn args(&self) -> Json {
        json!([self.0.name])
    }
}

/// The methods of this node.
pub(crate) fn methods<A: Asked>(node: Arc<A::Node>) -> Arc<dyn Methods> {
    Arc::new(Table::<A>(node))
}

struct Table<A: Asked>(Arc<A::Node>);

fn find<A: Asked>(name: &str) -> Option<&'static Method<A>> {
    A::METHODS.iter().find(|method| method.name == name)
}

fn document<A>(method: &Method<A>) -> MethodDoc {
    MethodDoc {
        name: method.name,
        summary: method.summary,
        about: method.about,
        effect: method.effect,
        fields: method.fields.to_vec(),
        result: Values::Object,
        gives: method.gives,
    }
}

fn audited<A: Asked>(method: &str, fields: &Object<'_>) -> Option<Audited> {
    match find::<A>(method)?.effect {
        Effect::Reads => None,
        Effect::Publishes | Effect::Changes => Some(A::audited(fields)),
    }
}

#[async_trait]
impl<A: Asked> Methods for Table<A> {
    fn path(&self) -> &'static str {
        A::PATH
    }

    fn documents(&self) -> Vec<MethodDoc> {
        A::METHODS.iter().map(document).collect()
    }

    fn audited(&self, method: &str, fields: &Object<'_>) -> Option<Audited> {
        audited::<A>(method, fields)
    }

    async fn call(&self, method: &str, fields: &Object<'_>) -> Result<String, Failure> {
        let asked = match find::<A>(method) {
            Some(method) => (method.read)(fields).map_err(A::Error::from)?,
            // Nobody asks for a method that is not in the documents.
            None => {
                let detail = format!("there is no method {method}");
                return Err(Failure { status: 500, detail, error: None });
            }
        };
        Ok(asked.answer(&self.0).await?.to_string())
    }
}

/// Where a page begins, and how long it may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub after: Option<String>,
    pub limit: usize,
}

impl Stretch {
    /// By [`LIMIT`], and by the field that says what the page comes after.
    pub fn read(fields: &Object<'_>, after: &'static FieldDoc) -> Result<Self, BadField> {
        Ok(Stretch { after: text(fields, after)?, limit: limit(fields)? })
    }
}

fn limit(fields: &Object<'_>) -> Result<usize, BadField> {
    match fields.get(LIMIT.name) {
        None => Ok(SOME),
        Some(raw) if raw.get() == "null" => Ok(SOME),
        Some(raw) => {
            let number = serde_json::from_str::<usize>(raw.get()).ok();
            number.filter(|number| (1..=MOST).contains(number)).ok_or(BadField(&LIMIT))
        }
    }
}

/// The text of a field; nothing where it is not there, or `null`.
pub(crate) fn text(fields: &Object<'_>, of: &'static FieldDoc) -> Result<Option<String>, BadField> {
    match fields.get(of.name) {
        None => Ok(None),
        Some(raw) if raw.get() == "null" => Ok(None),
        Some(raw) => match json::string(raw) {
            Some(text) => Ok(Some(text.into_owned())),
            None => Err(BadField(of)),
        },
    }
}

/// What this makes of the text of a field that must be there.
pub(crate) fn needed<T>(
    fields: &Object<'_>,
    of: &'static FieldDoc,
    read: impl FnOnce(String) -> Option<T>,
) -> Result<T, BadField> {
    text(fields, of)?.and_then(read).ok_or(BadField(of))
}

/// Whether a flag is set.
pub(crate) fn flag(fields: &Object<'_>, of: &'static FieldDoc) -> Result<bool, BadField> {
    match fields.get(of.name).map(|raw| raw.get()) {
        None | Some("null" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(BadField(of)),
    }
}

/// The text of a field for the audit log, if it is one.
pub(crate) fn told(fields: &Object<'_>, of: &'static FieldDoc) -> Option<String> {
    text(fields, of).ok().flatten()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Reads what is asked of this method by this body.
    pub fn read<A: Asked>(method: &str, body: &str) -> Result<A, BadField> {
        (find::<A>(method).unwrap().read)(&Object::parse(body).unwrap())
    }

    /// What the audit log tells.
    pub fn audited<A: Asked>(method: &str, body: &str) -> Option<Audited> {
        super::audited::<A>(method, &Object::parse(body).unwrap())
    }

    /// Each method says what it does, and is in this document with all its fields.
    pub fn are_documented<A: Asked>(document: &str) {
        let names: BTreeSet<&str> = A::METHODS.iter().map(|method| method.name).collect();
        assert_eq!(names.len(), A::METHODS.len());
        for method in A::METHODS {
            let (name, summary) = (method.name, method.summary);
            assert!(!summary.ends_with('.'), "{name}");
            for sentence in method.fields.iter().map(|field| field.about).chain([method.gives]) {
                assert!(sentence.ends_with('.') && !sentence.contains("  "), "{sentence}");
            }
            let row = format!("| `{name}` |");
            let row = document.lines().find(|line| line.starts_with(&row)).unwrap_or_default();
            assert!(row.contains('|'), "{name}");
            for field in method.fields {
                assert!(row.contains(&format!("`{}`", field.name)), "{name}: {}", field.name);
            }
        }
    }

    /// The names of those that readers may call.
    pub fn reading<A: Asked>() -> Vec<&'static str> {
        let reads = A::METHODS.iter().filter(|method| method.effect == Effect::Reads);
        reads.map(|method| method.name).collect()
    }
}
