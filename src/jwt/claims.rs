//! What a token claims, and whether that is good for a user now. Pure: the time is an argument.
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Refusal;
use crate::domain::{
    access::{Caps, Rights, TokenFault},
    ids::Uid,
};

/// Bytes of the longest name of a token (`jti`).
const MAX_JTI: usize = 256;

/// What is asked of claims. Times are seconds.
pub(super) struct Rules {
    /// One of these has to be named; none: it does not matter.
    pub(super) audience: Vec<String>,
    /// As `audience`.
    pub(super) issuer: Vec<String>,
    pub(super) leeway: u64,
    pub(super) max_lifetime: u64,
}

impl Rules {
    /// What the claims grant to `uid`, or to whom they name. Whether the token is expired is looked
    /// at last: so nothing else is wrong with one that is refused for that.
    pub(super) fn check(
        &self,
        claims: &Map<String, Value>,
        uid: Option<&Uid>,
        now: u64,
    ) -> Result<Rights, Refusal> {
        let refuse = |fault, detail: &str| Err(Refusal::new(fault, detail));
        match claims.get("sub") {
            Some(Value::String(sub)) if uid.is_none_or(|uid| uid.as_str() == sub) => {}
            Some(Value::String(_)) => {
                return refuse(TokenFault::Subject, "its sub is another user");
            }
            _ => return refuse(TokenFault::Subject, "its sub is missing, or no string"),
        }
        if !self.issuer.is_empty() && !names_one(claims.get("iss"), &self.issuer) {
            return refuse(TokenFault::Issuer, "its iss is not one of AO_JWT__ISSUER");
        }
        if !self.audience.is_empty() && !names_one(claims.get("aud"), &self.audience) {
            return refuse(TokenFault::Audience, "its aud has none of AO_JWT__AUDIENCE");
        }
        let rights = Rights {
            caps: caps(claims.get("caps"))?,
            jti: jti(claims.get("jti"))?,
            issued_at: time(claims, "iat")?,
            expires_at: None,
            meta: claims.get("meta").map(|meta| Arc::from(meta.to_string())),
        };
        let expires_at = self.check_times(claims, rights.issued_at, now)?;
        Ok(Rights { expires_at: Some(expires_at), ..rights })
    }

    fn check_times(
        &self,
        claims: &Map<String, Value>,
        issued_at: Option<u64>,
        now: u64,
    ) -> Result<u64, Refusal> {
        let Some(expires_at) = claims.get("exp").and_then(Value::as_u64) else {
            let detail = "its exp is missing, or no whole number of seconds since 1970";
            return Err(Refusal::new(TokenFault::NoExpiry, detail));
        };
        let latest = now.saturating_add(self.leeway);
        for (name, time) in [("nbf", time(claims, "nbf")?), ("iat", issued_at)] {
            if let Some(ahead) = time.filter(|time| *time > latest).map(|time| time - now) {
                let detail = format!("its {name} is {ahead} s ahead of this clock");
                return Err(Refusal::new(TokenFault::NotYet, detail));
            }
        }
        // Of a token that does not say when it was issued only the rest of its life is known. How old
        // it is matters for revocations alone, which count it as older than all of them.
        let (lifetime, how) = match issued_at {
            Some(issued_at) => (expires_at.saturating_sub(issued_at), ""),
            None => (expires_at.saturating_sub(latest), "another "),
        };
        if lifetime > self.max_lifetime {
            let detail = format!(
                "it is valid for {how}{lifetime} s, and AO_JWT__MAX_LIFETIME is {} s",
                self.max_lifetime
            );
            return Err(Refusal::new(TokenFault::Lifetime, detail));
        }
        if expires_at.saturating_add(self.leeway) <= now {
            let detail = format!("it expired {} s ago", now - expires_at);
            return Err(Refusal::new(TokenFault::Expired, detail));
        }
        Ok(expires_at)
    }
}

/// Whether a text, or one of a list, is among these.
fn names_one(claim: Option<&Value>, wanted: &[String]) -> bool {
    let is_wanted = |value: &Value| {
        value.as_str().is_some_and(|text| wanted.iter().any(|wanted| wanted == text))
    };
    match claim {
        Some(Value::Array(list)) => list.iter().any(is_wanted),
        Some(value) => is_wanted(value),
        None => false,
    }
}

fn caps(claim: Option<&Value>) -> Result<Option<Arc<Caps>>, Refusal> {
    let caps = claim.map(Caps::parse).transpose();
    let caps = caps.map_err(|why| Refusal::new(TokenFault::Claims, why))?;
    Ok(caps.map(Arc::new))
}

fn jti(claim: Option<&Value>) -> Result<Option<Arc<str>>, Refusal> {
    match claim {
        None => Ok(None),
        Some(Value::String(jti)) if jti.len() <= MAX_JTI => Ok(Some(jti.as_str().into())),
        Some(_) => {
            let detail = format!("its jti is no string of up to {MAX_JTI} bytes");
            Err(Refusal::new(TokenFault::Claims, detail))
        }
    }
}

