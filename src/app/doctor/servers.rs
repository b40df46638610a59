//! The servers that messages and accounts are on.
use std::time::Duration;

use super::{Finding, State};
use crate::{
    config::{Backend, Config},
    domain::clock::{Clock, SystemClock},
    store::{mongodb, redis},
};

/// How far two clocks may be apart.
const CLOCKS: Duration = Duration::from_secs(2);

/// What the Redis that has the messages says of itself.
pub(super) async fn redis(config: &Config) -> Vec<Finding> {
    let Backend::Url(url) = &config.store.messages else { return Vec::new() };
    let about = "Redis";
    let facts = match redis::examine(url.expose(), config.store.deadline).await {
        Ok(facts) => facts,
        Err(why) => return vec![Finding::new(about, State::Bad, format!("{url}: {why}"))],
    };
    let mut findings = vec![Finding::new(
        about,
        State::Good,
        format!("version {}, answers in {} ms", facts.version, facts.latency.as_millis()),
    )];
    if facts.role != "master" {
        findings.push(Finding::new(
            about,
            State::Bad,
            format!("it is a {}: name the primary in store.messages", facts.role),
        ));
    }
    findings.push(match facts.policy.as_deref() {
        Some("noeviction") => Finding::new(about, State::Good, "it deletes nothing by itself"),
        Some(policy) => Finding::new(
            about,
            State::Bad,
            format!("maxmemory-policy is {policy}: it would delete messages when its memory is full; set noeviction"),
        ),
        None => Finding::new(about, State::Warning, "it does not say its maxmemory-policy (CONFIG is not allowed): it has to be noeviction"),
    });
    findings.push(match (facts.appendonly, facts.fsync.as_deref()) {
        (Some(true), Some("no")) => Finding::new(about, State::Warning, "appendfsync is no: a crash of its machine loses what the kernel had not written; set everysec or always"),
        (Some(true), fsync) => Finding::new(about, State::Good, format!("appendonly is on, appendfsync {}", fsync.unwrap_or("unknown"))),
        (Some(false), _) => Finding::new(about, State::Bad, "appendonly is off: what was acknowledged since its last snapshot is lost when it restarts; set appendonly yes"),
        (None, _) => Finding::new(about, State::Warning, "it does not say whether appendonly is on (CONFIG is not allowed): it has to be"),
    });
    findings.push(clock(about, facts.now));
    findings
}

/// What the MongoDB that has the accounts says.
pub(super) async fn mongodb(config: &Config) -> Vec<Finding> {
    let Backend::Url(url) = &config.store.tokens else { return Vec::new() };
    let about = "MongoDB";
    let facts = match mongodb::examine(url, config.store.deadline).await {
        Ok(facts) => facts,
        Err(why) => return vec![Finding::new(about, State::Bad, format!("{url}: {why}"))],
    };
    let mut findings = vec![Finding::new(
        about,
        State::Good,
        format!("version {}, answers in {} ms", facts.version, facts.latency.as_millis()),
    )];
    findings.push(match facts.may_write {
        Some(false) => Finding::new(
            about,
            State::Bad,
            format!(
                "its user may not write to the database {}: give it the role readWrite there",
                facts.database
            ),
        ),
        Some(true) => Finding::new(
            about,
            State::Good,
            format!("its user may read and write the database {}", facts.database),
        ),
        None => Finding::new(about, State::Warning, "anybody may do anything: it asks for no user"),
    });
    for (collection, unique) in &facts.unique {
        findings.push(if *unique {
            Finding::new(about, State::Good, format!("{collection}: one account for each uid"))
        } else {
            Finding::new(about, State::Warning, format!("{collection} has no unique index on uid; the server makes it at its start, unless two accounts have the same"))
        });
    }
    findings.push(clock(about, facts.now));
    findings
}

/// Compares another machine's clock, in milliseconds since 1970, with the one here.
fn clock(about: &'static str, there: Option<u64>) -> Finding {
    apart(about, there, SystemClock.unix_ms())
}

pub(super) fn apart(about: &'static str, there: Option<u64>, here: u64) -> Finding {
    let Some(there) = there else {
        return Finding::new(about, State::Warning, "it does not say what time it is");
    };
    let apart = Duration::from_millis(there.abs_diff(here));
    if apart <= CLOCKS {
        return Finding::new(about, State::Good, "its clock agrees with the one here");
    }
    let said = format!(
        "its clock and the one here are {} s apart: tokens and retention go by them; let both be set by NTP",
        apart.as_secs()
    );
    Finding::new(about, State::Warning, said)
}
