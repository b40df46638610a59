//! Notifications: what clients are told without having asked, as events with their arguments.
use bytes::Bytes;

use super::{
    message,
    value::{Unread, Value},
};

/// A notification. Those that a room's codec makes of the core's own events are among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice<'a> {
    /// To a socket: it is this user's. `data` is an object, to which its id is added.
    LoginConfirmed { user: &'a str, id: &'a str, data: Option<&'a Value> },
    /// To the user's other sockets.
    SocketConnectEcho { id: &'a str, connected: u64 },
    /// To the user's other sockets.
    SocketDisconnectEcho { id: &'a str, connected: u64 },
    /// To the user's other sockets.
    RoomJoinedEcho { room: &'a str, id: &'a str, joined: u64 },
    /// To the user's other sockets.
    RoomLeftEcho { room: &'a str, id: &'a str, joined: u64 },
    /// To a room, and to its newcomer.
    RoomUserJoined { room: &'a str, user: &'a str },
    /// To a room.
    RoomUserLeft { room: &'a str, user: &'a str },
    /// To all sockets of a user.
    RoomAccessRemoved { room: &'a str },
    /// To a room, with the names as they were given.
    RoomAccessListAdded { room: &'a str, list: &'a str, names: &'a [String] },
    /// To a room, with the names as they were given.
    RoomAccessListRemoved { room: &'a str, list: &'a str, names: &'a [String] },
    /// To a room.
    RoomModeChanged { room: &'a str, whitelist_only: bool },
    /// To all sockets of a user.
    DirectMessage { message: &'a Value },
    /// To the sender's other sockets.
    DirectMessageEcho { to: &'a str, message: &'a Value },
    /// To the user's other sockets.
    SystemMessage { data: &'a Unread },
}

const SYSTEM_MESSAGE: &str = "systemMessage";

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn number(number: u64) -> Value {
    Value::number(number)
}

fn list(names: &[String]) -> Value {
    Value::List(names.iter().map(|name| text(name)).collect())
}

impl Notice<'_> {
    /// The event, and its arguments.
    pub fn event(&self) -> (&'static str, Vec<Value>) {
        match *self {
            Notice::LoginConfirmed { user, id, data } => {
                let mut fields = match data {
                    Some(Value::Object(fields)) => fields.clone(),
                    _ => Vec::new(),
                };
                fields.retain(|(key, _)| key != "id");
                fields.push(("id".to_owned(), text(id)));
                ("loginConfirmed", vec![text(user), Value::Object(fields)])
            }
            Notice::SocketConnectEcho { id, connected } => {
                ("socketConnectEcho", vec![text(id), number(connected)])
            }
            Notice::SocketDisconnectEcho { id, connected } => {
                ("socketDisconnectEcho", vec![text(id), number(connected)])
            }
            Notice::RoomJoinedEcho { room, id, joined } => {
                ("roomJoinedEcho", vec![text(room), text(id), number(joined)])
            }
            Notice::RoomLeftEcho { room, id, joined } => {
                ("roomLeftEcho", vec![text(room), text(id), number(joined)])
            }
            Notice::RoomUserJoined { room, user } => {
                ("roomUserJoined", vec![text(room), text(user)])
            }
            Notice::RoomUserLeft { room, user } => ("roomUserLeft", vec![text(room), text(user)]),
            Notice::RoomAccessRemoved { room } => ("roomAccessRemoved", vec![text(room)]),
            Notice::RoomAccessListAdded { room, list: name, names } => {
                ("roomAccessListAdded", vec![text(room), text(name), list(names)])
            }
            Notice::RoomAccessListRemoved { room, list: name, names } => {
                ("roomAccessListRemoved", vec![text(room), text(name), list(names)])
            }
            Notice::RoomModeChanged { room, whitelist_only } => {
                ("roomModeChanged", vec![text(room), Value::Bool(whitelist_only)])
            }
            Notice::DirectMessage { message } => ("directMessage", vec![message.clone()]),
            Notice::DirectMessageEcho { to, message } => {
                ("directMessageEcho", vec![text(to), message.clone()])
            }
            Notice::SystemMessage { data } => (SYSTEM_MESSAGE, vec![data.value()]),
        }
    }

    /// As it goes through a room of the core.
    pub fn body(&self) -> Bytes {
        if let Notice::SystemMessage { data } = self {
            return message::event_of(SYSTEM_MESSAGE, data); // which may be large
        }
        let (name, arguments) = self.event();
        message::event(name, &arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::chat_service::value::tests::value;

    #[test]
    fn notifications_are_as_recorded() {
        let names = ["a", "a"].map(str::to_owned);
        let message = value(r#"{"textMessage":"hi"}"#);
        let data = value(r#"{"level":3,"id":"overwritten"}"#);
        let raw: &serde_json::value::RawValue = serde_json::from_str("[1, null]").unwrap();
        let unread = Unread::new(raw, &[]).unwrap();
        assert_eq!(
            Notice::SystemMessage { data: &unread }.event(),
            ("systemMessage", vec![value("[1,null]")])
        );
        let id = "/chat-service#X";
        for (notice, expected) in [
            (
                Notice::LoginConfirmed { user: "ann", id, data: Some(&data) },
                r#"["loginConfirmed","ann",{"level":3,"id":"/chat-service#X"}]"#,
            ),
            (
                Notice::LoginConfirmed { user: "ann", id: "X", data: None },
                r#"["loginConfirmed","ann",{"id":"X"}]"#,
            ),
            (
                Notice::SocketConnectEcho { id, connected: 2 },
                r#"["socketConnectEcho","/chat-service#X",2]"#,
            ),
            (
                Notice::SocketDisconnectEcho { id, connected: 1 },
                r#"["socketDisconnectEcho","/chat-service#X",1]"#,
            ),
            (
                Notice::RoomJoinedEcho { room: "r", id, joined: 1 },
                r#"["roomJoinedEcho","r","/chat-service#X",1]"#,
            ),
            (
                Notice::RoomLeftEcho { room: "r", id, joined: 0 },
                r#"["roomLeftEcho","r","/chat-service#X",0]"#,
            ),
            (Notice::RoomUserJoined { room: "r", user: "é\"" }, r#"["roomUserJoined","r","é\""]"#),
            (Notice::RoomUserLeft { room: "r", user: "u" }, r#"["roomUserLeft","r","u"]"#),
            (Notice::RoomAccessRemoved { room: "r" }, r#"["roomAccessRemoved","r"]"#),
            (
                Notice::RoomAccessListAdded { room: "r", list: "whitelist", names: &names },
                r#"["roomAccessListAdded","r","whitelist",["a","a"]]"#,
            ),
            (
                Notice::RoomAccessListRemoved { room: "r", list: "whitelist", names: &[] },
                r#"["roomAccessListRemoved","r","whitelist",[]]"#,
            ),
            (
                Notice::RoomModeChanged { room: "r", whitelist_only: true },
                r#"["roomModeChanged","r",true]"#,
            ),
            (
                Notice::DirectMessage { message: &message },
                r#"["directMessage",{"textMessage":"hi"}]"#,
            ),
            (
                Notice::DirectMessageEcho { to: "bob", message: &message },
                r#"["directMessageEcho","bob",{"textMessage":"hi"}]"#,
            ),
            (Notice::SystemMessage { data: &unread }, r#"["systemMessage",[1, null]]"#),
        ] {
            assert_eq!(std::str::from_utf8(&notice.body()).unwrap(), expected);
        }
    }
}
