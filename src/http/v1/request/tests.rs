use super::*;
use crate::domain::ids::{RoomId, Uid};

request! {
    /// What is read here.
    Sample {
        /// A room.
        room: RoomId = "roomId";
        /// A user.
        uid: Option<Uid> = "uid";
        /// Rooms.
        rooms: Option<Vec<RoomId>> = "rooms";
        /// A number.
        since: Option<u64> = "since";
        /// How many.
        limit: Option<Limit> = "limit";
        /// Whether.
        reverse: Option<bool> = "reverse";
        /// A message.
        message: Option<Raw> = "message";
    }
}

fn read(json: &str) -> Result<Sample, Vec<(String, String)>> {
    let raw: &RawValue = serde_json::from_str(json).unwrap();
    let mut issues = Issues::default();
    let read = Sample::read(raw, &Place::Whole, &mut issues);
    let found: Vec<_> =
        issues.found().into_iter().map(|issue| (issue.pointer, issue.detail)).collect();
    match read {
        Some(sample) if found.is_empty() => Ok(sample),
        _ => Err(found),
    }
}

/// The pointers to what is wrong.
#[track_caller]
fn wrong(json: &str) -> Vec<String> {
    read(json).unwrap_err().into_iter().map(|(pointer, _)| pointer).collect()
}

#[test]
fn what_is_there_is_read() {
    let sample = read(
        r#"{"roomId":7,"uid":"ann","rooms":["a/b",2],"since":5.0,"limit":1000,"reverse":true,"message":{"a":1e400}}"#,
    )
    .unwrap();
    assert_eq!((sample.room.as_str(), sample.uid.unwrap().as_str()), ("7", "ann"));
    assert_eq!(sample.rooms.unwrap()[0].as_str(), "a/b");
    assert_eq!((sample.since, sample.limit.unwrap().0), (Some(5), 1000));
    assert_eq!((sample.reverse, sample.message.unwrap().0.get()), (Some(true), r#"{"a":1e400}"#));
    let least = read(r#"{"roomId":"x"}"#).unwrap();
    assert!(least.uid.is_none() && least.rooms.is_none() && least.message.is_none());
}

#[test]
fn everything_that_is_wrong_is_named() {
    assert_eq!(wrong("{}"), ["#/roomId"]);
    assert_eq!(wrong("[]"), ["#"]);
    assert_eq!(
        wrong(r#"{"roomid":"x","uid":null,"since":-1,"limit":0,"reverse":"true","message":[]}"#),
        ["#/roomid", "#/roomId", "#/uid", "#/since", "#/limit", "#/reverse", "#/message"]
    );
    assert_eq!(wrong(r#"{"roomId":"x","rooms":["a",{},"",3]}"#), ["#/rooms/1", "#/rooms/2"]);
    assert_eq!(wrong(r#"{"roomId":"x","a/b~c é\"":1}"#), ["#/a~1b~0c%20%C3%A9%22"]);
    for since in ["1.5", "1e99", "\"1\"", "9007199254740992", "true"] {
        assert_eq!(wrong(&format!(r#"{{"roomId":"x","since":{since}}}"#)), ["#/since"]);
    }
    let long = "x".repeat(257);
    let (_, detail) = read(&format!(r#"{{"roomId":"{long}"}}"#)).unwrap_err().remove(0);
    assert_eq!(detail, "a name has at most 256 bytes");
}

#[test]
fn arrays_have_a_thousand_entries_and_answers_name_a_few() {
    let of = |count, entry: &str| {
        format!(r#"{{"roomId":"x","rooms":[{}]}}"#, vec![entry; count].join(","))
    };
    assert_eq!(read(&of(1000, "1")).unwrap().rooms.unwrap().len(), 1000);
    assert_eq!(
        read(&of(1001, "1")).unwrap_err(),
        [("#/rooms".to_owned(), "it has 1001 entries, and may have 1 to 1000".to_owned())]
    );
    assert_eq!(wrong(&of(0, "")), ["#/rooms"]);
    assert_eq!(wrong(&of(1000, "{}")).len(), NAMED);
    let name = "n".repeat(5000);
    let pointer = wrong(&format!(r#"{{"roomId":"x","{name}":1}}"#)).remove(0);
    assert_eq!(pointer.len(), "#/".len() + SHOWN);
}

#[test]
fn the_schema_says_what_the_reader_checks() {
    let schema = serde_json::to_value(Sample::schema()).unwrap();
    assert_eq!(schema["required"], serde_json::json!(["roomId"]));
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["rooms"]["maxItems"], 1000);
    assert_eq!(schema["properties"]["roomId"]["maxLength"], 256);
    assert_eq!(schema["properties"]["uid"]["description"], "A user.");
}
