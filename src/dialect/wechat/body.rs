//! What a request says: the fields of its body, which is JSON, a form, or multipart, as pages send
//! it. Only texts count; whatever else a body has under a name is no field, and neither is a file.
//!
//! Bodies are small and are there as a whole, so multipart (RFC 7578) is read here, in one go.
use std::{collections::BTreeMap, fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::Failure;
use crate::domain::json::{self, Text};

/// Bytes of the largest body.
const MOST: usize = 2 << 20;
/// Time that a body may take.
const TIME: Duration = Duration::from_secs(30);
/// Fields that a body has at most, whatever they are. Clients send seven.
const FIELDS: usize = 100;
/// Characters of what is between the parts of a multipart body, at most (RFC 2046, 5.1.1).
const BOUNDARY: usize = 70;

/// The texts of a body, by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(BTreeMap<String, String>);

impl Fields {
    /// A text that is there and not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    #[cfg(test)]
    pub fn of(fields: &[(&str, &str)]) -> Self {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        Fields(fields.iter().map(owned).collect())
    }
}

/// How a body is written.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    Json,
    Urlencoded,
    /// With what is between the parts.
    Multipart(String),
    /// In no way that has fields.
    Other,
}

impl Form {
    /// By the header `Content-Type`.
    fn of(kind: &str) -> Result<Self, Failure> {
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match &*essence {
            "application/json" => Ok(Form::Json),
            "application/x-www-form-urlencoded" => Ok(Form::Urlencoded),
            "multipart/form-data" => parameter(kind, "boundary")
                .filter(|boundary| (1..=BOUNDARY).contains(&boundary.len()))
                .map(Form::Multipart)
                .ok_or(Failure::Body),
            json if json.starts_with("application/") && json.ends_with("+json") => Ok(Form::Json),
            _ => Ok(Form::Other),
        }
    }
}

/// Reads the body of a request.
///
/// # Errors
/// It is too large, is not what its headers say, or does not come.
pub(super) async fn read(request: Request<Incoming>) -> Result<Fields, Failure> {
    let (head, body) = request.into_parts();
    if is_packed(&head.headers) {
        return Err(Failure::Body);
    }
    if body.size_hint().lower() > MOST as u64 {
        return Err(Failure::TooLarge(MOST));
    }
    let bytes = match tokio::time::timeout(TIME, Limited::new(body, MOST).collect()).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Failure::TooLarge(MOST)),
        Ok(Err(_)) => return Err(Failure::Body),
        Err(_) => return Err(Failure::Late),
    };
    let kind = head.headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str());
    fields(kind.transpose().map_err(|_| Failure::Body)?.unwrap_or_default(), &bytes)
}

/// Whether a body is packed: no client does that.
fn is_packed(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_ENCODING).iter().any(|coding| coding != "identity")
}

/// The fields of a body whose `Content-Type` is `kind`. One without a byte has none.
fn fields(kind: &str, body: &Bytes) -> Result<Fields, Failure> {
    if body.is_empty() {
        return Ok(Fields::default());
    }
    let fields = match Form::of(kind)? {
        Form::Json => json(body),
        Form::Urlencoded => urlencoded(body),
        Form::Multipart(boundary) => multipart(body, &boundary),
        Form::Other => Some(BTreeMap::new()),
    };
    fields.map(Fields).ok_or(Failure::Body)
}

/// The texts of a JSON object. Other JSON has none. A string with half of a surrogate pair is no
/// text.
fn json(body: &[u8]) -> Option<BTreeMap<String, String>> {
    let value: &RawValue = serde_json::from_slice(body).ok()?;
    if !value.get().starts_with('{') {
        return Some(BTreeMap::new());
    }
    serde_json::from_str(value.get()).ok().map(|Texts(texts)| texts)
}

