//! Passwords: how they are kept, and whether one is right.
//!
//! They are kept as argon2id hashes, in the form of the PHC (`$argon2id$v=19$m=…,t=…,p=…$…$…`). A
//! user of a server that was taken over may have the md5 of its password, which is accepted once and
//! replaced; so is a hash of other costs than today's.
//!
//! A hash takes some 20 ms of a processor and 19 MiB, by intention. So it is worked on in a pool of
//! its own, away from the tasks that serve clients, few at a time, and few may wait: whoever comes
//! when these are there is told to come back.
use std::{fmt, ops::RangeInclusive, sync::Arc};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::prelude::*;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::{
    clock::{NoRandomness, Rng},
    secret::equal,
};
use crate::{hex, throttle::throttled};

/// Costs of OWASP's password storage cheat sheet: KiB of memory, passes, lanes.
const COSTS: Costs = Costs { memory: 19_456, passes: 2, lanes: 1 };
/// What is verified at most: a record that says more was not written by us, and is not believed.
const MOST: Costs = Costs { memory: 65_536, passes: 10, lanes: 4 };
/// Bytes up to which glibc may keep what is given back (DEFAULT_MMAP_THRESHOLD_MAX).
const KEPT: usize = 32 << 20;
/// Bytes of a salt and of a tag.
const SALT: usize = 16;
const TAG: usize = 32;
/// Bytes that the tag of a kept hash may have.
const TAGS: RangeInclusive<usize> = 16..=64;
/// Hashes that are worked on at a time, at most.
const WORKING: usize = 2;
/// Hashes that wait to be worked on.
const WAITING: usize = 64;

/// A password was not worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unhashed {
    /// As many wait as may.
    #[error("too many passwords wait to be worked on")]
    Busy,
    /// There is no memory, or a defect of the server, which is in the log.
    #[error("a password could not be hashed")]
    Failed,
}

/// A password as it is kept. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(String);

impl Hash {
    /// As somebody else has kept it.
    pub fn kept(text: impl Into<String>) -> Self {
        Hash(text.into())
    }

    /// Of a password, with this salt.
    fn new(password: &[u8], salt: Salt) -> Result<Self, argon2::Error> {
        let tag = COSTS.tag(password, &salt.0, TAG)?;
        let Costs { memory, passes, lanes } = COSTS;
        let [salt, tag] = [&salt.0[..], &tag[..]].map(|bytes| BASE64_STANDARD_NO_PAD.encode(bytes));
        Ok(Hash(format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${tag}")))
    }

    fn read(&self) -> Option<Kept> {
        if self.0.len() == 32 && self.0.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Some(Kept::Md5(self.0.to_ascii_lowercase()));
        }
        let mut parts = self.0.strip_prefix("$argon2id$v=19$")?.split('$');
        let (costs, salt, tag) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let costs = Costs::read(costs).filter(Costs::is_borne)?;
        let bytes = |text: &str| BASE64_STANDARD_NO_PAD.decode(text).ok();
        let salt = bytes(salt).filter(|salt| salt.len() >= argon2::MIN_SALT_LEN)?;
        let tag = bytes(tag).filter(|tag| TAGS.contains(&tag.len()))?;
        Some(Kept::Argon2 { costs, salt, tag })
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(…)")
    }
}

/// What a kept password says.
enum Kept {
    Argon2 {
        costs: Costs,
        salt: Vec<u8>,
        tag: Vec<u8>,
    },
    /// Unsalted, in lower-case hexadecimal digits.
    Md5(String),
}

/// What a hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Costs {
    /// KiB.
    memory: u32,
    passes: u32,
    lanes: u32,
}

