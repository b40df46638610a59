//! What a Redis says of itself, for whoever looks after it.
use std::time::Duration;

use redis::{FromRedisValue, aio::MultiplexedConnection};
use tokio::time::{Instant, timeout};

/// Facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its version.
    pub version: String,
    /// `master` or `slave`.
    pub role: String,
    /// `maxmemory-policy`; `None`: it may not be asked.
    pub policy: Option<String>,
    /// Whether it keeps a log of all changes; `None`: it may not be asked.
    pub appendonly: Option<bool>,
    /// `appendfsync`.
    pub fsync: Option<String>,
    /// Its clock, milliseconds since 1970.
    pub now: Option<u64>,
    /// Time of one question.
    pub latency: Duration,
}

/// Asks the Redis at this URL.
///
/// # Errors
/// It can't be reached, or does not answer; why, for people.
pub async fn examine(url: &str, patience: Duration) -> Result<Facts, String> {
    timeout(patience, ask(url)).await.unwrap_or_else(|_| Err("it does not answer".into()))
}

async fn ask(url: &str) -> Result<Facts, String> {
    let client = redis::Client::open(url).map_err(|error| error.to_string())?;
    let mut connection =
        client.get_multiplexed_async_connection().await.map_err(|error| error.to_string())?;
    let info: String =
        redis::cmd("INFO").query_async(&mut connection).await.map_err(|error| error.to_string())?;
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map_or_else(String::new, |value| value.trim().to_owned())
    };
    let begin = Instant::now();
    let time: Option<(u64, u64)> = optional(&mut connection, &["TIME"]).await;
    let latency = begin.elapsed();
    Ok(Facts {
        version: field("redis_version"),
        role: field("role"),
        policy: setting(&mut connection, "maxmemory-policy").await,
        appendonly: setting(&mut connection, "appendonly").await.map(|value| value == "yes"),
        fsync: setting(&mut connection, "appendfsync").await,
        now: time.map(|(seconds, micros)| seconds * 1000 + micros / 1000),
        latency,
    })
}

/// A setting of it, if it may be asked.
async fn setting(connection: &mut MultiplexedConnection, name: &str) -> Option<String> {
    let pair: Option<Vec<String>> = optional(connection, &["CONFIG", "GET", name]).await;
    pair?.into_iter().nth(1)
}

/// The answer to what not everybody may ask.
async fn optional<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    words: &[&str],
) -> Option<T> {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command.query_async(connection).await.ok()
}
