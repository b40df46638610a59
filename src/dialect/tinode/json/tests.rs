use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::dialect::tinode::{
    message::{Code, Happened, Noted, Params},
    mode::Mode,
    request,
};

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts/tinode");
const NAMES: [&str; 10] = [
    "acc-login-true",
    "account-and-login",
    "delete-soft",
    "fnd",
    "get-data",
    "group-basic",
    "me",
    "notes",
    "p2p-start",
    "reattach-with-token",
];
const AT: &str = "2026-12-01T01:18:47.181Z";

/// Those that a recording has.
const CODES: [Code; 25] = [
    Code::Ok,
    Code::Created,
    Code::Accepted,
    Code::NoContent,
    Code::Evicted,
    Code::Delivered,
    Code::AlreadySubscribed,
    Code::NotJoined,
    Code::NotModified,
    Code::NoAction,
    Code::Malformed,
    Code::AuthRequired,
    Code::AuthFailed,
    Code::UnknownScheme,
    Code::Denied,
    Code::TopicNotFound,
    Code::UserNotFound,
    Code::NotFound,
    Code::NotAllowed,
    Code::OutOfSequence,
    Code::MustAttach,
    Code::AlreadyAuthenticated,
    Code::DuplicateCredential,
    Code::Policy,
    Code::Unavailable,
];

fn user(n: u64) -> UserId {
    UserId::of_number(n).unwrap()
}

fn now() -> Ts {
    Ts::parse(AT).unwrap()
}

fn raw(json: &str) -> &RawValue {
    serde_json::from_str(json).unwrap()
}

fn written(message: &Message<'_>) -> String {
    let mut json = Vec::new();
    write(message, now(), &mut json);
    String::from_utf8(json).unwrap()
}

