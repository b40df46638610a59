//! The server API as HTTP serves it: which method does what, what its failures are, and what the
//! audit log tells of it.
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, value::RawValue};

use super::{
    super::{
        arguments::Call,
        chat::{By, Chat},
        error::{Error, NAME},
        names,
        value::Value,
    },
    Method,
    channels::Sent,
    execute::Execution,
    fields::Fields,
    read,
};
use crate::domain::{
    json::Object,
    methods::{Audited, Effect, Failure, MethodDoc, Methods, Named},
};

/// What stands before the methods' names.
const PATH: &str = "chat-service";

/// Commands that change a room which belongs to others too, so that they are in the audit log.
const CHANGING: [&str; 5] =
    ["roomAddToList", "roomCreate", "roomDelete", "roomRemoveFromList", "roomSetWhitelistMode"];
/// What is told of a call beside user and room.
const ASKED: [&str; 5] = ["command", "id", "mode", "owner", "size"];

struct ServerApi(Arc<Chat>);

/// The methods of this instance.
pub(in crate::dialect::chat_service) fn methods(chat: Arc<Chat>) -> Arc<dyn Methods> {
    Arc::new(ServerApi(chat))
}

#[async_trait]
impl Methods for ServerApi {
    fn path(&self) -> &'static str {
        PATH
    }

    fn documents(&self) -> Vec<MethodDoc> {
        Method::ALL.iter().map(|method| method.document()).collect()
    }

    fn audited(&self, method: &str, fields: &Object<'_>) -> Option<Audited> {
        audited(Method::find(method)?, fields)
    }

    async fn call(&self, method: &str, fields: &Object<'_>) -> Result<String, Failure> {
        let Some(found) = Method::find(method) else {
            return Err(failure(&Error::NoCommand(method.to_owned()))); // nobody asks for it
        };
        let outcome = match read(found, fields) {
            Ok(values) => call(&self.0, found, Fields::new(values)).await,
            Err(error) => Err(error),
        };
        outcome.map_err(|error| failure(&error))
    }
}

fn failure(error: &Error) -> Failure {
    let named = error.has_code().then(|| {
        let (code, args) = error.code();
        Named { name: NAME, code: code.into_owned(), args: format!("[{}]", args.join(",")) }
    });
    Failure { status: error.status(), detail: error.text(), error: named }
}

const NULL: &str = "null";

fn done(_: ()) -> String {
    NULL.to_owned()
}

fn flag(on: bool) -> String {
    on.to_string()
}

/// Does what is asked. Returns the result, JSON.
async fn call(chat: &Chat, method: Method, mut fields: Fields) -> Result<String, Error> {
    let f = &mut fields;
    match method {
        Method::ExecUserCommand => chat.execute(execution(f)).await,
        Method::AddUser => chat.add_user(&f.text(), f.maybe_object().as_ref()).await.map(done),
        Method::DeleteUser => chat.delete_user(&f.text()).await.map(done),
        Method::HasUser => chat.has_user(&f.text()).await.map(flag),
        Method::UserHasInList => {
            chat.user_has_in_list(&f.text(), &f.text(), f.text()).await.map(flag)
        }
        Method::HasDirectAccess => chat.has_direct_access(&f.text(), f.text()).await.map(flag),
        Method::DisconnectUserSockets => match names::uid(&f.text()) {
            Ok(user) => chat.disconnect_all(&user).await.map(done),
            Err(_) => Ok(done(())), // nobody is called so
        },
        Method::AddRoom => chat.add_room(&f.text(), f.maybe_object().as_ref()).await.map(done),
        Method::DeleteRoom => {
            let by = By { user: None, seat: None, bypass: true, local: true };
            let call = Call::RoomDelete { room: f.text() };
            chat.run(by, call, &mut None).await.map(|answer| answer.json)
        }
        Method::HasRoom => chat.has_room(&f.text()).await.map(flag),
        Method::RoomHasInList => {
            chat.room_has_in_list(&f.text(), &f.text(), f.text()).await.map(flag)
        }
        Method::HasRoomAccess => chat.has_room_access(&f.text(), f.text()).await.map(flag),
        Method::ChangeRoomOwner => {
            chat.change_room_owner(&f.text(), f.maybe_text()).await.map(done)
        }
        Method::ChangeRoomHistoryMaxSize => {
            chat.change_history_max_size(&f.text(), f.number()).await.map(done)
        }
        Method::ChangeAccessListsUpdates => {
            chat.change_access_lists_updates(&f.text(), f.flag()).await.map(done)
        }
        Method::ChangeUserlistUpdates => {
            chat.change_userlist_updates(&f.text(), f.flag()).await.map(done)
        }
        Method::CheckArguments => chat.check_arguments(&f.text(), f.list()).await.map(done),
        Method::GetHandshakeData => chat.handshake_data(&f.text()).await,
        Method::EmitToChannel => {
            let sent = Sent::new(f.text(), &f.text(), f.list(), 1)?;
            chat.send(sent, None).await.map(done)
        }
        Method::SendToChannel => {
            let except = f.text();
            let sent = Sent::new(f.text(), &f.text(), f.list(), 2)?;
            chat.send(sent, Some(&except)).await.map(done)
        }
        Method::ClusterBusEmit => {
            chat.emit_to_bus(&f.text(), &Value::List(f.list())).await.map(done)
        }
        Method::GetInstanceHeartbeat => {
            let at = chat.heartbeat(f.maybe_text().as_deref()).await?;
            Ok(at.map_or_else(|| NULL.to_owned(), |at| at.to_string()))
        }
        Method::GetInstanceSockets => {
            let sockets = chat.instance_sockets(f.maybe_text().as_deref()).await?;
            Ok(Json::from_iter(sockets).to_string())
        }
        Method::UserStateSync => chat.sync_user(&f.text()).await.map(done),
        Method::RoomStateSync => chat.sync_room(&f.text()).await.map(done),
        Method::InstanceRecovery => chat.recover_instance(&f.text()).await.map(done),
        Method::ListRooms => {
            let prefix = f.maybe_text().unwrap_or_default();
            chat.list_rooms(&prefix, f.maybe_text().as_deref(), f.maybe_number()).await
        }
        Method::RoomState => chat.room_state(&f.text(), f.maybe_number()).await,
    }
}

