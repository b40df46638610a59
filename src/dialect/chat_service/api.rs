//! The methods of the server API: their names, the fields of their bodies, and what the documents
//! say of them. Routes, credentials and problems are HTTP's, which sees to it that no field is
//! missing and none is there that is not in this table.
//!
//! A value of a wrong type is a bad argument, whose position is the field's place in the table.
//!
//! `execute` does commands for somebody, `users` and `rooms` are about those, `channels` sends
//! events, `instances` is about nodes, `console` lists what there is. `serve` puts them together.
use serde_json::value::RawValue;

use super::{
    error::Error,
    list::Names,
    value::{self, Value},
};
use crate::domain::{
    json,
    methods::{Effect, FieldDoc, MethodDoc, Values},
};

mod channels;
mod console;
mod execute;
mod fields;
mod instances;
mod rooms;
mod serve;
mod users;

pub(super) use serve::methods;

const NEEDED: bool = true;
const OPTIONAL: bool = false;

/// A number without a bound.
const SIZE: Values = Values::Number { least: 0, most: None };

/// Declares the methods: `Name = "name", what it does to others, "summary", "about", what `result`
/// is, and what that means; { "field": type, need, "what it means"; }`
macro_rules! methods {
    ($(
        $name:ident = $text:literal, $effect:ident, $summary:literal, $about:literal,
        $result:ident, $gives:literal;
        { $($field:literal: $values:expr, $need:ident, $means:literal;)* }
    )+) => {
        /// A method.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Method {
            $($name,)+
        }

        impl Method {
            /// All of them, in the order of the documents.
            pub const ALL: &[Method] = &[$(Method::$name),+];

            /// Its name in the path.
            pub fn name(self) -> &'static str {
                match self {
                    $(Method::$name => $text,)+
                }
            }

            /// The fields of its body.
            pub fn fields(self) -> &'static [FieldDoc] {
                match self {
                    $(Method::$name => &[$(FieldDoc {
                        name: $field,
                        values: $values,
                        required: $need,
                        about: $means,
                    }),*],)+
                }
            }

            /// What the documents say of it.
            pub fn document(self) -> MethodDoc {
                match self {
                    $(Method::$name => MethodDoc {
                        name: $text,
                        summary: $summary,
                        about: $about,
                        effect: Effect::$effect,
                        fields: self.fields().to_vec(),
                        result: Values::$result,
                        gives: $gives,
                    },)+
                }
            }
        }
    };
}

use Values::{Flag, List, Object, Text, TextOrNull};

