//! The command `drain`: has a running server take no newcomers any more, and send its clients away,
//! to come back elsewhere. For whoever stops servers one after the other.
use std::{path::Path, time::Duration};

use super::{exit, running::Running};
use crate::{config::Config, console};

/// What the server is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    /// To send its clients away over this time. `wait`: until they are gone.
    Over {
        /// The time.
        time: Duration,
        /// Whether the command waits.
        wait: bool,
    },
    /// To let newcomers in again.
    Cancel,
}

/// Between two looks whether clients are left.
const LOOK: Duration = Duration::from_millis(500);
/// Time for the last of them.
const LATE: Duration = Duration::from_secs(10);

/// Asks the server at this URL, else the one of this configuration, with the credentials of an
/// administrator in that file, else in the data folder.
pub(super) fn run(
    config: &Config,
    url: Option<&str>,
    credential: Option<&Path>,
    how: How,
) -> anyhow::Result<u8> {
    let Some(server) = Running::find(config, url, credential)? else {
        return Ok(exit::WRONG_CONFIGURATION);
    };
    let body = match how {
        How::Cancel => r#"{"cancel":true}"#.to_owned(),
        How::Over { time, .. } => format!(r#"{{"over":{}}}"#, time.as_secs()),
    };
    let Some(said) = server.post("/v1/drain", &body)? else { return Ok(exit::FAILED) };
    console::print_line(said)?;
    match how {
        How::Over { time, wait: true } => wait_until_gone(&server, time + LATE),
        How::Over { wait: false, .. } | How::Cancel => Ok(0),
    }
}

fn wait_until_gone(server: &Running, most: Duration) -> anyhow::Result<u8> {
    let mut waited = Duration::ZERO;
    loop {
        match connections(&server.get("/v1/stat")?) {
            Some(0) => return Ok(0),
            Some(left) if waited >= most => {
                console::complain(format_args!("always-online: {left} connections are left"));
                return Ok(exit::DEADLINE);
            }
            Some(_) => {}
            None => anyhow::bail!("the server does not say how many connections there are"),
        }
        std::thread::sleep(LOOK);
        waited += LOOK;
    }
}

/// The connections of the node that has answered.
fn connections(stat: &str) -> Option<u64> {
    let stat: serde_json::Value = serde_json::from_str(stat).ok()?;
    let nodes = stat.get("nodes")?.as_array()?;
    let this = nodes.iter().find(|node| node["this"] == true)?;
    this.get("connections")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connections_of_the_node_itself_are_counted() {
        let stat = r#"{"nodes":[{"this":false,"connections":7},{"this":true,"connections":3}]}"#;
        assert_eq!(connections(stat), Some(3));
        assert_eq!(connections("{}"), None);
    }
}
