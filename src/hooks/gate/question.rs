//! The bodies of questions.
use serde_json::Value;

use crate::domain::{
    gate::{Caller, Question},
    ids::RoomId,
    outbox::timestamp,
};

/// A question's body: `{"type":"hook.join","timestamp":…,"data":{…}}`. `fields` are those that it
/// has of its own, each behind a comma. A user's uid is of the type that its client used.
pub(super) fn body(
    question: Question,
    now_ms: u64,
    caller: &Caller,
    room: Option<&RoomId>,
    fields: &str,
) -> Vec<u8> {
    let word = question.word();
    let room =
        room.map_or_else(String::new, |room| format!(",\"roomId\":{}", text(&room.qualified())));
    let meta = caller.meta.as_deref().unwrap_or("null");
    format!(
        r#"{{"type":"hook.{word}","timestamp":"{}","data":{{"uid":{}{room}{fields},"connection":{},"address":"{}","meta":{meta}}}}}"#,
        timestamp(now_ms),
        caller.uid.json(),
        text(&caller.connection),
        caller.address,
    )
    .into_bytes()
}

fn text(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::ids::Uid;

    fn read(body: &[u8]) -> Value {
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn a_question_has_what_it_is_about() {
        let mut caller = Caller {
            uid: Uid::number("7").unwrap(),
            connection: "c1".into(),
            address: [127, 0, 0, 1].into(),
            meta: None,
        };
        let asked = body(Question::Connect, 1_700_000_000_123, &caller, None, "");
        assert_eq!(
            read(&asked),
            json!({
                "type": "hook.connect",
                "timestamp": "2023-11-14T22:13:20.123Z",
                "data": { "uid": 7, "connection": "c1", "address": "127.0.0.1", "meta": null },
            })
        );
        caller.uid = Uid::text("a\"b").unwrap();
        caller.meta = Some(r#"{"role":["x"]}"#.into());
        caller.address = "::1".parse().unwrap();
        let room = RoomId::new("a/\"é\"").unwrap();
        let asked = body(Question::Join, 0, &caller, Some(&room), ",\"dummy\":true");
        assert_eq!(
            read(&asked)["data"],
            json!({
                "uid": "a\"b",
                "roomId": "a/\"é\"",
                "dummy": true,
                "connection": "c1",
                "address": "::1",
                "meta": { "role": ["x"] },
            })
        );
    }
}
