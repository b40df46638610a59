//! JSON Web Tokens (RFC 7519): their keys, and whether one of them is valid for a user.
//!
//! [`Tokens`] has the keys: secrets and a file that are there from the start, and a set that is
//! fetched (`remote`). A token's signature is verified by the crate jsonwebtoken, with the
//! cryptography of ring (`provider`); which algorithms a key is for is decided by the key (`key`),
//! never by the token. What the token claims is checked in `claims`, with the time as an argument.
//!
//! ```text
//! token ─▶ header: alg, kid ─▶ keys for both ─▶ signature ─▶ claims ─▶ Rights
//!                                  │ none has the kid
//!                                  └─▶ fetch the set, at most once in 10 s, and look again
//! ```
use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde_json::{Map, Value};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Jwt, Words},
    domain::{
        access::{NotVerified, Rights, TokenFault, Verifier},
        clock::Clock,
        ids::Uid,
        supervise::Supervisor,
    },
    net::client::Client,
};

mod claims;
mod file;
mod key;
mod provider;
mod remote;
#[cfg(test)]
mod tests;

use claims::Rules;
use file::KeyFile;
use key::Key;
use remote::Remote;

/// Largest token, bytes. With all its caps it is far smaller.
pub const MAX_TOKEN: usize = 16 << 10;
/// A shorter secret can be found by trying (RFC 7518, 3.2).
const SECRET: usize = 32;

/// Why the keys that are configured can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A setting has no usable key.
    #[error("{setting}: {why}")]
    Setting {
        /// The environment variable.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The file of keys can't be used.
    #[error("{}: {why}: mend AO_JWT__KEYS", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Why a token is refused, for whoever wants to know more than its user may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In a word.
    pub fault: TokenFault,
    /// In a sentence, without anything of the token that proves something.
    pub detail: String,
}

impl Refusal {
    fn new(fault: TokenFault, detail: impl Into<String>) -> Self {
        Refusal { fault, detail: detail.into() }
    }
}

/// Why a token grants nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It is not to be accepted.
    Refused(Refusal),
    /// The set of keys can't be had; why.
    Unavailable(String),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Trouble::Refused(refusal)
    }
}

/// The keys of the configuration, and the rules for claims.
pub struct Tokens {
    /// Secrets.
    fixed: Vec<Arc<Key>>,
    file: Option<Arc<KeyFile>>,
    remote: Option<Arc<Remote>>,
    /// None: those of the keys.
    algorithms: Vec<Algorithm>,
    rules: Rules,
    clock: Arc<dyn Clock>,
}

impl Tokens {
    /// Reads the keys. A set that has to be fetched is not fetched yet: see [`Tokens::keep`].
    /// `None`: no keys are configured, and so there are no such tokens. Connections by which the set
    /// is fetched are tasks of `tasks`.
    ///
    /// # Errors
    /// A key can't be used.
    pub fn open(
        config: &Jwt,
        clock: Arc<dyn Clock>,
        tasks: &TaskTracker,
    ) -> Result<Option<Arc<Self>>, KeyError> {
        if !config.is_on() {
            return Ok(None);
        }
        provider::install();
        let algorithms = algorithms(&config.algorithms);
        let mut fixed = Vec::new();
        for (setting, secret) in [
            ("AO_JWT__SECRET", &config.secret),
            ("AO_JWT__PREVIOUS_SECRET", &config.previous_secret),
        ] {
            if !secret.is_empty() {
                let key = Key::secret(secret.expose().as_bytes(), &algorithms);
                fixed.push(Arc::new(key.map_err(|why| KeyError::Setting { setting, why })?));
                if secret.expose().len() < SECRET {
                    tracing::warn!(
                        setting,
                        "the secret is shorter than {SECRET} bytes: it can be found by trying"
                    );
                }
            }
        }
        let file = config.keys.as_ref().map(|file| KeyFile::open(file, &algorithms)).transpose()?;
        let remote = open_remote(config, &algorithms, tasks)?;
        Ok(Some(Arc::new(Tokens {
            fixed,
            file,
            remote,
            algorithms,
            rules: Rules {
                audience: config.audience.as_slice().to_vec(),
                issuer: config.issuer.as_slice().to_vec(),
                leeway: config.leeway.as_secs(),
                max_lifetime: config.max_lifetime.as_secs(),
            },
            clock,
        })))
    }

    /// Keeps the keys up to date until `stop`.
    pub fn keep(&self, supervisor: &Supervisor, stop: &CancellationToken) {
        if let Some(file) = &self.file {
            let file = file.clone();
            supervisor.keep("keys for tokens", stop, move || file.clone().watch());
        }
        if let Some(remote) = &self.remote {
            let remote = remote.clone();
            supervisor.keep("key set for tokens", stop, move || remote.clone().keep());
        }
    }

