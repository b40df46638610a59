//! What the operating system says of this process's memory, under the names that Node uses.
use serde_json::{Value, json};

/// Bytes. `rss` is resident memory, `heapTotal` the data segment, `heapUsed` the anonymous part of
/// `rss`; 0 where the system does not tell.
pub(super) fn usage() -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bytes = |name: &str| -> u64 {
        let line = status.lines().find_map(|l| l.strip_prefix(name));
        line.and_then(|l| l.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok())
            .map_or(0, |kib| kib * 1024)
    };
    json!({ "rss": bytes("VmRSS"), "heapTotal": bytes("VmData"), "heapUsed": bytes("RssAnon"), "external": 0 })
}
