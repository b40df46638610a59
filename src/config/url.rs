//! The URL of an HTTP server that this server calls: of a business server's hooks, or of a set of
//! keys. What follows its path may be a secret, and is not printed.

use std::fmt;
use std::net::IpAddr;

use super::kind::{Kind, Shape};

/// `http://` or `https://`, a host, and no credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(http::Uri);

impl HttpUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url: http::Uri = text.parse().map_err(|_| expected())?;
        let Some(authority) = url.authority() else { return Err(expected()) };
        if !matches!(url.scheme_str(), Some("http" | "https")) || authority.host().is_empty() {
            return Err(expected());
        }
        if authority.as_str().contains('@') {
            return Err("the URL must have no user and password in it".into());
        }
        if text.contains('#') {
            return Err("the URL must have no fragment (#)".into());
        }
        Ok(HttpUrl(url))
    }

    /// Whether it is called on another machine without TLS, so that whoever is on the way can read
    /// and change what goes there and what comes back.
    pub fn is_exposed(&self) -> bool {
        let host = self.0.host().unwrap_or_default().trim_matches(['[', ']']);
        let here = host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        self.0.scheme_str() == Some("http") && !here
    }

    /// The whole URL, to be called. Not for logs.
    pub fn expose(&self) -> &http::Uri {
        &self.0
    }
}

fn expected() -> String {
    format!("expected {}", HTTP_URL.values)
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = (self.0.scheme_str(), self.0.authority().map(|a| a.as_str()));
        let query = if self.0.query().is_some() { "?***" } else { "" };
        let (scheme, host) = (scheme.unwrap_or_default(), host.unwrap_or_default());
        write!(f, "{scheme}://{host}{}{query}", self.0.path())
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({self})")
    }
}

/// The URL of an HTTP server, or none.
pub const HTTP_URL: Kind<Option<HttpUrl>> = Kind {
    name: "URL",
    values: "a URL that begins with http:// or https://, or empty",
    shape: Shape::Text,
    secret: true,
    words: &[],
    parse: |text| match text {
        "" => Ok(None),
        text => HttpUrl::parse(text).map(Some),
    },
    print: |url| url.as_ref().map(HttpUrl::to_string).unwrap_or_default(),
};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_is_printed_without_what_may_be_secret() {
        for (text, shown) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/"),
            ("https://shop.example/hooks/ao", "https://shop.example/hooks/ao"),
            ("https://shop.example/ao?key=s3cret", "https://shop.example/ao?***"),
            ("http://[::1]:80/", "http://[::1]:80/"),
        ] {
            let url = (HTTP_URL.parse)(text).unwrap();
            assert_eq!((HTTP_URL.print)(&url), shown);
            assert!(!format!("{url:?}").contains("s3cret"));
        }
        assert_eq!((HTTP_URL.parse)(""), Ok(None));
    }

    #[test]
    fn without_tls_only_this_machine_is_out_of_reach() {
        for (text, exposed) in [
            ("http://id.example/jwks", true),
            ("http://10.0.0.1/", true),
            ("http://localhost.example/", true),
            ("https://id.example/jwks", false),
            ("http://LOCALHOST:8000/", false),
            ("http://127.1.2.3/", false),
            ("http://[::1]:80/", false),
        ] {
            assert_eq!(HttpUrl::parse(text).unwrap().is_exposed(), exposed, "{text}");
        }
    }

    #[test]
    fn what_is_no_url_of_an_http_server_is_refused_and_not_repeated() {
        for text in [
            "shop.example",
            "/hooks",
            "ftp://shop.example/s3cret",
            "https://",
            "http://:80/",
            "https://ann:s3cret@shop.example/",
            "https://shop.example/#s3cret",
            "https://shop.example/a b",
        ] {
            let why = (HTTP_URL.parse)(text).unwrap_err();
            assert!(!why.contains("s3cret"), "{text}: {why}");
        }
    }
}
