//! What clients say.
use std::collections::BTreeMap;

use super::{AuthLevel, CallEvent, DefaultAcsMode, InfoNote, SeqRange};

/// Which of a part is asked for.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct GetOpts {
    #[prost(int64, tag = "1")]
    pub if_modified_since: i64,
    #[prost(string, tag = "2")]
    pub user: String,
    #[prost(string, tag = "3")]
    pub topic: String,
    #[prost(int32, tag = "4")]
    pub since_id: i32,
    #[prost(int32, tag = "5")]
    pub before_id: i32,
    #[prost(int32, tag = "6")]
    pub limit: i32,
    #[prost(message, repeated, tag = "7")]
    pub ranges: Vec<SeqRange>,
}

/// What of a topic is asked for.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct GetQuery {
    #[prost(string, tag = "1")]
    pub what: String,
    #[prost(message, optional, tag = "2")]
    pub desc: Option<GetOpts>,
    #[prost(message, optional, tag = "3")]
    pub sub: Option<GetOpts>,
    #[prost(message, optional, tag = "4")]
    pub data: Option<GetOpts>,
}

/// How a topic is to look.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct SetDesc {
    #[prost(message, optional, tag = "1")]
    pub default_acs: Option<DefaultAcsMode>,
    #[prost(bytes = "vec", tag = "2")]
    pub public: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub private: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub trusted: Vec<u8>,
}

/// The mode that a subscription is to have.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct SetSub {
    #[prost(string, tag = "1")]
    pub user_id: String,
    #[prost(string, tag = "2")]
    pub mode: String,
}

/// A credential.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ClientCred {
    #[prost(string, tag = "1")]
    pub method: String,
    #[prost(string, tag = "2")]
    pub value: String,
    #[prost(string, tag = "3")]
    pub response: String,
    #[prost(btree_map = "string, bytes", tag = "4")]
    pub params: BTreeMap<String, Vec<u8>>,
}

/// What of a topic is to be changed.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct SetQuery {
    #[prost(message, optional, tag = "1")]
    pub desc: Option<SetDesc>,
    #[prost(message, optional, tag = "2")]
    pub sub: Option<SetSub>,
    #[prost(string, repeated, tag = "3")]
    pub tags: Vec<String>,
    #[prost(message, optional, tag = "4")]
    pub cred: Option<ClientCred>,
    #[prost(btree_map = "string, bytes", tag = "5")]
    pub aux: BTreeMap<String, Vec<u8>>,
}

/// The first that a client says.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ClientHi {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub user_agent: String,
    #[prost(string, tag = "3")]
    pub ver: String,
    #[prost(string, tag = "4")]
    pub device_id: String,
    #[prost(string, tag = "5")]
    pub lang: String,
    #[prost(string, tag = "6")]
    pub platform: String,
    #[prost(bool, tag = "7")]
    pub background: bool,
}

/// An account is to be made or changed.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ClientAcc {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub user_id: String,
    #[prost(string, tag = "3")]
    pub scheme: String,
    #[prost(bytes = "vec", tag = "4")]
    pub secret: Vec<u8>,
    #[prost(bool, tag = "5")]
    pub login: bool,
    #[prost(string, repeated, tag = "6")]
    pub tags: Vec<String>,
    #[prost(message, optional, tag = "7")]
    pub desc: Option<SetDesc>,
    #[prost(message, repeated, tag = "8")]
    pub cred: Vec<ClientCred>,
    #[prost(bytes = "vec", tag = "9")]
    pub token: Vec<u8>,
    #[prost(string, tag = "10")]
    pub state: String,
    #[prost(enumeration = "AuthLevel", tag = "11")]
    pub auth_level: i32,
    #[prost(string, tag = "12")]
    pub tmp_scheme: String,
    #[prost(bytes = "vec", tag = "13")]
    pub tmp_secret: Vec<u8>,
}

