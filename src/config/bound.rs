//! Numbers and sizes that may be left unbounded: `off`, or a value.

use super::kind::{Kind, Shape};
use super::size::{self, ByteSize};

/// How many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// As many as the machine allows; what that is depends on what is counted.
    Auto,
    /// Any number.
    Off,
    /// At most so many.
    At(u32),
}

impl Most {
    /// The number; `auto` is what [`Most::Auto`] stands for. `None`: any.
    pub fn number(self, auto: Option<usize>) -> Option<usize> {
        match self {
            Most::Auto => auto,
            Most::Off => None,
            Most::At(number) => Some(number as usize),
        }
    }
}

/// A number above zero, `auto` or `off`.
pub const MOST_OR_AUTO: Kind<Most> = Kind {
    name: "NUMBER",
    values: "auto, off, or a number, 1 or more",
    shape: Shape::Number,
    secret: false,
    words: &["auto", "off"],
    parse: |text| match text {
        "auto" => Ok(Most::Auto),
        text => parse(text).ok_or_else(|| format!("expected {}", MOST_OR_AUTO.values)),
    },
    print,
};

/// A number above zero, or `off`.
pub const MOST: Kind<Most> = Kind {
    name: "NUMBER",
    values: "off, or a number, 1 or more",
    shape: Shape::Number,
    secret: false,
    words: &["off"],
    parse: |text| parse(text).ok_or_else(|| format!("expected {}", MOST.values)),
    print,
};

/// A size above zero, or `off`.
pub const MOST_BYTES: Kind<Option<ByteSize>> = Kind {
    name: "SIZE",
    values: "off, or bytes above zero: 500 MiB, 4 GiB (MB and GB count in thousands)",
    shape: Shape::Number,
    secret: false,
    words: &["off"],
    parse: |text| match text {
        "off" => Ok(None),
        text => size::parse(text, 1, usize::MAX)
            .map(Some)
            .ok_or_else(|| format!("expected {}", MOST_BYTES.values)),
    },
    print: |size| size.map_or_else(|| "off".to_owned(), |size| size.to_string()),
};

fn parse(text: &str) -> Option<Most> {
    if text == "off" {
        return Some(Most::Off);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number > 0).map(Most::At)
}

fn print(most: &Most) -> String {
    match most {
        Most::Auto => "auto".to_owned(),
        Most::Off => "off".to_owned(),
        Most::At(number) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bounds_are_read_and_written() {
        for text in ["auto", "off", "1", "4294967295"] {
            let most = (MOST_OR_AUTO.parse)(text).unwrap();
            assert_eq!((MOST_OR_AUTO.print)(&most), text);
        }
        for text in ["", "0", "-1", "+1", "4294967296", "many", "1 000"] {
            assert!((MOST_OR_AUTO.parse)(text).is_err(), "{text:?}");
            assert!((MOST.parse)(text).is_err(), "{text:?}");
        }
        assert!((MOST.parse)("auto").is_err());
        for (text, printed) in [("off", "off"), ("2 GiB", "2 GiB"), ("64001", "64001")] {
            assert_eq!((MOST_BYTES.print)(&(MOST_BYTES.parse)(text).unwrap()), printed);
        }
        for text in ["", "0", "2 TB", "auto"] {
            assert!((MOST_BYTES.parse)(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn auto_is_what_the_machine_allows() {
        assert_eq!(Most::Auto.number(Some(7)), Some(7));
        assert_eq!(Most::Off.number(Some(7)), None);
        assert_eq!(Most::At(3).number(Some(7)), Some(3));
    }
}