/// The texts of a JSON object. Of fields with one name the last one counts, as in JavaScript.
struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Texts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object with {FIELDS} fields at most")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let (mut texts, mut count) = (BTreeMap::<String, String>::new(), 0);
                while let Some((Text(name), value)) = map.next_entry::<_, &'de RawValue>()? {
                    count += 1;
                    if count > FIELDS {
                        return Err(A::Error::invalid_length(count, &self));
                    }
                    match json::string(value) {
                        Some(text) => texts.insert(name.into_owned(), text.into_owned()),
                        None => texts.remove(&*name),
                    };
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_map(V)
    }
}

/// The texts of a form; nothing where it has too many.
fn urlencoded(body: &[u8]) -> Option<BTreeMap<String, String>> {
    let count = body.split(|byte| *byte == b'&').count();
    if count > FIELDS { None } else { serde_urlencoded::from_bytes(body).ok() }
}

/// The texts of a multipart body; nothing where it is none.
fn multipart(body: &[u8], boundary: &str) -> Option<BTreeMap<String, String>> {
    let delimiter = format!("\r\n--{boundary}");
    let delimiter = delimiter.as_bytes();
    // The first one may be the very beginning; what stands before it is not for us.
    let mut rest = match body.strip_prefix(&delimiter[2..]) {
        Some(rest) => rest,
        None => split(body, delimiter)?.1,
    };
    let mut fields = BTreeMap::new();
    for _ in 0..=FIELDS {
        if rest.starts_with(b"--") {
            return Some(fields);
        }
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let (part, behind) = split(rest[padding..].strip_prefix(b"\r\n")?, delimiter)?;
        if let Some((name, text)) = field(part)? {
            fields.insert(name, text);
        }
        rest = behind;
    }
    None
}

/// A part's name and text; nothing for a file. `None`: it is no part.
fn field(part: &[u8]) -> Option<Option<(String, String)>> {
    let (head, text) = split(part, b"\r\n\r\n")?;
    let mut disposition = None;
    for line in std::str::from_utf8(head).ok()?.split("\r\n") {
        let (name, value) = line.split_once(':')?;
        if name.trim().eq_ignore_ascii_case("content-disposition") {
            disposition = Some(value);
        }
    }
    let disposition = disposition?;
    let name = parameter(disposition, "name")?;
    let is_file = ["filename", "filename*"].iter().any(|n| parameter(disposition, n).is_some());
    if is_file {
        return Some(None);
    }
    Some(Some((name, String::from_utf8(text.to_vec()).ok()?)))
}

/// What stands before and behind the first `mark`.
fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let first = *mark.first()?;
    let mut from = 0;
    loop {
        let at = from + bytes[from..].iter().position(|byte| *byte == first)?;
        match bytes[at..].strip_prefix(mark) {
            Some(behind) => return Some((&bytes[..at], behind)),
            None => from = at + 1,
        }
    }
}

/// A parameter of a header like `form-data; name="phone"`. Its name is compared without regard to
/// case; in quotes `\` stands before what means itself.
fn parameter(header: &str, name: &str) -> Option<String> {
    let (_, mut rest) = header.split_once(';')?;
    loop {
        let (key, behind) = rest.split_once('=')?;
        let (value, tail) = match behind.trim_start().strip_prefix('"') {
            Some(text) => quoted(text)?,
            None => {
                let end = behind.find(';').unwrap_or(behind.len());
                (behind[..end].trim().to_owned(), &behind[end..])
            }
        };
        // What has no value stands before it.
        if key.rsplit(';').next().unwrap_or(key).trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = tail;
    }
}

