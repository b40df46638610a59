//! Who may do what in which room: what a session's token grants it, and who checks such a token.
//!
//! A session that signed in with a JSON Web Token has [`Rights`]: when they end, and [`Caps`], which
//! name rooms and what may be done there. One that signed in with a plain token has none. What that
//! means is said by the server's [`Access`].
use std::{str::FromStr, sync::Arc};

use async_trait::async_trait;
use serde_json::Value;

use super::{
    ids::{RoomId, Uid},
    wildcard,
};
use crate::{live::Live, reason::Label};

/// Something that a user does in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Enters it, seen by the others.
    Join,
    /// Sends a message.
    Send,
    /// Reads its log.
    Sync,
    /// Enters it unseen, and without sending.
    Dummy,
}

impl Action {
    /// All of them.
    pub const ALL: [Action; 4] = [Action::Join, Action::Send, Action::Sync, Action::Dummy];

    /// Its word in `allow`.
    pub fn word(self) -> &'static str {
        match self {
            Action::Join => "join",
            Action::Send => "send",
            Action::Sync => "sync",
            Action::Dummy => "dummy",
        }
    }
}

impl FromStr for Action {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = Action::ALL.into_iter().find(|action| action.word() == word);
        known.ok_or_else(|| "allow: expected join, send, sync or dummy".to_owned())
    }
}

/// What is granted, room by room. Rules only grant: what none of them allows is not allowed.
///
/// ```
/// # use always_online::domain::{access::{Action, Caps}, ids::RoomId};
/// let caps = Caps::parse(&serde_json::json!([
///     { "rooms": ["lobby"], "allow": ["join", "sync"] },
///     { "rooms": ["class:7:*"], "match": "wildcard", "allow": ["join", "send", "sync"] },
/// ]))?;
/// assert!(caps.allows(Action::Join, &RoomId::new("lobby").unwrap()));
/// assert!(!caps.allows(Action::Send, &RoomId::new("lobby").unwrap()));
/// assert!(caps.allows(Action::Send, &RoomId::new("class:7:a").unwrap()));
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps(Box<[Rule]>);

/// Bytes that an allocation takes at least.
const SMALLEST: usize = 32;

/// One element of the claim `caps`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    rooms: Box<[Box<str>]>,
    /// `*` in a room's name stands for any text, none included.
    wildcard: bool,
    /// By [`Action::ALL`].
    allow: [bool; Action::ALL.len()],
}

impl Caps {
    /// Reads the claim: `[{rooms: [..], match?: "wildcard", allow: [..]}]`. Of an empty list
    /// nothing is allowed.
    ///
    /// # Errors
    /// What is wrong with it. A rule that is not understood is never left out: the token would
    /// seem to be good and do less than its issuer meant.
    pub fn parse(claim: &Value) -> Result<Caps, String> {
        let rules = claim.as_array().ok_or("caps: expected a list of rules")?;
        rules.iter().map(Rule::parse).collect::<Result<_, _>>().map(Caps)
    }

    /// Those of an empty list.
    pub fn none() -> Caps {
        Caps(Box::default())
    }

    /// What they take in memory, bytes, or nearly.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Rule::bytes).sum()
    }

    /// Whether one of the rules allows this. Rooms of other spaces than the shared one are named by
    /// no rule.
    pub fn allows(&self, action: Action, room: &RoomId) -> bool {
        room.is_shared() && self.0.iter().any(|rule| rule.allows(action, room.name()))
    }
}

impl Rule {
    fn parse(rule: &Value) -> Result<Rule, String> {
        let fields = rule.as_object().ok_or("caps: each rule is an object")?;
        for field in fields.keys() {
            if !["rooms", "match", "allow"].contains(&field.as_str()) {
                return Err("caps: a rule has rooms, match and allow, and nothing else".to_owned());
            }
        }
        let wildcard = match rule.get("match") {
            None => false,
            Some(Value::String(word)) if word == "wildcard" => true,
            Some(_) => return Err("caps: match is \"wildcard\", or left out".to_owned()),
        };
        let mut allow = [false; Action::ALL.len()];
        for word in texts(rule, "allow")? {
            allow[word.parse::<Action>()? as usize] = true;
        }
        let rooms = texts(rule, "rooms")?.into_iter().map(Into::into).collect();
        Ok(Rule { rooms, wildcard, allow })
    }

    fn bytes(&self) -> usize {
        // A short text takes no less than the smallest piece of memory that is given out.
        let text = |room: &str| size_of::<Box<str>>() + room.len().max(SMALLEST);
        size_of::<Rule>() + self.rooms.iter().map(|room| text(room)).sum::<usize>()
    }

