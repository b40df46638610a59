//! One key: what its name is, which algorithms it is for, and what it verifies. Keys are read from a
//! secret, from PEM (RFC 7468) and from JSON Web Key Sets (RFC 7517).
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, Validation, decode,
    errors::ErrorKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{MAX_TOKEN, Refusal};
use crate::domain::access::TokenFault;

/// Most keys of a file or a set: a token without `kid` is tried with each.
const MOST: usize = 64;
/// Bytes of the smallest modulus of RSA that is accepted, 2048 bits.
const MODULUS: usize = 256;
/// Bytes of an uncompressed point of P-256, and of P-384.
const POINTS: [usize; 2] = [65, 97];

/// What the first part of a token says.
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
}

impl Header {
    /// Reads it, and nothing else of the token.
    pub(super) fn read(token: &str) -> Result<Header, Refusal> {
        let malformed = |detail: &str| Refusal::new(TokenFault::Malformed, detail);
        if token.len() > MAX_TOKEN {
            return Err(malformed("it is larger than a token may be"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(_), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it does not have three parts"));
        };
        let header = URL_SAFE_NO_PAD.decode(header).ok();
        let header =
            header.and_then(|json| serde_json::from_slice::<Map<String, Value>>(&json).ok());
        let header = header.ok_or_else(|| malformed("its header is no base64url of JSON"))?;
        let algorithm = match header.get("alg").and_then(Value::as_str) {
            Some(name) => name.parse().map_err(|_| {
                Refusal::new(TokenFault::Algorithm, "its algorithm is unknown, or none")
            })?,
            None => return Err(malformed("its header has no alg")),
        };
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err(malformed("its kid is no string")),
        };
        Ok(Header { algorithm, kid })
    }
}

/// A key.
pub(super) struct Key {
    /// Its name in a set.
    pub(super) kid: Option<String>,
    /// Those that it may be used with; at least one.
    pub(super) algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl Key {
    fn new(
        kid: Option<String>,
        mut algorithms: Vec<Algorithm>,
        allowed: &[Algorithm],
        key: DecodingKey,
    ) -> Result<Key, String> {
        if !allowed.is_empty() {
            algorithms.retain(|algorithm| allowed.contains(algorithm));
        }
        if algorithms.is_empty() {
            return Err("AO_JWT__ALGORITHMS has no algorithm of the key".to_owned());
        }
        Ok(Key { kid, algorithms, key })
    }

    /// A secret that both sides know. `allowed`: the algorithms that are configured.
    pub(super) fn secret(secret: &[u8], allowed: &[Algorithm]) -> Result<Key, String> {
        let key = DecodingKey::from_secret(secret).map_err(|_| "the secret is empty".to_owned())?;
        Key::new(None, AlgorithmFamily::Hmac.algorithms().to_vec(), allowed, key)
    }

    /// Whether its name does not speak against it.
    pub(super) fn may_have_signed(&self, header: &Header) -> bool {
        match (&self.kid, &header.kid) {
            (Some(own), Some(kid)) => own == kid,
            (None, _) | (_, None) => true,
        }
    }

    /// The token's claims, if this key has signed it by the algorithm that it names, which is one of
    /// this key's own. Nothing that is claimed is looked at.
    pub(super) fn verify(
        &self,
        header: &Header,
        token: &str,
    ) -> Result<Map<String, Value>, Refusal> {
        let mut validation = Validation::new(header.algorithm);
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        validation.validate_aud = false;
        match decode::<Map<String, Value>>(token, &self.key, &validation) {
            Ok(token) => Ok(token.claims),
            Err(error) => Err(match error.kind() {
                ErrorKind::InvalidSignature => {
                    Refusal::new(TokenFault::Signature, "its signature is wrong")
                }
                ErrorKind::InvalidAlgorithm => {
                    Refusal::new(TokenFault::Algorithm, "the key is not for its algorithm")
                }
                _ => Refusal::new(TokenFault::Malformed, "it is no base64url of JSON objects"),
            }),
        }
    }
}

/// The keys in a file: PEM, or a set. `allowed`: the algorithms that are configured.
pub(super) fn read(text: &str, allowed: &[Algorithm]) -> Result<Vec<Key>, String> {
    if text.trim_start().starts_with('{') {
        let (keys, unusable) = read_set(text, allowed, Trust::Own)?;
        match unusable.first() {
            Some(why) => Err(format!("a key of the set can't be used: {why}")),
            None => Ok(keys),
        }
    } else {
        read_pem(text, allowed)
    }
}

fn read_pem(text: &str, allowed: &[Algorithm]) -> Result<Vec<Key>, String> {
    let blocks: Vec<&str> = text.split("-----BEGIN ").skip(1).collect();
    if blocks.is_empty() {
        return Err("it is neither PEM nor a JSON Web Key Set".to_owned());
    }
    if blocks.len() > MOST {
        return Err(format!("it has more than {MOST} keys"));
    }
    blocks.into_iter().map(|block| read_block(block, allowed)).collect()
}

/// A block behind its `-----BEGIN `.
fn read_block(block: &str, allowed: &[Algorithm]) -> Result<Key, String> {
    let label = block.split("-----").next().unwrap_or_default();
    if label.contains("PRIVATE") {
        return Err("it has a private key, which only who signs may have; give the public one \
                    (openssl pkey -in KEY -pubout)"
            .to_owned());
    }
    if label.contains("CERTIFICATE") {
        return Err(
            "it has a certificate; give its public key (openssl x509 -pubkey -noout)".to_owned()
        );
    }
    let pem = format!("-----BEGIN {block}");
    let pem = pem.as_bytes();
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        if key.try_get_as_bytes().is_ok_and(|der| der.len() <= MODULUS) {
            return Err("a key of RSA must have 2048 bits or more".to_owned());
        }
        return Key::new(None, AlgorithmFamily::Rsa.algorithms().to_vec(), allowed, key);
    }
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        let algorithm = match key.try_get_as_bytes().map(<[u8]>::len) {
            Ok(length) if length == POINTS[0] => Algorithm::ES256,
            Ok(length) if length == POINTS[1] => Algorithm::ES384,
            _ => return Err("the curve of a key is neither P-256 nor P-384".to_owned()),
        };
        return Key::new(None, vec![algorithm], allowed, key);
    }
    if let Ok(key) = DecodingKey::from_ed_pem(pem) {
        return Key::new(None, vec![Algorithm::EdDSA], allowed, key);
    }
    Err("a key of it is none of RSA, EC (P-256, P-384) or Ed25519".to_owned())
}