    /// Fetches the set of keys, where there is one, for a command that ends.
    ///
    /// # Errors
    /// It can't be had.
    pub async fn fetch(&self) -> Result<(), String> {
        match &self.remote {
            Some(remote) => remote.fetch_now().await,
            None => Ok(()),
        }
    }

    /// What the token grants to this user, or to the one that it names if `uid` is none, with what
    /// it claims.
    ///
    /// # Errors
    /// Why it grants nothing.
    pub async fn examine(
        &self,
        uid: Option<&Uid>,
        token: &str,
    ) -> Result<(Rights, Map<String, Value>), Trouble> {
        let header = key::Header::read(token)?;
        let claims = self.authentic(&header, token).await?;
        let rights = self.rules.check(&claims, uid, self.clock.unix())?;
        Ok((rights, claims))
    }

    /// The claims of a token whose signature is right.
    async fn authentic(
        &self,
        header: &key::Header,
        token: &str,
    ) -> Result<Map<String, Value>, Trouble> {
        if !self.algorithms.is_empty() && !self.algorithms.contains(&header.algorithm) {
            return Err(not_for(header).into());
        }
        let fault = match self.try_keys(header, token) {
            Ok(claims) => return Ok(claims),
            Err(refusal) => refusal,
        };
        let Some(remote) = &self.remote else { return Err(fault.into()) };
        if header.algorithm.family() == AlgorithmFamily::Hmac || self.knows(header) {
            return Err(fault.into());
        }
        remote.look_again().await.map_err(Trouble::Unavailable)?;
        Ok(self.try_keys(header, token)?)
    }

    /// Whether one of the keys has the token's `kid`; of a token without one, whether there are keys
    /// that have been fetched.
    fn knows(&self, header: &key::Header) -> bool {
        match &header.kid {
            Some(kid) => self.all().iter().any(|key| key.kid.as_deref() == Some(kid)),
            None => self.remote.as_ref().is_none_or(|remote| remote.has_keys()),
        }
    }

    fn all(&self) -> Vec<Arc<Key>> {
        let mut keys = self.fixed.clone();
        keys.extend(self.file.iter().flat_map(|file| file.keys().to_vec()));
        keys.extend(self.remote.iter().flat_map(|remote| remote.keys().to_vec()));
        keys
    }

    fn try_keys(&self, header: &key::Header, token: &str) -> Result<Map<String, Value>, Refusal> {
        let mut keys = self.all();
        keys.retain(|key| key.may_have_signed(header));
        if keys.is_empty() {
            return Err(match &header.kid {
                Some(_) => Refusal::new(TokenFault::UnknownKey, "no key has its kid"),
                None => not_for(header),
            });
        }
        keys.retain(|key| key.algorithms.contains(&header.algorithm));
        if keys.is_empty() {
            return Err(not_for(header));
        }
        let mut last = Refusal::new(TokenFault::Signature, "its signature is wrong");
        for key in keys {
            match key.verify(header, token) {
                Ok(claims) => return Ok(claims),
                Err(refusal) => last = refusal,
            }
        }
        Err(last)
    }
}

fn not_for(header: &key::Header) -> Refusal {
    let detail = format!("no key is for its algorithm {:?}", header.algorithm);
    Refusal::new(TokenFault::Algorithm, detail)
}

/// The set that is fetched, if there is one.
fn open_remote(
    config: &Jwt,
    algorithms: &[Algorithm],
    tasks: &TaskTracker,
) -> Result<Option<Arc<Remote>>, KeyError> {
    let Some(url) = &config.jwks_url else { return Ok(None) };
    if url.is_exposed() {
        tracing::warn!(
            %url,
            "the keys for tokens are fetched without TLS: who can change them on the way can sign in as anybody"
        );
    }
    let client = Client::new(None, tasks.clone()).map_err(|error| KeyError::Setting {
        setting: "AO_JWT__JWKS_URL",
        why: error.to_string(),
    })?;
    Ok(Some(Remote::new(url, client, config.jwks_refresh, algorithms.to_vec())))
}

/// The configuration has checked their names.
fn algorithms(words: &Words) -> Vec<Algorithm> {
    words.as_slice().iter().filter_map(|word| word.parse().ok()).collect()
}

#[async_trait]
impl Verifier for Tokens {
    async fn verify(&self, uid: &Uid, token: &str) -> Result<Rights, NotVerified> {
        match self.examine(Some(uid), token).await {
            Ok((rights, _)) => Ok(rights),
            Err(Trouble::Refused(refusal)) => {
                tracing::debug!(reason = refusal.detail, "a token is refused");
                Err(NotVerified::Refused(refusal.fault))
            }
            Err(Trouble::Unavailable(_)) => Err(NotVerified::Unavailable),
        }
    }
}
