//! What a business server is asked and told: the bodies of hooks, and what answers mean.
//!
//! Each hook is one POST of a JSON object. An answer is an object, too. Only one that has the right
//! shape is an answer; else the hook has failed, and that is never consent.
use serde_json::value::RawValue;

use super::{
    arguments::Given,
    command::Command,
    error::Error,
    value::{Value, quote},
};
use crate::domain::json::Object;

/// A body under way: `{"hook":…,"instance":…`.
pub(super) struct Body(String);

impl Body {
    /// Of this hook, by this instance.
    pub fn new(hook: &str, instance: &str) -> Self {
        Body("{".to_owned()).text("hook", hook).text("instance", instance)
    }

    /// With a field that is JSON.
    #[must_use]
    pub fn json(mut self, key: &str, json: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        quote(&mut self.0, key);
        self.0.push(':');
        self.0.push_str(json);
        self
    }

    /// With a field that is a text.
    #[must_use]
    pub fn text(self, key: &str, text: &str) -> Self {
        let text = super::value::quoted(text);
        self.json(key, &text)
    }

    /// With a field that is a text, or `null`.
    #[must_use]
    pub fn maybe(self, key: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(key, text),
            None => self.json(key, "null"),
        }
    }

    /// With a field that is a value.
    #[must_use]
    pub fn value(self, key: &str, value: &Value) -> Self {
        self.json(key, &value.json())
    }

    /// With a field that is a list of values, JSON.
    #[must_use]
    pub fn list(self, key: &str, values: &[String]) -> Self {
        self.json(key, &format!("[{}]", values.join(",")))
    }

    /// The whole.
    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// What the hooks of a command are told of its call.
#[derive(Debug, Clone)]
pub(super) struct Asked<'a> {
    pub command: Command,
    pub user: Option<&'a str>,
    /// The socket's id.
    pub id: Option<&'a str>,
    pub bypass: bool,
    /// It came by the server API.
    pub local: bool,
    /// JSON, with bytes in it.
    pub args: &'a [String],
    /// The same of what was given beyond them.
    pub rest: &'a [String],
    /// An object.
    pub data: &'a Value,
}

impl Asked<'_> {
    fn body(&self, hook: &str, instance: &str) -> Body {
        let flag = |on| if on { "true" } else { "false" };
        Body::new(hook, instance)
            .text("command", self.command.name())
            .maybe("userName", self.user)
            .maybe("id", self.id)
            .json("bypassPermissions", flag(self.bypass))
            .json("isLocalCall", flag(self.local))
            .list("args", self.args)
            .list("restArgs", self.rest)
            .value("data", self.data)
    }

    /// The body of the hook before it.
    pub fn before(&self, instance: &str) -> String {
        self.body(&format!("{}Before", self.command.name()), instance).end()
    }

    /// The body of the hook after it. `outcome`: its result, JSON, or why it is not done.
    pub fn after(&self, instance: &str, outcome: &Result<String, Error>) -> String {
        let body = self.body(&format!("{}After", self.command.name()), instance);
        match outcome {
            Ok(result) => body.json("results", &format!("[{result}]")).json("error", "null"),
            Err(error) => body.json("results", "null").json("error", &error.described()),
        }
        .end()
    }
}

/// It is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// An answer: nothing, or an object.
pub(super) struct Answer<'a>(Object<'a>);

impl<'a> Answer<'a> {
    /// Reads a body; an empty one is that of 204.
    ///
    /// # Errors
    /// It is no object.
    pub fn read(body: &'a str) -> Result<Self, Malformed> {
        if body.is_empty() {
            return Ok(Answer(Object::default()));
        }
        Object::parse(body).map(Answer).ok_or(Malformed)
    }

