//! What a command, a login or a method of the server API fails with, in all forms that it is told
//! in: text and object to clients, problem to the server API, description to hooks.
use std::borrow::Cow;

use super::value::quoted;

/// What stands before the text of an error of this protocol.
pub(super) const NAME: &str = "ChatServiceError";

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub(super) enum Error {
    /// An argument is not of its type. `value` is compact JSON.
    BadArgument {
        position: usize,
        value: String,
    },
    /// Something of ours, or of a hook, does not work.
    Internal(String),
    InvalidName(String),
    InvalidSocket(String),
    NoCommand(String),
    /// With the list's name.
    ListLimitExceeded(String),
    /// With the bytes that one may have. The original has no such bound.
    MessageTooLarge {
        most: usize,
    },
    NoList(String),
    NoLogin,
    NoRoom(String),
    NoUser(String),
    NoUserOnline(String),
    /// With the command's name.
    NoSocket(&'static str),
    NotAllowed,
    NotJoined(String),
    RoomExists(String),
    Timeout,
    UserExists(String),
    UserOnline(String),
    WrongArgumentsCount {
        expected: usize,
        got: usize,
    },
    /// A hook said so, by a code, which may be one of the above, and arguments, JSON.
    Coded {
        code: String,
        args: Vec<String>,
    },
    /// A hook said so in a text, which clients get as it is.
    Text(String),
}

/// The codes that have a text of their own. `%s`, `%d` and `%j` stand for the arguments.
const TEXTS: [(&str, &str); 20] = [
    ("badArgument", "Bad argument at position %d, value %j"),
    ("internalError", "%s"),
    ("invalidName", "String %s contains invalid characters"),
    ("invalidSocket", "Socket %s is not connected"),
    ("listLimitExceeded", "Exceeded %s size limit"),
    ("messageTooLarge", "Message is larger than %s bytes"),
    ("noCommand", "No such command %s"),
    ("noList", "No such list %s"),
    ("noLogin", "No login provided"),
    ("noRoom", "No such room %s"),
    ("noSocket", "Command %s requires a valid socket"),
    ("noUser", "No such user %s"),
    ("noUserOnline", "No such user online %s"),
    ("notAllowed", "Action is not allowed"),
    ("notJoined", "Not joined to room %s"),
    ("roomExists", "Room %s already exists"),
    ("timeout", "Server operation timeout"),
    ("userExists", "User %s already exists"),
    ("userOnline", "User %s is online"),
    ("wrongArgumentsCount", "Expected %s arguments, got %s"),
];

impl Error {
    /// The hook of this name failed: that is never consent.
    pub fn hook_failed(hook: &str) -> Self {
        Error::Internal(format!("hook {hook} failed"))
    }

    /// Its code, as clients know it, and its arguments as JSON. Nothing is told by a code of what a
    /// hook said in a text: where a code is needed, that is an internal error with this text.
    pub fn code(&self) -> (Cow<'_, str>, Vec<String>) {
        let known = |code: &'static str, args: &[&str]| {
            (Cow::Borrowed(code), args.iter().map(|arg| quoted(arg)).collect())
        };
        match self {
            Error::BadArgument { position, value } => {
                (Cow::Borrowed("badArgument"), vec![position.to_string(), value.clone()])
            }
            Error::Internal(text) | Error::Text(text) => known("internalError", &[text]),
            Error::InvalidName(name) => known("invalidName", &[name]),
            Error::InvalidSocket(id) => known("invalidSocket", &[id]),
            Error::NoCommand(name) => known("noCommand", &[name]),
            Error::ListLimitExceeded(list) => known("listLimitExceeded", &[list]),
            Error::MessageTooLarge { most } => {
                (Cow::Borrowed("messageTooLarge"), vec![most.to_string()])
            }
            Error::NoList(list) => known("noList", &[list]),
            Error::NoLogin => known("noLogin", &[]),
            Error::NoRoom(room) => known("noRoom", &[room]),
            Error::NoUser(user) => known("noUser", &[user]),
            Error::NoUserOnline(user) => known("noUserOnline", &[user]),
            Error::NoSocket(command) => known("noSocket", &[command]),
            Error::NotAllowed => known("notAllowed", &[]),
            Error::NotJoined(room) => known("notJoined", &[room]),
            Error::RoomExists(room) => known("roomExists", &[room]),
            Error::Timeout => known("timeout", &[]),
            Error::UserExists(user) => known("userExists", &[user]),
            Error::UserOnline(user) => known("userOnline", &[user]),
            Error::WrongArgumentsCount { expected, got } => {
                (Cow::Borrowed("wrongArgumentsCount"), vec![expected.to_string(), got.to_string()])
            }
            Error::Coded { code, args } => (Cow::Borrowed(code.as_str()), args.clone()),
        }
    }

    /// Its text: `ChatServiceError: …`, but for what a hook said in a text.
    pub fn text(&self) -> String {
        if let Error::Text(text) = self {
            return text.clone();
        }
        let (code, args) = self.code();
        let known = TEXTS.iter().find(|(known, _)| *known == code);
        // Arguments of a code that is not known stand nowhere in its text.
        let text = known.map_or_else(|| code.to_string(), |(_, text)| filled(text, &args));
        format!("{NAME}: {text}")
    }

    /// As clients get it, JSON: a string, or where that is configured an object.
    pub fn json(&self, raw: bool) -> String {
        if !raw {
            return quoted(&self.text());
        }
        let (code, args) = self.code();
        format!(r#"{{"name":"{NAME}","code":{},"args":[{}]}}"#, quoted(&code), args.join(","))
    }

    /// As hooks get it, JSON: the object, with the text in it.
    pub fn described(&self) -> String {
        let (code, args) = self.code();
        format!(
            r#"{{"name":"{NAME}","code":{},"args":[{}],"text":{}}}"#,
            quoted(&code),
            args.join(","),
            quoted(&self.text())
        )
    }

    /// Whether it is one of this protocol: its name, code and arguments are told by the server API.
    pub fn has_code(&self) -> bool {
        !matches!(self, Error::Text(_))
    }

    /// The status by which the server API answers it.
    pub fn status(&self) -> u16 {
        match self {
            Error::BadArgument { .. }
            | Error::InvalidName(_)
            | Error::InvalidSocket(_)
            | Error::MessageTooLarge { .. }
            | Error::NoCommand(_)
            | Error::NoList(_)
            | Error::NoSocket(_)
            | Error::WrongArgumentsCount { .. }
            | Error::Text(_) => 400,
            Error::NotAllowed | Error::NotJoined(_) | Error::NoLogin => 403,
            Error::NoRoom(_) | Error::NoUser(_) | Error::NoUserOnline(_) => 404,
            Error::RoomExists(_)
            | Error::UserExists(_)
            | Error::UserOnline(_)
            | Error::ListLimitExceeded(_) => 409,
            Error::Internal(_) => 500,
            Error::Timeout => 503,
            Error::Coded { code, .. } => status_of(code),
        }
    }
}

/// The status of a code that a hook chose.
fn status_of(code: &str) -> u16 {
    match code {
        "notAllowed" | "notJoined" | "noLogin" => 403,
        "noRoom" | "noUser" | "noUserOnline" => 404,
        "roomExists" | "userExists" | "userOnline" | "listLimitExceeded" => 409,
        "internalError" => 500,
        "timeout" => 503,
        _ => 400,
    }
}

/// A text with its arguments, JSON, in their places: a string as it is where `%s` stands. One that
/// is missing leaves its place as it was.
fn filled(text: &str, args: &[String]) -> String {
    let mut filled = String::with_capacity(text.len() + 16);
    let mut args = args.iter();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, place) = rest.split_at(at);
        // Every place is `%` and one letter.
        let (place, behind) = place.split_at(place.len().min(2));
        filled.push_str(before);
        match args.next() {
            None => filled.push_str(place),
            Some(arg) if place == "%j" => filled.push_str(arg),
            Some(arg) => match serde_json::from_str::<String>(arg) {
                Ok(text) => filled.push_str(&text),
                Err(_) => filled.push_str(arg),
            },
        }
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn each_error_has_a_text_an_object_and_a_status() {
        for (error, text, code, args, status) in [
            (
                Error::BadArgument { position: 1, value: r#"{"a":"\"%s"}"#.into() },
                r#"Bad argument at position 1, value {"a":"\"%s"}"#,
                "badArgument",
                r#"[1,{"a":"\"%s"}]"#,
                400,
            ),
            (Error::Internal(name("x")), "x", "internalError", r#"["x"]"#, 500),
            (
                Error::InvalidName(name("")),
                "String  contains invalid characters",
                "invalidName",
                r#"[""]"#,
                400,
            ),
            (
                Error::InvalidSocket(name("/c#1")),
                "Socket /c#1 is not connected",
                "invalidSocket",
                r#"["/c#1"]"#,
                400,
            ),
            (Error::NoCommand(name("x")), "No such command x", "noCommand", r#"["x"]"#, 400),
            (
                Error::ListLimitExceeded(name("blacklist")),
                "Exceeded blacklist size limit",
                "listLimitExceeded",
                r#"["blacklist"]"#,
                409,
            ),
            (
                Error::MessageTooLarge { most: 512_000 },
                "Message is larger than 512000 bytes",
                "messageTooLarge",
                "[512000]",
                400,
            ),
            (Error::NoList(name("x")), "No such list x", "noList", r#"["x"]"#, 400),
            (Error::NoLogin, "No login provided", "noLogin", "[]", 403),
            (Error::NoRoom(name("%s")), "No such room %s", "noRoom", r#"["%s"]"#, 404),
            (Error::NoUser(name("u")), "No such user u", "noUser", r#"["u"]"#, 404),
            (
                Error::NoUserOnline(name("u")),
                "No such user online u",
                "noUserOnline",
                r#"["u"]"#,
                404,
            ),
            (
                Error::NoSocket("roomJoin"),
                "Command roomJoin requires a valid socket",
                "noSocket",
                r#"["roomJoin"]"#,
                400,
            ),
            (Error::NotAllowed, "Action is not allowed", "notAllowed", "[]", 403),
            (Error::NotJoined(name("r")), "Not joined to room r", "notJoined", r#"["r"]"#, 403),
            (Error::RoomExists(name("r")), "Room r already exists", "roomExists", r#"["r"]"#, 409),
            (Error::Timeout, "Server operation timeout", "timeout", "[]", 503),
            (Error::UserExists(name("u")), "User u already exists", "userExists", r#"["u"]"#, 409),
            (Error::UserOnline(name("u")), "User u is online", "userOnline", r#"["u"]"#, 409),
            (
                Error::WrongArgumentsCount { expected: 2, got: 0 },
                "Expected 2 arguments, got 0",
                "wrongArgumentsCount",
                "[2,0]",
                400,
            ),
            (
                Error::Coded { code: name("too late"), args: vec![name("1")] },
                "too late",
                "too late",
                "[1]",
                400,
            ),
        ] {
            let text = format!("ChatServiceError: {text}");
            assert_eq!(error.text(), text);
            assert_eq!(error.json(false), quoted(&text));
            let object = format!(r#"{{"name":"ChatServiceError","code":"{code}","args":{args}}}"#);
            assert_eq!(error.json(true), object);
            assert_eq!((error.status(), error.has_code()), (status, true), "{text}");
            let read: serde_json::Value = serde_json::from_str(&error.described()).unwrap();
            assert_eq!((&read["text"], &read["code"]), (&text.into(), &code.into()));
        }
    }

    #[test]
    fn a_hook_may_say_any_code_and_any_text() {
        let coded = |code: &str, args: &[&str]| Error::Coded {
            code: code.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        };
        for (error, text, status) in [
            (coded("notAllowed", &[]), "ChatServiceError: Action is not allowed", 403),
            (coded("noRoom", &[r#""a""#, "2"]), "ChatServiceError: No such room a", 404),
            (coded("noRoom", &[]), "ChatServiceError: No such room %s", 404),
            (coded("noRoom", &["7"]), "ChatServiceError: No such room 7", 404),
            (coded("internalError", &[r#""down""#]), "ChatServiceError: down", 500),
            (coded("listLimitExceeded", &[]), "ChatServiceError: Exceeded %s size limit", 409),
            (coded("toString", &[]), "ChatServiceError: toString", 400),
        ] {
            assert_eq!((error.text().as_str(), error.status()), (text, status));
        }
        let text = Error::Text("Error: not here".into());
        assert_eq!(text.json(false), r#""Error: not here""#);
        assert_eq!(
            text.json(true),
            r#"{"name":"ChatServiceError","code":"internalError","args":["Error: not here"]}"#
        );
        assert_eq!((text.status(), text.has_code()), (400, false));
    }

    #[test]
    fn every_known_code_has_one_text() {
        for (at, (code, text)) in TEXTS.iter().enumerate() {
            assert!(TEXTS[..at].iter().all(|(other, _)| other != code), "{code}");
            assert!(text.matches('%').count() <= 2 && !text.ends_with('%'), "{text}");
        }
    }
}