    fn allows(&self, action: Action, room: &str) -> bool {
        let matches =
            |name: &str| if self.wildcard { wildcard::matches(name, room) } else { name == room };
        self.allow[action as usize] && self.rooms.iter().any(|name| matches(name))
    }
}

/// A list of strings that must not be missing.
fn texts<'a>(rule: &'a Value, field: &str) -> Result<Vec<&'a str>, String> {
    let wrong = || format!("caps: {field} is a list of strings");
    let list = rule.get(field).and_then(Value::as_array).ok_or_else(wrong)?;
    list.iter().map(|text| text.as_str().ok_or_else(wrong)).collect()
}

/// What a session has of its token. Times are Unix seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// What it may do; none: everything in every room.
    pub caps: Option<Arc<Caps>>,
    /// From when on it is expired.
    pub expires_at: Option<u64>,
    /// When the token was issued.
    pub issued_at: Option<u64>,
    /// The token's name.
    pub jti: Option<Arc<str>>,
    /// What the business server says of the user, JSON: for hooks, never for clients.
    pub meta: Option<Arc<str>>,
}

impl Rights {
    /// Whether the token was issued before that of `other`, so that it must not replace it. One that
    /// does not tell is older than one that does.
    pub fn are_older_than(&self, other: &Rights) -> bool {
        self.issued_at.unwrap_or(0) < other.issued_at.unwrap_or(0)
    }
}

/// Who may do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Everybody may do everything, but for what a token's own caps leave out.
    #[default]
    Open,
    /// What the token says. One that says nothing of rooms, and is no JSON Web Token, grants none.
    Claims,
    /// As [`Access::Open`], and the business server is asked as well.
    Hook,
}

impl Access {
    /// Whether a session with these rights may do this; `None` are those of a plain token. What a
    /// hook says of it is asked elsewhere.
    pub fn allows(self, rights: Option<&Rights>, action: Action, room: &RoomId) -> bool {
        match rights {
            Some(Rights { caps: Some(caps), .. }) => caps.allows(action, room),
            Some(Rights { caps: None, .. }) => true,
            None => self != Access::Claims,
        }
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenFault {
    /// It is no JSON Web Token, or larger than one may be.
    Malformed,
    /// It is signed by an algorithm that no key is for.
    Algorithm,
    /// No key has the name that it gives.
    UnknownKey,
    /// Its signature is wrong.
    Signature,
    /// It is expired.
    Expired,
    /// It is not valid yet.
    NotYet,
    /// It does not say when it expires, in whole seconds.
    NoExpiry,
    /// It is valid for longer than is allowed.
    Lifetime,
    /// It is for another audience.
    Audience,
    /// It is of another issuer.
    Issuer,
    /// It is another user's.
    Subject,
    /// Another of its claims is not as it has to be.
    Claims,
    /// It was revoked.
    Revoked,
}

impl Label for TokenFault {
    fn label(self) -> &'static str {
        match self {
            TokenFault::Malformed => "malformed",
            TokenFault::Algorithm => "algorithm",
            TokenFault::UnknownKey => "unknown key",
            TokenFault::Signature => "signature",
            TokenFault::Expired => "expired",
            TokenFault::NotYet => "not yet valid",
            TokenFault::NoExpiry => "no expiry",
            TokenFault::Lifetime => "lifetime",
            TokenFault::Audience => "audience",
            TokenFault::Issuer => "issuer",
            TokenFault::Subject => "subject",
            TokenFault::Claims => "claims",
            TokenFault::Revoked => "revoked",
        }
    }
}

/// Why a token grants nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// It is not to be accepted.
    #[error("the token is refused: {}", .0.label())]
    Refused(TokenFault),
    /// The keys can't be had now, so that nothing is known of it.
    #[error("the keys for tokens can't be had")]
    Unavailable,
}

/// Whether a token is a JSON Web Token, and no plain one: it has three parts.
pub fn is_jwt(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Who checks JSON Web Tokens.
///
/// ```
/// # use always_online::domain::{access::{NotVerified, Rights, TokenFault, Verifier}, ids::Uid};
/// /// Accepts one token, for everybody.
/// struct One(&'static str);
///
/// #[async_trait::async_trait]
/// impl Verifier for One {
///     async fn verify(&self, _: &Uid, token: &str) -> Result<Rights, NotVerified> {
///         match token {
///             good if good == self.0 => Ok(Rights::default()),
///             _ => Err(NotVerified::Refused(TokenFault::Signature)),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Verifier: Send + Sync {
    /// What the token grants to this user.
    ///
    /// # Errors
    /// It is not valid, or that can't be learnt now.
    async fn verify(&self, uid: &Uid, token: &str) -> Result<Rights, NotVerified>;
}