    /// A field, unless it is missing or `null`.
    fn field(&self, key: &str) -> Option<&'a RawValue> {
        self.0.get(key).filter(|raw| raw.get() != "null")
    }

    /// The error by which it refuses, if it does: a text, or `{code, args?}`.
    ///
    /// # Errors
    /// It has an error that is neither.
    pub fn error(&self) -> Result<Option<Error>, Malformed> {
        let Some(raw) = self.field("error") else { return Ok(None) };
        if raw.get().starts_with('"') {
            let text = serde_json::from_str(raw.get()).map_err(|_| Malformed)?;
            return Ok(Some(Error::Text(text)));
        }
        let object = Object::parse(raw.get()).ok_or(Malformed)?;
        let code = object.get("code").ok_or(Malformed)?;
        let code: String = serde_json::from_str(code.get()).map_err(|_| Malformed)?;
        let args = match object.get("args").filter(|raw| raw.get() != "null") {
            None => Vec::new(),
            Some(args) => values(args)?.iter().map(Value::json).collect(),
        };
        Ok(Some(Error::Coded { code, args }))
    }

    /// The text by which it refuses, if it does; of hooks that know no codes.
    ///
    /// # Errors
    /// It has an error that is no text.
    pub fn refusal(&self) -> Result<Option<String>, Malformed> {
        let Some(raw) = self.field("error") else { return Ok(None) };
        serde_json::from_str(raw.get()).map(Some).map_err(|_| Malformed)
    }

    fn list(&self, key: &str) -> Result<Option<Vec<Value>>, Malformed> {
        self.field(key).map(values).transpose()
    }

    fn object(&self, key: &str) -> Result<Option<Value>, Malformed> {
        let Some(raw) = self.field(key) else { return Ok(None) };
        match Value::read_own(raw, &[]) {
            Some(Value::Object(fields)) => Ok(Some(Value::Object(fields).with_buffers())),
            _ => Err(Malformed),
        }
    }
}

/// A list of values, with bytes as the server API writes them.
fn values(raw: &RawValue) -> Result<Vec<Value>, Malformed> {
    match Value::read_own(raw, &[]) {
        Some(Value::List(values)) => Ok(values.into_iter().map(Value::with_buffers).collect()),
        _ => Err(Malformed),
    }
}

/// What the hook before a command wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Before {
    /// It goes on, with what is put in the place of what there was.
    Go { args: Option<Vec<Value>>, rest: Option<Vec<Value>>, data: Option<Value> },
    /// It has ended, with these results. There is neither handler nor hook after it.
    Ended(Vec<Value>),
    /// It is refused.
    Refused(Error),
}

impl Before {
    /// Reads an answer. Whether the arguments fit is looked at by [`fits`].
    ///
    /// # Errors
    /// It has not the shape of one.
    pub fn read(body: &str) -> Result<Self, Malformed> {
        let answer = Answer::read(body)?;
        if let Some(error) = answer.error()? {
            return Ok(Before::Refused(error));
        }
        let results = answer.list("results")?;
        let (args, rest) = (answer.list("args")?, answer.list("restArgs")?);
        let data = answer.object("data")?;
        match results {
            Some(results) if !results.is_empty() => Ok(Before::Ended(results)),
            _ => Ok(Before::Go { args, rest, data }),
        }
    }
}

/// What the hook after a command wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum After {
    /// The outcome stays as it is.
    Stays,
    /// This is the outcome.
    Is(Result<Vec<Value>, Error>),
}

impl After {
    /// Reads an answer.
    ///
    /// # Errors
    /// It has not the shape of one.
    pub fn read(body: &str) -> Result<Self, Malformed> {
        let answer = Answer::read(body)?;
        if let Some(error) = answer.error()? {
            return Ok(After::Is(Err(error)));
        }
        Ok(match answer.list("results")? {
            Some(results) if !results.is_empty() => After::Is(Ok(results)),
            _ => After::Stays,
        })
    }
}

/// Who has connected, as the hook onConnect says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub user: String,
    /// An object that is told to the client.
    pub data: Option<Value>,
}

