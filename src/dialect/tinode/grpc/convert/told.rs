//! What clients of gRPC are told.
use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use serde_json::value::RawValue;

use super::super::{
    super::{
        message::{
            CredShown, Ctrl, Data, Desc, Happened, Info, Message, Meta, Noted, Part, Pres, Range,
            Raw, Row, Seen, ShownAcs, Ts,
        },
        mode::{Acs, Dacs, Defacs},
    },
    pbx::{self, ServerMsg, Told},
    pieces::PREFIX,
};
use crate::domain::json::Object;

/// JSON texts by their names.
type Fields = BTreeMap<String, Vec<u8>>;

/// A message with its prefix. Nothing in it says when it is told.
pub(in super::super::super) fn message(m: &Message<'_>, _: Ts) -> Bytes {
    let told = match m {
        Message::Ctrl(said) => Told::Ctrl(ctrl(said)),
        Message::Meta(said) => Told::Meta(Box::new(meta(said))),
        Message::Data(said) => Told::Data(data(said)),
        Message::Pres(said) => Told::Pres(pres(said)),
        Message::Info(said) => Told::Info(info(said)),
    };
    let told = ServerMsg { message: Some(told) };
    let length = told.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0); // not compressed
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX)); // all that is kept is far smaller
    // It grows as it has to.
    let _ = told.encode(&mut frame);
    frame.freeze()
}

