//! Time and randomness are arguments of the core: this is the one home of the real ones. Durations
//! are measured with `tokio::time::Instant`, which tests can pause.
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall-clock time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970, UTC.
    fn unix_ms(&self) -> u64;

    /// Seconds since 1970, UTC.
    fn unix(&self) -> u64 {
        self.unix_ms() / 1000
    }
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // its one home
    fn unix_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A source of random bytes that can't be guessed.
pub trait Rng: Send + Sync {
    /// Fills `bytes`, or tells why the source gave none.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness>;
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct NoRandomness(pub String);

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        getrandom::fill(bytes).map_err(|e| NoRandomness(e.to_string()))
    }
}

/// `length` random characters of `[A-Za-z0-9]`, each equally likely (bytes above 247 are thrown
/// away: 248 = 4 × 62).
pub fn alphanumeric(rng: &dyn Rng, length: usize) -> Result<String, NoRandomness> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(length);
    let mut bytes = [0; 32];
    while text.len() < length {
        rng.fill(&mut bytes)?;
        let wanted = length - text.len();
        text.extend(
            bytes
                .iter()
                .filter(|b| **b < 248)
                .take(wanted)
                .map(|b| char::from(ALPHABET[usize::from(b % 62)])),
        );
    }
    Ok(text)
}
