//! Access modes: what a user may do in a topic, as letters.
//!
//! ```text
//! J join   R read   W write   P presence   A approve   S share   D delete   O owner   N none
//! ```
//!
//! A subscription has two, what its user wants and what was given; in effect is what both have.
use std::fmt::{self, Write as _};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::parsed;

/// The letters in the order in which they are written, each a bit.
const LETTERS: [u8; 8] = *b"JRWPASDO";

/// A set of rights.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Mode(u8);

impl Mode {
    /// Nothing: written `N`.
    pub const NONE: Mode = Mode(0);
    /// To join. Who lacks this is banned.
    pub const J: Mode = Mode(1);
    /// To read.
    pub const R: Mode = Mode(2);
    /// To write.
    pub const W: Mode = Mode(4);
    /// To be told who is there and what is new.
    pub const P: Mode = Mode(8);
    /// To approve: to change what others are given.
    pub const A: Mode = Mode(16);
    /// To share: to invite.
    pub const S: Mode = Mode(32);
    /// To delete messages for all.
    pub const D: Mode = Mode(64);
    /// To own the topic.
    pub const O: Mode = Mode(128);
    /// Everything.
    pub const ALL: Mode = Mode(255);
    /// What users give their peers, unless they say otherwise: `JRWPASD`.
    pub const USER: Mode = Mode::ALL.without(Mode::O);
    /// What members of groups are given, unless the group says otherwise: `JRWPS`.
    pub const GROUP: Mode = Mode(1 | 2 | 4 | 8 | 32);
    /// What users want with their peers: `JRWPAD`.
    pub const P2P: Mode = Mode(1 | 2 | 4 | 8 | 16 | 64);
    /// Of `me` and `fnd`: `JPS`.
    pub const ME: Mode = Mode(1 | 8 | 32);
    /// Of a channel's readers: `JRP`.
    pub const READER: Mode = Mode(1 | 2 | 8);
    /// Of notes to oneself: `JRWPD`.
    pub const OWN: Mode = Mode(1 | 2 | 4 | 8 | 64);

    /// From its letters, in any order and case; `N` alone is nothing.
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("N") {
            return Some(Mode::NONE);
        }
        if text.is_empty() {
            return None;
        }
        Self::letters(text)
    }

    fn letters(text: &str) -> Option<Self> {
        text.bytes().try_fold(Mode::NONE, |mode, byte| {
            let bit = LETTERS.iter().position(|letter| *letter == byte.to_ascii_uppercase())?;
            Some(mode.with(Mode(1 << bit)))
        })
    }

    /// What this becomes by what a client asks for: another mode, or a change, such as `+W-R`.
    /// Nothing where the text is neither.
    pub fn changed_by(self, text: &str) -> Option<Self> {
        if !text.starts_with(['+', '-']) {
            return Self::parse(text);
        }
        // Each sign with the letters up to the next.
        let (mut mode, mut rest) = (self, text);
        while let Some(sign) = rest.chars().next() {
            let behind = &rest[sign.len_utf8()..];
            let end = behind.find(['+', '-']).unwrap_or(behind.len());
            let (letters, next) = behind.split_at(end);
            let letters = Self::letters(letters).filter(|letters| !letters.is_none())?;
            mode = if sign == '+' { mode.with(letters) } else { mode.without(letters) };
            rest = next;
        }
        Some(mode)
    }

    /// Whether it has all of these.
    pub const fn has(self, all: Mode) -> bool {
        self.0 & all.0 == all.0
    }

    /// What both have.
    pub const fn and(self, o: Mode) -> Mode {
        Mode(self.0 & o.0)
    }

    /// What either has.
    pub const fn with(self, o: Mode) -> Mode {
        Mode(self.0 | o.0)
    }

    /// What this has and that lacks.
    pub const fn without(self, o: Mode) -> Mode {
        Mode(self.0 & !o.0)
    }

    /// A bit for each letter, J the lowest.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The mode with these bits.
    pub const fn of_bits(bits: u8) -> Self {
        Mode(bits)
    }

    /// Whether it has nothing.
    pub fn is_none(self) -> bool {
        self == Mode::NONE
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_char('N');
        }
        for (bit, letter) in LETTERS.iter().enumerate() {
            if self.0 & (1 << bit) != 0 {
                f.write_char(char::from(*letter))?;
            }
        }
        Ok(())
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "access mode", Mode::parse)
    }
}

