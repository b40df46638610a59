//! What the command `doctor` looks at before anything goes wrong: the machine, the stores, and the
//! way through a proxy. It changes nothing.
use std::fmt;

mod machine;
mod proxy;
mod servers;
#[cfg(test)]
mod tests;

use crate::config::{Backend, Config};

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Good,
    /// It works, and will cost something.
    Warning,
    /// It will not work.
    Bad,
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub about: &'static str,
    /// How it is.
    pub state: State,
    /// What was found, and what to change.
    pub said: String,
}

impl Finding {
    fn new(about: &'static str, state: State, said: impl Into<String>) -> Self {
        Finding { about, state, said: said.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Good => "good",
            State::Warning => "warning",
            State::Bad => "bad",
        };
        write!(f, "{state:<8} {}: {}", self.about, self.said)
    }
}

/// Whether anything is stored in files of this machine.
fn has_files(config: &Config) -> bool {
    [&config.store.messages, &config.store.tokens].contains(&&Backend::Embedded)
}

/// Looks at everything that the configuration speaks of, and at the way to a server through the
/// proxy at this URL.
pub async fn examine(config: &Config, proxy: Option<&str>) -> Vec<Finding> {
    let mut findings =
        vec![machine::open_files(), machine::memory(config.limits.memory.map(|size| size.bytes()))];
    if has_files(config) {
        findings.push(machine::disk(&config.store.path));
        findings.extend(machine::file_system(&config.store.path));
    }
    for problem in super::check(config) {
        findings.push(Finding::new("configuration", State::Bad, problem.to_string()));
    }
    findings.extend(servers::redis(config).await);
    findings.extend(servers::mongodb(config).await);
    if let Some(url) = proxy {
        findings.extend(proxy::examine(url).await);
    }
    findings
}
