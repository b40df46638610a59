//! The tokens by which users come back, 50 bytes:
//!
//! ```text
//! [user u64 LE][expires u32 LE][level u16 LE][generation u16 LE][purpose u16 LE][MAC 32]
//! ```
//!
//! The MAC is HMAC-SHA256 of what stands before it. Tokens are not kept: whoever has the key can
//! check them. A user's older ones are taken back by a new generation.
use std::sync::OnceLock;

use ring::hmac;

use super::{api_key::shared, cabinet::Cabinet, ids::UserId, mode::Level, refusal::Done};
use crate::{config::SecretText, domain::clock::Rng};

/// Bytes that are signed, and of a token.
const SIGNED: usize = 18;
pub(super) const LENGTH: usize = 50;
/// Bytes of a key that is made.
const KEY: usize = 32;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To sign in.
    Login,
    /// To show codes that were sent, and to sign in by them.
    Validate,
}

impl Purpose {
    fn number(self) -> u16 {
        match self {
            Purpose::Login => 0,
            Purpose::Validate => 1,
        }
    }

    fn of_number(number: u16) -> Option<Self> {
        [Purpose::Login, Purpose::Validate].into_iter().find(|purpose| purpose.number() == number)
    }
}

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Claims {
    pub user: UserId,
    pub level: Level,
    pub generation: u16,
    pub purpose: Purpose,
    /// From when on it counts no more, in seconds since 1970.
    pub expires: u32,
}

/// Why a token proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadToken {
    /// It is no token at all.
    Length,
    /// It was not made here, or is expired.
    Wrong,
}

/// Makes tokens, and checks them.
pub(super) struct Tokens(OnceLock<hmac::Key>);

impl Tokens {
    /// Without a key yet.
    pub fn new() -> Self {
        Tokens(OnceLock::new())
    }

    /// Takes the key that is configured, or that is kept; where there is none it is made.
    ///
    /// # Errors
    /// The store does not answer, or there is no randomness.
    pub async fn open(&self, key: &SecretText, cabinet: &Cabinet, rng: &dyn Rng) -> Done<()> {
        let secret = match key.is_empty() {
            true => shared(cabinet, "token", KEY, rng).await?.text,
            false => {
                if key.expose().len() < KEY {
                    tracing::warn!(
                        setting = "AO_TINODE__TOKEN_KEY",
                        "the key is shorter than {KEY} bytes: it can be found by trying"
                    );
                }
                key.expose().to_owned()
            }
        };
        // The first one stays: it is the same each time.
        self.0.get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
        Ok(())
    }

    /// A token. Before there is a key, one that is none.
    pub fn make(&self, claims: Claims) -> [u8; LENGTH] {
        let mut token = [0; LENGTH];
        let (signed, mac) = token.split_at_mut(SIGNED);
        signed[..8].copy_from_slice(&claims.user.number().to_le_bytes());
        signed[8..12].copy_from_slice(&claims.expires.to_le_bytes());
        signed[12..14].copy_from_slice(&claims.level.number().to_le_bytes());
        signed[14..16].copy_from_slice(&claims.generation.to_le_bytes());
        signed[16..].copy_from_slice(&claims.purpose.number().to_le_bytes());
        if let Some(key) = self.0.get() {
            mac.copy_from_slice(hmac::sign(key, signed).as_ref());
        }
        token
    }

    /// What a token says. Whether the user is there, and of which generation, is not looked at
    /// here. `now` in seconds since 1970.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn check(&self, token: &[u8], now: u64) -> Result<Claims, BadToken> {
        let token: &[u8; LENGTH] = token.try_into().map_err(|_| BadToken::Length)?;
        let (signed, mac) = token.split_at(SIGNED);
        let key = self.0.get().ok_or(BadToken::Wrong)?;
        hmac::verify(key, signed, mac).map_err(|_| BadToken::Wrong)?;
        let claims = read(signed).ok_or(BadToken::Wrong)?;
        if u64::from(claims.expires) <= now {
            return Err(BadToken::Wrong);
        }
        Ok(claims)
    }
}