/// The two modes of a subscription.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(super) struct Acs {
    /// What its user wants.
    pub want: Mode,
    /// What the user is given.
    pub given: Mode,
}

impl Acs {
    /// What is in effect.
    pub fn mode(self) -> Mode {
        self.want.and(self.given)
    }
}

/// What those are given who come of themselves.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(super) struct Defacs {
    /// Those who have signed in.
    pub auth: Mode,
    /// Those whom nobody knows.
    pub anon: Mode,
}

impl Defacs {
    /// What users of this level are given.
    pub fn of(self, level: Level) -> Mode {
        match level {
            Level::Anon => self.anon,
            Level::Auth | Level::Root => self.auth,
        }
    }
}

/// How well a user is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Not at all.
    Anon,
    /// By a password, or by what stands for it.
    Auth,
    /// Runs the server.
    Root,
}

impl Level {
    /// As clients read it.
    pub fn word(self) -> &'static str {
        match self {
            Level::Anon => "anon",
            Level::Auth => "auth",
            Level::Root => "root",
        }
    }

    /// As tokens and gRPC have it.
    pub fn number(self) -> u16 {
        match self {
            Level::Anon => 10,
            Level::Auth => 20,
            Level::Root => 30,
        }
    }

    /// From [`Level::number`].
    pub fn of_number(n: u16) -> Option<Self> {
        [Level::Anon, Level::Auth, Level::Root].into_iter().find(|level| level.number() == n)
    }
}

/// What of a subscription's modes has changed, as clients read it: `+W-R` against what was there,
/// or the mode itself where nothing was.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(super) struct Dacs {
    /// Of what is wanted; nothing: that has not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub want: Option<String>,
    /// Of what is given; nothing: that has not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
}

impl Dacs {
    /// What leads from one to the other. `before`: nothing for a new subscription. Nothing where
    /// nothing has changed.
    pub fn between(before: Option<Acs>, after: Acs) -> Option<Self> {
        let Some(before) = before else {
            return Some(Dacs {
                want: Some(after.want.to_string()),
                given: Some(after.given.to_string()),
            });
        };
        let dacs =
            Dacs { want: delta(before.want, after.want), given: delta(before.given, after.given) };
        (dacs.want.is_some() || dacs.given.is_some()).then_some(dacs)
    }

    /// The subscription is gone.
    pub fn gone() -> Self {
        let none = || Some(Mode::NONE.to_string());
        Dacs { want: none(), given: none() }
    }
}

