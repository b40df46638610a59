//! The fields of a request: those of its query, and of its body, which may be a form or JSON.
use std::collections::HashMap;

use serde_json::Value;

/// A request's fields by their names. Those of the body count before those of the query, and the
/// first of several with one name.
#[derive(Debug, Default)]
pub(super) struct Fields(HashMap<String, String>);

impl Fields {
    /// Reads a query and a body. What can't be read holds no fields. A body that begins as a JSON
    /// object is one, whatever its content type: many clients name none, or that of a form.
    pub(super) fn read(query: &str, body: &[u8]) -> Self {
        let mut fields: HashMap<String, String> = form(query.as_bytes()).collect();
        if body.trim_ascii_start().starts_with(b"{") {
            let object: HashMap<String, Value> = serde_json::from_slice(body).unwrap_or_default();
            fields
                .extend(object.into_iter().filter_map(|(name, value)| Some((name, text(value)?))));
        } else {
            fields.extend(form(body));
        }
        fields.retain(|_, value| !value.is_empty());
        Fields(fields)
    }

    /// The field of this name; one that is empty is missing.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The field of this name, if it is an integer. One beyond what an `i64` holds counts as the
    /// nearest that it does.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        let text = self.text(name)?;
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX }))
    }
}

/// The pairs of a form or a query, the first of each name last.
fn form(text: &[u8]) -> impl Iterator<Item = (String, String)> + use<> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(text).unwrap_or_default();
    pairs.into_iter().rev()
}

/// A JSON value as a form would have it; nothing for what a form can't hold.
fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_from_the_query_a_form_or_json() {
        for (query, body) in [
            ("groupName=%2Fr&size=5", ""),
            ("", "groupName=%2Fr&size=5"),
            ("", r#"{"groupName":"/r","size":5}"#),
            ("", r#" {"groupName":"/r","size":"5","other":[]}"#),
            ("size=5", "groupName=/r"),
            ("groupName=/other&size=5", "groupName=/r"),
            ("groupName=/r&size=5&groupName=/other&size=x", ""),
            ("groupName=/r&size=5", "{no json"),
        ] {
            let fields = Fields::read(query, body.as_bytes());
            assert_eq!(
                (fields.text("groupName"), fields.integer("size")),
                (Some("/r"), Some(5)),
                "{query} {body}"
            );
        }
    }

    #[test]
    fn what_is_empty_null_or_no_text_is_missing() {
        for (query, body) in [
            ("groupName=", ""),
            ("groupname=/r", ""),
            ("", r#"{"groupName":null}"#),
            ("", r#"{"groupName":{"$ne":1}}"#),
            ("", "[1]"),
            ("", "\u{0}"),
        ] {
            assert_eq!(Fields::read(query, body.as_bytes()).text("groupName"), None);
        }
    }

    #[test]
    fn what_is_no_integer_is_absent() {
        let integer =
            |text: &str| Fields(HashMap::from([("n".to_owned(), text.to_owned())])).integer("n");
        for none in ["", "-", "+", "x", "1.5", "1e3", " 1", "0x1", "--1"] {
            assert_eq!(integer(none), None, "{none}");
        }
        assert_eq!(["0", "-50", "+7"].map(integer), [0, -50, 7].map(Some));
        assert_eq!(integer("9223372036854775808"), Some(i64::MAX));
        assert_eq!(integer("-9999999999999999999999"), Some(i64::MIN));
    }
}
