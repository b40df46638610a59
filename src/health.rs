//! Asks a running server whether it is ready, for health checks where there is neither curl nor a shell: containers.
//!
//! Plain std: a check that starts a runtime every few seconds is work for nothing.
use std::{
    fmt,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    str::FromStr,
    time::Duration,
};

/// Time to connect, and time for each step of the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// An answer of ours is far smaller; whatever else listens there must not fill the memory.
const LARGEST: u64 = 16 * 1024;

/// What to ask: `http://host:port/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// `host:port`, for the header and to connect.
    authority: String,
    path: String,
}

/// Why a server does not count as ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error("{0} does not answer: {1}")]
    Silent(Question, io::Error),
    #[error("{0} answers {1}")]
    Answers(Question, String),
    #[error("the port is chosen at the start (websocket.listen ends with :0): name the URL")]
    UnknownPort,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

impl FromStr for Question {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("http://").ok_or("expected a URL that begins with http://")?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // The URL becomes a request as it is.
        if host.is_empty() || host.starts_with(':') || !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("expected http://host:port, or http://host:port/path".into());
        }
        let port = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let authority = match port {
            Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
            Some(_) => return Err("the port is no number".into()),
            None => format!("{host}:80"),
        };
        let path = if path.len() > 1 { path } else { "/readyz" };
        Ok(Self { authority, path: path.to_owned() })
    }
}

impl Question {
    /// Whether the server that listens there is ready. An address that means all is asked on loopback.
    ///
    /// # Errors
    /// Port 0: which one it became is not known here.
    pub fn of(listen: SocketAddr) -> Result<Self, NotReady> {
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        if listen.port() == 0 {
            return Err(NotReady::UnknownPort);
        }
        Ok(Self { authority: SocketAddr::new(ip, listen.port()).to_string(), path: "/readyz".into() })
    }

    /// Asks; fine is an answer of 200.
    ///
    /// # Errors
    /// What is the matter, for people.
    pub fn ask(self) -> Result<(), NotReady> {
        match self.status_line() {
            Ok(line) if line.split(' ').nth(1) == Some("200") => Ok(()),
            Ok(line) => Err(NotReady::Answers(self, line)),
            Err(error) => Err(NotReady::Silent(self, error)),
        }
    }

    fn status_line(&self) -> io::Result<String> {
        let mut stream = self.connect()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        write!(stream, "GET {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.path, self.authority)?;
        let mut answer = Vec::new();
        stream.take(LARGEST).read_to_end(&mut answer)?;
        let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
        Ok(String::from_utf8_lossy(line).into_owned())
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
        ] {
            assert_eq!(url.parse::<Question>().unwrap().to_string(), asked);
        }
        for wrong in ["", "127.0.0.1:4000", "https://a", "http://", "http://:3000", "http://a:b", "http://a:3000/ x", "http://a\r\nb: c/"] {
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
            assert_eq!(Question::of(listen.parse().unwrap()).unwrap().to_string(), asked);
        }
        assert!(matches!(Question::of("0.0.0.0:0".parse().unwrap()), Err(NotReady::UnknownPort)));
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
        Question::of(address).unwrap()
    }

    #[test]
    fn only_200_is_ready() {
        answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").ask().unwrap();
        for (answer, said) in [
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "answers HTTP/1.1 503 Service Unavailable"),
            ("HTTP/1.1 404 Not Found\r\n\r\n200", "404"),
            ("SSH-2.0-200\r\n", "SSH"),
            ("", "answers"),
        ] {
            let why = answering(answer).ask().unwrap_err().to_string();
            assert!(why.contains(said), "{why}");
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let why = Question::of(free).unwrap().ask().unwrap_err();
        assert!(matches!(why, NotReady::Silent(..)), "{why}");
    }
}
