use bytes::Bytes;
use prost::Message as _;
use serde_json::value::RawValue;

use super::{
    super::{
        super::{
            ids::UserId,
            message::{
                Code, CredShown, Ctrl, Data, Desc, Happened, Info, Message, Meta, Noted, Params,
                Part, Pres, Range, Raw, Row, Seen, ShownAcs, Ts,
            },
            mode::{Acs, Dacs, Defacs, Mode},
            request::{self, Malformed},
        },
        pbx::{self, ClientMsg, Said, ServerMsg, Told},
        pieces::Pieces,
    },
    object, request,
};

fn json(text: &str) -> &RawValue {
    serde_json::from_str(text).unwrap()
}

fn raw(text: &str) -> Option<Raw> {
    Some(RawValue::from_string(text.to_owned()).unwrap())
}

fn user(number: u64) -> UserId {
    UserId::of_number(number).unwrap()
}

fn range(low: u64, hi: u64) -> Range {
    Range { low, hi }
}

fn sent(said: Said) -> ClientMsg {
    ClientMsg { message: Some(said), extra: None }
}

/// Both read the same: what is sent, as it comes, and this JSON.
fn reads(said: Said, same: &str) {
    reads_message(&sent(said), same);
}

fn reads_message(said: &ClientMsg, same: &str) {
    let said = ClientMsg::decode(&said.encode_to_vec()[..]).unwrap();
    let object = object(&said);
    let ours = request(&said, object.as_deref()).unwrap();
    assert_eq!(format!("{ours:?}"), format!("{:?}", request::parse(same).unwrap()), "{same}");
}

fn fields<const N: usize>(
    fields: [(&str, &str); N],
) -> std::collections::BTreeMap<String, Vec<u8>> {
    fields.map(|(name, json)| (name.to_owned(), json.into())).into()
}

fn desc() -> pbx::SetDesc {
    pbx::SetDesc {
        default_acs: Some(pbx::DefaultAcsMode { auth: "JR".into(), anon: "N".into() }),
        public: br#"{"fn":"Ann"}"#.into(),
        private: br#" "x" "#.into(),
        trusted: b"null".into(),
    }
}

const DESC: &str = r#"{"defacs":{"auth":"JR","anon":"N"},"public":{"fn":"Ann"},"private":"x"}"#;

fn cred() -> pbx::ClientCred {
    pbx::ClientCred {
        method: "email".into(),
        value: "a@b".into(),
        response: "123".into(),
        params: fields([("x", "1")]),
    }
}

const CRED: &str = r#"{"meth":"email","val":"a@b","resp":"123"}"#;

#[test]
fn sessions_begin() {
    reads(
        Said::Hi(pbx::ClientHi {
            id: "1".into(),
            user_agent: "ua".into(),
            ver: "0.25".into(),
            device_id: "dev".into(),
            lang: "en".into(),
            platform: "web".into(),
            background: true,
        }),
        r#"{"hi":{"id":"1","ua":"ua","ver":"0.25","dev":"dev","lang":"en","platf":"web",
            "bkg":true}}"#,
    );
    reads(
        Said::Acc(pbx::ClientAcc {
            id: "2".into(),
            user_id: "new1".into(),
            scheme: "basic".into(),
            secret: b"ann:secret".into(),
            login: true,
            tags: vec!["a".into()],
            desc: Some(desc()),
            cred: vec![cred()],
            token: b"t".into(),
            state: "ok".into(),
            auth_level: pbx::AuthLevel::Root.into(),
            tmp_scheme: "code".into(),
            tmp_secret: b"1".into(),
        }),
        &format!(
            r#"{{"acc":{{"id":"2","user":"new1","scheme":"basic","secret":"YW5uOnNlY3JldA==",
            "login":true,"tags":["a"],"desc":{DESC},"cred":[{CRED}],"token":"dA==",
            "state":"ok"}}}}"#
        ),
    );
    reads(
        Said::Login(pbx::ClientLogin {
            id: "3".into(),
            scheme: "token".into(),
            secret: vec![0xff, 0],
            cred: vec![cred()],
        }),
        &format!(r#"{{"login":{{"id":"3","scheme":"token","secret":"/wA=","cred":[{CRED}]}}}}"#),
    );
}

