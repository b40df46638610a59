//! TLS on a listener: two settings of its section, both or none.

use std::path::PathBuf;

use super::layers::Layers;
use super::problem::Problem;

/// PEM files for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl TlsFiles {
    pub(super) fn of(certificate: &Option<PathBuf>, key: &Option<PathBuf>) -> Option<Self> {
        Some(TlsFiles { certificate: certificate.clone()?, key: key.clone()? })
    }

    /// A problem where one of the two is missing.
    pub(super) fn check(
        layers: &mut Layers,
        [certificate, key]: [(&'static str, &Option<PathBuf>); 2],
    ) {
        let (there, missing) = match (certificate.1, key.1) {
            (Some(_), None) => (certificate.0, key.0),
            (None, Some(_)) => (key.0, certificate.0),
            _ => return,
        };
        if layers.good(missing) {
            let source = layers.source(there);
            layers
                .problems
                .push(Problem::new(source, format!("{there} is of no use without {missing}")));
        }
    }
}
