//! JSON Web Tokens, signed as a business server signs them.

use crate::Dialect;
use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use ring::{error, hmac};
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds that a token is valid: longer than any run.
const LIFETIME: u64 = 3600;

enum Key {
    Secret(hmac::Key),
    Curve(EcdsaKeyPair, SystemRandom),
}

pub struct Signer {
    key: Key,
    issued: u64,
}

impl Signer {
    /// `hs256:SECRET`, or `es256:FILE` with a key of P-256 as PKCS#8 (DER).
    pub fn new(key: &str) -> Result<Self> {
        let key = match key.split_once(':') {
            Some(("hs256", secret)) => {
                Key::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
            }
            Some(("es256", file)) => {
                let pkcs8 = std::fs::read(file).with_context(|| format!("reading {file}"))?;
                let random = SystemRandom::new();
                let pair =
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random);
                Key::Curve(pair.map_err(|e| anyhow::anyhow!("{file}: {e}"))?, random)
            }
            _ => bail!("--jwt {key}: hs256:SECRET or es256:FILE"),
        };
        Ok(Signer { key, issued: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() })
    }

    /// A token with which `uid` may do everything in the rooms of a run. Users of react-wechat have
    /// others, without an end.
    pub fn sign(&self, uid: &str, dialect: Dialect) -> Result<String> {
        let algorithm = match self.key {
            Key::Secret(_) => "HS256",
            Key::Curve(..) => "ES256",
        };
        let (iat, exp) = (self.issued, self.issued + LIFETIME);
        let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
        let claims = match dialect {
            Dialect::AlwaysOnline | Dialect::Gotapi | Dialect::ChatService => format!(
                r#"{{"sub":"{uid}","iat":{iat},"exp":{exp},"caps":[{{"rooms":["r*"],"match":"wildcard","allow":["join","send","sync"]}}]}}"#
            ),
            Dialect::Wechat => format!(r#"{{"phone":"{uid}","nick":"{uid}","iat":{iat}}}"#),
        };
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = match &self.key {
            Key::Secret(key) => hmac::sign(key, signed.as_bytes()).as_ref().to_vec(),
            Key::Curve(pair, random) => pair
                .sign(random, signed.as_bytes())
                .map_err(|error::Unspecified| anyhow::anyhow!("signing a token"))?
                .as_ref()
                .to_vec(),
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_signed_over_its_first_two_parts() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"a secret");
        for (dialect, whose, ends) in
            [(Dialect::AlwaysOnline, "sub", true), (Dialect::Wechat, "phone", false)]
        {
            let token = Signer::new("hs256:a secret").unwrap().sign("u1", dialect).unwrap();
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
            let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
            let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
            assert_eq!(claims[whose], "u1");
            assert_eq!(claims.get("exp").is_some(), ends);
        }
        assert!(Signer::new("none").is_err());
    }
}
