//! The command `health`: asks a running server whether it is ready, for health checks where there
//! is neither curl nor a shell: containers.
//!
//! Plain std: a check that starts a runtime every few seconds is work for nothing.
use std::{
    fmt,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{exit, result};
use crate::{config::Config, console};

/// Asks the server at this URL, else the one that the configuration describes. A wrong URL is a
/// wrong command line; everything else means not ready.
pub(super) fn run(config: &Config, url: Option<&str>) -> anyhow::Result<u8> {
    let question = match url.map(str::parse::<Question>) {
        Some(Ok(question)) => question,
        Some(Err(why)) => {
            console::complain(format_args!("always-online: {why}"));
            return Ok(exit::WRONG_CONFIGURATION);
        }
        None => Question::of(config.websocket.listen, config.websocket.tls().is_some(), READY)?,
    };
    question.ask()?;
    result("ready\n")
}

/// Time to connect, and time for each step of the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// An answer of ours is far smaller; whatever else listens there must not fill the memory.
const LARGEST: u64 = 16 * 1024;

/// What is asked.
const READY: &str = "/readyz";

/// What to ask: `http://host:port/path`, or `https:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) tls: bool,
    /// `host:port`, for the header and to connect.
    pub(super) authority: String,
    path: String,
}

/// Why a server does not count as ready.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotReady {
    #[error("{0} does not answer: {1}")]
    Silent(Question, io::Error),
    #[error("{0} answers {1}")]
    Answers(Question, String),
    #[error("{0} answers, but not in HTTP: a server under TLS is asked by https://")]
    Foreign(Question),
    #[error("the port is chosen at the start (its setting ends with :0): name the URL")]
    UnknownPort,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.tls { "https" } else { "http" }, self.authority, self.path)
    }
}

impl FromStr for Question {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let (tls, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err("expected a URL that begins with http:// or https://".into()),
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // The URL becomes a request as it is.
        if host.is_empty() || host.starts_with(':') || !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("expected http://host:port, or http://host:port/path".into());
        }
        let port = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let authority = match port {
            Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
            Some(_) => return Err("the port is no number".into()),
            None => format!("{host}:{}", if tls { 443 } else { 80 }),
        };
        let path = if path.len() > 1 { path } else { READY };
        Ok(Self { tls, authority, path: path.to_owned() })
    }
}

impl Question {
    /// What is asked of the server that listens there. An address that means all is asked on
    /// loopback.
    ///
    /// # Errors
    /// Port 0: which one it became is not known here.
    pub(super) fn of(listen: SocketAddr, tls: bool, path: &str) -> Result<Self, NotReady> {
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        if listen.port() == 0 {
            return Err(NotReady::UnknownPort);
        }
        Ok(Self {
            tls,
            authority: SocketAddr::new(ip, listen.port()).to_string(),
            path: path.to_owned(),
        })
    }

    /// Asks; fine is an answer of 200.
    ///
    /// # Errors
    /// What is the matter, for people.
    fn ask(self) -> Result<(), NotReady> {
        match self.status_line() {
            Ok(line) if line.split(' ').nth(1) == Some("200") => Ok(()),
            Ok(line) if !line.is_empty() && !line.starts_with("HTTP/") => {
                Err(NotReady::Foreign(self))
            }
            Ok(line) => Err(NotReady::Answers(self, line)),
            Err(error) => Err(NotReady::Silent(self, error)),
        }
    }

    fn status_line(&self) -> io::Result<String> {
        let answer = self.exchange(&format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.path, self.authority
        ))?;
        Ok(answer.split('\r').next().unwrap_or_default().to_owned())
    }

    /// Another path of the same server.
    pub(super) fn at(&self, path: &str) -> Question {
        Question { path: path.to_owned(), ..self.clone() }
    }

    /// Asks with these credentials, and returns all of the answer.
    ///
    /// # Errors
    /// Nobody answers.
    pub(super) fn get(&self, credentials: &str) -> Result<String, NotReady> {
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nauthorization: {credentials}\r\n\r\n",
            self.path, self.authority
        );
        self.exchange(&request).map_err(|error| NotReady::Silent(self.clone(), error))
    }

    /// Posts JSON with these credentials, and returns all of the answer.
    ///
    /// # Errors
    /// Nobody answers.
    pub(super) fn post(&self, credentials: &str, body: &str) -> Result<String, NotReady> {
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nauthorization: {credentials}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.path,
            self.authority,
            body.len()
        );
        self.exchange(&request).map_err(|error| NotReady::Silent(self.clone(), error))
    }

    fn exchange(&self, request: &str) -> io::Result<String> {
        let tcp = self.connect()?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        if self.tls { over(StreamOwned::new(session()?, tcp), request) } else { over(tcp, request) }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.authority.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Sends a request, and reads until the end.
fn over(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    // In one piece: who answers before it has read everything must not break it.
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    match stream.take(LARGEST).read_to_end(&mut answer) {
        // No goodbye is no matter.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A client's side of TLS, which trusts whoever answers: what is asked is no secret, the answer is
/// believed as that of plain HTTP is, and the certificate's name is hardly ever that of loopback.
fn session() -> io::Result<ClientConnection> {
    let provider = Arc::new(ring::default_provider());
    let anyone = Arc::new(Anyone(provider.clone()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let config = config.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth();
    let nobody = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
    ClientConnection::new(Arc::new(config), nobody).map_err(io::Error::other)
}

/// Verifies nothing about a certificate but that the server has its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    #[test]
    fn urls_are_read() {
        for (url, asked) in [
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000/readyz"),
            ("http://one.example:80/", "http://one.example:80/readyz"),
            ("http://one.example/livez", "http://one.example:80/livez"),
            ("http://[::1]:3000/livez?a=1", "http://[::1]:3000/livez?a=1"),
            ("http://[::1]", "http://[::1]:80/readyz"),
            ("https://a", "https://a:443/readyz"),
            ("https://a:3000/livez", "https://a:3000/livez"),
        ] {
            assert_eq!(url.parse::<Question>().unwrap().to_string(), asked);
        }
        for wrong in [
            "",
            "127.0.0.1:4000",
            "ftp://a",
            "https://",
            "http://",
            "http://:3000",
            "http://a:b",
            "http://a:3000/ x",
            "http://a\r\nb: c/",
        ] {
            assert!(wrong.parse::<Question>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_address_that_means_all_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:3000", "http://127.0.0.1:3000/readyz"),
            ("[::]:3000", "http://[::1]:3000/readyz"),
            ("10.1.2.3:80", "http://10.1.2.3:80/readyz"),
        ] {
            assert_eq!(
                Question::of(listen.parse().unwrap(), false, READY).unwrap().to_string(),
                asked
            );
        }
        assert!(matches!(
            Question::of("0.0.0.0:0".parse().unwrap(), false, READY),
            Err(NotReady::UnknownPort)
        ));
    }

    /// A server that answers one request with this.
    fn answering(answer: &'static str) -> Question {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        Question::of(address, false, READY).unwrap()
    }

    #[test]
    fn only_200_is_ready() {
        answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").ask().unwrap();
        for (answer, said) in [
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\n",
                "answers HTTP/1.1 503 Service Unavailable",
            ),
            ("HTTP/1.1 404 Not Found\r\n\r\n200", "404"),
            ("SSH-2.0-200\r\n", "not in HTTP"),
            ("", "answers"),
        ] {
            let why = answering(answer).ask().unwrap_err().to_string();
            assert!(why.contains(said), "{why}");
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let why = Question::of(free, false, READY).unwrap().ask().unwrap_err();
        assert!(matches!(why, NotReady::Silent(..)), "{why}");
    }
}
