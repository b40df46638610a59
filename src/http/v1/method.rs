//! Methods: what each takes and gives, and the one table that the router, batches and the OpenAPI
//! document are made of.
use std::{marker::PhantomData, sync::LazyLock};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use super::{
    Api,
    problem::{self, Kind, Problem},
    request::{Field, Issues, Place},
};
use crate::domain::ids::Uid;

/// A method.
pub(super) trait Method {
    /// Its path below `/v1/`.
    const NAME: &'static str;
    /// What it does, in a line.
    const SUMMARY: &'static str;
    /// What else there is to know of it.
    const ABOUT: &'static str;
    /// Problems that it answers beside those of all.
    const PROBLEMS: &'static [Kind] = &[];
    /// What it takes.
    type Request: Field + Send;
    /// What it answers.
    type Answer: ToSchema;

    /// Does it.
    fn run(
        api: &Api,
        request: Self::Request,
        call: Call<'_>,
    ) -> impl Future<Output = Result<Reply<Self::Answer>, Problem>> + Send;
}

/// What a method knows of a request beside its body.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    /// Who asks.
    pub(super) admin: &'a Uid,
    /// Where the method's request is in the body.
    pub(super) at: Place<'a>,
}

/// An answer, written.
pub(super) struct Reply<T> {
    /// JSON.
    pub(super) body: Bytes,
    answer: PhantomData<fn() -> T>,
}

impl<T: Serialize> Reply<T> {
    /// Writes an answer.
    pub(super) fn of(answer: &T) -> Result<Self, Problem> {
        Ok(Self::written(json(answer)?.into()))
    }
}

impl<T> Reply<T> {
    /// An answer that is written already.
    pub(super) fn written(body: Bytes) -> Self {
        Reply { body, answer: PhantomData }
    }
}

/// Writes a value as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        problem::failure()
    })
}

/// A method without its types.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: &'static str,
    pub(super) problems: &'static [Kind],
    pub(super) request: fn() -> Schema,
    /// The name of the answer's schema, and all schemas that it refers to.
    pub(super) answer: fn(&mut Vec<(String, RefOr<Schema>)>) -> String,
    pub(super) run: for<'a> fn(&'a Api, &'a RawValue, Call<'a>) -> BoxFuture<'a, Ran>,
}

/// What became of a request: the answer's body, or what is wrong.
pub(super) type Ran = Result<Bytes, Problem>;

/// The method as an entry of the table.
pub(super) const fn entry<M: Method>() -> Entry {
    Entry {
        name: M::NAME,
        summary: M::SUMMARY,
        about: M::ABOUT,
        problems: M::PROBLEMS,
        request: M::Request::schema,
        answer: schemas::<M::Answer>,
        run: |api, body, call| {
            Box::pin(async move {
                let request = read(body, &call.at)?;
                Ok(M::run(api, request, call).await?.body)
            })
        },
    }
}

/// Reads the body of a method, at this place of what came.
fn read<T: Field>(body: &RawValue, at: &Place<'_>) -> Result<T, Problem> {
    let mut issues = Issues::default();
    let read = T::read(body, at, &mut issues);
    match (read, issues.found()) {
        (Some(request), found) if found.is_empty() => Ok(request),
        (_, found) => Err(Problem::invalid(found)),
    }
}

/// Adds the schema of a type, and those that it refers to. Returns its name.
pub(super) fn schemas<T: ToSchema>(into: &mut Vec<(String, RefOr<Schema>)>) -> String {
    let name = T::name().into_owned();
    T::schemas(into);
    into.push((name.clone(), T::schema()));
    name
}

/// All methods with a body, in the order of the documents.
pub(super) fn all() -> &'static [Entry] {
    static ALL: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        vec![
            entry::<super::publish::Publish>(),
            entry::<super::history::History>(),
            entry::<super::rooms::Members>(),
            entry::<super::rooms::Clear>(),
            entry::<super::tokens::Create>(),
            entry::<super::tokens::Refresh>(),
        ]
    });
    &ALL
}

/// The method of this name.
pub(super) fn find(name: &str) -> Option<&'static Entry> {
    all().iter().find(|entry| entry.name == name)
}
