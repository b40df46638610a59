//! Numbers of bytes as people write them: `500 KiB`, `1MiB`, `4096`; `KB`, `MB` and `GB` count in
//! thousands.

use std::fmt;

use super::kind::{Kind, Shape};

/// Units and their bytes; those that print first stand first.
const UNITS: [(&str, usize); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Above this, sums of sizes could overflow on small machines, and no machine has it to spare.
const MAX: usize = 1 << 30;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(usize);

impl ByteSize {
    /// That many bytes.
    pub const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS
            .iter()
            .find(|(unit, scale)| *unit != "B" && self.0 > 0 && self.0.is_multiple_of(*scale))
        {
            Some((unit, scale)) => write!(f, "{} {unit}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A size above zero.
pub const SIZE: Kind<ByteSize> = Kind {
    name: "SIZE",
    values: "bytes above zero: 4096, 500 KiB, 1 MiB (KB and MB count in thousands), at most 1 GiB",
    shape: Shape::Number,
    secret: false,
    words: &[],
    parse: |text| parse(text, 1, MAX).ok_or_else(|| format!("expected {}", SIZE.values)),
    print: ByteSize::to_string,
};

/// The size, if it is one from `min` to `max` bytes.
pub(super) fn parse(text: &str, min: usize, max: usize) -> Option<ByteSize> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (count, unit) = text.split_at(digits);
    let unit = if unit.is_empty() { "B" } else { unit.trim_start() };
    let (_, scale) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    let bytes = count.parse::<usize>().ok()?.checked_mul(*scale)?;
    (min..=max).contains(&bytes).then_some(ByteSize(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, printed) in [
            ("500 KiB", 512_000, "500 KiB"),
            ("1MiB", 1 << 20, "1 MiB"),
            ("4096", 4096, "4 KiB"),
            ("2 kb", 2000, "2 KB"),
            ("3MB", 3_000_000, "3 MB"),
            ("1023", 1023, "1023"),
            ("7 B", 7, "7"),
            ("1 GiB", 1 << 30, "1 GiB"),
        ] {
            let size = (SIZE.parse)(text).unwrap();
            assert_eq!(size.bytes(), bytes, "{text}");
            assert_eq!(size.to_string(), printed);
            assert_eq!((SIZE.parse)(printed), Ok(size));
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "0",
            "-1",
            "1.5 MiB",
            "1 M",
            "KiB",
            "2 GiB",
            "99999999999999999999",
            "18446744073709551615 KiB",
        ] {
            assert!((SIZE.parse)(text).is_err(), "{text:?}");
        }
    }
}