#[test]
fn topics_are_asked_for_and_changed() {
    let options = pbx::GetOpts {
        if_modified_since: 1000,
        user: "usrA".into(),
        topic: "grpB".into(),
        since_id: 3,
        before_id: -1,
        limit: 24,
        ranges: vec![pbx::SeqRange { low: 3, hi: 6 }, pbx::SeqRange { low: 9, hi: 0 }],
    };
    let query = pbx::GetQuery {
        what: "data sub".into(),
        desc: None,
        sub: Some(pbx::GetOpts { limit: 5, ..pbx::GetOpts::default() }),
        data: Some(options),
    };
    let get = r#"{"what":"data sub","sub":{"limit":5},"data":{"ims":"1970-01-01T00:00:01Z",
        "user":"usrA","topic":"grpB","since":3,"before":-1,"limit":24,
        "ranges":[{"low":3,"hi":6},{"low":9}]}}"#;
    let change = pbx::SetQuery {
        desc: Some(desc()),
        sub: Some(pbx::SetSub { user_id: "usrA".into(), mode: "JR".into() }),
        tags: vec!["a".into(), "b".into()],
        cred: Some(cred()),
        aux: fields([("a", "1"), ("\"", "[2]"), ("x", "no JSON")]),
    };
    let set = format!(
        r#"{{"desc":{DESC},"sub":{{"user":"usrA","mode":"JR"}},"tags":["a","b"],"cred":{CRED},
        "aux":{{"\"":[2],"a":1}}}}"#
    );
    let (id, topic) = (String::from("4"), String::from("grpB"));
    reads(
        Said::Sub(Box::new(pbx::ClientSub {
            id: id.clone(),
            topic: topic.clone(),
            set_query: Some(change.clone()),
            get_query: Some(query.clone()),
        })),
        &format!(r#"{{"sub":{{"id":"4","topic":"grpB","get":{get},"set":{set}}}}}"#),
    );
    reads(
        Said::Sub(Box::new(pbx::ClientSub { id: id.clone(), ..pbx::ClientSub::default() })),
        r#"{"sub":{"id":"4"}}"#,
    );
    reads(
        Said::Get(pbx::ClientGet { id: id.clone(), topic: topic.clone(), query: Some(query) }),
        &format!(r#"{{"get":{{"id":"4","topic":"grpB",{}}}"#, &get[1..]),
    );
    reads(
        Said::Set(pbx::ClientSet { id: id.clone(), topic: topic.clone(), query: Some(change) }),
        &format!(r#"{{"set":{{"id":"4","topic":"grpB",{}}}"#, &set[1..]),
    );
    reads(
        Said::Leave(pbx::ClientLeave { id, topic, unsub: true }),
        r#"{"leave":{"id":"4","topic":"grpB","unsub":true}}"#,
    );
}

#[test]
fn messages_and_what_belongs_to_them() {
    for (content, same) in [
        ("\"hi\"", r#","content":"hi""#),
        (r#"{"txt":"x"}"#, r#","content":{"txt":"x"}"#),
        ("null", ""),
        ("", ""),
        ("no JSON", ""),
        ("1 2", ""),
        ("\u{1}", ""),
    ] {
        let said = pbx::ClientPub {
            id: "5".into(),
            topic: "usrA".into(),
            no_echo: true,
            head: fields([("mime", "\"text/x-drafty\""), ("broken", "x")]),
            content: content.into(),
        };
        let extra = pbx::ClientExtra {
            attachments: vec!["/v0/file/s/x".into()],
            on_behalf_of: "usrB".into(),
            auth_level: 0,
        };
        reads_message(
            &ClientMsg { message: Some(Said::Pub(said)), extra: Some(extra) },
            &format!(
                r#"{{"pub":{{"id":"5","topic":"usrA","noecho":true,
                "head":{{"mime":"text/x-drafty"}}{same}}},
                "extra":{{"attachments":["/v0/file/s/x"]}}}}"#
            ),
        );
    }
    let bytes = pbx::ClientPub { content: vec![0xff], ..pbx::ClientPub::default() };
    reads(Said::Pub(bytes), r#"{"pub":{}}"#);
    for (what, word) in [(1, "read"), (2, "recv"), (3, "kp"), (4, "call"), (0, ""), (99, "")] {
        let topic = String::from("usrA");
        let said = pbx::ClientNote { topic, what, seq_id: 7, unread: 1, event: 1, payload: vec![] };
        let same = format!(r#"{{"note":{{"topic":"usrA","what":"{word}","seq":7}}}}"#);
        reads(Said::Note(said), &same);
    }
}

#[test]
fn deletions() {
    for (what, word) in
        [(1, "msg"), (2, "topic"), (3, "sub"), (4, "user"), (5, "cred"), (0, ""), (99, "x")]
    {
        let said = pbx::ClientDel {
            id: "6".into(),
            topic: "grpB".into(),
            what,
            del_seq: vec![pbx::SeqRange { low: 5, hi: 8 }, pbx::SeqRange { low: 9, hi: 0 }],
            user_id: "usrA".into(),
            cred: Some(cred()),
            hard: true,
        };
        let same = format!(
            r#"{{"del":{{"id":"6","topic":"grpB","what":"{word}",
            "delseq":[{{"low":5,"hi":8}},{{"low":9}}],
            "user":"usrA","cred":{CRED},"hard":true}}}}"#
        );
        reads(Said::Del(said), &same);
    }
}