/// Who checks JSON Web Tokens, if there are any; it may be replaced while the server runs.
pub type LiveVerifier = Arc<Live<Option<Arc<dyn Verifier>>>>;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn room(name: &str) -> RoomId {
        RoomId::new(name).unwrap()
    }

    #[test]
    fn metrics_have_a_row_for_each_fault_of_a_token() {
        use TokenFault::*;
        let known = crate::metrics::words::SIGN_IN_REFUSALS;
        for fault in [
            Malformed, Algorithm, UnknownKey, Signature, Expired, NotYet, NoExpiry, Lifetime,
            Audience, Issuer, Subject, Claims, Revoked,
        ] {
            assert!(known.contains(&fault.label()), "{fault:?}");
        }
    }

    fn caps(claim: &Value) -> Caps {
        Caps::parse(claim).unwrap()
    }

    #[test]
    fn rules_grant_together_and_each_only_what_it_names() {
        let caps = caps(&json!([
            { "rooms": ["a", "b*"], "allow": ["join", "sync"] },
            { "rooms": ["a"], "allow": ["send"] },
            { "rooms": ["c*"], "match": "wildcard", "allow": ["dummy"] },
        ]));
        let granted = |name: &str| {
            let room = room(name);
            let actions = Action::ALL.into_iter().filter(|action| caps.allows(*action, &room));
            actions.map(Action::word).collect::<Vec<_>>()
        };
        assert_eq!(granted("a"), ["join", "send", "sync"]);
        assert_eq!(granted("b*"), ["join", "sync"], "without match a star is a star");
        assert_eq!(granted("b"), [""; 0]);
        assert_eq!(granted("c"), ["dummy"]);
        assert_eq!(granted("chat"), ["dummy"]);
        assert_eq!(granted("d"), [""; 0]);
    }

    #[test]
    fn no_rule_grants_nothing_and_other_spaces_are_named_by_none() {
        assert!(!caps(&json!([])).allows(Action::Join, &room("a")));
        let all = caps(&json!([{ "rooms": ["*"], "match": "wildcard", "allow": ["join"] }]));
        assert!(all.allows(Action::Join, &room("a")));
        let inbox = RoomId::within(super::super::ids::Space::User, "a").unwrap();
        assert!(!all.allows(Action::Join, &inbox));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for claim in [
            json!(null),
            json!({}),
            json!("join"),
            json!(["a"]),
            json!([{}]),
            json!([{ "rooms": ["a"] }]),
            json!([{ "allow": ["join"] }]),
            json!([{ "rooms": "a", "allow": ["join"] }]),
            json!([{ "rooms": [7], "allow": ["join"] }]),
            json!([{ "rooms": ["a"], "allow": ["Join"] }]),
            json!([{ "rooms": ["a"], "allow": ["publish"] }]),
            json!([{ "rooms": ["a"], "allow": ["join"], "match": "regex" }]),
            json!([{ "rooms": ["a"], "allow": ["join"], "match": null }]),
            json!([{ "rooms": ["a"], "allow": ["join"], "deny": ["send"] }]),
        ] {
            assert!(Caps::parse(&claim).is_err(), "{claim}");
        }
        assert!(Caps::parse(&json!([{ "rooms": [], "allow": [] }])).is_ok());
    }

    #[test]
    fn what_nothing_is_said_of_is_allowed_unless_claims_are_asked_for() {
        let none = Rights { caps: Some(Arc::new(caps(&json!([])))), ..Rights::default() };
        let silent = Rights::default();
        for (access, plain) in [(Access::Open, true), (Access::Claims, false), (Access::Hook, true)]
        {
            let may = |rights| access.allows(rights, Action::Join, &room("a"));
            assert_eq!(
                (may(None), may(Some(&silent)), may(Some(&none))),
                (plain, true, false),
                "{access:?}"
            );
        }
    }

    #[test]
    fn only_what_has_three_parts_is_a_json_web_token() {
        for (token, expected) in [("a.b.c", true), ("..", true), ("a.b", false), ("a.b.c.d", false)]
        {
            assert_eq!(is_jwt(token), expected, "{token}");
        }
    }

    #[test]
    fn the_later_token_counts_and_one_that_does_not_tell_is_the_older_one() {
        let issued = |issued_at| Rights { issued_at, ..Rights::default() };
        assert!(issued(Some(1)).are_older_than(&issued(Some(2))));
        assert!(!issued(Some(2)).are_older_than(&issued(Some(2))));
        assert!(issued(None).are_older_than(&issued(Some(2))));
        assert!(!issued(Some(2)).are_older_than(&issued(None)));
        assert!(!issued(None).are_older_than(&issued(None)));
    }
}