/// Replaces each placeholder of this kind by what its name gives.
fn replace(text: &str, kind: &str, by: impl Fn(&str) -> String) -> String {
    let (mut replaced, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once(kind) {
        let (name, behind) = behind.split_once('}').unwrap();
        replaced.push_str(before);
        replaced.push_str(&by(name));
        rest = behind;
    }
    replaced + rest
}

fn recording(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{RECORDINGS}/{name}.json")).unwrap();
    let text = replace(&text, "{login:", str::to_owned);
    let text = replace(&text, "{b64:", |_| "YTpi".into());
    let number = |name: &str| name.bytes().fold(1, |sum, byte| sum * 31 + u64::from(byte));
    let text = replace(&text, "{usr:", |name| user(number(name)).to_string());
    let text = text.replace("{ts}", AT).replace("{token}", "dG9rZW4=");
    let recording: Value = serde_json::from_str(&text).unwrap();
    recording["events"].as_array().unwrap().clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

fn time(value: &Value, key: &str) -> Option<Ts> {
    value[key].as_str().map(|at| Ts::parse(at).unwrap())
}

fn one(value: &Value, key: &str) -> Option<UserId> {
    value[key].as_str().map(|id| UserId::parse(id).unwrap())
}

fn own(value: &Value, key: &str) -> Option<Raw> {
    value.get(key).map(|value| serde_json::value::to_raw_value(value).unwrap())
}

fn mode(value: &Value, key: &str) -> Mode {
    Mode::parse(text(value, key)).unwrap()
}

fn acs(value: &Value) -> Option<ShownAcs> {
    let acs = value.get("acs")?;
    Some(match acs.get("want") {
        None => ShownAcs::Mode(mode(acs, "mode")),
        Some(_) => ShownAcs::All(Acs { want: mode(acs, "want"), given: mode(acs, "given") }),
    })
}

fn desc(value: &Value) -> Desc {
    let defacs = |of: &Value| Defacs { auth: mode(of, "auth"), anon: mode(of, "anon") };
    Desc {
        created: time(value, "created"),
        updated: time(value, "updated"),
        touched: time(value, "touched"),
        online: value["online"] == true,
        defacs: value.get("defacs").map(defacs),
        acs: acs(value),
        seq: number(value, "seq"),
        read: number(value, "read"),
        recv: number(value, "recv"),
        clear: number(value, "clear"),
        subcnt: number(value, "subcnt"),
        public: own(value, "public"),
        private: own(value, "private"),
        ..Desc::default()
    }
}

fn row(value: &Value) -> Row {
    Row {
        topic: value["topic"].as_str().map(str::to_owned),
        user: one(value, "user"),
        updated: time(value, "updated"),
        touched: time(value, "touched"),
        online: value["online"] == true,
        acs: acs(value),
        seq: number(value, "seq"),
        read: number(value, "read"),
        recv: number(value, "recv"),
        clear: number(value, "clear"),
        subcnt: number(value, "subcnt"),
        public: own(value, "public"),
        private: own(value, "private"),
        ..Row::default()
    }
}

fn ranges(value: &Value) -> Vec<Range> {
    let range = |of: &Value| {
        let low = number(of, "low");
        Range { low, hi: number(of, "hi").max(low + 1) }
    };
    value["delseq"].as_array().into_iter().flatten().map(range).collect()
}

fn ctrl_again(frame: &Value) -> String {
    let code = CODES.into_iter().find(|code| {
        u64::from(code.number()) == number(frame, "code") && code.text() == text(frame, "text")
    });
    let mut params = Params::default();
    for (name, value) in frame["params"].as_object().into_iter().flatten() {
        params = params.json(name.clone().leak(), value.to_string());
    }
    let (id, topic) = (text(frame, "id"), text(frame, "topic"));
    let code = code.unwrap_or_else(|| panic!("{frame}"));
    written(&Message::Ctrl(Ctrl { id, topic, code, params }))
}

fn meta_again(frame: &Value) -> String {
    let all = |key: &str| frame[key].as_array().cloned().unwrap_or_default();
    let desc = desc(&frame["desc"]);
    let rows: Vec<Row> = all("sub").iter().map(row).collect();
    let tags: Vec<String> =
        all("tags").iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
    let ranges = ranges(&frame["del"]);
    let part = if frame.get("desc").is_some() {
        Part::Desc(&desc)
    } else if frame.get("sub").is_some() {
        Part::Sub(&rows)
    } else if frame.get("tags").is_some() {
        Part::Tags(&tags)
    } else {
        Part::Del { clear: number(&frame["del"], "clear"), ranges: &ranges }
    };
    written(&Message::Meta(Meta { id: text(frame, "id"), topic: text(frame, "topic"), part }))
}

fn data_again(frame: &Value) -> String {
    let (head, content) = (own(frame, "head"), own(frame, "content").unwrap());
    written(&Message::Data(Data {
        topic: text(frame, "topic"),
        from: one(frame, "from"),
        ts: time(frame, "ts").unwrap(),
        seq: number(frame, "seq"),
        head: head.as_deref(),
        content: &content,
    }))
}

fn pres_again(frame: &Value) -> String {
    let what = [Happened::On, Happened::Off, Happened::Acs, Happened::Msg, Happened::Del];
    let what = what.into_iter().find(|what| what.word() == text(frame, "what")).unwrap();
    let dacs: Option<Dacs> =
        frame.get("dacs").map(|dacs| serde_json::from_value(dacs.clone()).unwrap());
    let ranges = ranges(frame);
    written(&Message::Pres(Pres {
        seq: number(frame, "seq"),
        clear: number(frame, "clear"),
        ranges: &ranges,
        ua: text(frame, "ua"),
        act: one(frame, "act"),
        dacs: dacs.as_ref(),
        ..Pres::new(text(frame, "topic"), text(frame, "src"), what)
    }))
}

fn info_again(frame: &Value) -> String {
    written(&Message::Info(Info {
        topic: text(frame, "topic"),
        src: text(frame, "src"),
        from: one(frame, "from").unwrap(),
        what: Noted::parse(text(frame, "what")).unwrap(),
        seq: number(frame, "seq"),
    }))
}

#[test]
fn what_recorded_clients_say_is_read() {
    for name in NAMES {
        for event in recording(name) {
            let Some(frame) = event.get("c").filter(|frame| frame.is_object()) else { continue };
            let frame = frame.to_string();
            let is_request = !frame.contains("\"!!\"");
            assert_eq!(request::parse(&frame).is_ok(), is_request, "{name}: {frame}");
        }
    }
}

#[test]
fn what_the_recorded_server_says_is_written_again() {
    for name in NAMES {
        let mut frames = 0;
        for mut event in recording(name) {
            let Some(frame) = event.get_mut("s").filter(|frame| frame.is_object()) else {
                continue;
            };
            if frame["ctrl"]["params"].is_null()
                && let Some(ctrl) = frame.get_mut("ctrl").and_then(Value::as_object_mut)
            {
                ctrl.remove("params");
            }
            let frame = &*frame;
            let (kind, inside) = frame.as_object().unwrap().iter().next().unwrap();
            let again = match kind.as_str() {
                "ctrl" => ctrl_again(inside),
                "meta" => meta_again(inside),
                "data" => data_again(inside),
                "pres" => pres_again(inside),
                "info" => info_again(inside),
                other => panic!("{other}"),
            };
            assert_eq!(&serde_json::from_str::<Value>(&again).unwrap(), frame, "{name}");
            frames += 1;
        }
        assert!(frames > 5, "{name}");
    }
}

#[test]
fn a_message_always_has_content_and_all_else_only_where_there_is_something() {
    let data =
        Data { topic: "t", from: None, ts: now(), seq: 7, head: None, content: RawValue::NULL };
    let json = format!(r#"{{"data":{{"topic":"t","ts":"{AT}","seq":7,"content":null}}}}"#);
    assert_eq!(written(&Message::Data(data)), json);
    let desc = Desc::default();
    let meta = Meta { id: "", topic: "", part: Part::Desc(&desc) };
    assert_eq!(written(&Message::Meta(meta)), format!(r#"{{"meta":{{"ts":"{AT}","desc":{{}}}}}}"#));
    let ctrl = Ctrl { id: "", topic: "", code: Code::Malformed, params: Params::default() };
    let json = format!(r#"{{"ctrl":{{"code":400,"text":"malformed","ts":"{AT}"}}}}"#);
    assert_eq!(written(&Message::Ctrl(ctrl)), json);
    let pres = Pres::new("me", "", Happened::Upd);
    assert_eq!(written(&Message::Pres(pres)), r#"{"pres":{"topic":"me","what":"upd"}}"#);
}

#[test]
fn what_clients_wrote_is_escaped_or_stays_as_it_was() {
    let mut aux = BTreeMap::new();
    aux.insert("k\"\n".to_owned(), raw(r#"[ 1 ]"#).to_owned());
    let part = Part::Aux(&aux);
    let meta = Message::Meta(Meta { id: "\u{1}\"\\é", topic: "t", part });
    assert_eq!(
        written(&meta),
        format!(
            r#"{{"meta":{{"id":"\u0001\"\\é","topic":"t","ts":"{AT}","aux":{{"k\"\n":[ 1 ]}}}}}}"#
        )
    );
    let content = raw("{\"a\" :\n1}");
    let data = Data { topic: "t", from: Some(user(1)), ts: now(), seq: 1, head: None, content };
    assert!(written(&Message::Data(data)).ends_with("\"content\":{\"a\" :\n1}}}"));
}

#[test]
fn what_recordings_lack_has_its_names() {
    let creds = [
        CredShown { method: "email".into(), value: "a@b".into(), done: true },
        CredShown { method: "email".into(), value: "c@d".into(), done: false },
    ];
    let cred = Message::Meta(Meta { id: "1", topic: "me", part: Part::Cred(&creds) });
    let json: Value = serde_json::from_str(&written(&cred)).unwrap();
    assert_eq!(
        json["meta"]["cred"],
        json!([{"meth": "email", "val": "a@b", "done": true}, {"meth": "email", "val": "c@d"}])
    );
    let seen = Some(Seen { when: now(), ua: "x".into() });
    let rows = [Row { seen: seen.clone(), trusted: Some(raw("{}").to_owned()), ..Row::default() }];
    let rows = Message::Meta(Meta { id: "1", topic: "me", part: Part::Sub(&rows) });
    let json: Value = serde_json::from_str(&written(&rows)).unwrap();
    assert_eq!(json["meta"]["sub"], json!([{"seen": {"when": AT, "ua": "x"}, "trusted": {}}]));
    let desc = Desc { seen, chan: true, ..Desc::default() };
    let desc = Message::Meta(Meta { id: "1", topic: "grp", part: Part::Desc(&desc) });
    let json: Value = serde_json::from_str(&written(&desc)).unwrap();
    assert_eq!(json["meta"]["desc"], json!({"seen": {"when": AT, "ua": "x"}, "chan": true}));
    let ranges = [Range { low: 2, hi: 3 }, Range { low: 4, hi: 6 }];
    let pres = Pres { clear: 9, ranges: &ranges, ..Pres::new("t", "t", Happened::Del) };
    assert_eq!(
        written(&Message::Pres(pres)),
        r#"{"pres":{"topic":"t","src":"t","what":"del","clear":9,"delseq":[{"low":2},{"low":4,"hi":6}]}}"#
    );
}

#[test]
fn a_frame_of_any_size_is_a_text_frame() {
    for length in [0, 100, 125, 126, 65_535, 70_000] {
        let content = serde_json::value::to_raw_value(&"x".repeat(length)).unwrap();
        let data =
            Data { topic: "t", from: None, ts: now(), seq: 1, head: None, content: &content };
        let message = Message::Data(data);
        let frame = super::frame(&message, now());
        let payloads: Vec<_> = frame::payloads(&frame).collect();
        assert_eq!(payloads, [(Opcode::Text, written(&message).as_bytes())], "{length}");
    }
}