fn execution(fields: &mut Fields) -> Execution {
    Execution {
        command: fields.text(),
        args: fields.list(),
        user: fields.maybe_text(),
        id: fields.maybe_text(),
        bypass_permissions: fields.flag(),
        bypass_hooks: fields.flag(),
    }
}

/// What the audit log tells of a call. Of a command of a user only those that change a room are in
/// it: messages and joins are the daily business of whoever calls this.
fn audited(method: Method, fields: &Object<'_>) -> Option<Audited> {
    let text =
        |key: &str| fields.get(key).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    let asked = ASKED.iter().filter_map(|key| Some((*key, fields.get(key)?.get().to_owned())));
    let mut told =
        Audited { user: text("userName"), room: text("roomName"), asked: asked.collect() };
    match method.document().effect {
        Effect::Reads => None,
        Effect::Changes => Some(told),
        Effect::Publishes => {
            let is_changing = |command: String| CHANGING.contains(&&*command);
            if method != Method::ExecUserCommand || !text("command").is_some_and(is_changing) {
                return None;
            }
            let args: Vec<&RawValue> = serde_json::from_str(fields.get("args")?.get()).ok()?;
            let mut args = args.into_iter();
            // Names of lists and users, and modes: there are no messages among them.
            told.room = args.next().and_then(|raw| serde_json::from_str(raw.get()).ok());
            let rest: Vec<&str> = args.take(2).map(RawValue::get).collect();
            match rest[..] {
                [] => {}
                [mode] => told.asked.push(("mode", mode.to_owned())),
                [list, names, ..] => {
                    told.asked.extend([("list", list.to_owned()), ("names", names.to_owned())])
                }
            }
            Some(told)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(method: Method, body: &str) -> Option<Audited> {
        audited(method, &Object::parse(body).unwrap())
    }

    #[test]
    fn a_failure_has_the_name_of_the_error_unless_a_hook_said_it_in_a_text() {
        let found = failure(&Error::NoRoom("r".into()));
        let named = Named { name: NAME, code: "noRoom".into(), args: r#"["r"]"#.into() };
        assert_eq!((found.status, found.error), (404, Some(named)));
        assert_eq!(found.detail, "ChatServiceError: No such room r");
        let text = failure(&Error::Text("Error: no".into()));
        assert_eq!(text, Failure { status: 400, detail: "Error: no".into(), error: None });
    }

    #[test]
    fn what_changes_others_is_audited_and_no_message_is() {
        let deleted = told(Method::DeleteRoom, r#"{"roomName":"r"}"#).unwrap();
        assert_eq!((deleted.room.as_deref(), deleted.user), (Some("r"), None));
        let owner = told(Method::ChangeRoomOwner, r#"{"roomName":"r","owner":null}"#).unwrap();
        assert_eq!(owner.asked, [("owner", "null".to_owned())]);
        for (method, body) in [
            (Method::HasUser, r#"{"userName":"ann"}"#),
            (Method::ExecUserCommand, r#"{"command":"roomMessage","args":["r",{"x":1}]}"#),
            (Method::ExecUserCommand, r#"{"command":5,"args":[]}"#),
            (Method::ExecUserCommand, r#"{"command":"roomDelete","args":5}"#),
            (Method::EmitToChannel, r#"{"channel":"r","eventName":"e","args":["secret"]}"#),
        ] {
            assert_eq!(told(method, body), None, "{body}");
        }
        let body =
            r#"{"command":"roomAddToList","args":["r","blacklist",["bob"]],"userName":"ann"}"#;
        let added = told(Method::ExecUserCommand, body).unwrap();
        assert_eq!((added.user.as_deref(), added.room.as_deref()), (Some("ann"), Some("r")));
        assert_eq!(
            added.asked,
            [
                ("command", r#""roomAddToList""#.to_owned()),
                ("list", r#""blacklist""#.to_owned()),
                ("names", r#"["bob"]"#.to_owned()),
            ]
        );
    }
}