/// Whose set it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// A file of this server: secrets may be in it.
    Own,
    /// Anybody can read it.
    Published,
}

/// The usable keys of a set, and why others are not.
pub(super) fn read_set(
    json: &str,
    allowed: &[Algorithm],
    trust: Trust,
) -> Result<(Vec<Key>, Vec<String>), String> {
    let set: Value = serde_json::from_str(json).map_err(|_| "it is no JSON".to_owned())?;
    let list = set.get("keys").and_then(Value::as_array);
    let list = list.ok_or("it is no JSON Web Key Set: it has no list of keys")?;
    if list.len() > MOST {
        return Err(format!("it has more than {MOST} keys"));
    }
    let (mut keys, mut unusable) = (Vec::new(), Vec::new());
    for key in list {
        match read_jwk(key, allowed, trust) {
            Ok(key) => keys.push(key),
            Err(why) => unusable.push(why),
        }
    }
    if keys.is_empty() {
        let why = unusable.first().map_or("it is empty", String::as_str);
        return Err(format!("it has no key that can be used: {why}"));
    }
    Ok((keys, unusable))
}

fn read_jwk(json: &Value, allowed: &[Algorithm], trust: Trust) -> Result<Key, String> {
    if json.get("d").is_some() {
        return Err("it has a private key, which only who signs may have".to_owned());
    }
    let jwk = Jwk::deserialize(json).map_err(|_| "it is no JSON Web Key".to_owned())?;
    let common = &jwk.common;
    let for_signatures =
        common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|o| o.contains(&KeyOperations::Verify));
    if !for_signatures {
        return Err("it is not for signatures".to_owned());
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) => {
            if URL_SAFE_NO_PAD.decode(&key.n).map_or(0, |n| n.len()) < MODULUS {
                return Err("a key of RSA must have 2048 bits or more".to_owned());
            }
            AlgorithmFamily::Rsa.algorithms().to_vec()
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            vec![Algorithm::ES256]
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
            vec![Algorithm::ES384]
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        AlgorithmParameters::OctetKey(_) if trust == Trust::Own => {
            AlgorithmFamily::Hmac.algorithms().to_vec()
        }
        AlgorithmParameters::OctetKey(_) => {
            return Err("a secret that anybody can fetch is none".to_owned());
        }
        _ => return Err("it is none of RSA, EC (P-256, P-384) or Ed25519".to_owned()),
    };
    if let Some(algorithm) = common.key_algorithm {
        let own = Algorithm::try_from(algorithm)
            .ok()
            .filter(|algorithm| algorithms.contains(algorithm))
            .ok_or("its alg is not for its kind of key")?;
        algorithms = vec![own];
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| "it can't be read".to_owned())?;
    Key::new(common.key_id.clone(), algorithms, allowed, key)
}