fn delta(before: Mode, after: Mode) -> Option<String> {
    if before == after {
        return None;
    }
    if before.is_none() {
        return Some(after.to_string());
    }
    let mut delta = String::new();
    for (sign, letters) in [('+', after.without(before)), ('-', before.without(after))] {
        if !letters.is_none() {
            delta.push(sign);
            delta.push_str(&letters.to_string());
        }
    }
    Some(delta)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(text: &str) -> Mode {
        Mode::parse(text).unwrap()
    }

    fn acs(want: &str, given: &str) -> Acs {
        Acs { want: mode(want), given: mode(given) }
    }

    #[test]
    fn modes_are_letters_in_one_order() {
        for (text, mode, written) in [
            ("N", Mode::NONE, "N"),
            ("n", Mode::NONE, "N"),
            ("JRWPASDO", Mode::ALL, "JRWPASDO"),
            ("odsapwrj", Mode::ALL, "JRWPASDO"),
            ("JRWPASD", Mode::USER, "JRWPASD"),
            ("JRWPS", Mode::GROUP, "JRWPS"),
            ("JRWPAD", Mode::P2P, "JRWPAD"),
            ("JPS", Mode::ME, "JPS"),
            ("JRP", Mode::READER, "JRP"),
            ("JRWPD", Mode::OWN, "JRWPD"),
            ("RRJ", Mode::J.with(Mode::R), "JR"),
        ] {
            assert_eq!((Mode::parse(text), mode.to_string().as_str()), (Some(mode), written));
        }
        for bad in ["", "X", "JN", "NN", "J R", "+J", "é", "JRWPASDOX"] {
            assert_eq!(Mode::parse(bad), None, "{bad}");
        }
        for bits in 0..=255 {
            let one = Mode::of_bits(bits);
            assert_eq!((Mode::parse(&one.to_string()), one.bits()), (Some(one), bits));
        }
    }

    #[test]
    fn a_change_is_against_what_is_there() {
        for (before, text, after) in [
            ("JR", "+W-R", Some("JW")),
            ("JR", "+wp", Some("JRWP")),
            ("JR", "-JR", Some("N")),
            ("N", "+J", Some("J")),
            ("JR", "-R+R", Some("JR")),
            ("JR", "W", Some("W")),
            ("JR", "N", Some("N")),
            ("JR", "", None),
            ("JR", "+", None),
            ("JR", "+W-", None),
            ("JR", "+N", None),
            ("JR", "W+R", None),
            ("JR", "+é", None),
        ] {
            assert_eq!(mode(before).changed_by(text), after.map(mode), "{before} {text}");
        }
    }

    #[test]
    fn rights_are_sets() {
        let few = mode("JR");
        assert!(few.has(Mode::J) && few.has(few) && few.has(Mode::NONE));
        assert!(!few.has(mode("JW")) && !Mode::NONE.has(Mode::J));
        assert_eq!(acs("JPA", "JPS").mode(), mode("JP"));
        assert_eq!(acs("N", "JPS").mode(), Mode::NONE);
        assert_eq!(few.without(mode("RW")), Mode::J);
    }

    #[test]
    fn levels_have_words_and_numbers() {
        let defacs = Defacs { auth: Mode::USER, anon: Mode::NONE };
        for (level, word, number, given) in [
            (Level::Anon, "anon", 10, Mode::NONE),
            (Level::Auth, "auth", 20, Mode::USER),
            (Level::Root, "root", 30, Mode::USER),
        ] {
            assert_eq!((level.word(), level.number(), defacs.of(level)), (word, number, given));
            assert_eq!(Level::of_number(number), Some(level));
            assert_eq!(serde_json::to_string(&level).unwrap(), format!("\"{word}\""));
        }
        assert_eq!(Level::of_number(0), None);
    }

    #[test]
    fn modes_are_texts_in_records() {
        let json = r#"{"want":"JRWPAD","given":"N"}"#;
        let read: Acs = serde_json::from_str(json).unwrap();
        assert_eq!(read, acs("JRWPAD", "N"));
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        assert!(serde_json::from_str::<Mode>(r#""X""#).is_err());
    }

    #[test]
    fn a_change_is_told_as_a_delta() {
        for (before, after, told) in [
            (None, acs("JRWPAD", "JRWPASD"), Some((Some("JRWPAD"), Some("JRWPASD")))),
            (None, acs("N", "JR"), Some((Some("N"), Some("JR")))),
            (Some(acs("JR", "JR")), acs("JR", "JR"), None),
            (Some(acs("JR", "JR")), acs("JW", "JR"), Some((Some("+W-R"), None))),
            (Some(acs("JR", "JR")), acs("JR", "JRWP"), Some((None, Some("+WP")))),
            (Some(acs("JRW", "JRW")), acs("J", "J"), Some((Some("-RW"), Some("-RW")))),
            (Some(acs("JR", "JR")), acs("JR", "N"), Some((None, Some("-JR")))),
            (Some(acs("JR", "N")), acs("JR", "JR"), Some((None, Some("JR")))),
            (Some(acs("N", "N")), acs("N", "N"), None),
        ] {
            let told = told.map(|(want, given)| Dacs {
                want: want.map(str::to_owned),
                given: given.map(str::to_owned),
            });
            assert_eq!(Dacs::between(before, after), told, "{before:?} {after:?}");
        }
        let gone = Dacs { want: Some("N".into()), given: Some("N".into()) };
        assert_eq!(Dacs::gone(), gone);
        assert_eq!(serde_json::to_string(&gone).unwrap(), r#"{"want":"N","given":"N"}"#);
    }
}
