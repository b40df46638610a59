//! An HTTP server that does what a test tells it: a business server's hooks, as they should be and as they
//! should not.
use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use super::soon;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Which connection it came by, counted from 0.
    pub connection: usize,
    /// `POST /hooks`.
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Received {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|e| panic!("no JSON ({e}): {:?}", self.body))
    }
}

/// What is done with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// An answer with status 200.
    Json(Value),
    /// Any answer.
    Full { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// An answer, some time later.
    Later(Duration, Box<Reply>),
    /// The answer, and then the connection is closed without a word of that before.
    ThenClosed(Box<Reply>),
    /// Bytes that need not be HTTP; then the connection is closed.
    Raw(Vec<u8>),
    /// No answer, and the connection stays open.
    Hang,
}

impl Reply {
    /// An answer with this status and text.
    pub fn text(status: u16, body: impl Into<String>) -> Reply {
        Reply::Full { status, headers: Vec::new(), body: body.into() }
    }
}

/// Requests that are not answered yet.
#[derive(Default)]
struct Load {
    now: AtomicUsize,
    most: AtomicUsize,
}

type Script = dyn Fn(&Received) -> Reply + Send + Sync;

/// The server. It ends with this.
pub struct Receiver {
    pub address: SocketAddr,
    scheme: &'static str,
    requests: Arc<Mutex<Vec<Received>>>,
    count: watch::Receiver<usize>,
    load: Arc<Load>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// It does with each request what `script` says.
    pub async fn start(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, None, Arc::new(script))
    }

    /// As [`Receiver::start`], at this port: as soon as it is free, as one that has ended there may
    /// take a moment to go.
    pub async fn start_at(
        port: u16,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Receiver {
        let listening = async {
            loop {
                match TcpListener::bind(("127.0.0.1", port)).await {
                    Ok(listener) => return listener,
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        let listener = soon(format!("port {port}"), listening).await;
        Self::serve(listener, None, Arc::new(script))
    }

    /// As [`Receiver::start`], under TLS, with a certificate for `localhost` from these PEM files.
    pub async fn under_tls(
        certificate: &Path,
        key: &Path,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Receiver {
        let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, Some(TlsAcceptor::from(Arc::new(config))), Arc::new(script))
    }

    fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, script: Arc<Script>) -> Receiver {
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (requests, (counted, count)) =
            (Arc::<Mutex<Vec<Received>>>::default(), watch::channel(0));
        let load = Arc::<Load>::default();
        let (kept, counted, loaded) = (requests.clone(), Arc::new(counted), load.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let _ = stream.set_nodelay(true);
                let told = Told {
                    connection,
                    script: script.clone(),
                    requests: kept.clone(),
                    counted: counted.clone(),
                    load: loaded.clone(),
                };
                match tls.clone() {
                    None => {
                        connections.spawn(told.converse(stream));
                    }
                    Some(tls) => {
                        connections.spawn(async move {
                            if let Ok(stream) = tls.accept(stream).await {
                                told.converse(stream).await;
                            }
                        });
                    }
                }
                while connections.try_join_next().is_some() {}
            }
        });
        Receiver { address, scheme, requests, count, load, task }
    }

    /// Where it is called.
    pub fn url(&self) -> String {
        format!("{}://localhost:{}/hooks", self.scheme, self.address.port())
    }

    /// All that has come so far.
    pub fn requests(&self) -> Vec<Received> {
        self.requests.lock().unwrap().clone()
    }

    /// How many requests it had to answer at once, at most.
    pub fn most_at_once(&self) -> usize {
        self.load.most.load(Ordering::SeqCst)
    }

    /// Waits until so many requests have come, and returns all.
    pub async fn wait_for(&self, requests: usize) -> Vec<Received> {
        let mut count = self.count.clone();
        let what = format!("{requests} requests to the hook");
        let _ = soon(what, count.wait_for(|count| *count >= requests)).await;
        self.requests()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a connection needs to know.
struct Told {
    connection: usize,
    script: Arc<Script>,
    requests: Arc<Mutex<Vec<Received>>>,
    counted: Arc<watch::Sender<usize>>,
    load: Arc<Load>,
}

impl Told {
    async fn converse(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = self.read(&mut stream).await {
            let reply = (self.script)(&request);
            self.requests.lock().unwrap().push(request);
            self.counted.send_modify(|count| *count += 1);
            let now = self.load.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.load.most.fetch_max(now, Ordering::SeqCst);
            let reply = due(reply).await;
            self.load.now.fetch_sub(1, Ordering::SeqCst);
            if !answer(&mut stream, reply).await {
                return;
            }
        }
    }

    async fn read(&self, stream: &mut (impl AsyncRead + Unpin)) -> Option<Received> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).ok()?;
        let (line, headers) = head.split_once("\r\n")?;
        let headers: Vec<(String, String)> = headers
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut request = Received {
            connection: self.connection,
            line: line.trim_end_matches(" HTTP/1.1").to_owned(),
            headers,
            body: String::new(),
        };
        let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        request.body = String::from_utf8(body).ok()?;
        Some(request)
    }
}

/// The reply when its time has come.
async fn due(mut reply: Reply) -> Reply {
    while let Reply::Later(time, later) = reply {
        tokio::time::sleep(time).await;
        reply = *later;
    }
    match reply {
        Reply::Hang => std::future::pending().await,
        reply => reply,
    }
}

/// Answers. False: that was the last of this connection.
async fn answer(stream: &mut (impl AsyncWrite + Unpin), reply: Reply) -> bool {
    let (last, text) = match reply {
        Reply::ThenClosed(reply) => (true, written(*reply)),
        raw @ Reply::Raw(_) => (true, written(raw)),
        reply => (false, written(reply)),
    };
    let sent = stream.write_all(&text).await.is_ok() && stream.flush().await.is_ok();
    sent && !last
}

fn written(reply: Reply) -> Vec<u8> {
    let (status, headers, body) = match reply {
        Reply::Json(value) => {
            let headers = vec![("content-type", "application/json".to_owned())];
            (200, headers, value.to_string())
        }
        Reply::Full { status, headers, body } => (status, headers, body),
        Reply::Raw(bytes) => return bytes,
        Reply::Later(..) | Reply::ThenClosed(_) | Reply::Hang => panic!("not within another one"),
    };
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into()
}
