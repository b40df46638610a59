//! `batch`: several commands in one request, each with a result or a problem of its own.
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::value::RawValue;
use utoipa::{
    ToSchema,
    openapi::{
        Ref, RefOr,
        schema::{AdditionalProperties, ObjectBuilder, Schema, SchemaType, Type},
    },
};

use super::{
    Api,
    method::{self, Call, Entry, Keyed, Method, Ran, Reply},
    problem::{Details, Problem},
    request::{Field, Issues, Place, request},
};
use crate::domain::json::Object;

/// Items that are worked on at once, where their order does not matter.
const TOGETHER: usize = 32;

request! {
    /// Commands.
    Request {
        /// Commands: objects with one field each, whose name is a method and whose value is that method's body.
        commands: Vec<Command> = "commands";
        /// Whether they may run beside each other. Otherwise each begins when the one before has ended.
        parallel: Option<bool> = "parallel";
    }
}

/// A command of a batch.
#[derive(Debug)]
pub(super) struct Command {
    entry: &'static Entry,
    body: Box<RawValue>,
}

impl Field for Command {
    fn schema() -> Schema {
        let object = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Object))
            .min_properties(Some(1))
            .max_properties(Some(1))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        batched()
            .fold(object, |object, entry| {
                object.property(entry.name, RefOr::Ref(Ref::from_schema_name(entry.request_name())))
            })
            .into()
    }

    fn read(raw: &RawValue, at: &Place<'_>, issues: &mut Issues) -> Option<Self> {
        let object = Object::parse(raw.get()).unwrap_or_default();
        let mut fields = object.iter();
        let (Some((name, body)), None) = (fields.next(), fields.next()) else {
            issues.add(at, "it is not an object with one field, which is the method's name");
            return None;
        };
        let Some(entry) = batched().find(|entry| entry.name == name) else {
            let names: Vec<_> = batched().map(|entry| entry.name).collect();
            let detail = format!("no batch has such a method; there are {}", names.join(", "));
            issues.add(&Place::Field(at, name), detail);
            return None;
        };
        Some(Command { entry, body: body.to_owned() })
    }
}

/// The methods that a batch may have.
fn batched() -> impl Iterator<Item = &'static Entry> {
    method::all().iter().filter(|entry| entry.batched)
}

/// What became of one item: exactly one of both.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is documented here, and written by `write`")]
pub(super) struct Outcome {
    /// What the method answers.
    #[schema(value_type = Object, required = false)]
    result: Option<()>,
    /// What is wrong.
    #[schema(value_type = Details, required = false)]
    problem: Option<()>,
}

/// What became of the commands.
#[derive(ToSchema)]
#[schema(as = BatchReplies)]
#[allow(dead_code, reason = "it is documented here, and written by `write`")]
pub(super) struct Answer {
    /// One for each command, in their order.
    replies: Vec<Outcome>,
}

/// Runs commands.
pub(super) struct Batch;

impl Method for Batch {
    const NAME: &'static str = "batch";
    const SUMMARY: &'static str = "Run several commands";
    const ABOUT: &'static str = "Up to 1,000 commands in one request, in their order unless `parallel` is set. A command that fails stops no other \
        one: its reply is a problem. With an `Idempotency-Key` each command has a key of its own, so that the same batch, sent again, does what \
        failed and repeats nothing.";
    const KEYED: Keyed = Keyed::Stored;
    const EXAMPLE: &'static str = r#"{"commands":[{"publish":{"roomId":"news","message":{"text":"one"}}},{"clear":{"roomId":"sport"}}]}"#;
    type Request = Request;
    type Answer = Answer;

    async fn run(api: &Api, request: Request, call: Call<'_>) -> Result<Reply<Answer>, Problem> {
        let together = if request.parallel == Some(true) { TOGETHER } else { 1 };
        let at = Place::Field(&call.at, "commands");
        let at = &at;
        let commands = request.commands.iter().enumerate();
        let commands = commands.map(|(index, command)| async move {
            let item = Place::Entry(at, index);
            let at = Place::Field(&item, command.entry.name);
            let key = call.key.map(|key| key.item(index));
            let call = Call { at, key: key.as_ref() };
            command.entry.call(api, &command.body, call).await
        });
        let commands: Vec<_> = commands.collect(); // none has begun
        let ended: Vec<Ran> = stream::iter(commands).buffered(together).collect().await;
        Ok(write("replies", "/v1/batch#/commands/", ended))
    }
}

/// Writes what became of each item.
pub(super) fn write<T>(name: &str, instance: &str, ended: Vec<Ran>) -> Reply<T> {
    let mut body = format!("{{\"{name}\":[").into_bytes();
    let replayed = ended.iter().all(|ran| ran.as_ref().is_ok_and(|done| done.replayed));
    for (index, ran) in ended.into_iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        match ran {
            Ok(done) => {
                body.extend_from_slice(b"{\"result\":");
                body.extend_from_slice(&done.body);
            }
            Err(problem) => {
                let instance = format!("{instance}{index}");
                body.extend_from_slice(b"{\"problem\":");
                body.extend(method::json(&problem.details(&instance)).unwrap_or_default());
            }
        }
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    Reply::written(Bytes::from(body)).replayed(replayed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::v1::{
        method::Done,
        problem::{Kind, unavailable},
    };

    #[test]
    fn a_batch_names_what_is_no_command() {
        let wrong = |json: &str| {
            let mut issues = Issues::default();
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            let _ = Request::read(raw, &Place::Whole, &mut issues);
            issues.found().into_iter().map(|issue| issue.pointer).collect::<Vec<_>>()
        };
        assert!(wrong(r#"{"commands":[{"publish":{}},{"clear":1}]}"#).is_empty());
        assert_eq!(
            wrong(r#"{"commands":[{"publish":{}},{"history":{}},{},7,{"publish":{},"clear":{}}]}"#),
            ["#/commands/1/history", "#/commands/2", "#/commands/3", "#/commands/4"]
        );
        assert_eq!(wrong(r#"{"commands":[]}"#), ["#/commands"]);
    }

    #[test]
    fn each_item_has_its_result_or_its_problem() {
        let done = |body, replayed| Ok(Done { body: Bytes::from_static(body), replayed });
        let write = |ended| write::<()>("replies", "/v1/batch#/commands/", ended);
        let reply = write(vec![done(b"{\"n\":1}", true), Err(unavailable())]);
        let json: serde_json::Value = serde_json::from_slice(&reply.done.body).unwrap();
        assert_eq!(json["replies"][0], serde_json::json!({"result": {"n": 1}}));
        assert_eq!(json["replies"][1]["problem"]["type"], Kind::Unavailable.uri());
        assert_eq!(json["replies"][1]["problem"]["instance"], "/v1/batch#/commands/1");
        assert!(!reply.done.replayed, "the second one is to be sent again");
        assert!(write(vec![done(b"{}", true), done(b"{}", true)]).done.replayed);
        assert!(!write(vec![done(b"{}", true), done(b"{}", false)]).done.replayed);
    }
}
