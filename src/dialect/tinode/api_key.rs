//! API keys: which applications may connect. They are made of a salt that all nodes share, and so
//! are good without being kept; only those that were revoked have to be known.
//!
//! A key is URL-base64 of 24 bytes: `[1][app u32 LE][seq u16 LE][root u8][MAC 16]`, the MAC being
//! HMAC-MD5 of the first eight by the salt. Keys that were made for a real server are good here if
//! its salt is configured.
use std::{collections::HashSet, sync::Mutex};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Uri, header};
use md5::Md5;
use tokio::time::Instant;

use super::{
    cabinet::Cabinet,
    message::{Code, Ts},
    record::{KEYS, KeyRecord, SECRETS, SecretRecord},
    refusal::Done,
};
use crate::{
    config::SecretText,
    domain::{
        clock::Rng,
        records::{Expect, MAX_PAGE},
        secret::equal,
    },
    lock::lock,
    throttle::throttled,
};

/// The version of keys that is known.
const VERSION: u8 = 1;
/// Bytes that are signed, and of a MAC and of a salt.
const SIGNED: usize = 8;
const MAC: usize = 16;
const SALT: usize = 32;
/// The key that is made together with a salt.
const FIRST: (u32, u16) = (1, 1);
/// The header that has a key.
const HEADER: &str = "x-tinode-apikey";
/// Its name in a query, and among cookies.
const NAME: &str = "apikey";

/// Makes keys, and checks them.
pub(super) struct ApiKeys(Mutex<State>);

#[derive(Default)]
struct State {
    /// None before it was read: no key is good.
    salt: Option<Vec<u8>>,
    revoked: HashSet<(u32, u16)>,
    /// When what is revoked was begun to be read at last.
    read: Option<Instant>,
}

impl ApiKeys {
    /// Without a salt yet.
    pub fn new() -> Self {
        ApiKeys(Mutex::default())
    }

    /// Takes the salt that is configured, base64, or that is kept; where there is none it is made.
    /// Returns a key, where this node has made it.
    ///
    /// # Errors
    /// It can't be read, or the store does not answer.
    pub async fn open(
        &self,
        salt: &SecretText,
        cabinet: &Cabinet,
        rng: &dyn Rng,
    ) -> Done<Option<String>> {
        let kept = match salt.is_empty() {
            true => shared(cabinet, "salt", SALT, rng).await?,
            false => Kept { text: salt.expose().to_owned(), is_new: false },
        };
        let Ok(salt) = STANDARD.decode(kept.text.trim()) else {
            tracing::error!(setting = "AO_TINODE__API_KEY_SALT", "the salt is no base64");
            return Err(Code::Internal.into());
        };
        lock(&self.0).salt = Some(salt);
        self.load(cabinet).await?;
        if !kept.is_new {
            return Ok(None);
        }
        let (app, seq) = FIRST;
        let note = "made with the salt".to_owned();
        let record = KeyRecord { app, seq, at: Ts(0), note, revoked: false };
        let id = KeyRecord::id(app, seq);
        cabinet.put(&KEYS, &id, record.body(), Expect::New, None).await?;
        Ok(Some(self.make(app, seq, false)))
    }

