//! The command `drain`: has a running server take no newcomers any more, and send its clients away,
//! to come back elsewhere. For whoever stops servers one after the other.
use std::{fs, net::IpAddr, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{exit, health_check::Question};
use crate::{app, config::Config, console};

/// The route.
const PATH: &str = "/v1/drain";

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
    let question = match url.map(|url| url.trim_end_matches('/').parse::<Question>()) {
        Some(Ok(question)) => question,
        Some(Err(why)) => {
            console::complain(format_args!("always-online: {why}"));
            return Ok(exit::WRONG_CONFIGURATION);
        }
        None => Question::of(config.api.listen, config.api.tls().is_some(), PATH)?,
    };
    // Whoever has the certificate of some other machine could be anybody.
    if question.tls && !is_here(&question.authority) {
        console::complain(
            "always-online: the certificate of another machine is not verified here: ask it by another program (POST /v1/drain)",
        );
        return Ok(exit::WRONG_CONFIGURATION);
    }
    let default = config.store.path.join(app::CREDENTIAL_FILE);
    let file = credential.unwrap_or(&default);
    let text =
        fs::read_to_string(file).map_err(|why| anyhow::anyhow!("{}: {why}", file.display()))?;
    let basic = credentials(&text)
        .ok_or_else(|| anyhow::anyhow!("{}: expected uid: and token:", file.display()))?;
    let body = match how {
        How::Cancel => r#"{"cancel":true}"#.to_owned(),
        How::Over { time, .. } => format!(r#"{{"over":{}}}"#, time.as_secs()),
    };
    let drain = question.at(PATH);
    let answer = drain.post(&basic, &body)?;
    let (head, said) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) != Some("200") {
        let line = head.lines().next().unwrap_or_default();
        console::complain(format_args!("always-online: {drain} answers {line} {said}"));
        return Ok(exit::FAILED);
    }
    console::print_line(said)?;
    match how {
        How::Over { time, wait: true } => wait_until_gone(&question, &basic, time + LATE),
        How::Over { wait: false, .. } | How::Cancel => Ok(0),
    }
}

fn wait_until_gone(question: &Question, basic: &str, most: Duration) -> anyhow::Result<u8> {
    let stat = question.at("/v1/stat");
    let mut waited = Duration::ZERO;
    loop {
        let answer = stat.get(basic)?;
        let left = connections(answer.split_once("\r\n\r\n").map_or("", |(_, body)| body));
        match left {
            Some(0) => return Ok(0),
            Some(left) if waited >= most => {
                console::complain(format_args!("always-online: {left} connections are left"));
                return Ok(exit::DEADLINE);
            }
            Some(_) => {}
            None => anyhow::bail!("{stat} does not say how many connections there are"),
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

/// Whether it is this machine.
fn is_here(authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

/// The header's value for the credentials in a file that the first start has written.
fn credentials(text: &str) -> Option<String> {
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let (uid, token) = (value("uid:")?, value("token:")?);
    Some(format!("Basic {}", STANDARD.encode(format!("{uid}:{token}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_first_start_is_read() {
        assert_eq!(credentials("uid: admin\ntoken: a:b\n").as_deref(), Some("Basic YWRtaW46YTpi"));
        assert_eq!(credentials("uid: admin\n"), None);
    }

    #[test]
    fn the_connections_of_the_node_itself_are_counted() {
        let stat = r#"{"nodes":[{"this":false,"connections":7},{"this":true,"connections":3}]}"#;
        assert_eq!(connections(stat), Some(3));
        assert_eq!(connections("{}"), None);
    }

    #[test]
    fn this_machine_is_known() {
        for (authority, here) in [
            ("127.0.0.1:4000", true),
            ("[::1]:4000", true),
            ("localhost:4000", true),
            ("192.0.2.1:4000", false),
            ("example.org:443", false),
        ] {
            assert_eq!(is_here(authority), here, "{authority}");
        }
    }
}
