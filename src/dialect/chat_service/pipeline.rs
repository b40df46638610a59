//! The way of a command: number of arguments, types, checker, the hook before it, what it does, the
//! hook after it. What fails before the first hook is asked skips both. The hook after it is asked
//! also where what the command does has failed.
use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    arguments::{Call, Given},
    chat::{Answer, By, Chat},
    command::Command,
    error::Error,
    hook::{self, After, Asked, Before, Body, Malformed},
    message::Rule,
    value::Value,
};

/// The checker of a command's message, if it has one.
fn checker(command: Command) -> Option<&'static str> {
    match command {
        Command::RoomMessage => Some("roomMessagesChecker"),
        Command::DirectMessage => Some("directMessagesChecker"),
        _ => None,
    }
}

fn asked<'a>(
    by: By<'a>,
    command: Command,
    args: &'a [String],
    rest: &'a [String],
    data: &'a Value,
) -> Asked<'a> {
    let (user, id) = (by.name(), by.seat.map(|seat| &**seat.id()));
    Asked { command, user, id, bypass: by.bypass, local: by.local, args, rest, data }
}

/// Arguments as hooks are told of them, JSON.
fn shown(arguments: &[&RawValue], attachments: &[Bytes]) -> Vec<String> {
    let read = |raw: &&RawValue| Some(Value::read(raw, attachments)?.json());
    arguments.iter().filter_map(read).collect()
}

fn json(values: Vec<Value>) -> Vec<String> {
    values.iter().map(Value::json).collect()
}

impl Chat {
    /// Does a command, with its hooks or without, and returns what is answered: one result, or
    /// those that a hook put in its place.
    ///
    /// # Errors
    /// Why it is not done, or what a hook says instead.
    pub async fn command(
        &self,
        by: By<'_>,
        command: Command,
        given: Given<'_>,
        hooks: bool,
    ) -> Result<Vec<Answer>, Error> {
        let mut call = self.checked(command, &given).await?;
        let before = format!("{}Before", command.name());
        let after = format!("{}After", command.name());
        let asks = (hooks && self.caller.calls(&before), hooks && self.caller.calls(&after));
        if !asks.0 && !asks.1 {
            return Ok(vec![self.run(by, call, &mut None).await?]);
        }
        // They were looked at before, one by one. As trees they would be large for as long as this
        // takes.
        let (own, rest) = command.divide(&given.arguments)?;
        let (mut args, mut rest) = (shown(own, given.attachments), shown(rest, given.attachments));
        let mut data = Value::Object(Vec::new());
        if asks.0 {
            let body = asked(by, command, &args, &rest, &data).before(&self.options.instance);
            match self.ask(&before, body, Before::read).await? {
                Before::Refused(error) => return Err(error),
                Before::Ended(results) => return Ok(results.iter().map(Answer::value).collect()),
                Before::Go { args: new, rest: more, data: noted } => {
                    if let Some(new) = new {
                        call =
                            hook::fits(command, &new).map_err(|why| self.failed(&before, why))?;
                        args = json(new);
                    }
                    rest = more.map_or(rest, json);
                    data = noted.unwrap_or(data);
                }
            }
        }
        let mut sent = None;
        let outcome = self.run(by, call, &mut sent).await;
        if !asks.1 {
            return outcome.map(|answer| vec![answer]);
        }
        if let (Some(sent), Some(place)) = (sent, args.get_mut(1)) {
            *place = sent.json();
        }
        let told = match &outcome {
            Ok(answer) => match answer.shown() {
                Some(json) => Ok(json.into_owned()),
                None => return Err(self.failed(&after, Malformed)),
            },
            Err(error) => Err(error.clone()),
        };
        let body = asked(by, command, &args, &rest, &data).after(&self.options.instance, &told);
        match self.ask(&after, body, After::read).await? {
            After::Stays => outcome.map(|answer| vec![answer]),
            After::Is(outcome) => {
                outcome.map(|results| results.iter().map(Answer::value).collect())
            }
        }
    }

    /// Looks at what a command is called with: number of arguments, size of its message, types,
    /// checker. Returns the call.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn checked(&self, command: Command, given: &Given<'_>) -> Result<Call, Error> {
        given.fit(command, self.options.max_message)?; // before it takes more memory
        let checker = checker(command).filter(|checker| self.caller.calls(checker));
        let rule = if checker.is_some() { Rule::Free } else { Rule::Strict };
        let read = given.read(command, rule)?;
        if let Some(checker) = checker {
            self.check(checker, given).await?;
        }
        Ok(read)
    }

    /// Asks a checker about the message of a command, its second argument.
    async fn check(&self, checker: &str, given: &Given<'_>) -> Result<(), Error> {
        let raw = given.arguments.get(1);
        let message = raw.and_then(|raw| Value::read(raw, given.attachments));
        let message = message.unwrap_or(Value::Null);
        let body = Body::new(checker, &self.options.instance).value("message", &message).end();
        self.ask_consent(checker, body).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::chat_service::command::Type;

    #[test]
    fn commands_with_messages_have_checkers() {
        for command in Command::ALL {
            let has_message = command.types().contains(&Type::Message);
            assert_eq!(checker(*command).is_some(), has_message, "{command:?}");
        }
    }
}