impl Costs {
    /// From `m=19456,t=2,p=1`.
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let mut next =
            |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
        let costs = Costs { memory: next("m")?, passes: next("t")?, lanes: next("p")? };
        parts.next().is_none().then_some(costs)
    }

    fn is_borne(&self) -> bool {
        self.memory <= MOST.memory && self.passes <= MOST.passes && self.lanes <= MOST.lanes
    }

    fn tag(self, password: &[u8], salt: &[u8], length: usize) -> Result<Vec<u8>, argon2::Error> {
        let params = Params::new(self.memory, self.passes, self.lanes, Some(length))?;
        let (mut tag, memory) = (vec![0; length], memory(&params)?);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(password, salt, &mut tag, memory)?;
        Ok(tag)
    }
}

/// The memory of one hash, in a place that the system has back when the hash is done. Of smaller
/// ones glibc keeps those that are given back, for each thread that ever had one.
fn memory(params: &Params) -> Result<Vec<Block>, argon2::Error> {
    let (used, mut blocks) = (params.block_count(), Vec::new());
    // What is not used of it is never touched, so it takes no memory.
    let reserved = blocks.try_reserve_exact(used.max(KEPT / Block::SIZE + 1));
    reserved.map_err(|_| argon2::Error::OutOfMemory)?;
    blocks.resize(used, Block::new());
    Ok(blocks)
}

/// Random bytes for one hash.
#[derive(Debug, Clone, Copy)]
pub struct Salt([u8; SALT]);

impl Salt {
    /// A new one.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn random(rng: &dyn Rng) -> Result<Self, NoRandomness> {
        let mut salt = [0; SALT];
        rng.fill(&mut salt)?;
        Ok(Salt(salt))
    }
}

/// Whether a password is right.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not.
    Wrong,
    /// It is.
    Right,
    /// It is right, and is to be kept like this from now on.
    Replace(Hash),
}

/// Whether this is the password. What can't be read is nobody's.
fn judge(password: &[u8], kept: &Hash, salt: Salt) -> Result<Verdict, argon2::Error> {
    let (is_right, is_todays) = match kept.read() {
        None => (false, true),
        Some(Kept::Md5(digest)) => {
            (equal(hex::encode(&Md5::digest(password)).as_bytes(), digest.as_bytes()), false)
        }
        Some(Kept::Argon2 { costs, salt, tag }) => {
            (equal(&costs.tag(password, &salt, tag.len())?, &tag), costs == COSTS)
        }
    };
    Ok(match (is_right, is_todays) {
        (false, _) => Verdict::Wrong,
        (true, true) => Verdict::Right,
        (true, false) => Verdict::Replace(Hash::new(password, salt)?),
    })
}

/// Where hashes are worked on.
pub struct Pool {
    tasks: TaskTracker,
    /// For those who are worked on, and those who wait.
    places: Arc<Semaphore>,
    working: Arc<Semaphore>,
}

impl Pool {
    /// Its work is spawned on these tasks.
    pub fn new(tasks: TaskTracker) -> Self {
        // Half of the processors are left to those who have signed in, where there are several.
        let workers =
            tokio::runtime::Handle::try_current().map_or(1, |it| it.metrics().num_workers());
        let working = (workers / 2).clamp(1, WORKING);
        Pool {
            tasks,
            places: Arc::new(Semaphore::new(working + WAITING)),
            working: Arc::new(Semaphore::new(working)),
        }
    }

    /// Hashes a password that is to be kept.
    ///
    /// # Errors
    /// Too many wait, or there is no memory.
    pub async fn hash(&self, password: String, salt: Salt) -> Result<Hash, Unhashed> {
        self.work(move || Hash::new(password.as_bytes(), salt)).await
    }

    /// Whether this is the password. `salt` is for a hash that replaces the kept one.
    ///
    /// # Errors
    /// Too many wait, or there is no memory.
    pub async fn judge(
        &self,
        password: String,
        kept: Hash,
        salt: Salt,
    ) -> Result<Verdict, Unhashed> {
        self.work(move || judge(password.as_bytes(), &kept, salt)).await
    }