methods! {
    ExecUserCommand = "execUserCommand", Publishes,
        "Do a command for a user, or for nobody",
        "The commands are those of clients. Without `userName` nobody acts: messages get no \
         author, nobody is told by an echo, and rooms are read with `bypassPermissions` only.",
        Object, "`results`: the data, and what hooks add.";
    {
        "command": Text, NEEDED, "The command's name.";
        "args": List, NEEDED, "What it takes; those beyond its own are for hooks.";
        "userName": Text, OPTIONAL, "Who acts.";
        "id": Text, OPTIONAL,
            "By which of the user's sockets: `roomJoin` and `roomLeave` need it. That socket is \
             told by no echo.";
        "bypassPermissions": Flag, OPTIONAL,
            "Whether permissions do not count. It does not help `roomJoin`.";
        "bypassHooks": Flag, OPTIONAL,
            "Whether the hooks before and after the command are not asked.";
    }
    AddUser = "addUser", Changes, "Make a user", "Others are made when they first sign in.",
        Nothing, "Nothing.";
    {
        "userName": Text, NEEDED, "The user.";
        "state": Object, OPTIONAL,
            "`whitelist` and `blacklist`, arrays of names, and `whitelistOnly`: from whom the user \
             takes direct messages.";
    }
    DeleteUser = "deleteUser", Changes, "Delete a user who is offline", "",
        Nothing, "Nothing.";
    { "userName": Text, NEEDED, "The user."; }
    HasUser = "hasUser", Reads, "See whether there is a user", "",
        Flag, "Whether there is.";
    { "userName": Text, NEEDED, "The user."; }
    UserHasInList = "userHasInList", Reads, "See whether a name is on a user's list", "",
        Flag, "Whether it is.";
    {
        "userName": Text, NEEDED, "The user.";
        "listName": Text, NEEDED, "`whitelist` or `blacklist`.";
        "item": Text, NEEDED, "The name.";
    }
    HasDirectAccess = "hasDirectAccess", Reads,
        "See whether a user takes direct messages from somebody", "",
        Flag, "Whether that is so; `false` also where there is no such recipient.";
    {
        "recipient": Text, NEEDED, "Who would get them.";
        "sender": Text, NEEDED, "Who would send them.";
    }
    DisconnectUserSockets = "disconnectUserSockets", Changes,
        "Disconnect a user's sockets, on all nodes",
        "Their clients do not come back by themselves, but may connect again. The answer does not wait until they are gone.",
        Nothing, "Nothing.";
    { "userName": Text, NEEDED, "The user."; }
    AddRoom = "addRoom", Changes, "Make a room", "",
        Nothing, "Nothing.";
    {
        "roomName": Text, NEEDED, "The room.";
        "state": Object, OPTIONAL,
            "`whitelist`, `blacklist` and `adminlist`, arrays of names; `whitelistOnly`, `owner`, \
             `historyMaxSize`, `enableAccessListsUpdates`, `enableUserlistUpdates`.";
    }
    DeleteRoom = "deleteRoom", Changes, "Delete a room, with all who are in it taken out", "",
        Nothing, "Nothing.";
    { "roomName": Text, NEEDED, "The room."; }
    HasRoom = "hasRoom", Reads, "See whether there is a room", "",
        Flag, "Whether there is.";
    { "roomName": Text, NEEDED, "The room."; }
    RoomHasInList = "roomHasInList", Reads, "See whether a name is on a room's list", "",
        Flag, "Whether it is.";
    {
        "roomName": Text, NEEDED, "The room.";
        "listName": Text, NEEDED, "`whitelist`, `blacklist`, `adminlist` or `userlist`.";
        "item": Text, NEEDED, "The name.";
    }
    HasRoomAccess = "hasRoomAccess", Reads, "See whether somebody may join a room", "",
        Flag, "Whether that is so; `false` also where there is no such room.";
    {
        "roomName": Text, NEEDED, "The room.";
        "userName": Text, NEEDED, "Who would join it.";
    }
    ChangeRoomOwner = "changeRoomOwner", Changes, "Give a room to somebody, or to nobody", "",
        Nothing, "Nothing.";
    {
        "roomName": Text, NEEDED, "The room.";
        "owner": TextOrNull, NEEDED, "Whose it is to be; `null`: nobody's.";
    }
    ChangeRoomHistoryMaxSize = "changeRoomHistoryMaxSize", Changes,
        "Say how many messages a room keeps",
        "What it has beyond that is deleted at once.",
        Nothing, "Nothing.";
    {
        "roomName": Text, NEEDED, "The room.";
        "size": SIZE, NEEDED, "Messages.";
    }
    ChangeAccessListsUpdates = "changeAccessListsUpdates", Changes,
        "Say whether a room is told of changes of its lists and mode", "",
        Nothing, "Nothing.";
    {
        "roomName": Text, NEEDED, "The room.";
        "mode": Flag, NEEDED, "Whether it is.";
    }
    ChangeUserlistUpdates = "changeUserlistUpdates", Changes,
        "Say whether a room is told who comes and goes", "",
        Nothing, "Nothing.";
    {
        "roomName": Text, NEEDED, "The room.";
        "mode": Flag, NEEDED, "Whether it is.";
    }
    CheckArguments = "checkArguments", Reads, "See whether a command would take its arguments",
        "The hook that checks messages is asked, too.",
        Nothing, "Nothing.";
    {
        "command": Text, NEEDED, "The command's name.";
        "args": List, NEEDED, "What it would be called with.";
    }
    // Who may only read is not to see tokens.
    GetHandshakeData = "getHandshakeData", Changes, "See what a socket said when it connected",
        "Its token may be in it: administrators who only read may not ask, and it is noted in the audit log.",
        Object, "`isConnected`, `query`, `headers`, `auth`; empty where it is not connected.";
    { "id": Text, NEEDED, "The socket's id."; }
    EmitToChannel = "emitToChannel", Publishes, "Send an event to a room or a user",
        "A channel that is not there is no error.",
        Nothing, "Nothing.";
    {
        "channel": Text, NEEDED,
            "A room's name: all sockets in it; or `echo:USER`: all sockets of the user.";
        "eventName": Text, NEEDED, "The event; not one that socket.io keeps for itself.";
        "args": List, NEEDED, "Its arguments.";
    }
    SendToChannel = "sendToChannel", Publishes, "Send an event to all of a channel but one socket",
        "A channel or a socket that is not there is no error.",
        Nothing, "Nothing.";
    {
        "id": Text, NEEDED, "The socket that does not get it.";
        "channel": Text, NEEDED,
            "A room's name: all sockets in it; or `echo:USER`: all sockets of the user.";
        "eventName": Text, NEEDED, "The event; not one that socket.io keeps for itself.";
        "args": List, NEEDED, "Its arguments.";
    }
    ClusterBusEmit = "clusterBusEmit", Publishes, "Call the hook clusterBus on every instance", "",
        Nothing, "Nothing.";
    {
        "event": Text, NEEDED, "What the hooks are told.";
        "args": List, NEEDED, "What they are told besides.";
    }
    GetInstanceHeartbeat = "getInstanceHeartbeat", Reads, "See when an instance was last alive", "",
        NumberOrNull, "Milliseconds since 1970; `null` where it is not known.";
    { "id": Text, OPTIONAL, "The instance; without it, the one that answers."; }
    GetInstanceSockets = "getInstanceSockets", Reads, "See the sockets of an instance", "",
        Object, "The user of each, by its id.";
    { "id": Text, OPTIONAL, "The instance; without it, the one that answers."; }
    UserStateSync = "userStateSync", Changes, "Put a user's state in order",
        "Sockets of the instance that answers are forgotten if they are gone, and the user leaves \
         rooms that are no more.",
        Nothing, "Nothing.";
    { "userName": Text, NEEDED, "The user."; }
    RoomStateSync = "roomStateSync", Changes, "Put a room's state in order",
        "Who may not be there is taken out.",
        Nothing, "Nothing.";
    { "roomName": Text, NEEDED, "The room."; }
    InstanceRecovery = "instanceRecovery", Changes,
        "Remove the sockets of an instance",
        "One that is alive drops its clients, and they come back. Nothing is done where it is not known, or was recovered already.",
        Nothing, "Nothing.";
    { "id": Text, NEEDED, "The instance."; }
    ListRooms = "listRooms", Reads, "List the rooms", "By name, page by page.",
        Object,
        "`rooms`: of each `roomName`, `owner`, `whitelistOnly`, and how many names are on its \
         `adminlist`, `whitelist` and `blacklist`, and how many users are its `members`. `next`: \
         where the next page begins, or `null`.";
    {
        "prefix": Text, OPTIONAL, "What their names begin with.";
        "after": Text, OPTIONAL, "The name that they come after: `next` of the page before.";
        "limit": console::ROOMS, OPTIONAL, "How many; 100 without it.";
    }
    RoomState = "roomState", Reads, "See what there is to know of a room", "",
        Object,
        "`roomName`, `owner`, `whitelistOnly`, `historyMaxSize`, `historySize`, `lastMessageId`, \
         `enableAccessListsUpdates`, `enableUserlistUpdates`; and `adminlist`, `whitelist`, \
         `blacklist`, `userlist`, each with its `size` and the first of its `names`.";
    {
        "roomName": Text, NEEDED, "The room.";
        "limit": console::NAMES, OPTIONAL, "How many names of each list; 200 without it.";
    }
}

