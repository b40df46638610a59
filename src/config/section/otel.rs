//! The section `[otel]`. It exists in every build, so that the reference is one; a server that was
//! built without the cargo feature refuses an endpoint.

use std::fmt;
use std::path::PathBuf;

use http::{HeaderName, HeaderValue};

use crate::config::kind::{Kind, OPTIONAL_PATH, Shape};
use crate::config::setting::section;
use crate::config::url::{HTTP_URL, HttpUrl};

/// A part of all, from none to the whole.
const RATIO: Kind<f64> = Kind {
    name: "RATIO",
    values: "a number from 0 to 1",
    shape: Shape::Fraction,
    secret: false,
    words: &[],
    parse: |text| match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("expected a number from 0 to 1".into()),
    },
    print: f64::to_string,
};

/// The name of a service.
const NAME: Kind<String> = Kind {
    name: "NAME",
    values: "any text but an empty one",
    shape: Shape::Text,
    secret: false,
    words: &[],
    parse: |text| match text.trim() {
        "" => Err("expected a name".into()),
        name => Ok(name.into()),
    },
    print: String::clone,
};

/// Headers of requests. Their values may be secrets, and are never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    /// Their names and values, to be sent. Not for logs.
    pub fn expose(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0
    }

    /// Reads `name=value,name=value`.
    fn parse(text: &str) -> Result<Self, String> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        let header = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.trim().as_bytes()).ok()?, value))
        };
        let headers = pairs.map(header).collect::<Option<_>>().map(Headers);
        headers.ok_or_else(|| format!("expected {}", HEADERS.values))
    }
}

impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "" } else { "***" })
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Headers({self})")
    }
}

/// Headers, or none.
const HEADERS: Kind<Headers> = Kind {
    name: "HEADERS",
    values: "name=value pairs, separated by commas, or empty",
    shape: Shape::Text,
    secret: true,
    words: &[],
    parse: Headers::parse,
    print: Headers::to_string,
};

section! {
    /// Traces for a collector of OpenTelemetry. Only a server that was built with the cargo feature
    /// `otel` has them; any other refuses an endpoint.
    Otel("otel") {
        /// A collector that takes OTLP by HTTP, such as http://127.0.0.1:4318; /v1/traces is added
        /// to its path. Empty: nothing is traced.
        endpoint: Option<HttpUrl> = "", HTTP_URL, "AO_OTEL__ENDPOINT";
        /// Which part of all traces is recorded. Requests of the HTTP API that come with a
        /// traceparent are recorded if that says so.
        sample: f64 = "0.01", RATIO, "AO_OTEL__SAMPLE";
        /// What the service is called in traces.
        service: String = "always-online", NAME, "AO_OTEL__SERVICE";
        /// Headers of the requests to the collector, such as authorization=Bearer KEY.
        headers: Headers = "", HEADERS, "AO_OTEL__HEADERS";
        /// PEM file with the authorities that the collector's certificate may be of. Empty: those
        /// that browsers trust.
        ca: Option<PathBuf> = "", OPTIONAL_PATH, "AO_OTEL__CA";
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn headers_are_read_and_not_shown() {
        let headers = (HEADERS.parse)("authorization=Bearer a=b, X-Tenant = s3cret,").unwrap();
        let pairs: Vec<_> = headers.expose().iter().map(|(n, v)| (n.as_str(), v)).collect();
        assert_eq!(pairs[0], ("authorization", &HeaderValue::from_static("Bearer a=b")));
        assert_eq!(pairs[1], ("x-tenant", &HeaderValue::from_static("s3cret")));
        assert_eq!((HEADERS.print)(&headers), "***");
        assert_eq!(format!("{headers:?}"), "Headers(***)");
        assert_eq!((HEADERS.print)(&(HEADERS.parse)("").unwrap()), "");
        for wrong in ["s3cret", "a b=s3cret", "=s3cret", "***", "a=s3cret\nb=1"] {
            let why = (HEADERS.parse)(wrong).unwrap_err();
            assert!(!why.contains("s3cret"), "{why}");
        }
    }

    #[test]
    fn a_ratio_is_between_nothing_and_all() {
        for text in ["0", "0.01", "1"] {
            assert_eq!((RATIO.print)(&(RATIO.parse)(text).unwrap()), text);
        }
        for wrong in ["", "-0.1", "1.1", "NaN", "5 %"] {
            assert!((RATIO.parse)(wrong).is_err(), "{wrong}");
        }
    }
}
