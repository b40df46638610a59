//! Methods: what each takes and gives, and the one table that the router, batches and the OpenAPI
//! document are made of.
use std::{fmt, marker::PhantomData, sync::LazyLock};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use super::{
    Api, answers,
    key::{self, Key},
    problem::{self, Kind, Problem},
    request::{Field, Issues, Place},
};
pub(super) use crate::domain::methods::Effect;
use crate::http::{audit::Act, caller::Named};

/// A method.
pub(super) trait Method {
    /// Its path below `/v1/`.
    const NAME: &'static str;
    /// What it does, in a line.
    const SUMMARY: &'static str;
    /// What else there is to know of it.
    const ABOUT: &'static str;
    /// A body, as it may be sent.
    const EXAMPLE: &'static str;
    /// Problems that it answers beside those of all.
    const PROBLEMS: &'static [Kind] = &[];
    /// The HTTP status of its answer.
    const STATUS: u16 = 200;
    /// What an `Idempotency-Key` means to it.
    const KEYED: Keyed = Keyed::No;
    /// Whether it may be a command of a batch.
    const BATCHED: bool = false;
    /// Whether what it begins goes on by itself, though nobody waits for its answer any more.
    /// Others are done in a task of their own.
    const GOES_ON: bool = false;
    /// What it does to others. Who forgets to say so has a method that readers are refused.
    const EFFECT: Effect = Effect::Changes;
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

/// What an `Idempotency-Key` means to a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyed {
    /// Nothing: it only reads, or its answer is not to be kept.
    No,
    /// It is stored with what the method stores, all or none.
    Stored,
    /// It is kept with the answer when the method is done.
    Kept,
}

/// What a method knows of a request beside its body.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    /// Who asks.
    pub(super) admin: &'a Named,
    /// Its key, where it has one.
    pub(super) key: Option<&'a Key>,
    /// Where the method's request is in the body.
    pub(super) at: Place<'a>,
}

/// An answer, written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    /// JSON.
    pub(super) body: Bytes,
    /// Whether it is that of an earlier request with the same key.
    pub(super) replayed: bool,
}

/// An answer of this type, written.
pub(super) struct Reply<T> {
    pub(super) done: Done,
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
        Reply { done: Done { body, replayed: false }, answer: PhantomData }
    }

    /// Says whether it is that of an earlier request.
    pub(super) fn replayed(mut self, replayed: bool) -> Self {
        self.done.replayed = replayed;
        self
    }
}

/// Writes a value as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        problem::failure()
    })
}

/// Schemas by their names.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// A method without its types.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: &'static str,
    pub(super) example: &'static str,
    pub(super) problems: &'static [Kind],
    pub(super) status: u16,
    pub(super) keyed: Keyed,
    pub(super) batched: bool,
    pub(super) goes_on: bool,
    pub(super) effect: Effect,
    pub(super) request: fn() -> Schema,
    /// The name of the answer's schema, and all schemas that it refers to.
    pub(super) answer: fn(&mut Schemas) -> String,
    run: for<'a> fn(&'a Api, &'a RawValue, Call<'a>) -> BoxFuture<'a, Ran>,
}

/// What became of a request: the answer, or what is wrong.
pub(super) type Ran = Result<Done, Problem>;

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Entry {
    /// Does what is asked; once, where it has a key.
    pub(super) async fn call(&self, api: &Api, body: &RawValue, call: Call<'_>) -> Ran {
        let ran = match (self.keyed, call.key) {
            (Keyed::Kept, Some(key)) => {
                let digest = key::digest(self.name, body);
                answers::once(api, key, digest, (self.run)(api, body, call)).await
            }
            _ => (self.run)(api, body, call).await,
        };
        self.note(api, body, call.admin, &ran).await;
        ran
    }

    /// Writes down what was changed, or tried to be.
    async fn note(&self, api: &Api, body: &RawValue, admin: &Named, ran: &Ran) {
        let with = match ran {
            Ok(done) if !done.replayed => Ok(&*done.body),
            Err(problem) if problem.kind.is_of_the_attempt() => Err(problem.kind.word()),
            // Nothing was tried.
            Ok(_) | Err(_) => return,
        };
        if self.effect == Effect::Changes {
            let act = Act::asked(&admin.uid, self.name, body.get()).ended(with);
            api.context.audit.note(&api.context.hub, act).await;
        }
    }

    /// Whether an `Idempotency-Key` has a meaning to it.
    pub(super) fn is_keyed(&self) -> bool {
        self.keyed != Keyed::No
    }

    /// `token/create` as a name: `tokenCreate`.
    pub(super) fn id(&self) -> String {
        let mut words = self.name.split('/');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |id, word| id + &capital(word))
    }

    /// The name of the schema of its body.
    pub(super) fn request_name(&self) -> String {
        capital(&self.id()) + "Request"
    }
}

/// A word with a capital letter.
pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters.by_ref()).collect()
}

