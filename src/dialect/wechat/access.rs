//! Which pages may read answers (CORS), and where a request has its token.
//!
//! A token is in the header `Authorization`, or in the cookie `jwt`. A browser sends a cookie
//! whichever page asks, and so a cookie counts for nothing where a page of another origin asks that
//! is not among those that are configured by name: it could act as whoever looks at it.
use http::{HeaderMap, HeaderValue, Method, header};

use crate::config::{Origin, Origins};

/// What pages of other origins may send.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const HEADERS: &str = "Authorization, Content-Type";
/// How long a browser may keep that, seconds.
const MAX_AGE: &str = "86400";

/// The name of the cookie.
const COOKIE: &str = "jwt";

/// Whether a browser asks whether a page may ask.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Says in an answer whether a page of this origin may read it.
pub(super) fn allow(
    answer: &mut HeaderMap,
    origin: Option<&HeaderValue>,
    origins: &Origins,
    is_preflight: bool,
) {
    match (origins, origin) {
        (Origins::Any, _) => {
            let any = HeaderValue::from_static("*");
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
        }
        (Origins::Loopback | Origins::List(_), origin) => {
            answer.append(header::VARY, HeaderValue::from_static("Origin"));
            let Some(origin) = origin.filter(|origin| is_named(origins, origin)) else { return };
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            let yes = HeaderValue::from_static("true");
            answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }
    if is_preflight {
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ] {
            answer.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// Whether an origin is among those that are configured, and not only any.
fn is_named(origins: &Origins, origin: &HeaderValue) -> bool {
    match origins {
        Origins::Any => false,
        Origins::Loopback | Origins::List(_) => {
            origin.to_str().is_ok_and(|origin| origins.allow(origin))
        }
    }
}

/// The token of a request.
pub(super) fn token<'a>(headers: &'a HeaderMap, origins: &Origins) -> Option<&'a str> {
    bearer(headers).or_else(|| cookie(headers).filter(|_| cookies_count(headers, origins)))
}

/// The word behind `Bearer` in the header `Authorization`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The value of the cookie.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(|line| line.split(';')).filter_map(|it| it.split_once('='));
    let (_, value) = cookies.find(|(name, _)| name.trim() == COOKIE)?;
    let value = value.trim().trim_matches('"');
    (!value.is_empty()).then_some(value)
}

/// Whether a request with a cookie is meant by whoever has it.
fn cookies_count(headers: &HeaderMap, origins: &Origins) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    is_named(origins, origin) || is_of(origin, headers.get(header::HOST))
}

/// Whether this is the origin of pages of this host. Behind a proxy the scheme is not known here.
fn is_of(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let (Ok(origin), Some(Ok(host))) = (origin.to_str(), host.map(HeaderValue::to_str)) else {
        return false;
    };
    let Some(origin) = Origin::parse(origin) else { return false };
    let here = ["http", "https"].map(|scheme| Origin::parse(&format!("{scheme}://{host}")));
    here.contains(&Some(origin))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::config::origins::ORIGINS;

    fn origins(text: &str) -> Origins {
        (ORIGINS.parse)(text).unwrap()
    }

    fn headers(of: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in of {
            headers.append(name.clone(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_token_is_in_one_of_two_places() {
        let found = |of: &[(HeaderName, &str)]| {
            token(&headers(of), &Origins::Any).map(str::to_owned).unwrap_or_default()
        };
        let (authorization, cookie) = (header::AUTHORIZATION, header::COOKIE);
        for (value, token) in [
            ("Bearer a.b.c", "a.b.c"),
            ("bearer  a.b.c ", "a.b.c"),
            ("Bearer", ""),
            ("Bearer ", ""),
            ("Basic a.b.c", ""),
            ("a.b.c", ""),
            ("", ""),
        ] {
            assert_eq!(found(&[(authorization.clone(), value)]), token, "{value}");
        }
        for (value, token) in [
            ("jwt=a.b.c", "a.b.c"),
            ("x=1; jwt=a.b.c; y=2", "a.b.c"),
            ("x=1;jwt=\"a.b.c\"", "a.b.c"),
            ("jwt=", ""),
            ("xjwt=a.b.c", ""),
            ("JWT=a.b.c", ""),
            ("jwt", ""),
        ] {
            assert_eq!(found(&[(cookie.clone(), value)]), token, "{value}");
        }
        assert_eq!(found(&[]), "");
        let both = [(cookie.clone(), "jwt=c"), (authorization.clone(), "Bearer a")];
        assert_eq!(found(&both), "a");
        assert_eq!(found(&[(cookie, "jwt=c"), (authorization, "Basic a")]), "c");
    }

    #[test]
    fn a_cookie_counts_where_its_own_page_asks() {
        let counts = |origin: Option<&str>, configured: &str| {
            let mut of = vec![(header::COOKIE, "jwt=t"), (header::HOST, "chat.example:8443")];
            of.extend(origin.map(|origin| (header::ORIGIN, origin)));
            token(&headers(&of), &origins(configured)).is_some()
        };
        let named = "https://page.example";
        for (origin, any, list) in [
            (None, true, true),
            (Some("https://chat.example:8443"), true, true),
            (Some("http://chat.example:8443"), true, true),
            (Some("https://page.example"), false, true),
            (Some("https://evil.example"), false, false),
            (Some("https://chat.example"), false, false),
            (Some("null"), false, false),
        ] {
            assert_eq!((counts(origin, "*"), counts(origin, named)), (any, list), "{origin:?}");
        }
    }

    #[test]
    fn pages_may_read_answers_as_configured() {
        let allowed = |configured: &str, origin: &str| {
            let mut answer = HeaderMap::new();
            let origin = HeaderValue::from_str(origin).unwrap();
            allow(&mut answer, Some(&origin), &origins(configured), false);
            let text = |name: HeaderName| answer.get(name).map(|v| v.to_str().unwrap().to_owned());
            (
                text(header::ACCESS_CONTROL_ALLOW_ORIGIN).unwrap_or_default(),
                text(header::ACCESS_CONTROL_ALLOW_CREDENTIALS).is_some(),
            )
        };
        let list = "https://page.example";
        assert_eq!(allowed("*", "https://evil.example"), ("*".to_owned(), false));
        assert_eq!(allowed(list, "https://page.example"), (list.to_owned(), true));
        assert_eq!(allowed(list, "https://evil.example"), (String::new(), false));
        assert_eq!(
            allowed("loopback", "http://localhost:5173"),
            ("http://localhost:5173".to_owned(), true)
        );
    }

    #[test]
    fn a_preflight_is_told_what_may_be_sent() {
        let asks = headers(&[(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")]);
        assert!(is_preflight(&Method::OPTIONS, &asks));
        assert!(!is_preflight(&Method::POST, &asks));
        assert!(!is_preflight(&Method::OPTIONS, &HeaderMap::new()));
        let mut answer = HeaderMap::new();
        allow(&mut answer, None, &Origins::Any, true);
        assert_eq!(answer[header::ACCESS_CONTROL_ALLOW_HEADERS], "Authorization, Content-Type");
    }
}