impl Method {
    /// The method of this name.
    pub fn find(name: &str) -> Option<Self> {
        Method::ALL.iter().copied().find(|method| method.name() == name)
    }
}

/// The values of a body, in the order of the table; `None` where one was left out, or is `null`
/// instead. Bytes are bytes.
///
/// # Errors
/// One is of a wrong type.
pub(super) fn read(method: Method, body: &json::Object<'_>) -> Result<Vec<Option<Value>>, Error> {
    let fields = method.fields().iter().enumerate();
    let value = |(position, field): (usize, &FieldDoc)| match body.get(field.name) {
        Some(raw) if !field.required && raw.get() == "null" => Ok(None),
        Some(raw) => {
            let typed = typed(field.values, raw);
            typed.map(Some).ok_or_else(|| bad(position, value::shown(raw, &[])))
        }
        None if field.required => Err(bad(position, "null".to_owned())),
        None => Ok(None),
    };
    fields.map(value).collect()
}

/// The value at this position, JSON, can't be.
fn bad(position: usize, value: String) -> Error {
    Error::BadArgument { position, value }
}

fn typed(values: Values, raw: &RawValue) -> Option<Value> {
    let value = Value::read_own(raw, &[])?.with_buffers();
    let fits = match (values, &value) {
        (Values::Text | Values::TextOrNull, Value::Text(_)) => true,
        (Values::TextOrNull | Values::NumberOrNull | Values::Nothing, Value::Null) => true,
        (Values::Flag, Value::Bool(_)) => true,
        (Values::Number { least, most }, Value::Number(number)) => number
            .whole()
            .is_some_and(|number| number >= least && most.is_none_or(|most| number <= most)),
        (Values::NumberOrNull, Value::Number(_)) => true,
        (Values::List, Value::List(_)) | (Values::Object, Value::Object(_)) => true,
        (
            Values::Nothing
            | Values::Text
            | Values::TextOrNull
            | Values::Flag
            | Values::Number { .. }
            | Values::NumberOrNull
            | Values::List
            | Values::Object,
            _,
        ) => false,
    };
    fits.then_some(value)
}

#[cfg(test)]
mod tests;