fn read(signed: &[u8]) -> Option<Claims> {
    let (user, rest) = signed.split_first_chunk::<8>()?;
    let (expires, rest) = rest.split_first_chunk::<4>()?;
    let (level, rest) = rest.split_first_chunk::<2>()?;
    let (generation, rest) = rest.split_first_chunk::<2>()?;
    let (purpose, _) = rest.split_first_chunk::<2>()?;
    Some(Claims {
        user: UserId::of_number(u64::from_le_bytes(*user))?,
        level: Level::of_number(u16::from_le_bytes(*level))?,
        generation: u16::from_le_bytes(*generation),
        purpose: Purpose::of_number(u16::from_le_bytes(*purpose))?,
        expires: u32::from_le_bytes(*expires),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::secret::SECRET,
        dialect::tinode::cabinet::tests::cabinet,
        domain::clock::{NoRandomness, SystemRng},
    };

    const NOW: u64 = 1_700_000_000;

    fn tokens(key: &str) -> Tokens {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        Tokens(OnceLock::from(key))
    }

    fn claims() -> Claims {
        Claims {
            user: UserId::of_number(0x0807_0605_0403_0201).unwrap(),
            level: Level::Auth,
            generation: 0x0b0a,
            purpose: Purpose::Login,
            expires: 1_700_000_001,
        }
    }

    #[test]
    fn a_token_is_made_byte_by_byte() {
        let token = tokens("k").make(claims());
        let mut expected = vec![1, 2, 3, 4, 5, 6, 7, 8];
        expected.extend_from_slice(&1_700_000_001_u32.to_le_bytes());
        expected.extend_from_slice(&Level::Auth.number().to_le_bytes());
        expected.extend_from_slice(&[0x0a, 0x0b, 0, 0]);
        assert_eq!((token.len(), &token[..SIGNED]), (50, &expected[..]));
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"k"), &token[..SIGNED]);
        assert_eq!(&token[SIGNED..], mac.as_ref());
    }

    #[test]
    fn a_token_says_what_was_said_and_until_when() {
        for level in [Level::Anon, Level::Auth, Level::Root] {
            for purpose in [Purpose::Login, Purpose::Validate] {
                let claims = Claims { level, purpose, ..claims() };
                let token = tokens("k").make(claims);
                assert_eq!(tokens("k").check(&token, NOW), Ok(claims));
                assert_eq!(tokens("k").check(&token, NOW + 1), Err(BadToken::Wrong));
                assert_eq!(tokens("l").check(&token, NOW), Err(BadToken::Wrong));
                assert_eq!(Tokens::new().check(&token, NOW), Err(BadToken::Wrong));
            }
        }
        assert_eq!(tokens("k").check(&Tokens::new().make(claims()), NOW), Err(BadToken::Wrong));
    }

    #[test]
    fn a_token_that_was_tampered_with_anywhere_proves_nothing() {
        let (tokens, token) = (tokens("k"), tokens("k").make(claims()));
        for at in 0..LENGTH {
            for bit in 0..8 {
                let mut other = token;
                other[at] ^= 1 << bit;
                assert_eq!(tokens.check(&other, NOW), Err(BadToken::Wrong), "{at}.{bit}");
            }
        }
        for other in [&[][..], &token[1..], &[&token[..], &[0]].concat(), b"short"] {
            assert_eq!(tokens.check(other, NOW), Err(BadToken::Length));
        }
    }

    #[test]
    fn what_is_signed_and_not_known_proves_nothing() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"k");
        for (at, value) in [(0..8, 0), (12..14, 0xff), (16..18, 7)] {
            let mut token = tokens("k").make(claims());
            token[at.clone()].fill(value);
            let mac = hmac::sign(&key, &token[..SIGNED]);
            token[SIGNED..].copy_from_slice(mac.as_ref());
            assert_eq!(tokens("k").check(&token, NOW), Err(BadToken::Wrong), "{at:?}");
        }
    }

    #[tokio::test]
    async fn a_key_is_made_once_and_shared() {
        struct Broken;
        impl Rng for Broken {
            fn fill(&self, _: &mut [u8]) -> Result<(), NoRandomness> {
                Err(NoRandomness("none".into()))
            }
        }
        let (_, cabinet) = cabinet();
        let (first, second, none) = (Tokens::new(), Tokens::new(), (SECRET.parse)("").unwrap());
        assert!(first.open(&none, &cabinet, &Broken).await.is_err());
        first.open(&none, &cabinet, &SystemRng).await.ok().unwrap();
        second.open(&none, &cabinet, &Broken).await.ok().unwrap();
        assert_eq!(second.check(&first.make(claims()), NOW), Ok(claims()));
        let (set, key) = (Tokens::new(), (SECRET.parse)("k").unwrap());
        set.open(&key, &cabinet, &Broken).await.ok().unwrap();
        assert_eq!(set.check(&tokens("k").make(claims()), NOW), Ok(claims()));
    }
}
