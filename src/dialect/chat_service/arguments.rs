//! What a command was called with: checked, in the order of its arguments, and read once.
use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    command::{Command, Type},
    error::Error,
    message::{Content, Rule},
    value::{self, Unread},
};

/// A call, as far as arguments say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    DirectAddToList { list: String, names: Vec<String> },
    DirectRemoveFromList { list: String, names: Vec<String> },
    DirectGetAccessList { list: String },
    DirectGetWhitelistMode,
    DirectSetWhitelistMode { on: bool },
    DirectMessage { to: String, message: Content },
    ListOwnSockets,
    RoomAddToList { room: String, list: String, names: Vec<String> },
    RoomRemoveFromList { room: String, list: String, names: Vec<String> },
    RoomCreate { room: String, whitelist_only: bool },
    RoomDelete { room: String },
    RoomGetAccessList { room: String, list: String },
    RoomGetOwner { room: String },
    RoomGetWhitelistMode { room: String },
    RoomSetWhitelistMode { room: String, on: bool },
    RoomHistoryGet { room: String, id: u64, limit: u64 },
    RoomRecentHistory { room: String },
    RoomHistoryInfo { room: String },
    RoomJoin { room: String },
    RoomLeave { room: String },
    RoomMessage { room: String, message: Content },
    RoomNotificationsInfo { room: String },
    RoomUserSeen { room: String, user: String },
    SystemMessage { data: Unread },
}

/// An argument of its type.
enum Argument {
    Text(String),
    Flag(bool),
    Names(Vec<String>),
    Message(Content),
    Number(u64),
    Any(Unread),
}

/// What a client, or the server API, gave.
pub(super) struct Given<'a> {
    /// The arguments, JSON.
    pub arguments: Vec<&'a RawValue>,
    /// What stands for placeholders in them.
    pub attachments: &'a [Bytes],
}

impl Given<'_> {
    /// Checks the number of arguments and then, one by one, their types. What was given beyond them
    /// is for hooks, and can be read.
    ///
    /// # Errors
    /// What is wrong with the first that is wrong.
    pub fn read(&self, command: Command, rule: Rule) -> Result<Call, Error> {
        let (own, rest) = command.divide(&self.arguments)?;
        let mut arguments = Vec::with_capacity(own.len());
        for (position, (raw, kind)) in own.iter().zip(command.types()).enumerate() {
            let argument = self.argument(raw, *kind, rule).ok_or_else(|| Error::BadArgument {
                position,
                value: value::shown(raw, self.attachments),
            })?;
            arguments.push(argument);
        }
        if let Some(at) = rest.iter().position(|raw| !value::is_readable(raw)) {
            let value = value::shown(rest[at], self.attachments);
            return Err(Error::BadArgument { position: own.len() + at, value });
        }
        Ok(Taken(arguments.into_iter()).call(command))
    }

    /// Looks whether the message of a command, if it has one, has `most` bytes at most: its JSON,
    /// and all attachments.
    ///
    /// # Errors
    /// It is larger; or there are too few arguments.
    pub fn fit(&self, command: Command, most: usize) -> Result<(), Error> {
        let (own, _) = command.divide(&self.arguments)?;
        let is_message = |kind: &Type| *kind == Type::Message;
        let message = command.types().iter().position(is_message).and_then(|at| own.get(at));
        let Some(message) = message else { return Ok(()) };
        let files: usize = self.attachments.iter().map(Bytes::len).sum();
        if message.get().len().saturating_add(files) > most {
            return Err(Error::MessageTooLarge { most });
        }
        Ok(())
    }

    fn argument(&self, raw: &RawValue, kind: Type, rule: Rule) -> Option<Argument> {
        let json = raw.get();
        Some(match kind {
            Type::Text => Argument::Text(serde_json::from_str(json).ok()?),
            Type::Flag => Argument::Flag(serde_json::from_str(json).ok()?),
            // `null` is no list for serde either.
            Type::Names => Argument::Names(serde_json::from_str(json).ok()?),
            Type::Message => Argument::Message(Content::read(raw, self.attachments, rule)?),
            Type::Number(least) => Argument::Number(number(json, least)?),
            Type::Any => Argument::Any(Unread::new(raw, self.attachments)?),
        })
    }
}

/// A number that is not below `least`. Of a fraction the whole part counts.
fn number(json: &str, least: u64) -> Option<u64> {
    if !json.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return None;
    }
    let number: f64 = json.parse().ok()?;
    (number >= least as f64).then_some(number as u64)
}

/// Arguments that were checked, one after the other.
struct Taken(std::vec::IntoIter<Argument>);

impl Taken {
    fn text(&mut self) -> String {
        match self.0.next() {
            Some(Argument::Text(text)) => text,
            _ => String::new(), // the table has it so
        }
    }

    fn flag(&mut self) -> bool {
        matches!(self.0.next(), Some(Argument::Flag(true)))
    }

    fn names(&mut self) -> Vec<String> {
        match self.0.next() {
            Some(Argument::Names(names)) => names,
            _ => Vec::new(),
        }
    }

