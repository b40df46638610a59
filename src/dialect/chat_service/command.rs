//! The commands: their names, and what each takes.
use serde_json::value::RawValue;

use super::error::Error;

/// What an argument has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// Any text, the empty one too.
    Text,
    /// `true` or `false`.
    Flag,
    /// A list of texts, the empty one too.
    Names,
    /// A message; a checker, where there is one, says more of it.
    Message,
    /// A number that is not below this.
    Number(u64),
    /// Anything.
    Any,
}

/// Declares the commands: `Name = "name"(types);`
macro_rules! commands {
    ($($name:ident = $text:literal($($type:expr),*);)+) => {
        /// A command.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Command {
            $($name,)+
        }

        impl Command {
            /// All of them, in the order of the documents.
            pub const ALL: &[Command] = &[$(Command::$name),+];

            /// As clients call it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Command::$name => $text,)+
                }
            }

            /// What it takes.
            pub fn types(self) -> &'static [Type] {
                match self {
                    $(Command::$name => &[$($type),*],)+
                }
            }
        }
    };
}

use Type::{Any, Flag, Message, Names, Number, Text};

commands! {
    DirectAddToList = "directAddToList"(Text, Names);
    DirectRemoveFromList = "directRemoveFromList"(Text, Names);
    DirectGetAccessList = "directGetAccessList"(Text);
    DirectGetWhitelistMode = "directGetWhitelistMode"();
    DirectSetWhitelistMode = "directSetWhitelistMode"(Flag);
    DirectMessage = "directMessage"(Text, Message);
    ListOwnSockets = "listOwnSockets"();
    RoomAddToList = "roomAddToList"(Text, Text, Names);
    RoomRemoveFromList = "roomRemoveFromList"(Text, Text, Names);
    RoomCreate = "roomCreate"(Text, Flag);
    RoomDelete = "roomDelete"(Text);
    RoomGetAccessList = "roomGetAccessList"(Text, Text);
    RoomGetOwner = "roomGetOwner"(Text);
    RoomGetWhitelistMode = "roomGetWhitelistMode"(Text);
    RoomSetWhitelistMode = "roomSetWhitelistMode"(Text, Flag);
    RoomHistoryGet = "roomHistoryGet"(Text, Number(0), Number(1));
    RoomRecentHistory = "roomRecentHistory"(Text);
    RoomHistoryInfo = "roomHistoryInfo"(Text);
    RoomJoin = "roomJoin"(Text);
    RoomLeave = "roomLeave"(Text);
    RoomMessage = "roomMessage"(Text, Message);
    RoomNotificationsInfo = "roomNotificationsInfo"(Text);
    RoomUserSeen = "roomUserSeen"(Text, Text);
    SystemMessage = "systemMessage"(Any);
}

/// Who the caller of a command is, as far as that decides whether it can be called at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller {
    /// A user acts.
    pub user: bool,
    /// By this socket.
    pub socket: bool,
}

impl Command {
    /// The command of this name.
    pub fn find(name: &str) -> Option<Self> {
        Command::ALL.iter().copied().find(|command| command.name() == name)
    }

    /// Whether it joins or leaves a room: one socket does that.
    pub fn needs_socket(self) -> bool {
        matches!(self, Command::RoomJoin | Command::RoomLeave)
    }

    /// Whether it is about a user's own affairs.
    pub fn needs_user(self) -> bool {
        matches!(
            self,
            Command::DirectAddToList
                | Command::DirectRemoveFromList
                | Command::DirectGetAccessList
                | Command::DirectGetWhitelistMode
                | Command::DirectSetWhitelistMode
                | Command::ListOwnSockets
                | Command::SystemMessage
                | Command::RoomJoin
                | Command::RoomLeave
        )
    }

    /// Whether who called it by the server API can call it. That the user is there, and the socket
    /// is the user's, is looked at behind this.
    ///
    /// # Errors
    /// It can't.
    pub fn may_be_called(self, by: Caller) -> Result<(), Error> {
        if self.needs_socket() && !by.socket {
            return Err(Error::NoSocket(self.name()));
        }
        if self.needs_user() && !by.user {
            return Err(Error::NoLogin);
        }
        Ok(())
    }