/// A quoted text, and what stands behind its end; nothing where it has none.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    loop {
        match characters.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(characters.next()?.1),
            (_, character) => value.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MULTIPART: &str = "multipart/form-data; boundary=----WebKitFormBoundaryx7";

    fn read(kind: &str, body: &str) -> Result<Fields, Failure> {
        fields(kind, &Bytes::copy_from_slice(body.as_bytes()))
    }

    fn phone(kind: &str, body: &str) -> Option<String> {
        read(kind, body).unwrap().text("phone").map(str::to_owned)
    }

    /// A body in parts, as browsers write it.
    fn parts(parts: &[(&str, &str)]) -> String {
        let mut body = String::new();
        for (head, text) in parts {
            let line = format!("Content-Disposition: form-data; {head}");
            body += &format!("------WebKitFormBoundaryx7\r\n{line}\r\n\r\n{text}\r\n");
        }
        body + "------WebKitFormBoundaryx7--\r\n"
    }

    #[test]
    fn three_ways_of_writing_say_the_same() {
        let expected = Fields::of(&[("nick", "张 三&"), ("phone", "+86_138")]);
        for (kind, body) in [
            ("application/json", r#"{"nick":"张 三&","phone":"+86_138"}"#.to_owned()),
            (
                "Application/JSON; charset=UTF-8",
                r#"{"phone":"+86_138","nick":"张 三&"}"#.to_owned(),
            ),
            (
                "application/x-www-form-urlencoded",
                "nick=%E5%BC%A0+%E4%B8%89%26&phone=%2B86_138".to_owned(),
            ),
            (MULTIPART, parts(&[("name=\"nick\"", "张 三&"), ("name=\"phone\"", "+86_138")])),
        ] {
            assert_eq!(read(kind, &body).as_ref(), Ok(&expected), "{kind}");
        }
    }

    #[test]
    fn what_is_no_text_is_no_field() {
        for (kind, body) in [
            ("application/json", r#"{"phone":13800138000}"#),
            ("application/json", r#"{"phone":{"$ne":""}}"#),
            ("application/json", r#"{"phone":["1380"]}"#),
            ("application/json", r#"{"phone":null}"#),
            ("application/json", r#"{"phone":""}"#),
            ("application/json", r#"{"phone":"\ud83c"}"#),
            ("application/json", r#"["phone"]"#),
            ("application/json", "1"),
            ("application/json", ""),
            ("application/x-www-form-urlencoded", "phone[$ne]=x"),
            ("application/x-www-form-urlencoded", "phone="),
            ("text/plain", "phone=1380"),
            ("", "phone=1380"),
            (MULTIPART, ""),
        ] {
            assert_eq!(phone(kind, body), None, "{kind} {body}");
        }
        let file = parts(&[("name=\"phone\"; filename=\"x.txt\"", "1380")]);
        assert_eq!(phone(MULTIPART, &file), None);
    }

    #[test]
    fn multipart_is_read_as_browsers_and_others_write_it() {
        let plain = parts(&[("name=\"phone\"", "1380")]);
        let text = |head: &str, text: &str| phone(MULTIPART, &parts(&[(head, text)]));
        assert_eq!(text("name=phone", "1380").as_deref(), Some("1380"));
        assert_eq!(text("NAME=\"phone\"", "1380").as_deref(), Some("1380"));
        assert_eq!(text("x; name=\"ph\\one\"", "1380").as_deref(), Some("1380"));
        let lines = "a\r\n--b\r\n\r\n----WebKitFormBoundaryx7";
        assert_eq!(text("name=\"phone\"", lines).as_deref(), Some(lines));
        for body in [
            format!("preamble\r\n{plain}"),
            format!("{plain}epilogue"),
            plain.replace("x7\r\n", "x7 \t\r\n"),
            plain.replace("\r\n\r\n", "\r\ncontent-type: text/plain\r\n\r\n"),
            plain.trim_end().to_owned(),
        ] {
            assert_eq!(phone(MULTIPART, &body).as_deref(), Some("1380"), "{body}");
        }
        let quoted = r#"multipart/form-data; charset=utf-8; boundary="----WebKitFormBoundaryx7""#;
        assert_eq!(phone(quoted, &plain).as_deref(), Some("1380"));
    }

    #[test]
    fn a_body_that_is_not_what_it_says_is_refused() {
        let plain = parts(&[("name=\"phone\"", "1380")]);
        for (kind, body) in [
            ("application/json", "{".to_owned()),
            ("application/json", "phone=1".to_owned()),
            ("application/json", "[".repeat(100_000)),
            ("multipart/form-data", plain.clone()),
            ("multipart/form-data; boundary=", plain.clone()),
            ("multipart/form-data; boundary=\"x", plain.clone()),
            ("multipart/form-data; boundary=other", plain.clone()),
            ("multipart/form-data; boundary=----WebKitFormBoundaryx", plain.clone()),
            (MULTIPART, "x".to_owned()),
            (MULTIPART, plain[..plain.len() - 5].to_owned()),
            (MULTIPART, plain.replace("Content-Disposition: ", "")),
            (MULTIPART, plain.replace("\r\n\r\n", "\r\n")),
            (MULTIPART, plain.replace("name=\"phone\"", "name=\"phone")),
            (MULTIPART, plain.replace("name=", "")),
            ("application/json", r#"{"\ud83c":"x"}"#.to_owned()),
        ] {
            assert_eq!(
                read(kind, &body),
                Err(Failure::Body),
                "{kind} {}",
                &body[..body.len().min(200)]
            );
        }
        let not_utf8: Vec<u8> = parts(&[("name=\"phone\"", "?")])
            .bytes()
            .map(|byte| if byte == b'?' { 0xff } else { byte })
            .collect();
        assert_eq!(fields(MULTIPART, &not_utf8.into()), Err(Failure::Body));
    }

    #[test]
    fn of_fields_with_one_name_the_last_one_counts() {
        for (body, expected) in [
            (r#"{"phone":"1","phone":"2"}"#, Some("2")),
            (r#"{"phone":"1","\u0070hone":"2"}"#, Some("2")),
            (r#"{"phone":"1","phone":2}"#, None),
            (r#"{"phone":1,"phone":"2"}"#, Some("2")),
        ] {
            assert_eq!(phone("application/json", body).as_deref(), expected, "{body}");
        }
        let twice = parts(&[("name=\"phone\"", "1"), ("name=\"phone\"", "2")]);
        assert_eq!(phone(MULTIPART, &twice).as_deref(), Some("2"));
        let form = phone("application/x-www-form-urlencoded", "phone=1&phone=2");
        assert_eq!(form.as_deref(), Some("2"));
    }

    #[test]
    fn a_body_with_too_many_fields_is_refused_whatever_they_are() {
        let json = |field: fn(usize) -> String, count| {
            let fields: Vec<String> = (0..count).map(field).collect();
            format!("{{{}}}", fields.join(","))
        };
        let form = |pair: &str, count| vec![pair; count].join("&");
        let multipart = |head: &str, count| parts(&vec![(head, ""); count]);
        let file = r#"name="x"; filename="x""#;
        for count in [FIELDS, FIELDS + 1, 100 * FIELDS] {
            let expected = if count > FIELDS { Some(Failure::Body) } else { None };
            for (kind, body) in [
                ("application/json", json(|n| format!(r#""{n}":"x""#), count)),
                ("application/json", json(|n| format!(r#""{n}":0"#), count)),
                ("application/json", json(|_| r#""x":0"#.to_owned(), count)),
                ("application/x-www-form-urlencoded", form("x=1", count)),
                ("application/x-www-form-urlencoded", form("", count)),
                (MULTIPART, multipart(r#"name="x""#, count)),
                (MULTIPART, multipart(file, count)),
            ] {
                assert_eq!(read(kind, &body).err(), expected, "{count} {}", &body[..40]);
            }
        }
    }

    #[test]
    fn a_body_of_marks_that_are_none_is_read_in_no_time() {
        let body = format!("\r\n{}", "\r\n--".repeat(MOST / 4));
        assert_eq!(read(MULTIPART, &body), Err(Failure::Body));
    }
}