    fn message(&mut self) -> Content {
        match self.0.next() {
            Some(Argument::Message(message)) => message,
            _ => Content::default(),
        }
    }

    fn number(&mut self) -> u64 {
        match self.0.next() {
            Some(Argument::Number(number)) => number,
            _ => 0,
        }
    }

    fn any(&mut self) -> Unread {
        match self.0.next() {
            Some(Argument::Any(value)) => value,
            _ => Unread::default(),
        }
    }

    /// The arguments are those that the table of commands says. Fields are read in their order.
    fn call(&mut self, command: Command) -> Call {
        match command {
            Command::DirectAddToList => {
                Call::DirectAddToList { list: self.text(), names: self.names() }
            }
            Command::DirectRemoveFromList => {
                Call::DirectRemoveFromList { list: self.text(), names: self.names() }
            }
            Command::DirectGetAccessList => Call::DirectGetAccessList { list: self.text() },
            Command::DirectGetWhitelistMode => Call::DirectGetWhitelistMode,
            Command::DirectSetWhitelistMode => Call::DirectSetWhitelistMode { on: self.flag() },
            Command::DirectMessage => {
                Call::DirectMessage { to: self.text(), message: self.message() }
            }
            Command::ListOwnSockets => Call::ListOwnSockets,
            Command::RoomAddToList => {
                Call::RoomAddToList { room: self.text(), list: self.text(), names: self.names() }
            }
            Command::RoomRemoveFromList => Call::RoomRemoveFromList {
                room: self.text(),
                list: self.text(),
                names: self.names(),
            },
            Command::RoomCreate => {
                Call::RoomCreate { room: self.text(), whitelist_only: self.flag() }
            }
            Command::RoomDelete => Call::RoomDelete { room: self.text() },
            Command::RoomGetAccessList => {
                Call::RoomGetAccessList { room: self.text(), list: self.text() }
            }
            Command::RoomGetOwner => Call::RoomGetOwner { room: self.text() },
            Command::RoomGetWhitelistMode => Call::RoomGetWhitelistMode { room: self.text() },
            Command::RoomSetWhitelistMode => {
                Call::RoomSetWhitelistMode { room: self.text(), on: self.flag() }
            }
            Command::RoomHistoryGet => {
                Call::RoomHistoryGet { room: self.text(), id: self.number(), limit: self.number() }
            }
            Command::RoomRecentHistory => Call::RoomRecentHistory { room: self.text() },
            Command::RoomHistoryInfo => Call::RoomHistoryInfo { room: self.text() },
            Command::RoomJoin => Call::RoomJoin { room: self.text() },
            Command::RoomLeave => Call::RoomLeave { room: self.text() },
            Command::RoomMessage => {
                Call::RoomMessage { room: self.text(), message: self.message() }
            }
            Command::RoomNotificationsInfo => Call::RoomNotificationsInfo { room: self.text() },
            Command::RoomUserSeen => Call::RoomUserSeen { room: self.text(), user: self.text() },
            Command::SystemMessage => Call::SystemMessage { data: self.any() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FILE: [Bytes; 1] = [Bytes::from_static(b"a")];

    fn read(command: Command, json: &str, rule: Rule) -> Result<Call, Error> {
        let arguments: Vec<&RawValue> = serde_json::from_str(json).unwrap();
        Given { arguments, attachments: &FILE }.read(command, rule)
    }

    fn refused(command: Command, json: &str) -> String {
        read(command, json, Rule::Strict).unwrap_err().text().replace("ChatServiceError: ", "")
    }

    #[test]
    fn wrong_calls_are_answered_as_the_original_does() {
        use Command::*;
        let bad =
            |position, value: &str| format!("Bad argument at position {position}, value {value}");
        for (command, json, error) in [
            (RoomCreate, "[]", "Expected 2 arguments, got 0".to_owned()),
            (RoomCreate, r#"["x"]"#, "Expected 2 arguments, got 1".to_owned()),
            (RoomCreate, "[null,false]", bad(0, "null")),
            (RoomCreate, r#"["x","false"]"#, bad(1, r#""false""#)),
            (RoomCreate, r#"[1,"false"]"#, bad(0, "1")),
            (RoomJoin, "[{}]", bad(0, "{}")),
            (RoomJoin, r#"[ [ "r" ] ]"#, bad(0, r#"["r"]"#)),
            (RoomMessage, r#"["r","text"]"#, bad(1, r#""text""#)),
            (RoomMessage, r#"["r",{}]"#, bad(1, "{}")),
            (RoomMessage, r#"["r",null]"#, bad(1, "null")),
            (RoomMessage, r#"["r",[]]"#, bad(1, "[]")),
            (RoomMessage, r#"["r",{"textMessage":5}]"#, bad(1, r#"{"textMessage":5}"#)),
            (
                RoomMessage,
                r#"["r",{"textMessage":"x","id":5}]"#,
                bad(1, r#"{"textMessage":"x","id":5}"#),
            ),
            (
                RoomMessage,
                r#"["r",{"textMessage":{"_placeholder":true,"num":0}}]"#,
                bad(1, r#"{"textMessage":{"type":"Buffer","data":[97]}}"#),
            ),
            (RoomAddToList, r#"["r","blacklist","bob"]"#, bad(2, r#""bob""#)),
            (RoomAddToList, r#"["r","blacklist",[1]]"#, bad(2, "[1]")),
            (RoomAddToList, r#"["r","blacklist",null]"#, bad(2, "null")),
            (RoomHistoryGet, r#"["r",-1,1]"#, bad(1, "-1")),
            (RoomHistoryGet, r#"["r",0,0]"#, bad(2, "0")),
            (RoomHistoryGet, r#"["r",0,0.5]"#, bad(2, "0.5")),
            (RoomHistoryGet, r#"["r","0",1]"#, bad(1, r#""0""#)),
            (RoomHistoryGet, r#"["r",null,1]"#, bad(1, "null")),
            (RoomSetWhitelistMode, r#"["r",1]"#, bad(1, "1")),
            (RoomUserSeen, r#"["r"]"#, "Expected 2 arguments, got 1".to_owned()),
            (SystemMessage, "[]", "Expected 1 arguments, got 0".to_owned()),
            (DirectMessage, r#"["ann"]"#, "Expected 2 arguments, got 1".to_owned()),
            (DirectSetWhitelistMode, "[null]", bad(0, "null")),
        ] {
            assert_eq!(refused(command, json), error, "{command:?} {json}");
        }
    }

    #[test]
    fn every_type_refuses_every_other() {
        let samples = ["null", "true", "0", "1.5", r#""""#, r#""x""#, "[]", r#"["x"]"#, "{}"];
        let fits = |kind: Type| -> &[&str] {
            match kind {
                Type::Text => &[r#""""#, r#""x""#],
                Type::Flag => &["true"],
                Type::Names => &["[]", r#"["x"]"#],
                Type::Message => &[],
                Type::Number(0) => &["0", "1.5"],
                Type::Number(_) => &["1.5"],
                Type::Any => &samples,
            }
        };
        let good = |kind: Type| match kind {
            Type::Text => r#""x""#,
            Type::Flag => "true",
            Type::Names => "[]",
            Type::Message => r#"{"textMessage":""}"#,
            Type::Number(_) => "1",
            Type::Any => "null",
        };
        for command in Command::ALL {
            for (at, kind) in command.types().iter().enumerate() {
                for sample in samples {
                    let mut given: Vec<&str> = command.types().iter().map(|k| good(*k)).collect();
                    given[at] = sample;
                    let read = read(*command, &format!("[{}]", given.join(",")), Rule::Strict);
                    if fits(*kind).contains(&sample) {
                        assert!(read.is_ok(), "{command:?} {given:?}");
                    } else {
                        let expected = Error::BadArgument { position: at, value: sample.into() };
                        assert_eq!(read.err(), Some(expected), "{command:?} {given:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_call_has_its_arguments_whatever_comes_behind_them() {
        let json = r#"["r","blacklist",["b","a","b"],"more",{"x":1}]"#;
        let call = read(Command::RoomAddToList, json, Rule::Strict).unwrap();
        let text = |text: &str| text.to_owned();
        let names = vec![text("b"), text("a"), text("b")];
        assert_eq!(call, Call::RoomAddToList { room: text("r"), list: text("blacklist"), names });
        let json = r#"["r",3.9,1e30]"#;
        let call = read(Command::RoomHistoryGet, json, Rule::Strict).unwrap();
        assert_eq!(call, Call::RoomHistoryGet { room: text("r"), id: 3, limit: u64::MAX });
    }

    #[test]
    fn a_message_has_so_many_bytes_with_its_attachments() {
        let json = r#"["r",{"textMessage":"é"},"whatever stands behind it"]"#;
        let arguments: Vec<&RawValue> = serde_json::from_str(json).unwrap();
        let given = Given { arguments, attachments: &FILE };
        let bytes = r#"{"textMessage":"é"}"#.len() + 1;
        assert_eq!(given.fit(Command::RoomMessage, bytes), Ok(()));
        let error = given.fit(Command::DirectMessage, bytes - 1);
        assert_eq!(error, Err(Error::MessageTooLarge { most: bytes - 1 }));
        assert_eq!(given.fit(Command::SystemMessage, 0), Ok(()), "it has no message");
        let none = Given { arguments: Vec::new(), attachments: &[] };
        let count = Error::WrongArgumentsCount { expected: 2, got: 0 };
        assert_eq!(none.fit(Command::RoomMessage, 0), Err(count));
    }

    #[test]
    fn what_is_nested_too_deeply_is_a_bad_argument() {
        let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
        let error = read(Command::SystemMessage, &format!("[{deep}]"), Rule::Strict).unwrap_err();
        assert_eq!(error, Error::BadArgument { position: 0, value: deep.clone() });
        let error =
            read(Command::ListOwnSockets, &format!("[1,{deep}]"), Rule::Strict).unwrap_err();
        assert_eq!(error, Error::BadArgument { position: 1, value: deep });
    }
}