/// Looks whether an administrator may use a method of this effect.
pub(super) fn allow(effect: Effect, admin: &Named) -> Result<(), Problem> {
    if effect == Effect::Reads || admin.may_change() {
        return Ok(());
    }
    let detail = "your role is reader, which sees everything and changes nothing";
    Err(Problem::new(Kind::ReadOnly, detail))
}

/// The method as an entry of the table.
pub(super) const fn entry<M: Method>() -> Entry {
    Entry {
        name: M::NAME,
        summary: M::SUMMARY,
        about: M::ABOUT,
        example: M::EXAMPLE,
        problems: M::PROBLEMS,
        status: M::STATUS,
        keyed: M::KEYED,
        batched: M::BATCHED,
        goes_on: M::GOES_ON,
        effect: M::EFFECT,
        request: M::Request::schema,
        answer: schemas::<M::Answer>,
        run: |api, body, call| {
            Box::pin(async move {
                let request = read(body, &call.at)?;
                Ok(M::run(api, request, call).await?.done)
            })
        },
    }
}

/// Reads the body of a method, at this place of what came.
pub(super) fn read<T: Field>(body: &RawValue, at: &Place<'_>) -> Result<T, Problem> {
    let mut issues = Issues::default();
    let read = T::read(body, at, &mut issues);
    match (read, issues.found()) {
        (Some(request), found) if found.is_empty() => Ok(request),
        (_, found) => Err(Problem::invalid(found)),
    }
}

/// Adds the schema of a type, and those that it refers to. Returns its name.
pub(super) fn schemas<T: ToSchema>(into: &mut Schemas) -> String {
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
            entry::<super::publish::Broadcast>(),
            entry::<super::batch::Batch>(),
            entry::<super::history::History>(),
            entry::<super::rooms::Members>(),
            entry::<super::rooms::Rooms>(),
            entry::<super::people::Users>(),
            entry::<super::rooms::Clear>(),
            entry::<super::rooms::Cut>(),
            entry::<super::people::Disconnect>(),
            entry::<super::people::Kick>(),
            entry::<super::tokens::Create>(),
            entry::<super::tokens::Refresh>(),
            entry::<super::tokens::Revoke>(),
            entry::<super::revoke::Revoke>(),
            entry::<super::erase::Erase>(),
            entry::<super::hooks::Failed>(),
            entry::<super::hooks::Replay>(),
            entry::<super::operate::Reload>(),
            entry::<super::operate::Drain>(),
            entry::<super::whereabouts::Whereabouts>(),
            entry::<super::settings::Retention>(),
            entry::<super::settings::Config>(),
            entry::<super::admins::Whoami>(),
            entry::<super::admins::Audit>(),
        ]
    });
    &ALL
}

/// The method of this name.
pub(super) fn find(name: &str) -> Option<&'static Entry> {
    all().iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_a_body_that_the_method_takes() {
        fn takes<M: Method>() {
            let body: &RawValue = serde_json::from_str(M::EXAMPLE).unwrap();
            assert!(read::<M::Request>(body, &Place::Whole).is_ok(), "{}", M::NAME);
        }
        takes::<super::super::publish::Publish>();
        takes::<super::super::publish::Broadcast>();
        takes::<super::super::batch::Batch>();
        takes::<super::super::history::History>();
        takes::<super::super::rooms::Members>();
        takes::<super::super::rooms::Rooms>();
        takes::<super::super::people::Users>();
        takes::<super::super::rooms::Clear>();
        takes::<super::super::people::Disconnect>();
        takes::<super::super::people::Kick>();
        takes::<super::super::revoke::Revoke>();
        takes::<super::super::rooms::Cut>();
        takes::<super::super::tokens::Revoke>();
        takes::<super::super::erase::Erase>();
        takes::<super::super::hooks::Failed>();
        takes::<super::super::hooks::Replay>();
        takes::<super::super::operate::Reload>();
        takes::<super::super::operate::Drain>();
        takes::<super::super::tokens::Create>();
        takes::<super::super::tokens::Refresh>();
        takes::<super::super::whereabouts::Whereabouts>();
        takes::<super::super::settings::Retention>();
        takes::<super::super::settings::Config>();
        takes::<super::super::admins::Whoami>();
        takes::<super::super::admins::Audit>();
    }

    #[test]
    fn readers_may_use_what_is_known_to_read_and_nothing_else() {
        let of = |effect| {
            let entries = all().iter().filter(move |entry| entry.effect == effect);
            entries.map(|entry| entry.name).collect::<Vec<_>>()
        };
        assert_eq!(
            of(Effect::Reads),
            [
                "history",
                "members",
                "rooms",
                "users",
                "hooks/failed",
                "whereabouts",
                "retention",
                "whoami",
                "audit"
            ]
        );
        assert_eq!(of(Effect::Publishes), ["publish", "broadcast", "batch"]);
    }
}