/// A time that may be missing.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| {
            let detail = format!("its {name} is no whole number of seconds since 1970");
            Refusal::new(TokenFault::Claims, detail)
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn rules() -> Rules {
        Rules { audience: vec![], issuer: vec![], leeway: 30, max_lifetime: 86_400 }
    }

    fn check(rules: &Rules, claims: Value) -> Result<Rights, TokenFault> {
        let ann = Uid::text("ann").unwrap();
        let claims = claims.as_object().unwrap();
        rules.check(claims, Some(&ann), NOW).map_err(|refusal| refusal.fault)
    }

    #[test]
    fn everything_that_a_session_needs_is_taken_over() {
        let rights = check(
            &rules(),
            json!({ "sub": "ann", "exp": NOW + 60, "iat": NOW, "jti": "j", "meta": { "a": [1] },
                "caps": [{ "rooms": ["r"], "allow": ["join"] }] }),
        )
        .unwrap();
        assert_eq!((rights.expires_at, rights.issued_at), (Some(NOW + 60), Some(NOW)));
        assert_eq!(rights.jti.as_deref(), Some("j"));
        assert_eq!(rights.meta.as_deref(), Some(r#"{"a":[1]}"#));
        assert!(rights.caps.is_some());
    }

    #[test]
    fn a_number_and_its_text_are_one_user() {
        let claims = json!({ "sub": "7", "exp": NOW + 60 });
        let seven = Uid::number("7").unwrap();
        assert!(rules().check(claims.as_object().unwrap(), Some(&seven), NOW).is_ok());
    }

    #[test]
    fn clocks_may_be_apart_by_the_leeway_and_no_more() {
        let times = |ahead: i64| {
            let at = |seconds: i64| NOW.saturating_add_signed(seconds + ahead);
            json!({ "sub": "ann", "iat": at(0), "nbf": at(0), "exp": at(1) })
        };
        for (ahead, expected) in [
            (0, None),
            (30, None),
            (31, Some(TokenFault::NotYet)),
            (60, Some(TokenFault::NotYet)),
            (-30, None),
            (-31, Some(TokenFault::Expired)),
            (-60, Some(TokenFault::Expired)),
        ] {
            assert_eq!(check(&rules(), times(ahead)).err(), expected, "{ahead}");
        }
        let later = json!({ "sub": "ann", "nbf": NOW + 60, "exp": NOW + 90 });
        assert_eq!(check(&rules(), later).err(), Some(TokenFault::NotYet));
    }

    #[test]
    fn an_expiry_is_needed_and_a_whole_number() {
        for exp in [json!(null), json!("1800000060"), json!(1_800_000_060.5), json!(-1), json!([])]
        {
            let claims = json!({ "sub": "ann", "exp": exp });
            assert_eq!(check(&rules(), claims).err(), Some(TokenFault::NoExpiry), "{exp}");
        }
        assert_eq!(check(&rules(), json!({ "sub": "ann" })).err(), Some(TokenFault::NoExpiry));
    }

    #[test]
    fn a_token_is_not_valid_for_ever() {
        let day = 86_400;
        for (claims, good) in [
            (json!({ "sub": "ann", "iat": NOW, "exp": NOW + day }), true),
            (json!({ "sub": "ann", "iat": NOW, "exp": NOW + day + 1 }), false),
            (json!({ "sub": "ann", "iat": NOW - day, "exp": NOW + 1 }), false),
            (json!({ "sub": "ann", "exp": NOW + day + 30 }), true),
            (json!({ "sub": "ann", "exp": NOW + day + 31 }), false),
            (json!({ "sub": "ann", "exp": u64::MAX }), false),
        ] {
            let expected = (!good).then_some(TokenFault::Lifetime);
            assert_eq!(check(&rules(), claims.clone()).err(), expected, "{claims}");
        }
    }

    #[test]
    fn the_subject_is_the_user_and_a_string() {
        for sub in [json!("bob"), json!("Ann"), json!(""), json!(7), json!(["ann"]), json!(null)] {
            let claims = json!({ "sub": sub, "exp": NOW + 60 });
            assert_eq!(check(&rules(), claims).err(), Some(TokenFault::Subject), "{sub}");
        }
        let claims = json!({ "exp": NOW + 60 });
        assert_eq!(check(&rules(), claims).err(), Some(TokenFault::Subject));
    }

    #[test]
    fn audience_and_issuer_matter_where_they_are_configured() {
        let strict =
            Rules { audience: vec!["a".into(), "b".into()], issuer: vec!["i".into()], ..rules() };
        let claims = |aud: Value, iss: Value| json!({ "sub": "ann", "exp": NOW + 60, "aud": aud, "iss": iss });
        for (aud, iss, expected) in [
            (json!("a"), json!("i"), None),
            (json!(["x", "b"]), json!("i"), None),
            (json!("x"), json!("i"), Some(TokenFault::Audience)),
            (json!([]), json!("i"), Some(TokenFault::Audience)),
            (json!(null), json!("i"), Some(TokenFault::Audience)),
            (json!("a"), json!("x"), Some(TokenFault::Issuer)),
            (json!("a"), json!(null), Some(TokenFault::Issuer)),
        ] {
            let claims = claims(aud, iss);
            assert_eq!(check(&strict, claims.clone()).err(), expected, "{claims}");
            assert!(check(&rules(), claims).is_ok());
        }
    }

    #[test]
    fn an_expired_token_is_otherwise_good() {
        let claims = json!({ "sub": "ann", "exp": NOW - 60, "caps": "everything" });
        assert_eq!(check(&rules(), claims).err(), Some(TokenFault::Claims));
        for wrong in [json!({ "iat": 1.5 }), json!({ "nbf": "now" }), json!({ "jti": 7 })] {
            let mut claims = json!({ "sub": "ann", "exp": NOW + 60 });
            claims.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
            assert_eq!(check(&rules(), claims).err(), Some(TokenFault::Claims), "{wrong}");
        }
    }
}
