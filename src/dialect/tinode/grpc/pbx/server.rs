//! What clients are told.
use std::collections::BTreeMap;

use super::{AccessMode, CallEvent, DefaultAcsMode, InfoNote, SeqRange};

/// An answer.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ServerCtrl {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub topic: String,
    #[prost(int32, tag = "3")]
    pub code: i32,
    #[prost(string, tag = "4")]
    pub text: String,
    #[prost(btree_map = "string, bytes", tag = "5")]
    pub params: BTreeMap<String, Vec<u8>>,
}

/// A message.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ServerData {
    #[prost(string, tag = "1")]
    pub topic: String,
    #[prost(string, tag = "2")]
    pub from_user_id: String,
    #[prost(int64, tag = "3")]
    pub deleted_at: i64,
    #[prost(int32, tag = "4")]
    pub seq_id: i32,
    #[prost(btree_map = "string, bytes", tag = "5")]
    pub head: BTreeMap<String, Vec<u8>>,
    #[prost(bytes = "vec", tag = "6")]
    pub content: Vec<u8>,
    #[prost(int64, tag = "7")]
    pub timestamp: i64,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, prost::Enumeration)]
#[repr(i32)]
pub(in crate::dialect::tinode::grpc) enum PresWhat {
    X3 = 0,
    On = 1,
    Off = 2,
    Ua = 3,
    Upd = 4,
    Gone = 5,
    Acs = 6,
    Term = 7,
    Msg = 8,
    Read = 9,
    Recv = 10,
    Del = 11,
    Tags = 12,
    Aux = 13,
}

/// Something that happened.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ServerPres {
    #[prost(string, tag = "1")]
    pub topic: String,
    #[prost(string, tag = "2")]
    pub src: String,
    #[prost(enumeration = "PresWhat", tag = "3")]
    pub what: i32,
    #[prost(string, tag = "4")]
    pub user_agent: String,
    #[prost(int32, tag = "5")]
    pub seq_id: i32,
    #[prost(int32, tag = "6")]
    pub del_id: i32,
    #[prost(message, repeated, tag = "7")]
    pub del_seq: Vec<SeqRange>,
    #[prost(string, tag = "8")]
    pub target_user_id: String,
    #[prost(string, tag = "9")]
    pub actor_user_id: String,
    #[prost(message, optional, tag = "10")]
    pub acs: Option<AccessMode>,
}

/// A topic's description.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct TopicDesc {
    #[prost(int64, tag = "1")]
    pub created_at: i64,
    #[prost(int64, tag = "2")]
    pub updated_at: i64,
    #[prost(int64, tag = "3")]
    pub touched_at: i64,
    #[prost(message, optional, tag = "4")]
    pub defacs: Option<DefaultAcsMode>,
    #[prost(message, optional, tag = "5")]
    pub acs: Option<AccessMode>,
    #[prost(int32, tag = "6")]
    pub seq_id: i32,
    #[prost(int32, tag = "7")]
    pub read_id: i32,
    #[prost(int32, tag = "8")]
    pub recv_id: i32,
    #[prost(int32, tag = "9")]
    pub del_id: i32,
    #[prost(bytes = "vec", tag = "10")]
    pub public: Vec<u8>,
    #[prost(bytes = "vec", tag = "11")]
    pub private: Vec<u8>,
    #[prost(string, tag = "12")]
    pub state: String,
    #[prost(int64, tag = "13")]
    pub state_at: i64,
    #[prost(bytes = "vec", tag = "14")]
    pub trusted: Vec<u8>,
    #[prost(int64, tag = "15")]
    pub last_seen_time: i64,
    #[prost(string, tag = "16")]
    pub last_seen_user_agent: String,
    #[prost(bool, tag = "17")]
    pub is_chan: bool,
    #[prost(bool, tag = "18")]
    pub online: bool,
}

/// A subscription.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct TopicSub {
    #[prost(int64, tag = "1")]
    pub updated_at: i64,
    #[prost(int64, tag = "2")]
    pub deleted_at: i64,
    #[prost(bool, tag = "3")]
    pub online: bool,
    #[prost(message, optional, tag = "4")]
    pub acs: Option<AccessMode>,
    #[prost(int32, tag = "5")]
    pub read_id: i32,
    #[prost(int32, tag = "6")]
    pub recv_id: i32,
    #[prost(bytes = "vec", tag = "7")]
    pub public: Vec<u8>,
    #[prost(bytes = "vec", tag = "8")]
    pub private: Vec<u8>,
    #[prost(string, tag = "9")]
    pub user_id: String,
    #[prost(string, tag = "10")]
    pub topic: String,
    #[prost(int64, tag = "11")]
    pub touched_at: i64,
    #[prost(int32, tag = "12")]
    pub seq_id: i32,
    #[prost(int32, tag = "13")]
    pub del_id: i32,
    #[prost(int64, tag = "14")]
    pub last_seen_time: i64,
    #[prost(string, tag = "15")]
    pub last_seen_user_agent: String,
    #[prost(bytes = "vec", tag = "16")]
    pub trusted: Vec<u8>,
}

/// Messages that were deleted.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct DelValues {
    #[prost(int32, tag = "1")]
    pub del_id: i32,
    #[prost(message, repeated, tag = "2")]
    pub del_seq: Vec<SeqRange>,
}

/// A credential of one's own.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ServerCred {
    #[prost(string, tag = "1")]
    pub method: String,
    #[prost(string, tag = "2")]
    pub value: String,
    #[prost(bool, tag = "3")]
    pub done: bool,
}

/// A part of what is known of a topic.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ServerMeta {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub topic: String,
    #[prost(message, optional, tag = "3")]
    pub desc: Option<TopicDesc>,
    #[prost(message, repeated, tag = "4")]
    pub sub: Vec<TopicSub>,
    #[prost(message, optional, tag = "5")]
    pub del: Option<DelValues>,
    #[prost(string, repeated, tag = "6")]
    pub tags: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    pub cred: Vec<ServerCred>,
    #[prost(btree_map = "string, bytes", tag = "8")]
    pub aux: BTreeMap<String, Vec<u8>>,
}

/// What another client notes.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ServerInfo {
    #[prost(string, tag = "1")]
    pub topic: String,
    #[prost(string, tag = "2")]
    pub from_user_id: String,
    #[prost(enumeration = "InfoNote", tag = "3")]
    pub what: i32,
    #[prost(int32, tag = "4")]
    pub seq_id: i32,
    #[prost(string, tag = "5")]
    pub src: String,
    #[prost(enumeration = "CallEvent", tag = "6")]
    pub event: i32,
    #[prost(bytes = "vec", tag = "7")]
    pub payload: Vec<u8>,
}

/// What a client is told.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::dialect::tinode::grpc) struct ServerMsg {
    #[prost(oneof = "Told", tags = "1, 2, 3, 4, 5")]
    pub message: Option<Told>,
}

/// Which kind.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(in crate::dialect::tinode::grpc) enum Told {
    #[prost(message, tag = "1")]
    Ctrl(ServerCtrl),
    #[prost(message, tag = "2")]
    Data(ServerData),
    #[prost(message, tag = "3")]
    Pres(ServerPres),
    #[prost(message, tag = "4")]
    Meta(Box<ServerMeta>),
    #[prost(message, tag = "5")]
    Info(ServerInfo),
}