impl Login {
    /// Reads an answer: who it is, or why it is nobody.
    ///
    /// # Errors
    /// It has not the shape of one.
    pub fn read(body: &str) -> Result<Result<Self, Error>, Malformed> {
        let answer = Answer::read(body)?;
        if let Some(error) = answer.error()? {
            return Ok(Err(error));
        }
        let data = answer.object("authData")?;
        let Some(user) = answer.field("userName") else { return Ok(Err(Error::NoLogin)) };
        let user: String = serde_json::from_str(user.get()).map_err(|_| Malformed)?;
        Ok(super::names::check(&user).map(|()| Login { user, data }))
    }
}

/// Arguments that a hook put in the place of a command's, as they would have been read of a client.
/// Messages may be any objects.
///
/// # Errors
/// Their number or types are wrong: then the hook has failed.
pub(super) fn fits(command: Command, args: &[Value]) -> Result<super::arguments::Call, Malformed> {
    if args.len() != command.types().len() {
        return Err(Malformed);
    }
    let mut files = Vec::new();
    let texts: Vec<String> = args.iter().map(|value| value.packed(&mut files)).collect();
    let raw = |text: &'_ String| serde_json::from_str::<Box<RawValue>>(text).map_err(|_| Malformed);
    let raw: Vec<Box<RawValue>> = texts.iter().map(raw).collect::<Result<_, _>>()?;
    let arguments = raw.iter().map(|raw| &**raw).collect();
    let given = Given { arguments, attachments: &files };
    given.read(command, super::message::Rule::Free).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::chat_service::{arguments::Call, value::tests::value};

    fn list(json: &str) -> Vec<Value> {
        match value(json) {
            Value::List(values) => values,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_hooks_of_a_command_are_told() {
        let (args, rest) = ([r#""r""#, r#"{"textMessage":"rest"}"#], [r#""one""#, "2"]);
        let (args, rest) = (args.map(str::to_owned), rest.map(str::to_owned));
        let data = value("{}");
        let asked = Asked {
            command: Command::RoomMessage,
            user: Some("ann"),
            id: Some("/chat-service#X"),
            bypass: false,
            local: false,
            args: &args,
            rest: &rest,
            data: &data,
        };
        let begin = |hook: &str| {
            format!(
                r#"{{"hook":"{hook}","instance":"node-1","command":"roomMessage","userName":"ann","id":"/chat-service#X","bypassPermissions":false,"isLocalCall":false,"args":["r",{{"textMessage":"rest"}}],"restArgs":["one",2],"data":{{}}"#
            )
        };
        assert_eq!(asked.before("node-1"), begin("roomMessageBefore") + "}");
        assert_eq!(
            asked.after("node-1", &Ok("6".to_owned())),
            begin("roomMessageAfter") + r#","results":[6],"error":null}"#
        );
        assert_eq!(
            asked.after("node-1", &Err(Error::NoRoom("none".into()))),
            begin("roomMessageAfter")
                + r#","results":null,"error":{"name":"ChatServiceError","code":"noRoom","args":["none"],"text":"ChatServiceError: No such room none"}}"#
        );
        let nobody = Asked { user: None, id: None, ..asked };
        assert!(nobody.before("n").contains(r#""userName":null,"id":null,"#));
    }

    #[test]
    fn what_a_hook_before_a_command_answers() {
        let go = |args: Option<&str>, rest: Option<&str>, data: Option<&str>| {
            Ok(Before::Go { args: args.map(list), rest: rest.map(list), data: data.map(value) })
        };
        let coded = |code: &str, args: &[&str]| {
            let args = args.iter().map(|arg| (*arg).to_owned()).collect();
            Ok(Before::Refused(Error::Coded { code: code.to_owned(), args }))
        };
        for (body, expected) in [
            ("", go(None, None, None)),
            ("{}", go(None, None, None)),
            (r#"{"unknown":1,"args":null,"error":null}"#, go(None, None, None)),
            (r#"{"results":[]}"#, go(None, None, None)),
            (r#"{"args":["r"],"restArgs":[1]}"#, go(Some(r#"["r"]"#), Some("[1]"), None)),
            (r#"{"data":{"seen":1}}"#, go(None, None, Some(r#"{"seen":1}"#))),
            (r#"{"results":[77,"extra"]}"#, Ok(Before::Ended(list(r#"[77,"extra"]"#)))),
            (r#"{"error":"Error: no"}"#, Ok(Before::Refused(Error::Text("Error: no".into())))),
            (r#"{"error":""}"#, Ok(Before::Refused(Error::Text(String::new())))),
            (r#"{"error":{"code":"notAllowed"}}"#, coded("notAllowed", &[])),
            (r#"{"error":{"code":"x","args":["a",1]}}"#, coded("x", &[r#""a""#, "1"])),
            (r#"{"error":{"code":1}}"#, Err(Malformed)),
            (r#"{"error":{}}"#, Err(Malformed)),
            (r#"{"error":5}"#, Err(Malformed)),
            (r#"{"error":true}"#, Err(Malformed)),
            (r#"{"args":{}}"#, Err(Malformed)),
            (r#"{"data":[]}"#, Err(Malformed)),
            (r#"{"results":1}"#, Err(Malformed)),
            ("[]", Err(Malformed)),
            ("null", Err(Malformed)),
            ("<html>", Err(Malformed)),
        ] {
            assert_eq!(Before::read(body), expected, "{body}");
        }
    }

    #[test]
    fn what_a_hook_after_a_command_answers() {
        for (body, expected) in [
            ("", Ok(After::Stays)),
            (r#"{"results":[]}"#, Ok(After::Stays)),
            (r#"{"results":["saved"]}"#, Ok(After::Is(Ok(list(r#"["saved"]"#))))),
            (
                r#"{"error":"Error: done, but","results":[1]}"#,
                Ok(After::Is(Err(Error::Text("Error: done, but".into())))),
            ),
            (r#"{"results":{}}"#, Err(Malformed)),
        ] {
            assert_eq!(After::read(body), expected, "{body}");
        }
    }

    #[test]
    fn who_a_client_is() {
        let login = |user: &str, data: Option<&str>| {
            Ok(Ok(Login { user: user.to_owned(), data: data.map(value) }))
        };
        for (body, expected) in [
            (r#"{"userName":"bob"}"#, login("bob", None)),
            (r#"{"userName":"ann","authData":{"level":3}}"#, login("ann", Some(r#"{"level":3}"#))),
            ("", Ok(Err(Error::NoLogin))),
            (r#"{"authData":{}}"#, Ok(Err(Error::NoLogin))),
            (r#"{"userName":null}"#, Ok(Err(Error::NoLogin))),
            (r#"{"userName":"a:b"}"#, Ok(Err(Error::InvalidName("a:b".into())))),
            (r#"{"error":"Error: go away"}"#, Ok(Err(Error::Text("Error: go away".into())))),
            (r#"{"userName":5}"#, Err(Malformed)),
            (r#"{"userName":"a","authData":[]}"#, Err(Malformed)),
        ] {
            assert_eq!(Login::read(body), expected, "{body}");
        }
    }

    #[test]
    fn arguments_of_a_hook_fit_or_it_failed() {
        for (command, args, good) in [
            (Command::RoomMessage, r#"["r",{"textMessage":"x","colour":"red"}]"#, true),
            (Command::RoomMessage, r#"["r",{}]"#, true),
            (Command::RoomMessage, r#"["r"]"#, false),
            (Command::RoomMessage, r#"["r",{},1]"#, false),
            (Command::RoomMessage, r#"["r",[]]"#, false),
            (Command::RoomMessage, r#"[1,{}]"#, false),
            (Command::ListOwnSockets, "[]", true),
            (Command::RoomHistoryGet, r#"["r",0,0]"#, false),
        ] {
            assert_eq!(fits(command, &list(args)).is_ok(), good, "{command:?} {args}");
        }
        let buffer = list(r#"[{"type":"Buffer","data":[97]}]"#);
        let args: Vec<Value> = buffer.into_iter().map(Value::with_buffers).collect();
        let call = fits(Command::SystemMessage, &args).unwrap();
        let Call::SystemMessage { data } = call else { panic!("{call:?}") };
        assert_eq!(data.value(), args[0]);
    }
}
