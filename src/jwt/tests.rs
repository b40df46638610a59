//! Tokens as others make them, signed here by ring.
#![allow(clippy::unwrap_used)]
use std::{
    ffi::OsString,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
        RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    },
};
use serde_json::json;

use super::*;
use crate::config::{Config, Flags};

mod sets;

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "a secret of more than thirty-two bytes";
const RSA: &str = include_str!("tests/rsa.pem");
const RSA_PUBLIC: &str = include_str!("tests/rsa.pub.pem");

struct At(AtomicU64);

impl Clock for At {
    fn unix_ms(&self) -> u64 {
        self.0.load(SeqCst) * 1000
    }
}

/// The keys that these variables configure.
fn open(variables: &[(&str, &str)]) -> Result<Arc<Tokens>, KeyError> {
    let environment = variables.iter().map(|(name, value)| (OsString::from(name), value.into()));
    let config = Config::load(None, environment, &Flags::new()).unwrap();
    Tokens::open(&config.jwt, Arc::new(At(NOW.into())), &TaskTracker::new()).map(Option::unwrap)
}

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", part(header), part(claims))
}

fn with_signature(message: &str, signature: &[u8]) -> String {
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn hs(algorithm: &str, secret: &[u8], header: Value, claims: &Value) -> String {
    let digest = match algorithm {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        _ => hmac::HMAC_SHA512,
    };
    let mut header = header;
    header["alg"] = algorithm.into();
    let message = unsigned(&header, claims);
    let tag = hmac::sign(&hmac::Key::new(digest, secret), message.as_bytes());
    with_signature(&message, tag.as_ref())
}

fn claims() -> Value {
    json!({ "sub": "ann", "exp": NOW + 60 })
}

fn rsa() -> RsaKeyPair {
    let base64: String = RSA.lines().filter(|line| !line.starts_with('-')).collect();
    RsaKeyPair::from_pkcs8(&STANDARD.decode(base64).unwrap()).unwrap()
}

fn rs(algorithm: &str, header: Value, claims: &Value) -> String {
    let encoding: &'static dyn RsaEncoding = match algorithm {
        "RS256" => &RSA_PKCS1_SHA256,
        "RS384" => &RSA_PKCS1_SHA384,
        "RS512" => &RSA_PKCS1_SHA512,
        "PS256" => &RSA_PSS_SHA256,
        "PS384" => &RSA_PSS_SHA384,
        _ => &RSA_PSS_SHA512,
    };
    let (key, mut header) = (rsa(), header);
    header["alg"] = algorithm.into();
    let message = unsigned(&header, claims);
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(encoding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
    with_signature(&message, &signature)
}

struct Curve(EcdsaKeyPair, &'static str);

impl Curve {
    fn new(bits: u32) -> Curve {
        let (algorithm, name): (&'static EcdsaSigningAlgorithm, _) = match bits {
            256 => (&ECDSA_P256_SHA256_FIXED_SIGNING, "ES256"),
            _ => (&ECDSA_P384_SHA384_FIXED_SIGNING, "ES384"),
        };
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Curve(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap(), name)
    }

    fn sign(&self, header: Value, claims: &Value) -> String {
        let mut header = header;
        header["alg"] = self.1.into();
        let message = unsigned(&header, claims);
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        with_signature(&message, signature.as_ref())
    }

    fn jwk(&self, kid: &str) -> Value {
        let point = &self.0.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let curve = if self.1 == "ES256" { "P-256" } else { "P-384" };
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({ "kty": "EC", "crv": curve, "kid": kid, "use": "sig", "x": x, "y": y })
    }
}

async fn examined(tokens: &Tokens, token: &str) -> Result<Rights, TokenFault> {
    let ann = Uid::text("ann").unwrap();
    match tokens.examine(Some(&ann), token).await {
        Ok((rights, _)) => Ok(rights),
        Err(Trouble::Refused(refusal)) => Err(refusal.fault),
        Err(Trouble::Unavailable(why)) => panic!("unavailable: {why}"),
    }
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[tokio::test]
async fn secrets_verify_what_they_signed_and_nothing_else() {
    let old = "the secret that was used before, as long as that";
    let tokens = open(&[("AO_JWT__SECRET", SECRET), ("AO_JWT__PREVIOUS_SECRET", old)]).unwrap();
    for algorithm in ["HS256", "HS384", "HS512"] {
        for secret in [SECRET, old] {
            let token = hs(algorithm, secret.as_bytes(), json!({}), &claims());
            assert!(examined(&tokens, &token).await.is_ok(), "{algorithm}");
        }
        let token = hs(algorithm, b"another", json!({}), &claims());
        assert_eq!(examined(&tokens, &token).await, Err(TokenFault::Signature));
    }
    // A name of a key does not speak against a secret, which has none.
    let token = hs("HS256", SECRET.as_bytes(), json!({ "kid": "k" }), &claims());
    assert!(examined(&tokens, &token).await.is_ok());
    let token = hs("HS256", SECRET.as_bytes(), json!({}), &json!({ "sub": "bob", "exp": NOW + 9 }));
    assert_eq!(examined(&tokens, &token).await, Err(TokenFault::Subject));
}

#[tokio::test]
async fn a_token_does_not_choose_its_algorithm() {
    let (_folder, path) = file(RSA_PUBLIC);
    let tokens = open(&[("AO_JWT__KEYS", &path)]).unwrap();
    let none = unsigned(&json!({ "alg": "none" }), &claims());
    let none_of = |alg: &str| unsigned(&json!({ "alg": alg }), &claims()) + ".";
    for token in [
        format!("{none}."),
        none_of("None"),
        none_of("NONE"),
        none_of(""),
        none_of("RS1"),
        none_of("HS256"),
    ] {
        assert_eq!(examined(&tokens, &token).await, Err(TokenFault::Algorithm), "{token}");
    }
    // The public key, which everybody has, as the secret of an HMAC: its PEM, and its bytes.
    let base64: String = RSA_PUBLIC.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(base64).unwrap();
    for secret in [RSA_PUBLIC.as_bytes(), RSA_PUBLIC.trim_end().as_bytes(), &der] {
        let token = hs("HS256", secret, json!({}), &claims());
        assert_eq!(examined(&tokens, &token).await, Err(TokenFault::Algorithm));
    }
    // The same where a secret is known as well: then it is the secret that is compared with.
    let both = open(&[("AO_JWT__KEYS", &path), ("AO_JWT__SECRET", SECRET)]).unwrap();
    let token = hs("HS256", RSA_PUBLIC.as_bytes(), json!({}), &claims());
    assert_eq!(examined(&both, &token).await, Err(TokenFault::Signature));
    assert!(examined(&both, &rs("RS256", json!({}), &claims())).await.is_ok());
    // What a token brings along is no key.
    let curve = Curve::new(256);
    let token = curve.sign(json!({ "jwk": curve.jwk("k") }), &claims());
    assert_eq!(examined(&both, &token).await, Err(TokenFault::Algorithm));
}

#[tokio::test]
async fn public_keys_verify_by_the_algorithms_that_they_are_for() {
    let (_folder, path) = file(RSA_PUBLIC);
    let tokens = open(&[("AO_JWT__KEYS", &path)]).unwrap();
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let token = rs(algorithm, json!({}), &claims());
        assert!(examined(&tokens, &token).await.is_ok(), "{algorithm}");
        let changed = token.replacen('.', ".e", 1);
        assert!(examined(&tokens, &changed).await.is_err(), "{algorithm}");
    }
    let (p256, p384) = (Curve::new(256), Curve::new(384));
    let ed = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let ed = Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap();
    let x = URL_SAFE_NO_PAD.encode(ed.public_key());
    let set = json!({ "keys": [
        p256.jwk("a"), p384.jwk("b"), { "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "c" },
        { "kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET), "alg": "HS512", "kid": "d" },
    ] });
    let (_folder, path) = file(&set.to_string());
    let tokens = open(&[("AO_JWT__KEYS", &path)]).unwrap();
    let message = unsigned(&json!({ "alg": "EdDSA", "kid": "c" }), &claims());
    for (name, token) in [
        ("ES256", p256.sign(json!({ "kid": "a" }), &claims())),
        ("ES256 without kid", p256.sign(json!({}), &claims())),
        ("ES384", p384.sign(json!({ "kid": "b" }), &claims())),
        ("EdDSA", with_signature(&message, ed.sign(message.as_bytes()).as_ref())),
        ("HS512", hs("HS512", SECRET.as_bytes(), json!({ "kid": "d" }), &claims())),
    ] {
        assert!(examined(&tokens, &token).await.is_ok(), "{name}");
    }
    for (token, fault) in [
        (p256.sign(json!({ "kid": "b" }), &claims()), TokenFault::Algorithm),
        (p256.sign(json!({ "kid": "z" }), &claims()), TokenFault::UnknownKey),
        (Curve::new(256).sign(json!({ "kid": "a" }), &claims()), TokenFault::Signature),
        // The key's own `alg` says another one of its family.
        (hs("HS256", SECRET.as_bytes(), json!({ "kid": "d" }), &claims()), TokenFault::Algorithm),
    ] {
        assert_eq!(examined(&tokens, &token).await, Err(fault));
    }
}

#[tokio::test]
async fn the_configuration_can_leave_algorithms_out() {
    let (_folder, path) = file(RSA_PUBLIC);
    let variables = [("AO_JWT__KEYS", path.as_str()), ("AO_JWT__ALGORITHMS", "PS256,ES256")];
    let tokens = open(&variables).unwrap();
    assert!(examined(&tokens, &rs("PS256", json!({}), &claims())).await.is_ok());
    let token = rs("RS256", json!({}), &claims());
    assert_eq!(examined(&tokens, &token).await, Err(TokenFault::Algorithm));
    // A key that could verify nothing is a mistake.
    let error = open(&[("AO_JWT__SECRET", SECRET), ("AO_JWT__ALGORITHMS", "RS256")]).err().unwrap();
    assert_eq!(error.to_string(), "AO_JWT__SECRET: AO_JWT__ALGORITHMS has no algorithm of the key");
}

#[tokio::test]
async fn what_is_no_token_is_malformed() {
    let tokens = open(&[("AO_JWT__SECRET", SECRET)]).unwrap();
    let good = hs("HS256", SECRET.as_bytes(), json!({}), &claims());
    let (head, rest) = good.split_once('.').unwrap();
    let header = |header: Value| format!("{}.{rest}", part(&header));
    for token in [
        String::new(),
        "..".to_owned(),
        format!("{good}."),
        format!("{head}.{head}"),
        format!("!!.{rest}"),
        format!("{}.{rest}", URL_SAFE_NO_PAD.encode("[]")),
        header(json!({})),
        header(json!({ "alg": 7 })),
        header(json!({ "alg": "HS256", "kid": 7 })),
        format!("{good}{}", "x".repeat(MAX_TOKEN)),
    ] {
        assert_eq!(examined(&tokens, &token).await, Err(TokenFault::Malformed), "{token:.80}");
    }
    // The signature is right, and what it is for is not understood.
    for (extra, claims) in [
        (json!({ "crit": ["b64"], "b64": false }), claims()),
        (json!({ "crit": ["exp"] }), claims()),
        (json!({}), json!([])),
        (json!({}), json!("ann")),
    ] {
        let token = hs("HS256", SECRET.as_bytes(), extra, &claims);
        assert_eq!(examined(&tokens, &token).await, Err(TokenFault::Malformed), "{claims}");
    }
}

#[test]
fn keys_that_can_not_be_used_are_refused_with_their_place() {
    let bits_1024 = "-----BEGIN PUBLIC KEY-----\nMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDMYfnvWtC8Id5bPKae5yXSxQTt\n+Zpul6AnnZWfI2TtIarvjHBFUtXRo96y7hoL4VWOPKGCsRqMFDkrbeUjRrx8iL91\n4/srnyf6sh9c8Zk04xEOpK1ypvBz+Ks4uZObtjnnitf0NBGdjMKxveTq+VE7BWUI\nyQjtQ8mbDOsiLLvh7wIDAQAB\n-----END PUBLIC KEY-----\n";
    for (text, why) in [
        ("", "it is neither PEM nor a JSON Web Key Set"),
        ("{", "it is no JSON"),
        ("{}", "it has no list of keys"),
        (r#"{"keys":[]}"#, "it is empty"),
        (r#"{"keys":[{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}]}"#, "it is none of RSA"),
        (r#"{"keys":[{"kty":"oct","k":"AAAA","use":"enc"}]}"#, "it is not for signatures"),
        (r#"{"keys":[{"kty":"oct","k":"AAAA","alg":"RS256"}]}"#, "its alg is not for its kind"),
        (r#"{"keys":[{"kty":"oct","k":"AAAA","d":"AA"}]}"#, "it has a private key"),
        (RSA, "it has a private key"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "it has a certificate"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "a key of it is none of"),
        (bits_1024, "a key of RSA must have 2048 bits or more"),
    ] {
        let (_folder, path) = file(text);
        let error = open(&[("AO_JWT__KEYS", &path)]).err().unwrap().to_string();
        assert!(error.contains(why), "{text}: {error}");
        assert!(error.starts_with(&path) && error.ends_with("mend AO_JWT__KEYS"), "{error}");
    }
    let error = open(&[("AO_JWT__KEYS", "/nowhere/keys")]).err().unwrap().to_string();
    assert!(error.starts_with("/nowhere/keys: "), "{error}");
}

#[tokio::test]
async fn a_file_that_changes_is_read_again_and_a_bad_one_changes_nothing() {
    let (folder, path) = file(RSA_PUBLIC);
    let tokens = open(&[("AO_JWT__KEYS", &path)]).unwrap();
    let (keys, curve) = (tokens.file.clone().unwrap(), Curve::new(256));
    let (old, new) = (rs("RS256", json!({}), &claims()), curve.sign(json!({}), &claims()));

    std::fs::write(&path, "half a file").unwrap();
    keys.look();
    assert!(examined(&tokens, &old).await.is_ok());

    std::fs::write(&path, json!({ "keys": [curve.jwk("k")] }).to_string()).unwrap();
    keys.look();
    assert!(examined(&tokens, &new).await.is_ok());
    assert_eq!(examined(&tokens, &old).await, Err(TokenFault::Algorithm));

    drop(folder); // gone: the keys before go on
    keys.look();
    assert!(examined(&tokens, &new).await.is_ok());
}
