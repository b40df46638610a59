//! What a client says of itself when it connects.
use std::{collections::HashMap, net::IpAddr};

use serde_json::{Map, Value as Json};

use super::{
    error::Error,
    value::{quote, quoted},
};
use crate::{
    domain::{json::Object, secret::Secret},
    socketio::{Connect, Headers, Refusal},
};

/// Most bytes of what comes with CONNECT, and of all headers. It is kept for as long as a client is
/// there. A query has no more either.
const MOST: usize = 16 << 10;

/// Who a client says that it is, where no hook decides that.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    pub user: String,
    pub token: Secret,
}

impl Credentials {
    /// From what a version 3 or 4 client gives with CONNECT, if that has any of it; else from the
    /// query.
    ///
    /// # Errors
    /// Something is missing.
    pub fn read(query: &str, auth: Option<&str>) -> Result<Self, Error> {
        let (user, token) = match auth.and_then(from_auth) {
            Some(said) => said,
            None => from_query(query),
        };
        match (user, token) {
            (Some(user), Some(token)) => Ok(Credentials { user, token: Secret::presented(token) }),
            (_, _) => Err(Error::NoLogin),
        }
    }
}

type Said = (Option<String>, Option<String>);

/// `None`: it says nothing of it.
fn from_auth(auth: &str) -> Option<Said> {
    let object = Object::parse(auth)?;
    if object.get("user").is_none() && object.get("token").is_none() {
        return None;
    }
    let text = |key| object.get(key).and_then(|raw| serde_json::from_str(raw.get()).ok());
    Some((text("user").filter(is_there), text("token").filter(is_there)))
}

fn from_query(query: &str) -> Said {
    let pairs = pairs(query);
    // Where something is said twice nobody knows which of it is meant.
    let text = |key: &str| {
        let mut values = pairs.iter().filter(|(k, _)| k == key).map(|(_, value)| value.clone());
        values.next().filter(|_| values.next().is_none()).filter(is_there)
    };
    (text("user"), text("token"))
}

#[allow(clippy::ptr_arg, reason = "for `Option::filter`")]
fn is_there(text: &String) -> bool {
    !text.is_empty()
}

/// The pairs of a query. What is no query has none.
fn pairs(query: &str) -> Vec<(String, String)> {
    serde_urlencoded::from_str(query).unwrap_or_default()
}

/// What a client said when it connected, kept for as long as it is there: the server API may ask
/// for it. It may have secrets in it: it can't be printed.
#[derive(Clone, Default)]
pub(super) struct Handshake {
    /// The query, then what came with CONNECT.
    said: Box<str>,
    /// Where the query ends.
    query_ends: usize,
    headers: Option<Headers>,
    address: Option<IpAddr>,
}

impl Handshake {
    /// Looks whether a client that connects says no more than is kept.
    ///
    /// # Errors
    /// It does, and is refused.
    pub fn fit(request: &Connect<'_>) -> Result<(), Refusal> {
        let headers = request.headers.map_or(0, Headers::bytes);
        let what = match request.auth {
            Some(auth) if auth.len() > MOST => "auth",
            _ if headers > MOST => "headers",
            _ => return Ok(()),
        };
        Err(Refusal::new(format!("more than {MOST} bytes of {what}")))
    }

    /// Of a client that connects.
    pub fn of(request: &Connect<'_>) -> Self {
        let mut said = request.query.to_owned();
        let query_ends = said.len();
        said.push_str(request.auth.filter(|auth| is_json(auth)).unwrap_or_default());
        let (headers, address) = (request.headers.cloned(), request.address);
        Handshake { said: said.into(), query_ends, headers, address }
    }

    fn query(&self) -> &str {
        &self.said[..self.query_ends]
    }

    fn auth(&self) -> Option<&str> {
        Some(&self.said[self.query_ends..]).filter(|auth| !auth.is_empty())
    }

    /// Who it says that it is.
    ///
    /// # Errors
    /// Something is missing.
    pub fn credentials(&self) -> Result<Credentials, Error> {
        Credentials::read(self.query(), self.auth())
    }