/// A session is to be signed in.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ClientLogin {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub scheme: String,
    #[prost(bytes = "vec", tag = "3")]
    pub secret: Vec<u8>,
    #[prost(message, repeated, tag = "4")]
    pub cred: Vec<ClientCred>,
}

/// A session is to be attached.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ClientSub {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub topic: String,
    #[prost(message, optional, tag = "3")]
    pub set_query: Option<SetQuery>,
    #[prost(message, optional, tag = "4")]
    pub get_query: Option<GetQuery>,
}

/// A session is to be detached.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ClientLeave {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub topic: String,
    #[prost(bool, tag = "3")]
    pub unsub: bool,
}

/// A message.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ClientPub {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub topic: String,
    #[prost(bool, tag = "3")]
    pub no_echo: bool,
    #[prost(btree_map = "string, bytes", tag = "4")]
    pub head: BTreeMap<String, Vec<u8>>,
    #[prost(bytes = "vec", tag = "5")]
    pub content: Vec<u8>,
}

/// Something of a topic is asked for.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ClientGet {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub topic: String,
    #[prost(message, optional, tag = "3")]
    pub query: Option<GetQuery>,
}

/// Something of a topic is to be changed.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ClientSet {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub topic: String,
    #[prost(message, optional, tag = "3")]
    pub query: Option<SetQuery>,
}

/// What is to be deleted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, prost::Enumeration)]
#[repr(i32)]
pub(in crate::dialect::tinode::grpc) enum DelWhat {
    X0 = 0,
    Msg = 1,
    Topic = 2,
    Sub = 3,
    User = 4,
    Cred = 5,
}

/// Something is to be deleted.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ClientDel {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub topic: String,
    #[prost(enumeration = "DelWhat", tag = "3")]
    pub what: i32,
    #[prost(message, repeated, tag = "4")]
    pub del_seq: Vec<SeqRange>,
    #[prost(string, tag = "5")]
    pub user_id: String,
    #[prost(message, optional, tag = "6")]
    pub cred: Option<ClientCred>,
    #[prost(bool, tag = "7")]
    pub hard: bool,
}

/// A client has read something, or its user types.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ClientNote {
    #[prost(string, tag = "1")]
    pub topic: String,
    #[prost(enumeration = "InfoNote", tag = "2")]
    pub what: i32,
    #[prost(int32, tag = "3")]
    pub seq_id: i32,
    #[prost(int32, tag = "4")]
    pub unread: i32,
    #[prost(enumeration = "CallEvent", tag = "5")]
    pub event: i32,
    #[prost(bytes = "vec", tag = "6")]
    pub payload: Vec<u8>,
}

/// What belongs to a request of any kind.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ClientExtra {
    #[prost(string, repeated, tag = "1")]
    pub attachments: Vec<String>,
    #[prost(string, tag = "2")]
    pub on_behalf_of: String,
    #[prost(enumeration = "AuthLevel", tag = "3")]
    pub auth_level: i32,
}

/// What a client says.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ClientMsg {
    #[prost(oneof = "Said", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub message: Option<Said>,
    #[prost(message, optional, tag = "13")]
    pub extra: Option<ClientExtra>,
}

/// Which verb.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(in crate::dialect::tinode::grpc) enum Said {
    #[prost(message, tag = "1")]
    Hi(ClientHi),
    #[prost(message, tag = "2")]
    Acc(ClientAcc),
    #[prost(message, tag = "3")]
    Login(ClientLogin),
    #[prost(message, tag = "4")]
    Sub(Box<ClientSub>),
    #[prost(message, tag = "5")]
    Leave(ClientLeave),
    #[prost(message, tag = "6")]
    Pub(ClientPub),
    #[prost(message, tag = "7")]
    Get(ClientGet),
    #[prost(message, tag = "8")]
    Set(ClientSet),
    #[prost(message, tag = "9")]
    Del(ClientDel),
    #[prost(message, tag = "10")]
    Note(ClientNote),
}
