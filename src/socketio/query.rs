//! The query of a request to `/socket.io/`, read as Node's server reads it: percent-encoded or not,
//! and any client may add more to it.
use std::borrow::Cow;

use http::Uri;
use socketioxide_core::Sid;

use super::Version;

/// Parameters that the engine reads.
const ENGINE: [&str; 4] = ["EIO", "transport", "sid", "b64"];

/// What a request's query says; of several values the first counts, as for the engine.
pub(super) struct Query {
    pub(super) sid: Option<Sid>,
    /// It has a `sid`, readable or not.
    pub(super) names_sid: bool,
    pub(super) websocket: bool,
    pub(super) eio: Option<u8>,
    /// It asks for JSONP, the polling of browsers without CORS.
    pub(super) jsonp: bool,
    /// It can't read bodies that are binary.
    pub(super) base64: bool,
}

impl Query {
    pub(super) fn read(uri: &Uri) -> Self {
        let (mut sid, mut transport, mut eio, mut jsonp, mut base64) =
            (None, None, None, false, false);
        for (name, value) in pairs(uri) {
            match &*name {
                "sid" if sid.is_none() => sid = Some(value),
                "transport" if transport.is_none() => transport = Some(value),
                "EIO" if eio.is_none() => eio = Some(value),
                "j" => jsonp = true,
                "b64" => base64 = true,
                _ => {}
            }
        }
        Query {
            sid: sid.as_ref().and_then(|sid| sid.parse().ok()),
            names_sid: sid.is_some(),
            websocket: transport.as_deref() == Some("websocket"),
            eio: eio.map(|version| version.parse().unwrap_or(0)),
            jsonp,
            base64,
        }
    }

    /// The version that is meant: without one it is 3, as old iOS apps mean it.
    pub(super) fn version(&self) -> Version {
        if self.eio == Some(4) { Version::V4 } else { Version::V3 }
    }
}

/// Path and query as the engine should see them. It keeps them for as long as the session lives,
/// compares values as they come, and so gets those that it reads, decoded; and with an `EIO`:
/// without one it is 3, as old iOS apps mean it.
pub(super) fn for_engine(uri: &Uri) -> String {
    let mut text = format!("{}?", uri.path());
    let mut said = [false; ENGINE.len()];
    for (name, value) in pairs(uri) {
        let Some(which) =
            ENGINE.iter().position(|known| *known == name).filter(|which| !said[*which])
        else {
            continue;
        };
        said[which] = true;
        text.extend([ENGINE[which], "="]);
        // Anything else would be none of the engine's values, and might look like one parameter
        // more.
        text.extend(
            value
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '!' }),
        );
        text.push('&');
    }
    text.push_str(if said[0] { "" } else { "EIO=3" });
    text
}

/// Names and values, decoded.
fn pairs(uri: &Uri) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let pairs = uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
}

/// `%41` is `A`, `+` is a space. A `%` with something else behind it means itself.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let byte = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| 16 * high + low),
            _ => None,
        };
        rest = if byte.is_some() { &after[2..] } else { after };
        bytes.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(query: &str) -> Uri {
        Uri::try_from(format!("/socket.io/?{query}")).unwrap()
    }

    fn query(text: &str) -> Query {
        Query::read(&uri(text))
    }

    #[test]
    fn a_query_without_a_version_is_seen_as_such() {
        assert_eq!(query("transport=polling&b64=1").eio, None);
        assert_eq!(query("EIO=4&transport=websocket").eio, Some(4));
        assert!(query("EIO=4&transport=websocket").websocket);
        assert!(query("sid=nonsense").sid.is_none());
        // Of several values the first counts, as for the engine.
        assert!(query("EIO=4&transport=websocket&transport=polling&EIO=3").websocket);
        assert_eq!(query("EIO=4&transport=websocket&transport=polling&EIO=3").eio, Some(4));
    }

    #[test]
    fn names_and_values_may_be_percent_encoded() {
        let sid = Sid::new();
        let encoded: String = sid.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
        let read = query(&format!("%45IO=%34&transport=web%73ocket&sid={encoded}"));
        assert_eq!((read.eio, read.websocket, read.sid), (Some(4), true, Some(sid)));
        for (text, plain) in [
            ("a+b", "a b"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("100%25", "100%"),
            ("%F0%9F%99%82", "🙂"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(decoded(text), plain);
        }
    }

    #[test]
    fn the_engine_sees_what_we_saw_and_nothing_else() {
        for (given, seen) in [
            ("EIO=%34&transport=poll%69ng&t=x&user={%22a%22:1}", "EIO=4&transport=polling&"),
            ("b64=1&transport=polling", "b64=1&transport=polling&EIO=3"),
            (
                "transport=websocket&EIO=4&transport=polling&sid=a%26EIO=3",
                "transport=websocket&EIO=4&sid=a!EIO!3&",
            ),
            ("EIO&transport=+polling", "EIO=&transport=!polling&"),
            ("", "EIO=3"),
        ] {
            assert_eq!(for_engine(&uri(given)), format!("/socket.io/?{seen}"));
            assert_eq!(query(given).websocket, query(seen).websocket);
        }
    }

    #[test]
    fn jsonp_is_asked_for_by_an_index() {
        for (text, jsonp) in
            [("j=0", true), ("EIO=3&j=", true), ("j", true), ("json=1&tj=2&J=3", false)]
        {
            assert_eq!(query(text).jsonp, jsonp, "{text}");
        }
    }
}
