//! What is told where rooms, users and sockets are not as they should be: a line in the log, a
//! count, and the hook of that name.
use super::{
    chat::Chat,
    hook::Body,
    value::{quote, quoted},
};
use crate::{metrics::ChatEvent, throttle::throttled};

/// What was not brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// The rooms that a user's socket is in.
    UserRooms,
    /// Who is in a room.
    RoomUserlist,
    /// The sockets that a user has.
    UserSockets,
    /// What a socket gets.
    TransportChannel,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::UserRooms => "userRooms",
            Operation::RoomUserlist => "roomUserlist",
            Operation::UserSockets => "userSockets",
            Operation::TransportChannel => "transportChannel",
        }
    }
}

/// Whom it concerns, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Concerning<'a> {
    pub user: &'a str,
    pub operation: Option<Operation>,
    pub room: Option<&'a str>,
    /// A socket, as its client knows it.
    pub id: Option<&'a str>,
}

impl Concerning<'_> {
    fn json(&self) -> String {
        let mut json = format!(r#"{{"userName":{}"#, quoted(self.user));
        let fields = [
            ("opType", self.operation.map(Operation::name)),
            ("roomName", self.room),
            ("id", self.id),
        ];
        for (key, value) in fields {
            if let Some(value) = value {
                json.push_str(&format!(",\"{key}\":"));
                quote(&mut json, value);
            }
        }
        json.push('}');
        json
    }
}

impl Chat {
    /// Something is not as it should be. Returns at once: the hook is called by a task.
    pub fn tell_incident(&self, event: ChatEvent, error: &str, about: &Concerning<'_>) {
        let name = event.word();
        let operation = about.operation.map(Operation::name);
        throttled!(warn, event = name, operation, error, "chat-service is not as it should be");
        self.hub.metrics.chat_service.happened(event);
        if !self.caller.calls(name) {
            return;
        }
        let body = Body::new(name, &self.options.instance)
            .text("error", error)
            .json("info", &about.json())
            .end();
        let caller = self.caller.clone();
        self.hub.tasks.spawn(async move {
            let _ = caller.call(name, body).await; // whatever is answered
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_whom_it_concerns() {
        let whole = Concerning {
            user: "ann \"",
            operation: Some(Operation::RoomUserlist),
            room: Some("r"),
            id: Some("/chat-service#X"),
        };
        assert_eq!(
            whole.json(),
            r#"{"userName":"ann \"","opType":"roomUserlist","roomName":"r","id":"/chat-service#X"}"#
        );
        let least = Concerning { user: "ann", operation: None, room: None, id: None };
        assert_eq!(least.json(), r#"{"userName":"ann"}"#);
    }
}
