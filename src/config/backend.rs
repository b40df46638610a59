//! Where data is kept: in this process's own files, or on a server named by a URL. Such a URL may
//! hold a password, so it has no way to be printed whole but [`SecretUrl::expose`].

use std::fmt;

use super::kind::{Kind, Shape};

/// Stands for what is hidden.
const HIDDEN: &str = "***";

/// Where data is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In files below `store.path`.
    Embedded,
    /// On a server.
    Url(SecretUrl),
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// The URL of a server, with credentials that neither `Debug` nor `Display` show.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// The URL with its credentials, for the driver. Not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `text`, which may be a driver's complaint about this URL, without the secrets in it.
    pub fn scrub(&self, text: &str) -> String {
        let (before, query) = self.0.split_once('?').unwrap_or((&self.0, ""));
        let userinfo = before
            .split_once("://")
            .and_then(|(_, rest)| rest.rsplit_once('@'))
            .map_or("", |(userinfo, _)| userinfo);
        let password = userinfo.split_once(':').map_or("", |(_, password)| password);
        let options = query
            .split('&')
            .filter_map(|option| option.split_once('='))
            .filter(|(name, _)| is_secret(name));
        // A driver may quote one entry of a list, and a value as it is meant.
        let values =
            options.flat_map(|(_, value)| std::iter::once(value).chain(value.split([',', ':'])));
        let pieces = std::iter::once(password)
            .chain(values)
            .flat_map(|piece| [piece.to_owned(), decoded(piece)]);
        let mut pieces: Vec<String> = pieces.filter(|piece| !piece.is_empty()).collect();
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
        pieces.into_iter().fold(text.to_owned(), |text, piece| text.replace(&piece, HIDDEN))
    }

    /// The URL if its scheme is one of `schemes` and it names a host. An `@` after the host would
    /// be a password with a bare `/`, `?` or `#` in it, and hiding would miss its end: it has
    /// to be percent-encoded.
    fn parse(text: &str, schemes: &[&str]) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("expected embedded or a URL")?;
        if !schemes.contains(&scheme) {
            return Err(format!(
                "expected embedded or a URL that begins with {}",
                schemes.join(":// or ") + "://"
            ));
        }
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        if host.is_empty() || host.starts_with(':') {
            return Err("the URL names no host".into());
        }
        if rest[authority.len()..].contains('@') || authority.matches('@').count() > 1 {
            return Err("write @ / ? # in a user or password as %40 %2F %3F %23".into());
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("the URL has a space in it".into());
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, query) =
            self.0.split_once('?').map_or((self.0.as_str(), None), |(b, q)| (b, Some(q)));
        match before.split_once("://") {
            Some((scheme, rest)) => match rest.rsplit_once('@') {
                Some((_, host)) => write!(f, "{scheme}://{HIDDEN}@{host}")?,
                None => write!(f, "{scheme}://{rest}")?,
            },
            None => f.write_str(HIDDEN)?,
        }
        for (index, option) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            match option.split_once('=') {
                Some((name, _)) if is_secret(name) => write!(f, "{mark}{name}={HIDDEN}")?,
                _ => write!(f, "{mark}{option}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({self})")
    }
}

/// A part of a URL with its %XX resolved.
fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail
            .get(..2)
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Options of drivers that hold secrets: `tlsCertificateKeyFilePassword`, `authMechanismProperties`
/// (an AWS session token).
fn is_secret(option: &str) -> bool {
    let option = option.to_ascii_lowercase();
    ["pass", "secret", "token", "authmechanismproperties", "key"]
        .iter()
        .any(|part| option.contains(part))
}

/// Where messages are kept.
pub const MESSAGES: Kind<Backend> = Kind {
    name: "BACKEND",
    values: "embedded, or a URL redis://user:password@host:port/database (rediss:// for TLS)",
    shape: Shape::Text,
    secret: true,
    words: &["embedded"],
    parse: |text| parse(text, &["redis", "rediss"]),
    print: Backend::to_string,
};

/// Where tokens are kept.
pub const TOKENS: Kind<Backend> = Kind {
    values: "embedded, or a URL mongodb://user:password@host:port/ (or mongodb+srv://)",
    parse: |text| parse(text, &["mongodb", "mongodb+srv"]),
    ..MESSAGES
};

fn parse(text: &str, schemes: &[&str]) -> Result<Backend, String> {
    match text {
        "embedded" => Ok(Backend::Embedded),
        url => SecretUrl::parse(url, schemes).map(Backend::Url),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn credentials_are_never_shown() {
        for (text, shown) in [
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
            ("rediss://:s3cret@cache.example", "rediss://***@cache.example"),
            ("redis://user:s3cret@cache.example:6380/2", "redis://***@cache.example:6380/2"),
        ] {
            let backend = (MESSAGES.parse)(text).unwrap();
            assert_eq!(backend.to_string(), shown);
            assert!(!format!("{backend:?}").contains("s3cret"));
            let Backend::Url(url) = backend else { panic!("{text}") };
            assert_eq!(url.expose(), text);
        }
        let url = "mongodb+srv://u:s3cret@a.example,b.example/?tls=true&tlsCertificateKeyFilePassword=s3cret";
        let shown =
            "mongodb+srv://***@a.example,b.example/?tls=true&tlsCertificateKeyFilePassword=***";
        assert_eq!((TOKENS.parse)(url).unwrap().to_string(), shown);
    }

    #[test]
    fn a_text_about_a_url_is_told_without_its_secrets() {
        let url =
            "mongodb://anna:s3cret%2F1@a.example/?tls=1&authMechanismProperties=TOKEN:abc%3D,odd";
        let Backend::Url(url) = (TOKENS.parse)(url).unwrap() else { panic!("{url}") };
        let text = "anna at a.example gave s3cret/1 or s3cret%2F1, abc= and odd";
        assert_eq!(url.scrub(text), "anna at a.example gave *** or ***, *** and ***");
        let Backend::Url(url) = (TOKENS.parse)("mongodb://a.example").unwrap() else {
            panic!("no URL")
        };
        assert_eq!(url.scrub("no secret"), "no secret");
    }

    #[test]
    fn a_url_has_to_be_one_and_the_reason_tells_no_secret() {
        for text in [
            "",
            "redis",
            "redis:127.0.0.1",
            "redis://",
            "redis://:6379",
            "redis://u:s3cret@",
            "mongodb://s3cret@a.example",
            "redis://u:s3c/ret@a",
            "redis://u:s3cret@b@a",
            "redis://a.example/s3cret @",
            "http://s3cret",
            "redis://a b",
        ] {
            let why = (MESSAGES.parse)(text).unwrap_err();
            assert!(!why.contains("s3c"), "{why}");
        }
        assert!((TOKENS.parse)("redis://127.0.0.1").is_err());
    }
}
