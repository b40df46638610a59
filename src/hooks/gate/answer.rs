//! What a business server may answer. Each field that is not known makes an answer invalid: one that
//! was misspelt would have said something else than was meant, and an answer must not be taken for
//! consent by mistake.
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};

use crate::domain::{
    access::Caps,
    gate::{Answer, Changes, Question, Refusal},
    json,
    message::fields::MAX_DEPTH,
};

/// Longest text of a refusal, and longest reason, in bytes.
const LONGEST_TEXT: usize = 1024;

/// Exactly one of the three, each an object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    error: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    disconnect: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Consent<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    message: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "given")]
    caps: Option<Value>,
    #[serde(rename = "expireAt", default, deserialize_with = "given")]
    expire_at: Option<u64>,
    #[serde(borrow, default, deserialize_with = "given")]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Denial {
    code: i64,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disconnect {
    reason: String,
    #[serde(default)]
    reconnect: bool,
}

/// What is there, `null` included, which none of the fields may be but `meta`.
fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Reads an object; serde would take an array of the fields' values as well. What is wrong is said
/// by its place alone: an error of serde's quotes what was sent, and logs are for others to read.
fn object<'a, T: Deserialize<'a>>(what: &str, json: &'a str) -> Result<T, String> {
    if !json.trim_ascii_start().starts_with('{') {
        return Err(format!("{what} is no object"));
    }
    let place = |e: serde_json::Error| format!("{what}, line {} column {}", e.line(), e.column());
    serde_json::from_str(json).map_err(place)
}

/// Reads an answer to this question. A message may have `max_units`, in UTF-16 units of its text.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(question: Question, body: &[u8], max_units: usize) -> Result<Answer, String> {
    let body = std::str::from_utf8(body).map_err(|_| "it is no UTF-8")?;
    let wire: Wire<'_> = object("it", body)?;
    match (wire.result, wire.error, wire.disconnect) {
        (Some(result), None, None) => {
            let consent = object("result", result.get())?;
            changes(question, consent, max_units).map(Answer::Allowed)
        }
        (None, Some(error), None) => {
            let Denial { code, message } = object("error", error.get())?;
            Ok(Answer::Refused(Refusal { code, message: short(&message)? }))
        }
        (None, None, Some(disconnect)) => {
            let Disconnect { reason, reconnect } = object("disconnect", disconnect.get())?;
            Ok(Answer::Disconnect { reason: short(&reason)?, reconnect })
        }
        _ => Err("expected exactly one of result, error and disconnect".into()),
    }
}

fn short(text: &str) -> Result<Arc<str>, String> {
    match text.len() {
        0..=LONGEST_TEXT => Ok(text.into()),
        _ => Err(format!("a text of more than {LONGEST_TEXT} bytes")),
    }
}

fn changes(question: Question, result: Consent<'_>, max_units: usize) -> Result<Changes, String> {
    let message = match (question, result.message) {
        (_, None) => None,
        (Question::Message, Some(message)) => Some(checked(message.get(), max_units)?),
        (Question::Connect | Question::Join, Some(_)) => {
            return Err("a message, where none was asked about".into());
        }
    };
    Ok(Changes {
        message,
        caps: result.caps.map(|caps| Caps::parse(&caps).map(Arc::new)).transpose()?,
        expire_at: result.expire_at,
        meta: result.meta.map(|meta| meta.get().into()),
    })
}

