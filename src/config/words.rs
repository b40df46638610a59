//! Lists of words, separated by commas.
use std::fmt;

use super::kind::{Kind, Shape};

/// Asterisks that the name of rooms may have: with more, comparing could take long.
const STARS: usize = 3;

/// Words in a list: separated by commas in text, none of them empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Words {
    /// The words.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// The words, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The words of a text; nothing between two commas is no word.
    pub fn parse(text: &str) -> Self {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        Words(words.map(str::to_owned).collect())
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// Names of rooms, in which `*` stands for any text.
pub const ROOM_PATTERNS: Kind<Words> = Kind {
    name: "ROOMS",
    values: "names of rooms, separated by commas; * in a name stands for any text, at most three times",
    shape: Shape::List,
    secret: false,
    words: &[],
    parse: |text| {
        for word in text.split(',').map(str::trim) {
            if word.is_empty() {
                return Err(format!("expected {}", ROOM_PATTERNS.values));
            }
            if word.matches('*').count() > STARS {
                let values = ROOM_PATTERNS.values;
                return Err(format!("{word:?} has more than {STARS} asterisks: expected {values}"));
            }
        }
        Ok(Words::parse(text))
    },
    print: Words::to_string,
};