/// Numbers of messages, and of deletions, as far as these fields reach.
fn number(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn time(at: Option<Ts>) -> i64 {
    at.map_or(0, |Ts(at)| i64::try_from(at).unwrap_or(i64::MAX))
}

fn bytes(raw: Option<&RawValue>) -> Vec<u8> {
    raw.map(RawValue::get).filter(|json| *json != "null").unwrap_or_default().into()
}

fn ranges(ranges: &[Range]) -> Vec<pbx::SeqRange> {
    // Of one message the end is not told, as in JSON.
    let hi = |of: &Range| if of.hi == of.low.saturating_add(1) { 0 } else { number(of.hi) };
    ranges.iter().map(|of| pbx::SeqRange { low: number(of.low), hi: hi(of) }).collect()
}

fn acs(shown: Option<ShownAcs>) -> Option<pbx::AccessMode> {
    match shown? {
        ShownAcs::All(Acs { want, given }) => {
            Some(pbx::AccessMode { want: want.to_string(), given: given.to_string() })
        }
        ShownAcs::Mode(_) => None, // there is no field for it
    }
}

fn ctrl(said: &Ctrl<'_>) -> pbx::ServerCtrl {
    let params = said.params.iter();
    pbx::ServerCtrl {
        id: said.id.to_owned(),
        topic: said.topic.to_owned(),
        code: said.code.number().into(),
        text: said.code.text().to_owned(),
        params: params.map(|(name, json)| ((*name).to_owned(), json.as_bytes().into())).collect(),
    }
}

fn data(said: &Data<'_>) -> pbx::ServerData {
    let head = said.head.and_then(|head| Object::parse(head.get())).unwrap_or_default();
    let field = |(name, value): (&str, &RawValue)| (name.to_owned(), value.get().into());
    pbx::ServerData {
        topic: said.topic.to_owned(),
        from_user_id: said.from.map(|from| from.to_string()).unwrap_or_default(),
        deleted_at: 0,
        seq_id: number(said.seq),
        head: head.iter().map(field).collect::<Fields>(),
        content: bytes(Some(said.content)),
        timestamp: time(Some(said.ts)),
    }
}

fn pres(said: &Pres<'_>) -> pbx::ServerPres {
    let what = match said.what {
        Happened::On => pbx::PresWhat::On,
        Happened::Off => pbx::PresWhat::Off,
        Happened::Upd => pbx::PresWhat::Upd,
        Happened::Gone => pbx::PresWhat::Gone,
        Happened::Acs => pbx::PresWhat::Acs,
        Happened::Msg => pbx::PresWhat::Msg,
        Happened::Del => pbx::PresWhat::Del,
    };
    let dacs = |Dacs { want, given }: &Dacs| pbx::AccessMode {
        want: want.clone().unwrap_or_default(),
        given: given.clone().unwrap_or_default(),
    };
    pbx::ServerPres {
        topic: said.topic.to_owned(),
        src: said.src.to_owned(),
        what: what.into(),
        user_agent: said.ua.to_owned(),
        seq_id: number(said.seq),
        del_id: number(said.clear),
        del_seq: ranges(said.ranges),
        target_user_id: String::new(),
        actor_user_id: said.act.map(|act| act.to_string()).unwrap_or_default(),
        acs: said.dacs.map(dacs),
    }
}

fn info(said: &Info<'_>) -> pbx::ServerInfo {
    let what = match said.what {
        Noted::Read => pbx::InfoNote::Read,
        Noted::Recv => pbx::InfoNote::Recv,
        // What is recorded is not told apart here.
        Noted::Kp | Noted::Kpa | Noted::Kpv => pbx::InfoNote::Kp,
    };
    pbx::ServerInfo {
        topic: said.topic.to_owned(),
        from_user_id: said.from.to_string(),
        what: what.into(),
        seq_id: number(said.seq),
        src: said.src.to_owned(),
        event: 0,
        payload: Vec::new(),
    }
}

fn meta(said: &Meta<'_>) -> pbx::ServerMeta {
    let mut meta = pbx::ServerMeta {
        id: said.id.to_owned(),
        topic: said.topic.to_owned(),
        ..pbx::ServerMeta::default()
    };
    match said.part {
        Part::Desc(said) => meta.desc = Some(desc(said)),
        Part::Sub(rows) => meta.sub = rows.iter().map(row).collect(),
        Part::Tags(tags) => meta.tags = tags.to_vec(),
        Part::Cred(creds) => meta.cred = creds.iter().map(shown).collect(),
        Part::Aux(aux) => {
            let field = |(name, raw): (&String, &Raw)| (name.clone(), raw.get().into());
            meta.aux = aux.iter().map(field).collect();
        }
        Part::Del { clear, ranges: deleted } => {
            let del_seq = ranges(deleted);
            meta.del = Some(pbx::DelValues { del_id: number(clear), del_seq });
        }
    }
    meta
}

fn shown(said: &CredShown) -> pbx::ServerCred {
    let CredShown { method, value, done } = said;
    pbx::ServerCred { method: method.clone(), value: value.clone(), done: *done }
}

fn seen(seen: Option<&Seen>) -> (i64, String) {
    seen.map(|Seen { when, ua }| (time(Some(*when)), ua.clone())).unwrap_or_default()
}

fn desc(said: &Desc) -> pbx::TopicDesc {
    let (last_seen_time, last_seen_user_agent) = seen(said.seen.as_ref());
    let defacs = |Defacs { auth, anon }: Defacs| pbx::DefaultAcsMode {
        auth: auth.to_string(),
        anon: anon.to_string(),
    };
    pbx::TopicDesc {
        created_at: time(said.created),
        updated_at: time(said.updated),
        touched_at: time(said.touched),
        defacs: said.defacs.map(defacs),
        acs: acs(said.acs),
        seq_id: number(said.seq),
        read_id: number(said.read),
        recv_id: number(said.recv),
        del_id: number(said.clear),
        public: bytes(said.public.as_deref()),
        private: bytes(said.private.as_deref()),
        state: String::new(),
        state_at: 0,
        trusted: bytes(said.trusted.as_deref()),
        last_seen_time,
        last_seen_user_agent,
        is_chan: said.chan,
        online: said.online,
    }
}

fn row(said: &Row) -> pbx::TopicSub {
    let (last_seen_time, last_seen_user_agent) = seen(said.seen.as_ref());
    pbx::TopicSub {
        updated_at: time(said.updated),
        deleted_at: 0,
        online: said.online,
        acs: acs(said.acs),
        read_id: number(said.read),
        recv_id: number(said.recv),
        public: bytes(said.public.as_deref()),
        private: bytes(said.private.as_deref()),
        user_id: said.user.map(|user| user.to_string()).unwrap_or_default(),
        topic: said.topic.clone().unwrap_or_default(),
        touched_at: time(said.touched),
        seq_id: number(said.seq),
        del_id: number(said.clear),
        last_seen_time,
        last_seen_user_agent,
        trusted: bytes(said.trusted.as_deref()),
    }
}
