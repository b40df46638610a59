//! The values of a body, taken one after the other in the order of the table, which says what each
//! is.
use super::Value;

/// Values that were read and are not taken yet.
pub(super) struct Fields(std::vec::IntoIter<Option<Value>>);

impl Fields {
    /// What [`read`](super::read) has read.
    pub fn new(values: Vec<Option<Value>>) -> Self {
        Fields(values.into_iter())
    }

    fn next(&mut self) -> Option<Value> {
        self.0.next().flatten()
    }

    /// A text that must be there.
    pub fn text(&mut self) -> String {
        self.maybe_text().unwrap_or_default()
    }

    /// A text; `None`: there is none, or `null`.
    pub fn maybe_text(&mut self) -> Option<String> {
        self.next().and_then(text)
    }

    /// A truth value; one that is not there is false.
    pub fn flag(&mut self) -> bool {
        matches!(self.next(), Some(Value::Bool(true)))
    }

    /// A list.
    pub fn list(&mut self) -> Vec<Value> {
        match self.next() {
            Some(Value::List(values)) => values,
            Some(_) | None => Vec::new(),
        }
    }

    /// A whole number that must be there.
    pub fn number(&mut self) -> u64 {
        self.maybe_number().unwrap_or_default()
    }

    /// A whole number; `None`: there is none.
    pub fn maybe_number(&mut self) -> Option<u64> {
        self.next().and_then(number)
    }

    /// An object; `None`: there is none.
    pub fn maybe_object(&mut self) -> Option<Value> {
        self.next().filter(|value| matches!(value, Value::Object(_)))
    }
}

/// The fields of an object in an object, `state`, each taken once. What is wrong with one is wrong
/// with the whole, as errors have a place for each argument only.
pub(super) struct State {
    fields: Vec<(String, Value)>,
    is_wrong: bool,
}

impl State {
    /// Of this object; `None` has no fields.
    pub fn new(state: Option<&Value>) -> Self {
        let fields = match state {
            Some(Value::Object(fields)) => fields.clone(),
            Some(_) | None => Vec::new(),
        };
        State { fields, is_wrong: false }
    }

    /// What `read` makes of a field. One that is `null` is not there.
    fn take<T>(&mut self, key: &str, read: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        let at = self.fields.iter().position(|(name, _)| name == key)?;
        let (_, value) = self.fields.swap_remove(at);
        if value == Value::Null {
            return None;
        }
        let read = read(value);
        self.is_wrong |= read.is_none();
        read
    }

    /// A truth value.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        self.take(key, |value| if let Value::Bool(on) = value { Some(on) } else { None })
    }

    /// A text.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.take(key, text)
    }

    /// A whole number, 0 or more.
    pub fn size(&mut self, key: &str) -> Option<u64> {
        self.take(key, number)
    }

    /// Names, each once.
    pub fn names(&mut self, key: &str) -> super::Names {
        let names = self.take(key, |value| {
            let Value::List(values) = value else { return None };
            values.into_iter().map(text).collect()
        });
        names.unwrap_or_default()
    }

    /// Whether all that was taken was right, and all there is was taken.
    pub fn is_good(&self) -> bool {
        !self.is_wrong && self.fields.is_empty()
    }
}

fn text(value: Value) -> Option<String> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

/// A whole number, 0 or more.
fn number(value: Value) -> Option<u64> {
    if let Value::Number(number) = value { number.whole() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::chat_service::value::tests::value;

    #[test]
    fn a_state_is_good_where_all_of_it_is_known_and_right() {
        for (json, good) in [
            ("{}", true),
            (r#"{"whitelist":["b","a","a"],"whitelistOnly":true,"owner":"x","size":0}"#, true),
            (r#"{"whitelist":null,"whitelistOnly":null,"owner":null,"size":null}"#, true),
            (r#"{"whitelist":["a",1]}"#, false),
            (r#"{"whitelist":"a"}"#, false),
            (r#"{"whitelistOnly":1}"#, false),
            (r#"{"owner":[]}"#, false),
            (r#"{"size":1.5}"#, false),
            (r#"{"size":-1}"#, false),
            (r#"{"more":1}"#, false),
        ] {
            let mut state = State::new(Some(&value(json)));
            let (names, on) = (state.names("whitelist"), state.flag("whitelistOnly"));
            let (owner, size) = (state.text("owner"), state.size("size"));
            assert_eq!(state.is_good(), good, "{json}");
            if json.contains("size\":0") {
                assert_eq!((on, owner.as_deref(), size), (Some(true), Some("x"), Some(0)));
                assert!(names.iter().eq(["a", "b"]));
            }
        }
        assert!(State::new(None).is_good());
    }
}
