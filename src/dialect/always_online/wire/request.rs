//! What clients ask for.
use serde_json::value::RawValue;

use crate::domain::{
    ids::{RoomId, Uid},
    json::{self, Object},
    secret::Secret,
};

/// What a client asks for.
pub(in super::super) enum Call {
    /// `None`: the uid is missing, or can't be one.
    Authenticate(Option<Credentials>),
    /// `None`: the room is missing, or can't be one.
    Join(Option<JoinRequest>),
    /// The message as it came.
    Msg(Option<Box<RawValue>>),
    Sync(SyncRequest),
    Leave,
    /// It is no event.
    Malformed,
}

impl Call {
    /// An event's name and first argument. `None`: it has no effect.
    pub fn parse(name: &str, argument: Option<&RawValue>) -> Option<Self> {
        Some(match name {
            "authenticate" => Call::Authenticate(Credentials::parse(argument)),
            "join" => Call::Join(JoinRequest::parse(argument)),
            "msg" => Call::Msg(argument.map(ToOwned::to_owned)),
            "sync" => Call::Sync(SyncRequest::parse(argument)),
            "leave" => Call::Leave,
            _ => return None,
        })
    }
}

/// Who a client says it is.
pub(in super::super) struct Credentials {
    pub uid: Uid,
    pub token: Option<Secret>,
}

impl Credentials {
    fn parse(argument: Option<&RawValue>) -> Option<Self> {
        Self::of(&Object::parse(argument?.get())?)
    }

    /// Those in `auth` of CONNECT. Nothing where there are none; of a uid that can't be one there is
    /// nobody.
    pub fn with_connect(auth: Option<&str>) -> Option<Option<Self>> {
        let object = Object::parse(auth?)?;
        object.get("uid")?;
        Some(Self::of(&object))
    }

    fn of(object: &Object<'_>) -> Option<Self> {
        let uid = json::uid(object.get("uid")?)?;
        let token = object.get("token").and_then(|t| match json::string(t) {
            Some(text) => Some(Secret::presented(text)),
            None => json::number(t).map(|n| Secret::presented(json::number_text(n))),
        });
        Some(Credentials { uid, token })
    }
}

/// The room that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct JoinRequest {
    pub room: RoomId,
    /// To be there unseen, and without sending.
    pub dummy: bool,
}

impl JoinRequest {
    fn parse(argument: Option<&RawValue>) -> Option<Self> {
        let object = Object::parse(argument?.get())?;
        let room = json::room(object.get("roomId")?)?;
        let dummy = object.get("dummy").is_some_and(|d| d.get() == "true");
        Some(JoinRequest { room, dummy })
    }
}

/// The page that a client asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct SyncRequest {
    pub offset: u64,
    /// It asks for the log from its beginning, in so many words: the others are told.
    pub from_start: bool,
    pub gzip: bool,
    /// It wants to know where to resume.
    pub resume: bool,
}

impl SyncRequest {
    pub fn parse(argument: Option<&RawValue>) -> Self {
        let Some(object) = argument.and_then(|a| Object::parse(a.get())) else {
            return SyncRequest::default();
        };
        let offset = object.get("offset");
        SyncRequest {
            offset: offset.map_or(0, json::offset),
            from_start: offset.is_some_and(|o| json::number(o) == Some(0.0) || o.get() == "\"0\""),
            gzip: object.get("encoding").is_some_and(|e| e.get() == "\"gzip\""),
            resume: object.get("resume").is_some_and(|r| r.get() == "true"),
        }
    }
}
