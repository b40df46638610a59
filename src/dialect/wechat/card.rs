//! What is told of a user: a card to everybody, more to the user itself, and of a password nothing
//! to anybody.
use serde::Serialize;

use super::users::User;

/// What everybody may know who finds a user, or has it as a contact.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Card<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    nick: &'a str,
    phone: &'a str,
    thumb: Option<&'a str>,
    group: &'a str,
    user_name: &'a str,
    region: Option<&'a str>,
}

impl<'a> Card<'a> {
    /// Of this user.
    pub fn of(user: &'a User) -> Self {
        Card {
            id: &user.id,
            nick: &user.nick,
            phone: &user.phone,
            thumb: user.thumb.as_deref(),
            group: &user.group,
            user_name: &user.user_name,
            region: user.region.as_deref(),
        }
    }
}

/// What a user is told of itself.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Info<'a> {
    #[serde(flatten)]
    card: Card<'a>,
    email: &'a str,
    /// Phones; told at a login alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    contacts: Option<&'a [String]>,
}

impl<'a> Info<'a> {
    /// As it asks for it.
    pub fn of(user: &'a User) -> Self {
        Info { card: Card::of(user), email: &user.email, contacts: None }
    }

    /// As it logs in.
    pub fn with_contacts(user: &'a User) -> Self {
        Info { contacts: Some(&user.contacts), ..Info::of(user) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::wechat::users::tests::user;

    fn json(told: &impl Serialize) -> String {
        serde_json::to_string(told).unwrap()
    }

    #[test]
    fn a_card_has_seven_fields() {
        let mut bob = user("13800138001");
        assert_eq!(
            json(&Card::of(&bob)),
            concat!(
                r#"{"_id":"0123456789abcdef01234567","nick":"bob","phone":"13800138001","#,
                r#""thumb":null,"group":"B","userName":"bobby","region":null}"#
            )
        );
        (bob.thumb, bob.region) = (Some("data:,x".to_owned()), Some("北京".to_owned()));
        let card = json(&Card::of(&bob));
        assert!(card.contains(r#""thumb":"data:,x""#) && card.contains(r#""region":"北京""#));
    }

    #[test]
    fn a_user_is_told_its_email_and_at_a_login_its_contacts() {
        let mut bob = user("13800138001");
        bob.contacts = vec!["13800138002".to_owned()];
        let card = json(&Card::of(&bob));
        let card = card.trim_end_matches('}');
        assert_eq!(json(&Info::of(&bob)), format!(r#"{card},"email":"b@x"}}"#));
        assert_eq!(
            json(&Info::with_contacts(&bob)),
            format!(r#"{card},"email":"b@x","contacts":["13800138002"]}}"#)
        );
    }

    #[test]
    fn nothing_of_a_password_is_told() {
        let bob = user("13800138001");
        for told in [json(&Card::of(&bob)), json(&Info::of(&bob)), json(&Info::with_contacts(&bob))]
        {
            assert!(!told.contains("password") && !told.contains("argon2"), "{told}");
        }
    }
}