    /// Reads which keys are revoked.
    ///
    /// # Errors
    /// The store does not answer: what was known before is known still.
    pub async fn load(&self, cabinet: &Cabinet) -> Done<()> {
        let begun = Instant::now();
        let (mut revoked, mut after) = (HashSet::new(), None::<String>);
        loop {
            let page = cabinet.records.list(&KEYS, after.as_deref(), MAX_PAGE).await?;
            for record in page.records {
                match serde_json::from_slice::<KeyRecord>(&record.body) {
                    Ok(key) if key.revoked => {
                        revoked.insert((key.app, key.seq));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        let why = error.classify();
                        throttled!(error, id = record.id, ?why, "a key's record can't be read");
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut state = lock(&self.0);
        // Of two that cross the one that was begun later knows more.
        if state.read.is_none_or(|read| read <= begun) {
            (state.revoked, state.read) = (revoked, Some(begun));
        }
        Ok(())
    }

    /// Whether a key is good.
    pub fn check(&self, key: &str) -> bool {
        let Ok(key) = URL_SAFE_NO_PAD.decode(key.trim_end_matches('=')) else { return false };
        let Some((signed, mac)) = key.split_at_checked(SIGNED) else { return false };
        let &[version, a, b, c, d, low, high, _root] = signed else { return false };
        let state = lock(&self.0);
        let Some(salt) = &state.salt else { return false };
        let id = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([low, high]));
        version == VERSION && equal(mac, &sign(salt, signed)) && !state.revoked.contains(&id)
    }

    /// A key. It is good from now on, unless it was revoked.
    pub fn make(&self, app: u32, seq: u16, root: bool) -> String {
        let mut key = Vec::with_capacity(SIGNED + MAC);
        key.push(VERSION);
        key.extend_from_slice(&app.to_le_bytes());
        key.extend_from_slice(&seq.to_le_bytes());
        key.push(u8::from(root));
        let mac = lock(&self.0).salt.as_deref().map(|salt| sign(salt, &key)).unwrap_or_default();
        key.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(key)
    }
}

fn sign(salt: &[u8], signed: &[u8]) -> [u8; MAC] {
    // A key of any length will do for HMAC. Were it not so, no key would be good.
    let Ok(mut mac) = <Hmac<Md5> as KeyInit>::new_from_slice(salt) else { return [0; MAC] };
    mac.update(signed);
    mac.finalize().into_bytes().into()
}

/// A secret as it is kept.
pub(super) struct Kept {
    /// Base64.
    pub text: String,
    /// This node has just made it.
    pub is_new: bool,
}

/// A secret that all nodes share: of those that make it at once one does.
///
/// # Errors
/// The store does not answer, or there is no randomness.
pub(super) async fn shared(
    cabinet: &Cabinet,
    name: &str,
    bytes: usize,
    rng: &dyn Rng,
) -> Done<Kept> {
    if let Some(read) = cabinet.get::<SecretRecord>(&SECRETS, name).await? {
        return Ok(Kept { text: read.record.value, is_new: false });
    }
    let mut secret = vec![0; bytes];
    rng.fill(&mut secret)?;
    let record = SecretRecord { value: STANDARD.encode(secret) };
    let put = cabinet.put(&SECRETS, name, record.body(), Expect::New, None).await?;
    if put.is_some() {
        return Ok(Kept { text: record.value, is_new: true });
    }
    let read = cabinet.get::<SecretRecord>(&SECRETS, name).await?;
    let read = read.ok_or(Code::Unavailable)?;
    Ok(Kept { text: read.record.value, is_new: false })
}

/// The key that a request presents: in its header, its query, or a cookie.
pub(super) fn presented(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let header = headers.get(HEADER).and_then(|value| value.to_str().ok());
    if let Some(key) = header.filter(|key| !key.is_empty()) {
        return Some(key.to_owned());
    }
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(uri.query().unwrap_or_default()).unwrap_or_default();
    let query = pairs.into_iter().find(|(name, key)| name == NAME && !key.is_empty());
    query.map(|(_, key)| key).or_else(|| cookie(headers))
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| {
        let (name, key) = pair.trim().split_once('=')?;
        (name == NAME && !key.is_empty()).then(|| key.trim_matches('"').to_owned())
    });
    pairs.next()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

    use super::*;
    use crate::{
        config::secret::SECRET, dialect::tinode::cabinet::tests::cabinet,
        domain::clock::NoRandomness,
    };

    /// Bytes that are not the same twice.
    #[derive(Default)]
    struct Counting(AtomicU8);

    impl Rng for Counting {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
            bytes.iter_mut().for_each(|byte| *byte = self.0.fetch_add(1, Relaxed));
            Ok(())
        }
    }

    fn keys(salt: &[u8]) -> ApiKeys {
        ApiKeys(Mutex::new(State { salt: Some(salt.to_vec()), ..State::default() }))
    }

    /// RFC 2202, 2.
    #[test]
    fn it_signs_as_its_authors_say() {
        for (key, text, digest) in [
            (&[0x0b; 16][..], &b"Hi There"[..], "9294727a3638bb1c13f48ef8158bfc9d"),
            (b"Jefe", b"what do ya want for nothing?", "750c783e6ab0b503eaa86e310a5db738"),
            (
                &[0xaa; 80],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd",
            ),
        ] {
            assert_eq!(crate::hex::encode(&sign(key, text)), digest);
        }
    }

    #[test]
    fn a_key_is_made_byte_by_byte() {
        let key = keys(&[7; SALT]).make(0x0403_0201, 0x0605, true);
        assert_eq!(key.len(), 32);
        let bytes = URL_SAFE_NO_PAD.decode(&key).unwrap();
        assert_eq!(bytes[..SIGNED], [1, 1, 2, 3, 4, 5, 6, 1]);
        assert_eq!(bytes[SIGNED..], sign(&[7; SALT], &bytes[..SIGNED]));
    }

    #[test]
    fn a_key_that_was_tampered_with_anywhere_is_none() {
        let keys = keys(&[7; SALT]);
        let key = keys.make(1, 2, false);
        assert!(keys.check(&key) && keys.check(&format!("{key}==")));
        let bytes = URL_SAFE_NO_PAD.decode(&key).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                assert!(!keys.check(&URL_SAFE_NO_PAD.encode(other)), "{at}.{bit}");
            }
        }
        for other in ["", "=", "x", "AQ", &key[1..], &format!("{key}AAAA"), &format!("{key} ")] {
            assert!(!keys.check(other), "{other}");
        }
        let mut older = vec![0];
        older.extend_from_slice(&bytes[1..SIGNED]);
        older.extend_from_slice(&sign(&[7; SALT], &older.clone()));
        assert!(!keys.check(&URL_SAFE_NO_PAD.encode(older)), "another version");
        assert!(!super::ApiKeys::new().check(&key), "the salt is not known yet");
    }

    #[test]
    fn a_request_presents_it_in_one_of_three_places() {
        for (uri, headers, expected) in [
            ("/v0/channels?apikey=a%2Db&x=1", &[][..], Some("a-b")),
            (
                "/v0/channels?apikey=q",
                &[("x-tinode-apikey", "h"), ("cookie", "apikey=c")],
                Some("h"),
            ),
            ("/v0/channels?apikey=", &[("cookie", "a=b; apikey=\"c=\"; d")], Some("c=")),
            ("/v0/channels", &[("cookie", "apikeys=c")], None),
            ("/v0/channels", &[], None),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            let found = presented(&uri.parse().unwrap(), &map);
            assert_eq!(found.as_deref(), expected, "{uri}");
        }
    }

    #[tokio::test]
    async fn a_salt_is_made_once_and_a_key_with_it() {
        let (_, cabinet) = cabinet();
        let (none, rng) = ((SECRET.parse)("").unwrap(), Counting::default());
        let (first, second) = (ApiKeys::new(), ApiKeys::new());
        let key = first.open(&none, &cabinet, &rng).await.ok().unwrap().unwrap();
        assert!(second.open(&none, &cabinet, &rng).await.ok().unwrap().is_none());
        assert!(first.check(&key) && second.check(&key));

        let id = KeyRecord::id(1, 1);
        let read = cabinet.get::<KeyRecord>(&KEYS, &id).await.ok().unwrap().unwrap();
        let revoked = KeyRecord { revoked: true, ..read.record };
        let expect = Expect::Version(read.version);
        cabinet.put(&KEYS, &id, revoked.body(), expect, None).await.ok().unwrap();
        second.load(&cabinet).await.ok().unwrap();
        assert!(first.check(&key) && !second.check(&key));
    }

    #[tokio::test]
    async fn a_salt_may_be_configured() {
        let (_, cabinet) = cabinet();
        let salt = (SECRET.parse)(&STANDARD.encode([7; SALT])).unwrap();
        let opened = ApiKeys::new();
        let made = opened.open(&salt, &cabinet, &Counting::default()).await.ok().unwrap();
        assert!(made.is_none() && opened.check(&keys(&[7; SALT]).make(1, 1, false)));
        let bad = (SECRET.parse)("no base64!").unwrap();
        assert!(opened.open(&bad, &cabinet, &Counting::default()).await.is_err());
    }
}
