//! Why a Redis can't be used at all.
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::redis::OpenError;

/// The oldest Redis whose scripts may look at the clock and write.
const OLDEST: u32 = 6;

/// Why a Redis can't be used.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    Unreachable(String),
    #[error("it refuses the user or password in the URL ({0})")]
    Credentials(String),
    #[error("{0}")]
    Unsuitable(String),
}

impl From<RedisError> for Refusal {
    fn from(error: RedisError) -> Self {
        let text = error.to_string();
        match error.kind() {
            ErrorKind::AuthenticationFailed => Refusal::Credentials(text),
            ErrorKind::Server(ServerErrorKind::NoPerm) => Refusal::Unsuitable(format!(
                "its user lacks a right that is needed: INFO, SCRIPT LOAD, EVALSHA, TIME, SUBSCRIBE ({text})"
            )),
            ErrorKind::Server(ServerErrorKind::BusyLoading) => {
                Refusal::Unreachable("it is still loading its data".into())
            }
            _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => Refusal::Credentials(text),
            _ => Refusal::Unreachable(text),
        }
    }
}

impl Refusal {
    pub(super) fn named(self, shown: &str) -> OpenError {
        let url = shown.to_owned();
        match self {
            Refusal::Unreachable(why) => OpenError::Unreachable { url, why },
            Refusal::Credentials(why) => OpenError::Credentials { url, why },
            Refusal::Unsuitable(why) => OpenError::Unsuitable { url, why },
        }
    }
}

/// Looks whether this Redis will do; returns the name of its start.
pub(super) fn check(info: &str) -> Result<Arc<str>, Refusal> {
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let version = field("redis_version").unwrap_or("0");
    if version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok())
        .is_none_or(|major| major < OLDEST)
    {
        return Err(Refusal::Unsuitable(format!(
            "it is Redis {version}; {OLDEST}.0 or newer is needed"
        )));
    }
    if field("cluster_enabled") == Some("1") {
        return Err(Refusal::Unsuitable(
            "it is a Redis Cluster; a single server, or a primary with replicas, is needed".into(),
        ));
    }
    if field("role").is_some_and(|role| role != "master") {
        return Err(Refusal::Unsuitable("it is a read-only replica; name its primary".into()));
    }
    Ok(field("run_id").unwrap_or(version).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_that_will_not_do_is_told_apart() {
        let info = |version: &str, cluster: u8, role: &str| {
            format!(
                "# Server\r\nredis_version:{version}\r\nrun_id:abc\r\n# Replication\r\nrole:{role}\r\ncluster_enabled:{cluster}\r\n"
            )
        };
        assert_eq!(&*check(&info("6.0.0", 0, "master")).unwrap(), "abc");
        assert_eq!(&*check(&info("7.0.15", 0, "master")).unwrap(), "abc");
        for (bad, why) in [
            (info("5.0.14", 0, "master"), "Redis 5.0.14"),
            (info("7.0.0", 1, "master"), "Cluster"),
            (info("7.0.0", 0, "slave"), "replica"),
            (String::new(), "Redis 0"),
        ] {
            assert!(check(&bad).unwrap_err().to_string().contains(why), "{bad}");
        }
    }
}