    /// Where it comes from, if that is kept.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// JSON: `query`, `headers`, `auth` and `address`. What a query has several times is a list.
    pub fn json(&self) -> String {
        let address = self.address.map_or("null".to_owned(), |ip| quoted(&ip.to_string()));
        format!(r#"{{{},"address":{address}}}"#, self.fields())
    }

    /// The same without the address.
    pub fn data(&self) -> String {
        format!("{{{}}}", self.fields())
    }

    fn fields(&self) -> String {
        let headers: Map<String, Json> = self
            .headers
            .iter()
            .flat_map(Headers::iter)
            .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
            .collect();
        format!(
            r#""query":{},"headers":{},"auth":{}"#,
            self.query_json(),
            Json::Object(headers),
            self.auth().unwrap_or("{}"),
        )
    }

    /// The query as an object, JSON.
    fn query_json(&self) -> String {
        let (mut keys, mut places) = (Vec::<(String, Vec<String>)>::new(), HashMap::new());
        for (key, value) in pairs(self.query()) {
            let place = *places.entry(key.clone()).or_insert(keys.len());
            match keys.get_mut(place) {
                Some((_, values)) => values.push(value),
                None => keys.push((key, vec![value])),
            }
        }
        let mut json = String::from("{");
        for (i, (key, values)) in keys.iter().enumerate() {
            if i > 0 {
                json.push(',');
            }
            quote(&mut json, key);
            json.push(':');
            match &values[..] {
                [value] => quote(&mut json, value),
                values => json.push_str(&Json::from(values).to_string()),
            }
        }
        json.push('}');
        json
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn who_a_client_says_that_it_is() {
        for (query, auth, said) in [
            ("user=u1&token=t", None, Some(("u1", "t"))),
            ("EIO=3&transport=polling&token=t&user=a+b%C3%BC", None, Some(("a bü", "t"))),
            ("user=u1", None, None),
            ("token=t", None, None),
            ("user=&token=t", None, None),
            ("user=a&user=b&token=t", None, None),
            ("", None, None),
            ("%", None, None),
            ("", Some(r#"{"user":"u2","token":"s"}"#), Some(("u2", "s"))),
            ("user=u1&token=t", Some(r#"{"user":"u2","token":"s"}"#), Some(("u2", "s"))),
            // It wins as a whole: a name from here and a token from there is nobody's.
            ("user=u1&token=t", Some(r#"{"user":"u2"}"#), None),
            ("user=u1&token=t", Some(r#"{"user":1,"token":"s"}"#), None),
            ("user=u1&token=t", Some(r#"{"other":1}"#), Some(("u1", "t"))),
            ("user=u1&token=t", Some("[]"), Some(("u1", "t"))),
            ("user=u1&token=t", Some("{"), Some(("u1", "t"))),
        ] {
            let read = Credentials::read(query, auth);
            let shown = read.as_ref().map(|read| (read.user.as_str(), read.token.reveal()));
            assert_eq!(shown, said.ok_or(&Error::NoLogin), "{query} {auth:?}");
        }
    }

    #[test]
    fn who_says_more_than_is_kept_is_refused() {
        let auth = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        let headers = |bytes: usize| {
            let mut headers = HeaderMap::new();
            headers.append("a", "x".repeat(bytes - 2).parse().unwrap());
            headers.append("a", http::HeaderValue::from_static(""));
            headers
        };
        for (auth, headers, refused) in [
            (auth(MOST), headers(MOST), None),
            (auth(MOST + 1), headers(MOST), Some("more than 16384 bytes of auth")),
            (auth(MOST), headers(MOST + 1), Some("more than 16384 bytes of headers")),
        ] {
            let (auth, headers) = (Some(&*auth), Some(&Headers::new(&headers)));
            let refusal = Handshake::fit(&Connect { auth, headers, ..Connect::default() }).err();
            assert_eq!(refusal.map(|refusal| refusal.message).as_deref(), refused);
        }
        assert!(Handshake::fit(&Connect::default()).is_ok());
    }

    #[test]
    fn hooks_are_told_of_the_handshake() {
        let mut headers = HeaderMap::new();
        headers.insert("origin", "http://a".parse().unwrap());
        headers.insert("empty", "".parse().unwrap());
        headers.insert("user-agent", "ü".parse().unwrap());
        let request = Connect {
            query: "user=a%22&x=1&x=2&y",
            headers: Some(&Headers::new(&headers)),
            address: Some([127, 0, 0, 1].into()),
            auth: Some(r#"{"b":1}"#),
        };
        assert_eq!(
            Handshake::of(&request).json(),
            concat!(
                r#"{"query":{"user":"a\"","x":["1","2"],"y":""},"#,
                r#""headers":{"empty":"","origin":"http://a","user-agent":"ü"},"#,
                r#""auth":{"b":1},"address":"127.0.0.1"}"#
            )
        );
        let keys: Vec<String> = (0..2_000).map(|key| format!("{key}=&x={key}")).collect();
        let many = Connect { query: &keys.join("&"), ..Connect::default() };
        let read: Json = serde_json::from_str(&Handshake::of(&many).json()).unwrap();
        assert_eq!(read["query"].as_object().unwrap().len(), 2_001);
        assert_eq!(read["query"]["x"][1_999], "1999");
        let broken = Connect { auth: Some("{"), ..Connect::default() };
        assert_eq!(
            Handshake::of(&broken).json(),
            r#"{"query":{},"headers":{},"auth":{},"address":null}"#
        );
    }
}
