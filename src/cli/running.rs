//! A running server, as commands ask it: by its HTTP API, with the credentials of an administrator.
use std::{fs, net::IpAddr, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::health_check::{NotReady, Question};
use crate::{app, config::Config, console};

/// A server, and who asks it.
pub(super) struct Running {
    server: Question,
    /// The header's value.
    credentials: String,
}

impl Running {
    /// The server at this URL, else the one of this configuration, asked with the credentials in
    /// that file, else with those in the data folder. Nothing: the URL is none that may be asked,
    /// which was said.
    ///
    /// # Errors
    /// There are no credentials, or it is not known where the server listens.
    pub(super) fn find(
        config: &Config,
        url: Option<&str>,
        credential: Option<&Path>,
    ) -> anyhow::Result<Option<Self>> {
        let server = match url.map(|url| url.trim_end_matches('/').parse::<Question>()) {
            Some(Ok(server)) => server,
            Some(Err(why)) => {
                console::complain(format_args!("always-online: {why}"));
                return Ok(None);
            }
            None => Question::of(config.api.listen, config.api.tls().is_some(), "/")?,
        };
        // Whoever has the certificate of some other machine could be anybody.
        if server.tls && !is_here(&server.authority) {
            console::complain(
                "always-online: the certificate of another machine is not verified here: ask it by another program (docs/api.md)",
            );
            return Ok(None);
        }
        let default = config.store.path.join(app::CREDENTIAL_FILE);
        let file = credential.unwrap_or(&default);
        let text =
            fs::read_to_string(file).map_err(|why| anyhow::anyhow!("{}: {why}", file.display()))?;
        let credentials = credentials(&text)
            .ok_or_else(|| anyhow::anyhow!("{}: expected uid: and token:", file.display()))?;
        Ok(Some(Running { server, credentials }))
    }

    /// Posts JSON. Returns the body of the answer; nothing where that is none of 200, which was
    /// said.
    ///
    /// # Errors
    /// Nobody answers.
    pub(super) fn post(&self, path: &str, body: &str) -> anyhow::Result<Option<String>> {
        let asked = self.server.at(path);
        let answer = asked.post(&self.credentials, body)?;
        let (head, said) = parts(&answer);
        if head.split(' ').nth(1) != Some("200") {
            let line = head.lines().next().unwrap_or_default();
            console::complain(format_args!("always-online: {asked} answers {line} {said}"));
            return Ok(None);
        }
        Ok(Some(said.to_owned()))
    }

    /// The body of what is answered there, whatever the status.
    ///
    /// # Errors
    /// Nobody answers.
    pub(super) fn get(&self, path: &str) -> Result<String, NotReady> {
        let answer = self.server.at(path).get(&self.credentials)?;
        Ok(parts(&answer).1.to_owned())
    }
}

/// The head of an answer, and its body.
fn parts(answer: &str) -> (&str, &str) {
    answer.split_once("\r\n\r\n").unwrap_or((answer, ""))
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