    /// Whoever gives up while it waits gives its place back; what has begun is done to its end.
    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, argon2::Error> + Send + 'static,
    ) -> Result<T, Unhashed> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Unhashed::Busy)?;
        let turn = self.working.clone().acquire_owned().await.map_err(|_| Unhashed::Busy)?;
        let work = move || {
            let _held = (place, turn);
            job()
        };
        match self.tasks.spawn_blocking(work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                throttled!(error, %error, "a password could not be hashed");
                Err(Unhashed::Failed)
            }
            Err(error) => {
                throttled!(error, %error, "a password could not be hashed");
                Err(Unhashed::Failed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const ONE: Salt = Salt([1; SALT]);

    #[test]
    fn a_password_is_right_by_what_was_kept_of_it() {
        let kept = Hash::new("密码".as_bytes(), ONE).unwrap();
        assert!(kept.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ$"));
        let verdict = |password: &str| judge(password.as_bytes(), &kept, Salt([2; SALT])).unwrap();
        assert_eq!(verdict("密码"), Verdict::Right);
        assert_eq!(verdict("密码 "), Verdict::Wrong);
        assert_eq!(verdict(""), Verdict::Wrong);
        assert_eq!(verdict(&kept.0), Verdict::Wrong, "the hash is no password");
    }

    #[test]
    fn a_hash_of_other_costs_is_replaced() {
        // The reference implementation's own test.
        let kept = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let verdict = judge(b"password", &Hash::kept(kept), ONE).unwrap();
        assert_eq!(verdict, Verdict::Replace(Hash::new(b"password", ONE).unwrap()));
    }

    #[test]
    fn an_md5_is_accepted_once() {
        let kept = Hash::kept("c1bcd7b53e5f93c7dfd75346b3dd0c8a");
        let password = "secret-密码".as_bytes();
        let Verdict::Replace(next) = judge(password, &kept, ONE).unwrap() else {
            panic!("an md5 is replaced");
        };
        assert_eq!(judge(password, &next, ONE).unwrap(), Verdict::Right);
        assert_eq!(judge(kept.0.as_bytes(), &kept, ONE).unwrap(), Verdict::Wrong);
    }

    #[test]
    fn what_can_t_be_read_is_nobody_s_password() {
        for kept in [
            "",
            "plain",
            "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
            "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$c29tZXNhbHQ",
            "$argon2id$v=16$m=19456,t=2,p=1$c29tZXNhbHQ$c29tZXNhbHQ",
            "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$c29tZXNhbHQ",
            "$argon2id$v=19$m=19456,t=11,p=1$c29tZXNhbHQ$c29tZXNhbHQ",
            "$argon2id$v=19$m=19456,t=2$c29tZXNhbHQ$c29tZXNhbHQ",
            "$argon2id$v=19$m=19456,t=2,p=1,x=1$c29tZXNhbHQ$c29tZXNhbHQ",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=19456,t=2,p=1$!$c29tZXNhbHQ",
            "$argon2id$v=19$m=19456,t=2,p=1$c29t$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$c29tZXNhbHQ$",
        ] {
            for password in ["", "plain", kept] {
                let verdict = judge(password.as_bytes(), &Hash::kept(kept), ONE).unwrap();
                assert_eq!(verdict, Verdict::Wrong, "{kept}");
            }
        }
    }

    #[test]
    fn a_hash_is_not_printed() {
        assert_eq!(format!("{:?}", Hash::kept("c1bcd7b5")), "Hash(…)");
    }

    #[tokio::test]
    async fn as_many_wait_as_may_and_the_next_is_told_so() {
        let pool = Arc::new(Pool::new(TaskTracker::new()));
        let (go, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let mut waiting = Vec::new();
        for _ in 0..=WAITING {
            let (gate, here) = (gate.clone(), pool.clone());
            let job = move || {
                let _ = gate.lock().unwrap().recv(); // until all are let go
                Ok(())
            };
            waiting.push(pool.tasks.spawn(async move { here.work(job).await }));
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.work(|| Ok(())).await, Err(Unhashed::Busy));
        drop(go);
        for done in waiting {
            assert_eq!(done.await.unwrap(), Ok(()));
        }
        assert_eq!(pool.work(|| Ok(())).await, Ok(()));
    }
}
