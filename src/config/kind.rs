//! What a setting's value looks like: how it is read from text, written back, and described to a
//! person. Every layer (file, environment, flags) hands over text, so that a value means the same
//! wherever it stands.

use std::path::PathBuf;

/// Which TOML literals are accepted beside a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Only a string.
    Text,
    /// An integer as well: `ping_interval = 25`.
    Number,
    /// Any number as well: `sample = 0.01`.
    Fraction,
    /// `true` and `false` as well.
    Switch,
    /// An array of strings as well.
    List,
}

/// A kind of value. `parse` answers what was expected, never repeats the text it was given: it may
/// be a secret.
pub struct Kind<T> {
    /// Stands for the value in `--help`: `DURATION`.
    pub name: &'static str,
    /// The allowed values and their unit, for people.
    pub values: &'static str,
    /// The TOML literals that are accepted.
    pub shape: Shape,
    /// The value may hold credentials, so a bad one is not shown.
    pub secret: bool,
    /// Fixed words among the allowed values, offered when one is misspelt.
    pub words: &'static [&'static str],
    /// Reads the value, or says what was expected.
    pub parse: fn(&str) -> Result<T, String>,
    /// Writes the value such that `parse` gives it again, but for hidden secrets.
    pub print: fn(&T) -> String,
}

/// `true` or `false`.
pub const SWITCH: Kind<bool> = Kind {
    name: "BOOL",
    values: "true or false",
    shape: Shape::Switch,
    secret: false,
    words: &["true", "false"],
    parse: |text| text.parse().map_err(|_| "expected true or false".into()),
    print: bool::to_string,
};

/// A path, relative to the working directory; never empty.
pub const PATH: Kind<PathBuf> = Kind {
    name: "PATH",
    values: "a path, relative to the working directory",
    shape: Shape::Text,
    secret: false,
    words: &[],
    parse: |text| match text {
        "" => Err("expected a path".into()),
        path => Ok(path.into()),
    },
    print: |path| path.display().to_string(),
};

/// A path, or nothing.
pub const OPTIONAL_PATH: Kind<Option<PathBuf>> = Kind {
    name: "PATH",
    values: "a path, relative to the working directory, or empty",
    shape: Shape::Text,
    secret: false,
    words: &[],
    parse: |text| Ok((!text.is_empty()).then(|| text.into())),
    print: |path| path.as_ref().map(|p| p.display().to_string()).unwrap_or_default(),
};

/// The valid name that `name` most likely stands for, if one is close.
pub(super) fn nearest<'a>(name: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    // Jaro-Winkler finds nothing in common between words as short as `lg` and `log`.
    let close = |other: &str| match strsim::osa_distance(&name, &other.to_lowercase()) {
        0 | 1 => 0.99,
        _ => strsim::jaro_winkler(&name, &other.to_lowercase()),
    };
    valid
        .into_iter()
        .map(|other| (close(other), other))
        .filter(|(closeness, _)| *closeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

/// Defines an enum of fixed words and the [`Kind`] that reads it.
macro_rules! words {
    ($(#[doc = $about:literal])+ $name:ident as $kind:ident {
        $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $name {
            /// The word as it is configured.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        #[doc = concat!("Reads [`", stringify!($name), "`].")]
        pub const $kind: $crate::config::kind::Kind<$name> = {
            const WORDS: &[&str] = &[$($word),+];
            $crate::config::kind::Kind {
                name: "WORD",
                values: $crate::config::kind::one_of!($($word),+),
                shape: $crate::config::kind::Shape::Switch,
                secret: false,
                words: WORDS,
                parse: |text| match text {
                    $($word => Ok($name::$variant),)+
                    _ => Err(format!("expected {}", WORDS.join(" or "))),
                },
                print: $name::to_string,
            }
        };
    };
}

/// `"a", "b", "c"` as the one text `a or b or c`.
macro_rules! one_of {
    ($first:literal $(, $word:literal)*) => { concat!($first $(, " or ", $word)*) };
}

pub(super) use {one_of, words};
