//! Commands that the server API does for a user, or for nobody.
use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::super::{
    arguments::Given,
    chat::{Answer, By, Chat},
    command::{Caller, Command},
    error::Error,
    names,
    nodes::Ordered,
    value::Value,
};
use crate::domain::ids::Uid;

/// A command, and who does it.
#[derive(Debug, Clone)]
pub(super) struct Execution {
    pub command: String,
    pub args: Vec<Value>,
    pub user: Option<String>,
    /// The socket's id.
    pub id: Option<String>,
    pub bypass_permissions: bool,
    pub bypass_hooks: bool,
}

/// Arguments as a client's would be: JSON, and what stands for placeholders in it.
struct Packed {
    json: Vec<Box<RawValue>>,
    files: Vec<Bytes>,
}

impl Packed {
    fn new(args: Vec<Value>) -> Result<Self, Error> {
        let mut files = Vec::new();
        let pack = |value: Value| {
            let json = RawValue::from_string(value.packed(&mut files));
            json.map_err(|error| Error::Internal(error.to_string()))
        };
        let json = unmistakable(args).into_iter().map(pack).collect::<Result<_, _>>()?;
        Ok(Packed { json, files })
    }

    fn given(&self) -> Given<'_> {
        Given { arguments: self.json.iter().map(|raw| &**raw).collect(), attachments: &self.files }
    }
}

/// Values in which nothing can be taken for bytes that are not.
pub(super) fn unmistakable(values: Vec<Value>) -> Vec<Value> {
    if values.iter().any(Value::has_bytes) {
        values.into_iter().map(Value::without_false_marks).collect()
    } else {
        values
    }
}

impl Chat {
    /// Does a command. Returns an object, JSON, with its results.
    ///
    /// # Errors
    /// Who would do it can't, or why it is not done.
    pub(super) async fn execute(&self, asked: Execution) -> Result<String, Error> {
        let command = command(&asked.command)?;
        command.may_be_called(Caller { user: asked.user.is_some(), socket: asked.id.is_some() })?;
        let user = match &asked.user {
            Some(name) => Some(self.existing(name).await?),
            None => None,
        };
        let packed = Packed::new(asked.args)?;
        let given = packed.given();
        let answers = match (user, asked.id) {
            (Some(user), Some(id)) => {
                let order = Ordered {
                    user: &user,
                    id: &id,
                    command,
                    given,
                    bypass_permissions: asked.bypass_permissions,
                    bypass_hooks: asked.bypass_hooks,
                };
                self.order(order).await?
            }
            (None, Some(id)) => return Err(Error::InvalidSocket(id)), // nobody has one
            (user, None) => {
                let bypass = asked.bypass_permissions;
                let by = By { user: user.as_ref(), seat: None, bypass, local: true };
                self.command(by, command, given, !asked.bypass_hooks).await?
            }
        };
        Ok(results(&answers))
    }

    /// The user of this name.
    async fn existing(&self, name: &str) -> Result<Uid, Error> {
        let Ok(user) = names::uid(name) else { return Err(Error::NoUser(name.to_owned())) };
        self.cabinet.user(name, &[]).await?;
        Ok(user)
    }

    /// Looks whether a command would take these arguments.
    ///
    /// # Errors
    /// There is no such command, or what is wrong with them.
    pub async fn check_arguments(&self, name: &str, args: Vec<Value>) -> Result<(), Error> {
        let command = command(name)?;
        let packed = Packed::new(args)?;
        self.checked(command, &packed.given()).await.map(drop)
    }
}

fn command(name: &str) -> Result<Command, Error> {
    Command::find(name).ok_or_else(|| Error::NoCommand(name.to_owned()))
}

/// What a command is answered, JSON, with bytes as the server API has them.
fn results(answers: &[Answer]) -> String {
    let json = |answer: &'_ Answer| answer.shown().unwrap_or(Cow::Borrowed("null")).into_owned();
    let answers: Vec<String> = answers.iter().map(json).collect();
    format!(r#"{{"results":[{}]}}"#, answers.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::chat_service::{
        arguments::Call, command::Command, message::Rule, value::tests::value,
    };

    fn list(json: &str) -> Vec<Value> {
        match value(json).with_buffers() {
            Value::List(values) => values,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arguments_are_read_as_those_of_a_client() {
        let args = r#"[{"a":{"type":"Buffer","data":[1]},"b":{"_placeholder":true,"num":0}}]"#;
        let packed = Packed::new(list(args)).unwrap();
        assert_eq!(packed.files, [&b"\x01"[..]]);
        let call = packed.given().read(Command::SystemMessage, Rule::Strict).unwrap();
        let Call::SystemMessage { data } = call else { panic!("{call:?}") };
        assert_eq!(data.parts().1.len(), 1, "the forged one is no bytes: {data:?}");
        // Where there are no bytes, nothing is taken for them.
        let args = r#"[{"_placeholder":true,"num":0}]"#;
        let packed = Packed::new(list(args)).unwrap();
        assert_eq!((packed.json[0].get(), packed.files.len()), (&args[1..args.len() - 1], 0));
    }

    #[test]
    fn results_have_their_bytes_in_them() {
        let plain = Answer::json(r#"{"_placeholder":true,"num":0}"#);
        let packed = Answer::value(&Value::List(vec![Value::Bytes(Bytes::from_static(b"a"))]));
        assert_eq!(
            results(&[plain, packed]),
            r#"{"results":[{"_placeholder":true,"num":0},[{"type":"Buffer","data":[97]}]]}"#
        );
        assert_eq!(results(&[]), r#"{"results":[]}"#);
    }
}