#[test]
fn what_asks_for_nothing_is_malformed() {
    let nothing = ClientMsg::default();
    assert!(object(&nothing).is_none());
    assert_eq!(request(&nothing, None).err(), Some(Malformed));
    // A verb that nobody knows.
    let unknown = ClientMsg::decode(&b"\x5a\x00"[..]).unwrap();
    assert_eq!(request(&unknown, None).err(), Some(Malformed));
    for broken in [&b"\x0a\x05"[..], b"\xff", b"\x0a\x03\x0a\x01\xff"] {
        assert!(ClientMsg::decode(broken).is_err(), "{broken:?}");
    }
}

/// A message as it is told, from behind its prefix.
fn told(said: Message<'_>) -> Told {
    let frame: Bytes = super::message(&said, Ts(5));
    let mut pieces = Pieces::new(1 << 20);
    pieces.add(&frame);
    let message = pieces.next().unwrap().unwrap();
    assert!(pieces.is_empty());
    ServerMsg::decode(message).unwrap().message.unwrap()
}

#[test]
fn answers_are_told() {
    let params = Params::default().text("user", "usrA").number("seq", 1);
    let said = Ctrl { id: "1", topic: "grpB", code: Code::Accepted, params };
    let expected = pbx::ServerCtrl {
        id: "1".into(),
        topic: "grpB".into(),
        code: 202,
        text: "accepted".into(),
        params: fields([("seq", "1"), ("user", "\"usrA\"")]),
    };
    assert_eq!(told(Message::Ctrl(said)), Told::Ctrl(expected));
}

