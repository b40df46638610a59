use serde_json::{Value, json};

use super::*;
use crate::domain::{broker::Position, message::Kind};

const LIMIT: usize = 500 * 1024;

fn completed(json: &str) -> (Kind, Value) {
    let message = complete(json, r#""ann""#, LIMIT).unwrap();
    (message.kind, serde_json::from_slice(&message.body).unwrap())
}

#[test]
fn all_fields_are_kept_and_the_senders_uid_is_the_servers() {
    let (kind, body) = completed(
        r#"{"1":"id","2":"mallory","s":0,"data":{"x":[1,"é",null,true,1.5]},"extra":"kept"}"#,
    );
    assert_eq!(kind, Kind::Insert);
    assert_eq!(
        body,
        json!({"1":"id","2":"ann","s":0,"data":{"x":[1,"é",null,true,1.5]},"extra":"kept"})
    );
}

#[test]
fn documented_keys_are_understood_and_answered_in_kind() {
    let (kind, body) = completed(r#"{"storage":1,"msgId":7,"uid":"mallory","a":1}"#);
    assert_eq!(kind, Kind::Update { id: "7".into() });
    assert_eq!(body, json!({"storage":1,"msgId":7,"a":1,"2":"ann","uid":"ann","s":1}));
    // The short spelling wins.
    let (kind, body) = completed(r#"{"storage":2,"msgId":"long","s":1,"1":"short"}"#);
    assert_eq!(kind, Kind::Update { id: "short".into() });
    assert_eq!(body["s"], 1);
    // Somebody's own uid, with short keys only, is overwritten too: it is a documented key.
    assert_eq!(completed(r#"{"uid":"mallory"}"#).1["uid"], "ann");
    assert!(completed(r#"{"s":0}"#).1.get("uid").is_none());
}

#[test]
fn storage_types_are_numbers_or_their_text() {
    for (json, kind, s) in [
        (r#"{"s":"1","1":"u"}"#, Kind::Update { id: "u".into() }, json!("1")),
        (r#"{"s":"2"}"#, Kind::Ignore, json!("2")),
        (r#"{"s":2.0}"#, Kind::Ignore, json!(2)),
        (r#"{"s":7}"#, Kind::Insert, json!(0)),
        (r#"{"s":null,"storage":2}"#, Kind::Insert, json!(0)),
        (r#"{"s":[1]}"#, Kind::Insert, json!(0)),
        (r#"{"s":1}"#, Kind::Update { id: "undefined".into() }, json!(1)),
    ] {
        let (k, body) = completed(json);
        assert_eq!((k, &body["s"]), (kind, &s), "{json}");
    }
}

#[test]
fn odd_keys_and_values_travel_unharmed() {
    let (_, body) =
        completed(
            r#"{"__proto__":{"a":1},"a\"b\\\u0000":1,"k":1,"k":2,"n":1e400,"t":[1,2 , 3]}"#
                .replace("1e400", "1e40")
                .as_str(),
        );
    assert_eq!(body["__proto__"], json!({"a":1}));
    assert_eq!(
        (&body["a\"b\\\u{0}"], &body["k"], &body["t"]),
        (&json!(1), &json!(2), &json!([1, 2, 3]))
    );
    // A lone surrogate in a value is legal JSON text and goes on as it came.
    let message = complete(r#"{"x":"\ud83d"}"#, "7", LIMIT).unwrap();
    assert!(std::str::from_utf8(&message.body).unwrap().contains(r#""\ud83d""#));
}

#[test]
fn what_is_too_large_too_deep_or_no_object_is_refused() {
    let refused = |json: &str| complete(json, "7", LIMIT).unwrap_err();
    for json in ["null", "1", "\"x\"", "[]", "[{}]"] {
        assert_eq!(refused(json), MsgFailure::NotAnObject);
    }
    assert_eq!(
        refused(&format!(r#"{{"x":{}1{}}}"#, "[".repeat(128), "]".repeat(128))),
        MsgFailure::TooDeep
    );
    assert!(
        complete(&format!(r#"{{"x":{}1{}}}"#, "[".repeat(127), "]".repeat(127)), "7", LIMIT)
            .is_ok()
    );
    let exactly = |units: usize, with: &str| {
        format!(r#"{{"x":"{}"}}"#, with.repeat(units - r#"{"x":""}"#.len()))
    };
    assert!(complete(&exactly(LIMIT, "a"), "7", LIMIT).is_ok());
    assert_eq!(refused(&exactly(LIMIT + 1, "a")), MsgFailure::TooLarge);
    // It is units that count, not bytes.
    assert!(complete(&exactly(LIMIT, "é"), "7", LIMIT).is_ok());
    assert!(complete(&exactly(LIMIT, "\\u00e9"), "7", LIMIT).is_ok());
}

#[test]
fn messages_that_ended_are_acknowledged_in_one_piece_and_in_their_order() {
    let settled = |ack, outcome| Settled { ack, bytes: 10, outcome };
    let done = Outcome::Done(Position { n: 1, index: Some(0), at_ms: 1, epoch: None });
    let failed = |id, data| format!(r#"43{id}[{{"status":1,"data":"{data}"}}]"#);
    let ended = ended(&[
        settled(Some(1), done.clone()),
        settled(None, done),
        settled(Some(5), Outcome::Duplicate),
        settled(Some(2), Outcome::Unavailable),
        settled(Some(3), Outcome::Full),
        settled(Some(4), Outcome::Unknown),
    ]);
    assert_eq!(
        wire::texts(&ended.acks).collect::<Vec<_>>(),
        [
            r#"431[{"status":0,"data":"msg success"}]"#,
            r#"435[{"status":0,"data":"msg success"}]"#,
            &failed(2, "store unavailable"),
            &failed(3, "too many updates"),
            &failed(4, "outcome unknown"),
        ]
    );
    assert_eq!((ended.bytes, ended.lost), (60, false));
}

#[test]
fn who_asked_for_no_acknowledgement_loses_nothing_without_a_word() {
    for (outcome, lost) in [
        (Outcome::Done(Position { n: 1, index: None, at_ms: 1, epoch: None }), false),
        (Outcome::Duplicate, false),
        (Outcome::Full, false),
        (Outcome::Unavailable, true),
        (Outcome::Unknown, true),
    ] {
        let ended = ended(&[Settled { ack: None, bytes: 1, outcome: outcome.clone() }]);
        assert_eq!((ended.acks.len(), ended.lost), (0, lost), "{outcome:?}");
    }
}
