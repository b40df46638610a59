//! A word that proves something. Neither `Debug` nor `Display` show it; only [`SecretText::expose`]
//! does.

use std::fmt;

use super::kind::{Kind, Shape};

/// Stands for a secret where it is printed.
const HIDDEN: &str = "***";

/// A secret, or none where it is empty.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// The secret itself, to be compared. Not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "" } else { HIDDEN })
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretText({self})")
    }
}

/// A secret, or nothing. `***` is refused: a printed configuration that is used again would make
/// a secret of it that anybody can guess.
pub const SECRET: Kind<SecretText> = Kind {
    name: "SECRET",
    values: "any text but ***, or empty",
    shape: Shape::Text,
    secret: true,
    words: &[],
    parse: |text| match text {
        HIDDEN => Err("*** only stands for a secret: fill it in".into()),
        text => Ok(SecretText(text.into())),
    },
    print: SecretText::to_string,
};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_is_shown_to_whoever_asks_for_it_by_name_alone() {
        let secret = (SECRET.parse)("open sesame").unwrap();
        assert_eq!(secret.expose(), "open sesame");
        assert_eq!(
            (secret.to_string(), format!("{secret:?}")),
            ("***".into(), "SecretText(***)".into())
        );
        let none = (SECRET.parse)("").unwrap();
        assert!(none.is_empty() && (SECRET.print)(&none).is_empty());
    }

    #[test]
    fn what_stands_for_a_secret_is_none() {
        assert!((SECRET.parse)("***").is_err());
    }
}
