//! What somebody says who registers, and whether that is enough.
use super::{
    body::Fields,
    error::{Failure, Field},
};

/// Bytes of the longest name, email or region, password, and picture. The picture is a data URL of
/// 70 KB where a page makes it small, and goes to all contacts with each card.
const NAME: usize = 1 << 10;
const PASSWORD: usize = 4 << 10;
pub(super) const THUMB: usize = 128 << 10;
/// Characters of a phone.
const PHONE: std::ops::RangeInclusive<usize> = 3..=20;

/// A registration that has everything.
#[derive(PartialEq, Eq)]
pub(super) struct Registration {
    pub nick: String,
    pub user_name: String,
    pub password: String,
    pub email: String,
    pub phone: String,
    pub thumb: Option<String>,
    pub region: Option<String>,
}

impl Registration {
    /// Reads it.
    ///
    /// # Errors
    /// The first field that is missing; or one that is too long.
    pub fn read(fields: &Fields) -> Result<Self, Failure> {
        for field in Field::ALL {
            if fields.text(field.name()).is_none() {
                return Err(Failure::Missing(field));
            }
        }
        let text = |name: &'static str, most: usize| match fields.text(name) {
            Some(text) if text.len() > most => Err(Failure::TooLong(name)),
            text => Ok(text.map(str::to_owned)),
        };
        let needed =
            |field: Field, most: usize| text(field.name(), most)?.ok_or(Failure::Missing(field));
        let phone = fields.text(Field::Phone.name()).filter(|phone| is_phone(phone));
        Ok(Registration {
            phone: phone.ok_or(Failure::Missing(Field::Phone))?.to_owned(),
            nick: needed(Field::Nick, NAME)?,
            user_name: needed(Field::UserName, NAME)?,
            password: needed(Field::Password, PASSWORD)?,
            email: needed(Field::Email, NAME)?,
            thumb: text("thumb", THUMB)?,
            region: text("region", NAME)?,
        })
    }
}

/// Whether somebody may register with this phone.
fn is_phone(text: &str) -> bool {
    let may = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'_');
    PHONE.contains(&text.len()) && text.bytes().all(may)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(&str, &str); 5] = [
        ("nick", "bob"),
        ("userName", "bobby"),
        ("password", "secret"),
        ("email", "b@x"),
        ("phone", "13800138001"),
    ];

    fn read(fields: &[(&str, &str)]) -> Result<Registration, Failure> {
        Registration::read(&Fields::of(fields))
    }

    /// Everything but what has this name, which is said otherwise.
    fn with<'a>(name: &'a str, text: &'a str) -> Vec<(&'a str, &'a str)> {
        let others = ALL.into_iter().filter(|(other, _)| *other != name);
        others.chain([(name, text)]).collect()
    }

    #[test]
    fn what_is_missing_is_asked_for_in_order() {
        for (at, field) in Field::ALL.into_iter().enumerate() {
            let failure = read(&ALL[..at]).err();
            assert_eq!(failure, Some(Failure::Missing(field)));
            let failure = read(&with(field.name(), "")).err();
            assert_eq!(failure, Some(Failure::Missing(field)), "an empty one is none");
        }
        let bob = read(&ALL).ok().unwrap();
        assert_eq!((&*bob.nick, bob.thumb, bob.region), ("bob", None, None));
        let pictured = read(&with("thumb", "data:,x")).ok().unwrap();
        assert_eq!(pictured.thumb.as_deref(), Some("data:,x"));
    }

    #[test]
    fn a_phone_has_3_to_20_digits_pluses_and_underscores() {
        for (phone, good) in [
            ("138", true),
            ("+86_13800138000", true),
            ("12345678901234567890", true),
            ("___", true),
            ("12", false),
            ("123456789012345678901", false),
            ("138 0013", false),
            ("138-0013", false),
            ("１３８", false),
            ("abc", false),
            ("[", false),
            (".*.", false),
            ("138\0", false),
        ] {
            let failure = read(&with("phone", phone)).err();
            let expected = (!good).then_some(Failure::Missing(Field::Phone));
            assert_eq!(failure, expected, "{phone}");
        }
    }

    #[test]
    fn what_would_be_too_much_for_a_card_is_refused() {
        for (name, most) in
            [("nick", NAME), ("password", PASSWORD), ("thumb", THUMB), ("region", NAME)]
        {
            assert!(read(&with(name, &"x".repeat(most))).is_ok(), "{name}");
            let failure = read(&with(name, &"x".repeat(most + 1))).err();
            assert_eq!(failure, Some(Failure::TooLong(name)));
        }
    }
}