    /// Divides what was given into arguments of the command and others, which are for hooks.
    ///
    /// # Errors
    /// There are too few.
    pub fn divide<T>(self, given: &[T]) -> Result<(&[T], &[T]), Error> {
        let expected = self.types().len();
        given
            .split_at_checked(expected)
            .ok_or(Error::WrongArgumentsCount { expected, got: given.len() })
    }
}

/// The event of a client: its name, and arguments. `None`: it is none, or a name that socket.io
/// keeps for itself, or nobody's; nothing is answered.
pub(super) fn called<'a>(elements: &[&'a RawValue]) -> Option<(Command, Vec<&'a RawValue>)> {
    let (name, arguments) = elements.split_first()?;
    let name: String = serde_json::from_str(name.get()).ok()?;
    Some((Command::find(&name)?, arguments.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_24_commands_each_with_a_name_of_its_own() {
        assert_eq!(Command::ALL.len(), 24);
        for command in Command::ALL {
            assert_eq!(Command::find(command.name()), Some(*command));
            assert!(!super::super::names::is_reserved(command.name()));
        }
        for unknown in ["", "roomShout", "disconnect", "error", "RoomJoin", "roomJoin "] {
            assert_eq!(Command::find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn arguments_beyond_its_own_are_for_hooks() {
        let wrong = |expected, got| Err(Error::WrongArgumentsCount { expected, got });
        let none: &[u8] = &[];
        for (command, given, divided) in [
            (Command::ListOwnSockets, none, Ok((none, none))),
            (Command::ListOwnSockets, &[1, 2][..], Ok((none, &[1, 2][..]))),
            (Command::RoomCreate, none, wrong(2, 0)),
            (Command::RoomCreate, &[1][..], wrong(2, 1)),
            (Command::RoomCreate, &[1, 2][..], Ok((&[1, 2][..], none))),
            (Command::RoomCreate, &[1, 2, 3][..], Ok((&[1, 2][..], &[3][..]))),
            (Command::RoomHistoryGet, &[1, 2][..], wrong(3, 2)),
            (Command::SystemMessage, none, wrong(1, 0)),
        ] {
            assert_eq!(command.divide(given), divided, "{command:?} {given:?}");
        }
    }

    #[test]
    fn who_may_call_what_by_the_server_api() {
        let nobody = Caller { user: false, socket: false };
        let user = Caller { user: true, socket: false };
        let socket = Caller { user: true, socket: true };
        for command in Command::ALL.iter().copied() {
            assert_eq!(command.may_be_called(socket), Ok(()));
            let as_user = match command {
                Command::RoomJoin | Command::RoomLeave => Err(Error::NoSocket(command.name())),
                _ => Ok(()),
            };
            assert_eq!(command.may_be_called(user), as_user, "{command:?}");
            let is_own = command.name().starts_with("direct") && command != Command::DirectMessage
                || matches!(command, Command::SystemMessage | Command::ListOwnSockets);
            let as_nobody = if is_own { Err(Error::NoLogin) } else { as_user };
            assert_eq!(command.may_be_called(nobody), as_nobody, "{command:?}");
        }
    }

    #[test]
    fn an_event_that_is_no_command_is_nobodys() {
        let event =
            |json: &'static str| -> Vec<&'static RawValue> { serde_json::from_str(json).unwrap() };
        let called = |json| called(&event(json)).map(|(command, given)| (command, given.len()));
        assert_eq!(called(r#"["roomJoin","r",1]"#), Some((Command::RoomJoin, 2)));
        assert_eq!(called(r#"["room\u004aoin"]"#), Some((Command::RoomJoin, 0)));
        for json in ["[]", "[1]", "[null]", r#"[["roomJoin"]]"#, r#"["disconnect"]"#] {
            assert_eq!(called(json), None, "{json}");
        }
    }
}
