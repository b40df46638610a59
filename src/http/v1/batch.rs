//! `batch`: several commands in one request, each with a result or a problem of its own.
use std::collections::HashMap;

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
    key::Key,
    method::{self, Call, Effect, Entry, Keyed, Method, Ran, Reply},
    problem::{self, Details, Problem},
    publish::{self, Outgoing, Publish},
    request::{Field, Issues, Place, request},
};
use crate::{
    domain::{ids::RoomId, json::Object},
    http::caller::Named,
};

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
    const EFFECT: Effect = Effect::Publishes;
    const SUMMARY: &'static str = "Run several commands";
    const ABOUT: &'static str = "Up to 1,000 commands in one request, in their order unless `parallel` is set. A command that fails stops no other \
        one: its reply is a problem. With an `Idempotency-Key` each command has a key of its own, so that the same batch, sent again, does what \
        failed and repeats nothing. Messages for one room that follow each other are stored together.";
    const KEYED: Keyed = Keyed::Stored;
    const EXAMPLE: &'static str = r#"{"commands":[{"publish":{"roomId":"news","message":{"text":"one"}}},{"clear":{"roomId":"sport"}}]}"#;
    type Request = Request;
    type Answer = Answer;

    async fn run(api: &Api, request: Request, call: Call<'_>) -> Result<Reply<Answer>, Problem> {
        let parallel = request.parallel == Some(true);
        let together = if parallel { TOGETHER } else { 1 };
        let at = Place::Field(&call.at, "commands");
        let batch = Items { api, at: &at, key: call.key, admin: call.admin };
        let mut ended: Vec<Option<Ran>> = request.commands.iter().map(|_| None).collect();
        let steps = batch.steps(&request.commands, parallel, &mut ended);
        // None has begun.
        let steps: Vec<_> = steps.into_iter().map(|step| batch.run(step)).collect();
        let mut done = stream::iter(steps).buffered(together);
        while let Some(items) = done.next().await {
            for (index, ran) in items {
                ended[index] = Some(ran);
            }
        }
        let ended = ended.into_iter().map(|ran| ran.unwrap_or_else(|| Err(problem::failure())));
        Ok(write("replies", "/v1/batch#/commands/", ended.collect()))
    }
}

/// What is done at once: a command, or messages for one room, each with its place in the batch.
enum Step<'a> {
    One(usize, &'a Command),
    Messages(RoomId, Vec<(usize, Outgoing)>),
}

/// The commands of a batch, as they are done.
struct Items<'a> {
    api: &'a Api,
    /// Where they are.
    at: &'a Place<'a>,
    /// The key of the whole batch.
    key: Option<&'a Key>,
    /// Who asks.
    admin: &'a Named,
}

impl Items<'_> {
    /// Reads the messages, and puts those for one room together that no other command stands
    /// between; in `parallel` all of them. What is no message is told in `ended`.
    fn steps<'c>(
        &self,
        commands: &'c [Command],
        parallel: bool,
        ended: &mut [Option<Ran>],
    ) -> Vec<Step<'c>> {
        let mut steps: Vec<Step<'c>> = Vec::with_capacity(commands.len());
        let mut rooms: HashMap<RoomId, usize> = HashMap::new();
        for (index, command) in commands.iter().enumerate() {
            if command.entry.name != Publish::NAME {
                steps.push(Step::One(index, command));
                continue;
            }
            let (room, outgoing) = match self.message(index, command) {
                Ok(read) => read,
                Err(problem) => {
                    ended[index] = Some(Err(problem));
                    continue;
                }
            };
            // In order it can only be the step before.
            let known =
                if parallel { rooms.get(&room).copied() } else { steps.len().checked_sub(1) };
            match known.and_then(|at| steps.get_mut(at)) {
                Some(Step::Messages(of, messages)) if *of == room => {
                    messages.push((index, outgoing))
                }
                _ => {
                    if parallel {
                        rooms.insert(room.clone(), steps.len());
                    }
                    steps.push(Step::Messages(room, vec![(index, outgoing)]));
                }
            }
        }
        steps
    }

    /// The message of a `publish`, and its room.
    fn message(&self, index: usize, command: &Command) -> Result<(RoomId, Outgoing), Problem> {
        let item = Place::Entry(self.at, index);
        let at = Place::Field(&item, command.entry.name);
        let key = self.key.map(|key| key.item(index));
        let request = method::read(&command.body, &at)?;
        Outgoing::of(self.api, request, &Call { at, key: key.as_ref(), admin: self.admin })
    }

    async fn run(&self, step: Step<'_>) -> Vec<(usize, Ran)> {
        match step {
            Step::One(index, command) => {
                let item = Place::Entry(self.at, index);
                let at = Place::Field(&item, command.entry.name);
                let key = self.key.map(|key| key.item(index));
                let call = Call { at, key: key.as_ref(), admin: self.admin };
                vec![(index, command.entry.call(self.api, &command.body, call).await)]
            }
            Step::Messages(room, messages) => {
                let (places, outgoing): (Vec<usize>, Vec<_>) = messages.into_iter().unzip();
                let sent = publish::send_all(self.api, &room, outgoing).await;
                places.into_iter().zip(sent.into_iter().map(publish::done)).collect()
            }
        }
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
