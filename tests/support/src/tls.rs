//! TLS for tests that know nothing of it: a way in that speaks plain TCP on this side and TLS to
//! the server.
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ALL_VERSIONS, ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// The name that certificates of tests are for.
pub const NAME: &str = "localhost";

/// Writes a fresh certificate, signed by itself, and its key.
pub fn issue(certificate: &Path, key: &Path) {
    let issued = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    std::fs::write(certificate, issued.cert.pem()).unwrap();
    std::fs::write(key, issued.signing_key.serialize_pem()).unwrap();
}

/// Writes the certificate of a fresh authority, and one that it has issued, with its key.
pub fn issue_by_authority(authority: &Path, certificate: &Path, key: &Path) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "an authority");
    let (own, issued) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    std::fs::write(authority, params.self_signed(&own).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, own);
    let leaf = CertificateParams::new([NAME.to_owned()]).unwrap();
    std::fs::write(certificate, leaf.signed_by(&issued, &issuer).unwrap().pem()).unwrap();
    std::fs::write(key, issued.serialize_pem()).unwrap();
}

/// Connects, and trusts this certificate alone.
pub async fn connect(
    address: SocketAddr,
    certificate: &Path,
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_by(address, certificate, ALL_VERSIONS).await
}

/// As [`connect`], by one of these versions of TLS.
pub async fn connect_by(
    address: SocketAddr,
    certificate: &Path,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_for(address, certificate, versions, &[]).await
}

/// As [`connect`], for one of these protocols, as ALPN names them.
pub async fn connect_offering(
    address: SocketAddr,
    certificate: &Path,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_for(address, certificate, ALL_VERSIONS, protocols).await
}

async fn connect_for(
    address: SocketAddr,
    certificate: &Path,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAME).unwrap(), stream).await
}

/// A way in to one listener. Ends with it.
pub struct Tunnel {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Tunnel {
    pub async fn to(server: SocketAddr, certificate: &Path) -> Tunnel {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let certificate = certificate.to_owned();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, certificate.clone()));
            }
        });
        Tunnel { address, task }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What one side does, its end and its resets too, the other one sees. A server that reads no more
/// may have something to say.
async fn pass(mut client: TcpStream, server: SocketAddr, certificate: PathBuf) {
    let passed = {
        let (mut from_client, mut to_client) = client.split();
        match connect(server, &certificate).await {
            Ok(server) => {
                let (mut from_server, mut to_server) = tokio::io::split(server);
                let up = async {
                    let passed = copy(&mut from_client, &mut to_server)
                        .await
                        .and(to_server.shutdown().await);
                    // What comes for a server that takes nothing more goes nowhere: the client,
                    // which may send before it reads, must not wait for it.
                    if passed.is_err() {
                        let _ = copy(&mut from_client, &mut tokio::io::sink()).await;
                    }
                };
                let down = async {
                    copy(&mut from_server, &mut to_client).await.and(to_client.shutdown().await)
                };
                tokio::select! {
                    end = down => end,
                    never = async { up.await; std::future::pending().await } => never,
                }
            }
            Err(error) => Err(error),
        }
    };
    if passed.is_err() {
        let _ = socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
    }
}
