//! The fields of what clients send, each by its name in whatever case, and of its type.
//!
//! Values are borrowed from the text. What is `null` is missing. Names within what clients keep
//! here, such as `public` and `content`, are theirs: that stays JSON, and is not looked at.
use std::{borrow::Cow, fmt};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{message::Ts, request::Malformed};
use crate::domain::json::{self, Text};

/// How secrets are written: padded. What is left of the last character's bits is ignored.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Calls `field` with the fields of a JSON object, in their order, but for those that are null;
/// their names in lower case.
///
/// # Errors
/// It is no object, or `field` says so.
pub(super) fn each<'a>(
    json: &'a str,
    field: impl FnMut(&str, &'a RawValue) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = serde_json::Deserializer::from_str(json);
    Object(field).deserialize(&mut reader).map_err(|_| Malformed)?;
    reader.end().map_err(|_| Malformed)
}

/// Calls `element` with the elements of a JSON array, but for those that are null.
///
/// # Errors
/// It is no array, or `element` says so.
pub(super) fn list<'a, T>(
    raw: &'a RawValue,
    element: impl FnMut(&'a RawValue) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    List(element).deserialize(raw).map_err(|_| Malformed)
}

/// A string.
pub(super) fn text(raw: &RawValue) -> Result<Cow<'_, str>, Malformed> {
    json::string(raw).ok_or(Malformed)
}

/// An array of strings.
pub(super) fn texts(raw: &RawValue) -> Result<Vec<Cow<'_, str>>, Malformed> {
    list(raw, text)
}

/// A truth value.
pub(super) fn flag(raw: &RawValue) -> Result<bool, Malformed> {
    match raw.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Malformed),
    }
}

/// A number without a fraction.
pub(super) fn integer(raw: &RawValue) -> Result<i64, Malformed> {
    serde_json::from_str(raw.get()).map_err(|_| Malformed)
}

/// Bytes as padded base64 in a string.
pub(super) fn bytes(raw: &RawValue) -> Result<Vec<u8>, Malformed> {
    BASE64.decode(text(raw)?.as_bytes()).map_err(|_| Malformed)
}

/// A time in a string.
pub(super) fn time(raw: &RawValue) -> Result<Ts, Malformed> {
    Ts::parse(&text(raw)?).ok_or(Malformed)
}

/// An object, as it is; nothing where it is empty.
pub(super) fn object(raw: &RawValue) -> Result<Option<&RawValue>, Malformed> {
    let inside = raw.get().strip_prefix('{').and_then(|json| json.strip_suffix('}'));
    let inside = inside.ok_or(Malformed)?;
    Ok((!inside.trim_ascii().is_empty()).then_some(raw))
}

fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

/// Reads an object and gives its fields to the function.
struct Object<F>(F);

impl<'de, F> DeserializeSeed<'de> for Object<F>
where
    F: FnMut(&str, &'de RawValue) -> Result<(), Malformed>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F> Visitor<'de> for Object<F>
where
    F: FnMut(&str, &'de RawValue) -> Result<(), Malformed>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((Text(mut key), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
            if is_null(value) {
                continue;
            }
            if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
                key.to_mut().make_ascii_lowercase();
            }
            (self.0)(&key, value).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// Reads an array and gives its elements to the function.
struct List<F>(F);

impl<'de, T, F> DeserializeSeed<'de> for List<F>
where
    F: FnMut(&'de RawValue) -> Result<T, Malformed>,
{
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T, F> Visitor<'de> for List<F>
where
    F: FnMut(&'de RawValue) -> Result<T, Malformed>,
{
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element::<&'de RawValue>()? {
            if !is_null(element) {
                elements.push((self.0)(element).map_err(A::Error::custom)?);
            }
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn fields_come_in_any_case_and_null_is_missing() {
        let json = r#" {"Id":1, "TOPIC" : "x","none":null,"\u0049d":{"Id":2}} "#;
        let mut fields = Vec::new();
        let read = each(json, |key, value| {
            fields.push((key.to_owned(), value.get().to_owned()));
            Ok(())
        });
        assert_eq!(read, Ok(()));
        let fields: Vec<_> =
            fields.iter().map(|(key, json)| (key.as_str(), json.as_str())).collect();
        assert_eq!(fields, [("id", "1"), ("topic", "\"x\""), ("id", r#"{"Id":2}"#)]);
    }

    #[test]
    fn what_is_no_object_has_no_fields() {
        for bad in ["", "{", "[]", "1", "null", "\"{}\"", "{}x", "{} {}", "{\"a\":}", "{a:1}"] {
            assert_eq!(each(bad, |_, _| Ok(())), Err(Malformed), "{bad}");
        }
        assert_eq!(each(r#"{"a":1}"#, |_, _| Err(Malformed)), Err(Malformed));
        assert_eq!(each(" {} ", |_, _| Err(Malformed)), Ok(()));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
        assert_eq!(each(&deep, |_, _| Ok(())), Ok(()), "nobody looks into it");
    }

    #[test]
    fn values_have_their_type() {
        assert_eq!(text(raw(r#""a\n""#)).unwrap(), "a\n");
        assert!(matches!(text(raw(r#""plain é""#)), Ok(Cow::Borrowed("plain é"))));
        assert_eq!([flag(raw("true")), flag(raw("false"))], [Ok(true), Ok(false)]);
        for (json, number) in [("0", 0), ("-5", -5), ("9007199254740993", 9_007_199_254_740_993)] {
            assert_eq!(integer(raw(json)), Ok(number));
        }
        assert_eq!(time(raw(r#""1970-01-01T00:00:01Z""#)), Ok(Ts(1000)));
        assert_eq!(texts(raw(r#"["a",null,"b"]"#)).unwrap(), ["a", "b"]);
        assert_eq!(object(raw(r#"{"a":1}"#)).unwrap().map(RawValue::get), Some(r#"{"a":1}"#));
        assert!(object(raw("{ }")).unwrap().is_none());
        for bad in ["1", "true", "[]", "{}", r#""\ud800""#] {
            assert_eq!(text(raw(bad)), Err(Malformed), "{bad}");
        }
        for bad in ["1.5", "1e3", "\"1\"", "9223372036854775808", "true"] {
            assert_eq!(integer(raw(bad)), Err(Malformed), "{bad}");
        }
        for bad in ["1", "\"true\"", "{}"] {
            assert_eq!(flag(raw(bad)), Err(Malformed), "{bad}");
        }
        for bad in ["[1]", "\"a\"", "{}", "[\"a\",[]]"] {
            assert_eq!(texts(raw(bad)), Err(Malformed), "{bad}");
        }
        for bad in ["[]", "\"{}\"", "1"] {
            assert!(object(raw(bad)).is_err(), "{bad}");
        }
        assert_eq!(time(raw("\"yesterday\"")), Err(Malformed));
    }

    #[test]
    fn secrets_are_padded_base64() {
        for (json, read) in [
            (r#""YQ==""#, Some(b"a".to_vec())),
            (r#""YR==""#, Some(b"a".to_vec())),
            (r#""YTpi""#, Some(b"a:b".to_vec())),
            (r#""+\/+\/""#, Some(b"\xfb\xff\xbf".to_vec())),
            (r#""""#, Some(Vec::new())),
            (r#""YQ""#, None),
            (r#""YQ=""#, None),
            (r#""!!""#, None),
            (r#""-_-_""#, None),
            ("1", None),
        ] {
            assert_eq!(bytes(raw(json)).ok(), read, "{json}");
        }
    }
}