/// A message that can be sent instead of the client's.
fn checked(json: &str, max_units: usize) -> Result<Bytes, String> {
    let fits = json.len() <= max_units || json::stringified_length(json) <= max_units;
    if json::Object::parse(json).is_none() {
        Err("the message is no object".into())
    } else if !fits {
        Err("the message is too large".into())
    } else if json::nested_deeper_than(json, MAX_DEPTH) {
        Err("the message is nested too deeply".into())
    } else {
        Ok(Bytes::copy_from_slice(json.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(question: Question, body: &str) -> Result<Answer, String> {
        parse(question, body.as_bytes(), 100)
    }

    #[test]
    fn each_of_the_three_is_understood() {
        let all = [Question::Connect, Question::Join, Question::Message];
        for question in all {
            let allowed = Answer::Allowed(Changes::default());
            assert_eq!(answer(question, r#"{"result":{}}"#), Ok(allowed.clone()));
            assert_eq!(answer(question, " {\"result\" : { } }\n"), Ok(allowed));
            let refused = Answer::Refused(Refusal { code: -3, message: "no".into() });
            assert_eq!(answer(question, r#"{"error":{"code":-3,"message":"no"}}"#), Ok(refused));
            let ended = |reconnect| Answer::Disconnect { reason: "bye".into(), reconnect };
            assert_eq!(answer(question, r#"{"disconnect":{"reason":"bye"}}"#), Ok(ended(false)));
            assert_eq!(
                answer(question, r#"{"disconnect":{"reason":"bye","reconnect":true}}"#),
                Ok(ended(true))
            );
        }
    }

    #[test]
    fn a_result_changes_what_it_says() {
        let caps = json!([{ "rooms": ["a"], "allow": ["join"] }]);
        let body = json!({ "result": {
            "message": { "text": "***", "x": 1 }, "caps": caps, "expireAt": 1_800_000_000,
            "meta": { "role": "guest" },
        }});
        let changes = Changes {
            message: Some(Bytes::from_static(br#"{"text":"***","x":1}"#)),
            caps: Some(Arc::new(Caps::parse(&caps).unwrap())),
            expire_at: Some(1_800_000_000),
            meta: Some(r#"{"role":"guest"}"#.into()),
        };
        let body = body.to_string();
        assert_eq!(answer(Question::Message, &body), Ok(Answer::Allowed(changes)));
        assert!(answer(Question::Join, &body).is_err(), "there is no message");
        let none = Changes { meta: Some("null".into()), ..Changes::default() };
        let body = r#"{"result":{"meta":null}}"#;
        assert_eq!(answer(Question::Connect, body), Ok(Answer::Allowed(none)));
    }

    #[test]
    fn anything_else_is_no_answer() {
        let deep =
            format!(r#"{{"result":{{"message":{{"a":{}{}}}}}}}"#, "[".repeat(200), "]".repeat(200));
        let long = format!(r#"{{"result":{{"message":{{"a":"{}"}}}}}}"#, "x".repeat(100));
        let wordy = format!(r#"{{"error":{{"code":1,"message":"{}"}}}}"#, "x".repeat(1025));
        for body in [
            "",
            "{}",
            "null",
            "true",
            "[]",
            "ok",
            "<html><body>It works!</body></html>",
            "[{\"result\":{}}]",
            "[{}]",
            "[{},null]",
            r#"{"error":[1,"no"]}"#,
            r#"{"disconnect":["bye"]}"#,
            r#"{"result":null}"#,
            r#"{"result":true}"#,
            r#"{"result":[]}"#,
            r#"{"result":{}"#,
            r#"{"result":{}} {}"#,
            r#"{"result":{},"result":{}}"#,
            r#"{"result":{},"error":{"code":1,"message":"no"}}"#,
            r#"{"result":{},"error":null}"#,
            r#"{"result":{},"disconnect":{"reason":"bye"}}"#,
            r#"{"result":{},"eror":{"code":1,"message":"no"}}"#,
            r#"{"result":{"mesage":{}}}"#,
            r#"{"result":{"caps":null}}"#,
            r#"{"result":{"caps":[{"rooms":["a"],"allow":["fly"]}]}}"#,
            r#"{"result":{"expireAt":null}}"#,
            r#"{"result":{"expireAt":1.5}}"#,
            r#"{"result":{"expireAt":-1}}"#,
            r#"{"result":{"expireAt":"1800000000"}}"#,
            r#"{"result":{"message":null}}"#,
            r#"{"result":{"message":[]}}"#,
            r#"{"result":{"message":"text"}}"#,
            r#"{"error":{}}"#,
            r#"{"error":{"code":1}}"#,
            r#"{"error":{"code":"1","message":"no"}}"#,
            r#"{"error":"no"}"#,
            r#"{"disconnect":{}}"#,
            r#"{"disconnect":{"reason":"bye","reconnect":1}}"#,
            r#"{"disconnect":true}"#,
            "{\"result\":{}}\u{0}",
            &deep,
            &long,
            &wordy,
        ] {
            assert!(answer(Question::Message, body).is_err(), "{body}");
        }
        let latin = b"{\"error\":{\"code\":1,\"message\":\"\xe9\"}}";
        assert!(parse(Question::Join, latin, 100).is_err());
    }

    #[test]
    fn what_is_wrong_is_said_without_what_was_sent() {
        for body in [r#"{"s3cret":1}"#, r#"{"result":{"expireAt":"s3cret"}}"#] {
            let why = answer(Question::Join, body).unwrap_err();
            assert!(!why.contains("s3cret"), "{why}");
        }
    }
}
