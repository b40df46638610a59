//! TLS 1.2 and 1.3 with a certificate and a key from PEM files, which are read again when they
//! change.
//!
//! Certificates are renewed every few weeks by other programs: a server that has to be restarted
//! for it drops its clients, or forgets.
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, UnbufferedServerConnection},
    sign::CertifiedKey,
};

use super::{certificate, session::Session};
use crate::config::TlsFiles;
use crate::metrics::Metrics;
use crate::throttle::throttled;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// What is spoken under TLS, as ALPN names it.
pub type Protocols = &'static [&'static [u8]];
/// HTTP/1.1.
pub const HTTP_1: Protocols = &[b"http/1.1"];
/// HTTP/2.
pub const HTTP_2: Protocols = &[b"h2"];

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{}: {why}", .file.display())]
    Unreadable {
        /// The certificate's or the key's.
        file: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// This file can be read, but has no certificate in it.
    #[error("{} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", .0.display())]
    NoCertificate(PathBuf),
    /// This file can be read, but has no key in it that can be used.
    #[error("{} holds no private key in PEM form that can be used; keys with a passphrase can't", .0.display())]
    NoKey(PathBuf),
    /// Key and certificate do not belong together.
    #[error("the key in {} is not that of the first certificate in {}", .key.display(), .certificate.display())]
    Mismatch {
        /// The file with the certificates; the key has to be that of the first.
        certificate: PathBuf,
        /// The file with the private key.
        key: PathBuf,
    },
    /// The certificate is not one that TLS can use.
    #[error("the certificate in {}: {why}", .file.display())]
    Unusable {
        /// The file with the certificate.
        file: PathBuf,
        /// What the TLS library says.
        why: rustls::Error,
    },
    /// Something other than the files is wrong, such as a lack of random numbers.
    #[error("TLS can't be set up: {0}")]
    Setup(rustls::Error),
}

/// When files were written last, and how long they are.
type Stamps = [Option<(SystemTime, u64)>; 2];

/// What is used, and what was last found wrong since.
struct Seen {
    stamps: Stamps,
    trouble: String,
}

/// What a listener needs for TLS.
pub struct Tls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    files: TlsFiles,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// Reads the files. A client that names other protocols only than these, by ALPN (RFC 7301), is
    /// not let in; one that names none is.
    ///
    /// # Errors
    /// What is wrong with them, by name.
    pub fn open(files: TlsFiles, protocols: Protocols) -> Result<Arc<Tls>, TlsError> {
        let seen = Seen { stamps: stamps(&files), trouble: String::new() };
        let current = Arc::new(Current(RwLock::new(Arc::new(read(&files)?))));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        // A client that comes back brings what is needed for a short handshake: nothing is kept
        // here for it.
        config.ticketer = ring::Ticketer::new().map_err(TlsError::Setup)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        Ok(Arc::new(Tls { config: Arc::new(config), current, files, seen: Mutex::new(seen) }))
    }

    pub(super) fn session(&self) -> Result<Session, rustls::Error> {
        let session =
            UnbufferedServerConnection::new(self.config.clone()).inspect_err(|error| {
                throttled!(error, %error, "no TLS for a new connection");
            })?;
        Ok(Session::new(session))
    }

    /// Takes new files in, when there are any, and has metrics tell when the certificate expires.
    /// Never ends.
    pub async fn watch(self: Arc<Self>, metrics: Arc<Metrics>) {
        let file = self.files.certificate.display().to_string();
        loop {
            let first =
                self.current.0.read().unwrap_or_else(PoisonError::into_inner).cert[0].clone();
            if let Some(expires) = certificate::not_after(&first) {
                metrics.connections.certificate(&file, expires);
            }
            tokio::time::sleep(LOOK).await;
            let tls = self.clone();
            let _ = tokio::task::spawn_blocking(move || tls.renew()).await;
        }
    }

    /// Whether the files can be used, as they are now.
    ///
    /// # Errors
    /// What is wrong with them, by name.
    pub fn check(&self) -> Result<(), TlsError> {
        read(&self.files).map(|_| ())
    }

    /// Files that can't be used are reported once, and tried again; until then what was there
    /// before goes on.
    pub fn renew(&self) {
        let stamps = stamps(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.stamps == stamps {
            seen.trouble.clear(); // it is over
            return;
        }
        match read(&self.files) {
            Ok(key) => {
                *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                *seen = Seen { stamps, trouble: String::new() };
                tracing::info!(file = %self.files.certificate.display(), "took a new certificate in");
            }
            Err(error) => {
                let trouble = error.to_string();
                if seen.trouble != trouble {
                    tracing::warn!(
                        error = trouble,
                        "the new certificate can't be used; the one before goes on"
                    );
                    seen.trouble = trouble;
                }
            }
        }
    }
}

fn stamps(files: &TlsFiles) -> Stamps {
    let stamp = |file: &Path| {
        file.metadata().ok().and_then(|file| Some((file.modified().ok()?, file.len())))
    };
    [stamp(&files.certificate), stamp(&files.key)]
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let no_certificate = |error| match error {
        pem::Error::Io(why) => TlsError::Unreadable { file: files.certificate.clone(), why },
        _ => TlsError::NoCertificate(files.certificate.clone()),
    };
    let no_key = |error| match error {
        pem::Error::Io(why) => TlsError::Unreadable { file: files.key.clone(), why },
        _ => TlsError::NoKey(files.key.clone()),
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(no_certificate)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(files.certificate.clone()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(no_key)?;
    let key =
        ring::sign::any_supported_type(&key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
        }),
        Err(why) => Err(TlsError::Unusable { file: files.certificate.clone(), why }),
    }
}