#[test]
fn messages_are_told() {
    for (content, bytes) in [("\"x\"", "\"x\""), ("null", ""), (r#"{"a":1}"#, r#"{"a":1}"#)] {
        let said = Data {
            topic: "usrA",
            from: Some(user(1)),
            ts: Ts(1_700_000_000_123),
            seq: 7,
            head: Some(json(r#"{"mime":"x","a\u0062":[1]}"#)),
            content: json(content),
        };
        let expected = pbx::ServerData {
            topic: "usrA".into(),
            from_user_id: user(1).to_string(),
            deleted_at: 0,
            seq_id: 7,
            head: fields([("ab", "[1]"), ("mime", "\"x\"")]),
            content: bytes.into(),
            timestamp: 1_700_000_000_123,
        };
        assert_eq!(told(Message::Data(said)), Told::Data(expected));
    }
    let said = Data {
        topic: "chnA",
        from: None,
        ts: Ts(0),
        seq: u64::MAX,
        head: None,
        content: json("1"),
    };
    let Told::Data(read) = told(Message::Data(said)) else { panic!("no data") };
    assert_eq!((read.from_user_id.as_str(), read.seq_id), ("", i32::MAX));
    assert!(read.head.is_empty());
}

#[test]
fn what_happens_is_told() {
    for (what, number) in [
        (Happened::On, 1),
        (Happened::Off, 2),
        (Happened::Upd, 4),
        (Happened::Gone, 5),
        (Happened::Acs, 6),
        (Happened::Msg, 8),
        (Happened::Del, 11),
    ] {
        let Told::Pres(read) = told(Message::Pres(Pres::new("me", "usrA", what))) else {
            panic!("no pres")
        };
        assert_eq!((read.topic.as_str(), read.src.as_str(), read.what), ("me", "usrA", number));
        assert_eq!(read.acs, None);
    }
    let dacs = Dacs { want: None, given: Some("+W".into()) };
    let said = Pres {
        seq: 3,
        clear: 2,
        ranges: &[range(2, 3), range(5, 8)],
        ua: "ua",
        act: Some(user(2)),
        dacs: Some(&dacs),
        ..Pres::new("me", "grpB", Happened::Acs)
    };
    let expected = pbx::ServerPres {
        topic: "me".into(),
        src: "grpB".into(),
        what: 6,
        user_agent: "ua".into(),
        seq_id: 3,
        del_id: 2,
        del_seq: vec![pbx::SeqRange { low: 2, hi: 0 }, pbx::SeqRange { low: 5, hi: 8 }],
        target_user_id: String::new(),
        actor_user_id: user(2).to_string(),
        acs: Some(pbx::AccessMode { want: String::new(), given: "+W".into() }),
    };
    assert_eq!(told(Message::Pres(said)), Told::Pres(expected));
    for (what, number) in
        [(Noted::Read, 1), (Noted::Recv, 2), (Noted::Kp, 3), (Noted::Kpa, 3), (Noted::Kpv, 3)]
    {
        let said = Info { topic: "me", src: "grpB", from: user(1), what, seq: 4 };
        let Told::Info(read) = told(Message::Info(said)) else { panic!("no info") };
        assert_eq!((read.what, read.seq_id, read.src.as_str()), (number, 4, "grpB"));
        assert_eq!(read.from_user_id, user(1).to_string());
    }
}

fn meta(part: Part<'_>) -> pbx::ServerMeta {
    let Told::Meta(meta) = told(Message::Meta(Meta { id: "1", topic: "me", part })) else {
        panic!("no meta")
    };
    assert_eq!((meta.id.as_str(), meta.topic.as_str()), ("1", "me"));
    *meta
}

#[test]
fn descriptions_and_rows_are_told() {
    let acs = Acs { want: Mode::P2P, given: Mode::USER };
    let seen = || Some(Seen { when: Ts(9), ua: "ua".into() });
    let mode = Some(pbx::AccessMode { want: "JRWPAD".into(), given: "JRWPASD".into() });
    let said = Desc {
        created: Some(Ts(1)),
        updated: Some(Ts(2)),
        touched: Some(Ts(3)),
        online: true,
        defacs: Some(Defacs { auth: Mode::USER, anon: Mode::NONE }),
        acs: Some(ShownAcs::All(acs)),
        seq: 4,
        read: 5,
        recv: 6,
        clear: 7,
        subcnt: 8,
        public: raw("1"),
        private: raw("2"),
        trusted: raw("3"),
        chan: true,
        seen: seen(),
    };
    let expected = pbx::TopicDesc {
        created_at: 1,
        updated_at: 2,
        touched_at: 3,
        defacs: Some(pbx::DefaultAcsMode { auth: "JRWPASD".into(), anon: "N".into() }),
        acs: mode.clone(),
        seq_id: 4,
        read_id: 5,
        recv_id: 6,
        del_id: 7,
        public: b"1".into(),
        private: b"2".into(),
        trusted: b"3".into(),
        last_seen_time: 9,
        last_seen_user_agent: "ua".into(),
        is_chan: true,
        online: true,
        ..pbx::TopicDesc::default()
    };
    assert_eq!(meta(Part::Desc(&said)).desc, Some(expected));
    let said = Desc { acs: Some(ShownAcs::Mode(Mode::USER)), ..Desc::default() };
    assert_eq!(meta(Part::Desc(&said)).desc, Some(pbx::TopicDesc::default()));
    let said = Row {
        topic: Some("grpB".into()),
        user: Some(user(1)),
        updated: Some(Ts(2)),
        touched: Some(Ts(3)),
        online: true,
        acs: Some(ShownAcs::All(acs)),
        seq: 4,
        read: 5,
        recv: 6,
        clear: 7,
        subcnt: 8,
        public: raw("1"),
        private: raw("null"),
        trusted: raw("3"),
        seen: seen(),
    };
    let expected = pbx::TopicSub {
        updated_at: 2,
        online: true,
        acs: mode,
        read_id: 5,
        recv_id: 6,
        public: b"1".into(),
        user_id: user(1).to_string(),
        topic: "grpB".into(),
        touched_at: 3,
        seq_id: 4,
        del_id: 7,
        last_seen_time: 9,
        last_seen_user_agent: "ua".into(),
        trusted: b"3".into(),
        ..pbx::TopicSub::default()
    };
    assert_eq!(meta(Part::Sub(&[said, Row::default()])).sub, [expected, pbx::TopicSub::default()]);
}

#[test]
fn the_other_parts_are_told() {
    assert_eq!(meta(Part::Tags(&["a".into(), "b".into()])).tags, ["a", "b"]);
    let cred = CredShown { method: "email".into(), value: "a@b".into(), done: true };
    let expected = pbx::ServerCred { method: "email".into(), value: "a@b".into(), done: true };
    assert_eq!(meta(Part::Cred(&[cred])).cred, [expected]);
    let aux = std::collections::BTreeMap::from([("a".to_owned(), raw("[1]").unwrap())]);
    assert_eq!(meta(Part::Aux(&aux)).aux, fields([("a", "[1]")]));
    let del = meta(Part::Del { clear: 3, ranges: &[range(1, 4)] }).del;
    let del_seq = vec![pbx::SeqRange { low: 1, hi: 4 }];
    assert_eq!(del, Some(pbx::DelValues { del_id: 3, del_seq }));
}
