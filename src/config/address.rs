//! Addresses to listen on: an IP address and a port. Names such as `localhost` are not looked up:
//! what they mean depends on the machine, and whether a port is open to the world must not.

use std::net::{Ipv4Addr, SocketAddr};

use super::kind::{Kind, Shape};

/// An address to listen on.
pub const ADDRESS: Kind<SocketAddr> = Kind {
    name: "ADDRESS",
    values: "an IP address and a port: 127.0.0.1:4000, [::1]:4000, or :4000 for 0.0.0.0; port 0 takes a free one",
    shape: Shape::Text,
    secret: false,
    words: &[],
    parse,
    print: SocketAddr::to_string,
};

/// An address to listen on, or nothing.
pub const OPTIONAL_ADDRESS: Kind<Option<SocketAddr>> = Kind {
    name: "ADDRESS",
    values: "empty, or an IP address and a port: 127.0.0.1:4000, [::1]:4000, or :4000 for 0.0.0.0; port 0 takes a free one",
    shape: Shape::Text,
    secret: false,
    words: &[],
    parse: |text| {
        if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
    },
    print: |address| address.map(|a| a.to_string()).unwrap_or_default(),
};

fn parse(text: &str) -> Result<SocketAddr, String> {
    let address = match text.strip_prefix(':') {
        Some(port) => {
            port.parse().ok().map(|port: u16| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
        }
        None => text.parse().ok(),
    };
    address.ok_or_else(|| {
        "expected an IP address and a port such as 127.0.0.1:4000, [::1]:4000 or :4000".into()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, printed) in [
            ("127.0.0.1:4000", "127.0.0.1:4000"),
            ("[::1]:4000", "[::1]:4000"),
            (":4000", "0.0.0.0:4000"),
            ("127.0.0.1:0", "127.0.0.1:0"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), printed);
        }
        assert_eq!((OPTIONAL_ADDRESS.parse)(""), Ok(None));
        for text in
            ["4000", "localhost:4000", "127.0.0.1", ":65536", "::1:4000:", ":", "127.0.0.1:4000 "]
        {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!((ADDRESS.parse)("").is_err());
    }
}
