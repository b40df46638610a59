//! What settings and arguments of a side leave open until it runs: `{port}` and the like.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};

/// Below those that the kernel gives to connections that go out, or one of them might have it.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// What stands before the point of a public key of P-256 in its DER (RFC 5480).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The URL of a Redis that is given for it, without a database: `STRESS_REDIS`.
pub const REDIS: &str = "{redis}";

/// What a run fills in.
pub struct Blanks {
    /// The run's own; `{folder}`.
    pub folder: PathBuf,
    /// A free one, for whoever has to be known before it listens; `{port}`.
    pub port: u16,
}

impl Blanks {
    /// Also puts a pair of keys for JSON Web Tokens into the folder: `{folder}/es256.pem`, the
    /// public one, and `{folder}/es256.p8`.
    pub fn new(folder: &Path) -> Result<Self> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random);
        let private = private.map_err(|e| anyhow!("making a key: {e}"))?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref(), &random);
        let pair = pair.map_err(|e| anyhow!("reading a key: {e}"))?;
        let public = [&P256[..], pair.public_key().as_ref()].concat();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(public)
        );
        fs::write(folder.join("es256.p8"), private.as_ref())?;
        fs::write(folder.join("es256.pem"), pem)?;
        let mut ports = PORTS;
        let port = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        Ok(Blanks { folder: folder.to_owned(), port: port.context("no free port")? })
    }

    /// What is known before the server runs.
    pub fn fill(&self, text: &str) -> String {
        text.replace("{folder}", &self.folder.to_string_lossy())
            .replace("{port}", &self.port.to_string())
            .replace(REDIS, &std::env::var("STRESS_REDIS").unwrap_or_default())
    }

    /// The embedded store.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// An administrator's `uid:token` in base64, of a server that has made one.
    pub fn credential(&self) -> Result<String> {
        let file = self.data().join("admin-credential");
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let of = |key| text.lines().find_map(|line: &str| line.strip_prefix(key));
        let (uid, token) = of("uid: ").zip(of("token: ")).context("no administrator's token")?;
        Ok(STANDARD.encode(format!("{uid}:{token}")))
    }
}
