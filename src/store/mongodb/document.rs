//! Documents as the original writes them, and as they may be found: written by it, by hand, or
//! sealed.
use mongodb::bson::{Bson, Document, doc, oid::ObjectId};
use sha2::{Digest, Sha256};

use crate::{
    domain::{
        ids::Uid,
        secret::{Secret, equal},
        token::Account,
    },
    hex,
};

/// How a token is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As the original does.
    Plain,
    /// The SHA-256 alone. Tokens are random, so nothing slower is needed.
    Hashed,
}

impl Form {
    fn field(self, token: &str) -> (&'static str, String) {
        match self {
            Form::Plain => ("token", token.to_owned()),
            Form::Hashed => ("tokenHash", digest(token)),
        }
    }

    /// The update that writes a token in this form and leaves no other; `updated` where the token
    /// is a new one.
    pub(super) fn change(self, token: &str, updated: Option<u64>) -> Document {
        let (field, value) = self.field(token);
        let mut set = doc! { field: value };
        if let Some(unix) = updated {
            set.insert("updateTime", number(unix));
        }
        let other = match self {
            Form::Plain => "tokenHash",
            Form::Hashed => "token",
        };
        doc! { "$set": set, "$unset": { other: "" } }
    }
}

/// A new account.
pub(super) fn account(id: ObjectId, uid: &Uid, form: Form, token: &Secret, unix: u64) -> Document {
    let (field, value) = form.field(token.reveal());
    doc! { "_id": id, "uid": uid.as_str(), field: value, "createTime": number(unix), "updateTime": number(unix) }
}

/// The SHA-256 of a token in lower-case hex.
pub(super) fn digest(token: &str) -> String {
    hex::encode(&Sha256::digest(token))
}

/// Whether this token is the document's. One with a hash has no other token, whatever else stands
/// there.
pub(super) fn opens(document: &Document, token: &Secret) -> bool {
    match document.get("tokenHash") {
        Some(Bson::String(hash)) => equal(hash.as_bytes(), digest(token.reveal()).as_bytes()),
        Some(_) => false,
        None => document
            .get("token")
            .and_then(plain)
            .is_some_and(|kept| equal(kept.as_bytes(), token.reveal().as_bytes())),
    }
}

/// The text of a plain token. A number counts as JavaScript prints it; nothing is not a token.
pub(super) fn plain(token: &Bson) -> Option<String> {
    match token {
        Bson::String(text) if !text.is_empty() => Some(text.clone()),
        Bson::Int32(number) => Some(number.to_string()),
        Bson::Int64(number) => Some(number.to_string()),
        Bson::Double(number) if number.is_finite() => {
            Some(ryu_js::Buffer::new().format(*number).to_owned())
        }
        _ => None,
    }
}

/// A document as an account; none without a uid.
pub(super) fn without_secret(document: &Document) -> Option<Account> {
    let uid = document.get_str("uid").ok()?.to_owned();
    Some(Account {
        uid,
        created: unix(document.get("createTime")),
        updated: unix(document.get("updateTime")),
    })
}

/// Seconds since 1970 in any type that they were written in; 0 where there are none.
pub(super) fn unix(value: Option<&Bson>) -> u64 {
    match value {
        Some(Bson::Int32(seconds)) => u64::try_from(*seconds).unwrap_or(0),
        Some(Bson::Int64(seconds)) => u64::try_from(*seconds).unwrap_or(0),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // it saturates, which is what is wanted
        Some(Bson::Double(seconds)) => *seconds as u64,
        _ => 0,
    }
}

/// A number in the type that the original's driver gives it.
pub(super) fn number(unix: u64) -> Bson {
    i32::try_from(unix)
        .map_or_else(|_| Bson::Int64(i64::try_from(unix).unwrap_or(i64::MAX)), Bson::Int32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Secret {
        Secret::presented(text)
    }

    #[test]
    fn a_document_with_a_hash_is_never_compared_as_plain() {
        let hash = digest("new");
        let both = doc! { "token": "old", "tokenHash": &hash };
        assert!(opens(&both, &token("new")));
        assert!(!opens(&both, &token("old")), "the original wrote a token beside the hash");
        assert!(!opens(&both, &token(&hash)), "the hash is no token");
        for broken in [Bson::Null, Bson::Int32(1), Bson::String(String::new())] {
            assert!(!opens(&doc! { "token": "old", "tokenHash": broken }, &token("old")));
        }
    }

    #[test]
    fn plain_tokens_are_text_or_numbers() {
        for (kept, presented) in [
            (Bson::String("t".into()), "t"),
            (Bson::Int32(1000), "1000"),
            (Bson::Int64(9_007_199_254_740_991), "9007199254740991"),
            (Bson::Double(1000.0), "1000"),
            (Bson::Double(0.5), "0.5"),
        ] {
            assert!(opens(&doc! { "token": kept }, &token(presented)), "{presented}");
        }
        for none in
            [Bson::Null, Bson::String(String::new()), Bson::Double(f64::NAN), Bson::Boolean(true)]
        {
            for presented in ["", "null", "NaN", "true"] {
                assert!(
                    !opens(&doc! { "token": none.clone() }, &token(presented)),
                    "{none} {presented}"
                );
            }
        }
        assert!(!opens(&doc! {}, &token("")));
    }

    #[test]
    fn times_are_read_in_any_type() {
        for (value, seconds) in [
            (Bson::Int32(1_700_000_000), 1_700_000_000),
            (Bson::Int64(1_700_000_000), 1_700_000_000),
            (Bson::Double(1_700_000_000.9), 1_700_000_000),
            (Bson::Int32(-1), 0),
            (Bson::String("yesterday".into()), 0),
        ] {
            assert_eq!(unix(Some(&value)), seconds, "{value}");
        }
        assert_eq!(unix(None), 0);
        assert_eq!(number(1_700_000_000), Bson::Int32(1_700_000_000));
        assert_eq!(number(3_000_000_000), Bson::Int64(3_000_000_000));
    }

    #[test]
    fn the_digest_is_lower_case_sha_256() {
        assert_eq!(
            digest("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
