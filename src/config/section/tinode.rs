//! The section `[tinode]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::config::address::OPTIONAL_ADDRESS;
use crate::config::duration::{DURATION, DURATION_OR_OFF};
use crate::config::kind::{Kind, OPTIONAL_PATH, Shape, words};
use crate::config::layers::Layers;
use crate::config::problem::Problem;
use crate::config::rate::{RATE, RateLimit};
use crate::config::secret::{SECRET, SecretText};
use crate::config::setting::section;
use crate::config::signing::{SIGNING_SECRET, SigningSecret};
use crate::config::size::{self, ByteSize, SIZE};
use crate::config::tls::TlsFiles;
use crate::config::url::{HTTP_URL, HttpUrl};
use crate::config::words::Words;

/// Bytes of the salt of API keys.
const SALT: usize = 32;
/// Credentials that can be asked for.
const CREDENTIALS: &[&str] = &["email"];
/// Hooks that there are.
const HOOKS: &[&str] = &["credential", "push"];

words! {
    /// How a connection for mail is protected.
    SmtpTls as SMTP_TLS {
        /// Not at all.
        Off = "off",
        /// From the command STARTTLS on.
        StartTls = "starttls",
        /// From the beginning.
        Implicit = "implicit",
    }
}

/// The salt of API keys, or nothing.
const SALT_SECRET: Kind<SecretText> = Kind {
    values: "base64 of 32 bytes, or empty",
    parse: |text| match STANDARD.decode(text).map(|salt| salt.len()) {
        Ok(0 | SALT) => (SECRET.parse)(text),
        _ => Err(format!("expected {}", SALT_SECRET.values)),
    },
    ..SECRET
};

/// Characters of the shortest key that can't be found by trying.
const KEY: usize = 32;

/// What tokens are signed with, or nothing.
const TOKEN_SECRET: Kind<SecretText> = Kind {
    values: "32 characters or more, or empty",
    parse: |text| match text.chars().count() {
        0 | KEY.. => (SECRET.parse)(text),
        _ => Err(format!("expected {}", TOKEN_SECRET.values)),
    },
    ..SECRET
};

/// A list in which each word is one of `all`.
fn some_of(text: &str, all: &[&str]) -> Result<Words, String> {
    let words = Words::parse(text);
    if let Some(word) = words.iter().find(|word| !all.contains(word)) {
        return Err(format!("{word:?} is none: expected some of {}", all.join(", ")));
    }
    Ok(words)
}

/// Methods of credentials, or none.
const CREDENTIAL_NAMES: Kind<Words> = Kind {
    name: "METHODS",
    values: "email, or empty",
    shape: Shape::List,
    secret: false,
    words: CREDENTIALS,
    parse: |text| some_of(text, CREDENTIALS),
    print: Words::to_string,
};

/// Names of hooks, or none.
const HOOK_NAMES: Kind<Words> = Kind {
    name: "HOOKS",
    values: "credential and push, one or both, separated by commas, or empty",
    words: HOOKS,
    parse: |text| some_of(text, HOOKS),
    ..CREDENTIAL_NAMES
};

/// Whether this is a media type, or `type/*`, or `*`.
fn is_pattern(word: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    word == "*" || word.split_once('/').is_some_and(|(t, s)| is_name(t) && (s == "*" || is_name(s)))
}

/// Types of files.
const FILE_PATTERNS: Kind<Words> = Kind {
    name: "TYPES",
    values: "media types such as image/png or image/*, separated by commas, or * for all",
    words: &[],
    parse: |text| {
        let words = Words::parse(text);
        if words.is_empty() || !words.iter().all(is_pattern) {
            return Err(format!("expected {}", FILE_PATTERNS.values));
        }
        Ok(words)
    },
    ..CREDENTIAL_NAMES
};

/// Reads a number that is within bounds.
fn within(text: &str, low: usize, high: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => Err(format!("expected a whole number from {low} to {high}")),
    }
}

/// Members of a group: all of them are read at once.
const MEMBERS: Kind<usize> = Kind {
    name: "NUMBER",
    values: "a whole number from 2 to 1000",
    shape: Shape::Number,
    secret: false,
    words: &[],
    parse: |text| within(text, 2, 1_000),
    print: usize::to_string,
};

/// Characters of a tag.
const TAG: Kind<usize> =
    Kind { values: "a whole number from 1 to 200", parse: |text| within(text, 1, 200), ..MEMBERS };

/// Tags of one user or group: a record can be found by 256 words at most.
const TAGS: Kind<usize> =
    Kind { values: "a whole number from 1 to 100", parse: |text| within(text, 1, 100), ..MEMBERS };

/// A port.
const PORT: Kind<u16> = Kind {
    name: "PORT",
    values: "a number from 1 to 65535",
    shape: Shape::Number,
    secret: false,
    words: &[],
    parse: |text| match text.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(format!("expected {}", PORT.values)),
    },
    print: u16::to_string,
};

/// The largest request: what is stored has a bound, and so has a record.
const REQUEST: Kind<ByteSize> = Kind {
    values: "bytes above zero: 4096, 128 KiB (KB counts in thousands), at most 512 KiB",
    parse: |text| match (SIZE.parse)(text) {
        Ok(size) if size.bytes() <= 512 << 10 => Ok(size),
        _ => Err(format!("expected {}", REQUEST.values)),
    },
    ..SIZE
};

/// What a user may have uploaded, which is not in memory.
const QUOTA: Kind<ByteSize> = Kind {
    values: "bytes above zero: 500 MiB, 20 GiB (KB counts in thousands), at most 1048576 GiB",
    parse: |text| size::parse(text, 1, 1 << 50).ok_or_else(|| format!("expected {}", QUOTA.values)),
    ..SIZE
};

/// Text without control characters, or nothing.
const LINE: Kind<String> = Kind {
    name: "TEXT",
    values: "text without control characters, or empty",
    shape: Shape::Text,
    secret: false,
    words: &[],
    parse: |text| match text.chars().any(char::is_control) {
        false => Ok(text.to_owned()),
        true => Err(format!("expected {}", LINE.values)),
    },
    print: String::clone,
};

section! {
    /// Clients of Tinode, on listeners of their own.
    Tinode("tinode") {
        /// Address and port for Tinode's clients: WebSocket, long polling and files, such as
        /// 127.0.0.1:6060. Empty: they are not served.
        listen: Option<SocketAddr> = "", OPTIONAL_ADDRESS, "AO_TINODE__LISTEN";
        /// PEM file with the certificate for TLS, as websocket.tls_certificate. Empty: no TLS.
        tls_certificate: Option<PathBuf> = "", OPTIONAL_PATH, "AO_TINODE__TLS_CERTIFICATE";
        /// PEM file with the certificate's private key.
        tls_key: Option<PathBuf> = "", OPTIONAL_PATH, "AO_TINODE__TLS_KEY";
        /// Address and port for gRPC, such as 127.0.0.1:16060. Empty: no gRPC. Needs listen.
        grpc_listen: Option<SocketAddr> = "", OPTIONAL_ADDRESS, "AO_TINODE__GRPC_LISTEN";
        /// PEM file with the certificate for TLS of gRPC. Empty: no TLS.
        grpc_tls_certificate: Option<PathBuf> =
            "", OPTIONAL_PATH, "AO_TINODE__GRPC_TLS_CERTIFICATE";
        /// PEM file with the certificate's private key.
        grpc_tls_key: Option<PathBuf> = "", OPTIONAL_PATH, "AO_TINODE__GRPC_TLS_KEY";
        /// What API keys are signed with; that of a Tinode server keeps its keys valid. Empty: it
        /// is made at the first start and kept in the store, and a key is printed.
        api_key_salt: SecretText = "", SALT_SECRET, "AO_TINODE__API_KEY_SALT";
        /// What tokens are signed with, 32 characters or more. Empty: it is made at the first start
        /// and kept in the store.
        token_key: SecretText = "", TOKEN_SECRET, "AO_TINODE__TOKEN_KEY";
        /// How long a token is good.
        token_lifetime: Duration = "14d", DURATION, "AO_TINODE__TOKEN_LIFETIME";
        /// Credentials that users have to confirm before they are let in.
        required_credentials: Words = "", CREDENTIAL_NAMES, "AO_TINODE__REQUIRED_CREDENTIALS";
        /// Size above which a request ends its connection.
        max_message: ByteSize = "128 KiB", REQUEST, "AO_TINODE__MAX_MESSAGE";
        /// Members that a group may have.
        max_subscribers: usize = "128", MEMBERS, "AO_TINODE__MAX_SUBSCRIBERS";
        /// Characters of the shortest tag.
        min_tag: usize = "2", TAG, "AO_TINODE__MIN_TAG";
        /// Characters of the longest tag.
        max_tag: usize = "96", TAG, "AO_TINODE__MAX_TAG";
        /// Tags that a user or a group may have.
        max_tags: usize = "16", TAGS, "AO_TINODE__MAX_TAGS";
        /// Age above which messages are deleted for everybody by nobody but a group's owner.
        delete_age: Duration = "10m", DURATION, "AO_TINODE__DELETE_AGE";
        /// How often one address may register, sign in, and search; each of them.
        rate_limit: RateLimit = "600 in 60s", RATE, "AO_TINODE__RATE_LIMIT";
        /// Memory for pages of history that are asked for again and again.
        page_cache: ByteSize = "16 MiB", SIZE, "AO_TINODE__PAGE_CACHE";
        /// The folder of uploaded files. Empty: tinode-files in the data folder. Several nodes need
        /// one that they share, or S3.
        files: Option<PathBuf> = "", OPTIONAL_PATH, "AO_TINODE__FILES";
        /// Size above which a file is refused.
        max_file: ByteSize = "8 MiB", SIZE, "AO_TINODE__MAX_FILE";
        /// Types of files that may be uploaded.
        file_types: Words = "*", FILE_PATTERNS, "AO_TINODE__FILE_TYPES";
        /// Size of all files of one user.
        file_quota: ByteSize = "1 GiB", QUOTA, "AO_TINODE__FILE_QUOTA";
        /// Time after which a file is deleted that nothing refers to.
        file_unused: Duration = "24h", DURATION, "AO_TINODE__FILE_UNUSED";
        /// A server that speaks S3, for files, instead of a folder. Needs the other four.
        s3_endpoint: Option<HttpUrl> = "", HTTP_URL, "AO_TINODE__S3_ENDPOINT";
        /// Its region, such as us-east-1.
        s3_region: String = "", LINE, "AO_TINODE__S3_REGION";
        /// The bucket there, which has to exist.
        s3_bucket: String = "", LINE, "AO_TINODE__S3_BUCKET";
        /// The id of the access key.
        s3_key: String = "", LINE, "AO_TINODE__S3_KEY";
        /// The secret of the access key.
        s3_secret: SecretText = "", SECRET, "AO_TINODE__S3_SECRET";
        /// Who takes mail with codes that confirm addresses. Empty: the hook credential sends them.
        smtp_host: String = "", LINE, "AO_TINODE__SMTP_HOST";
        /// Its port.
        smtp_port: u16 = "587", PORT, "AO_TINODE__SMTP_PORT";
        /// How the connection is protected.
        smtp_tls: SmtpTls = "starttls", SMTP_TLS, "AO_TINODE__SMTP_TLS";
        /// Who signs in there. Empty: nobody does.
        smtp_user: String = "", LINE, "AO_TINODE__SMTP_USER";
        /// With this password.
        smtp_password: SecretText = "", SECRET, "AO_TINODE__SMTP_PASSWORD";
        /// The address that mail comes from, such as Chat <chat@example.org>.
        smtp_from: String = "", LINE, "AO_TINODE__SMTP_FROM";
        /// The URL that is called with each hook. Needed with hooks.
        hook_url: Option<HttpUrl> = "", HTTP_URL, "AO_TINODE__HOOK_URL";
        /// The secret that calls are signed with, as Standard Webhooks has it. Needed with hooks.
        hook_secret: Option<SigningSecret> = "", SIGNING_SECRET, "AO_TINODE__HOOK_SECRET";
        /// Time a hook may take.
        hook_timeout: Duration = "5s", DURATION, "AO_TINODE__HOOK_TIMEOUT";
        /// The hooks that are called; no others are.
        hooks: Words = "", HOOK_NAMES, "AO_TINODE__HOOKS";
        /// Time after which the hook push is called for members that have not received a message.
        push_after: Option<Duration> = "off", DURATION_OR_OFF, "AO_TINODE__PUSH_AFTER";
    }
}

impl Tinode {
    /// TLS of the listener for WebSockets and HTTP.
    pub fn tls(&self) -> Option<TlsFiles> {
        TlsFiles::of(&self.tls_certificate, &self.tls_key)
    }

    /// TLS of the listener for gRPC.
    pub fn grpc_tls(&self) -> Option<TlsFiles> {
        TlsFiles::of(&self.grpc_tls_certificate, &self.grpc_tls_key)
    }

    /// Whether files are kept by a server that speaks S3.
    pub fn has_s3(&self) -> bool {
        self.s3_endpoint.is_some()
    }

    /// Whether codes can be sent to those who have to confirm an address.
    fn sends_codes(&self) -> bool {
        !self.smtp_host.is_empty() || self.hooks.iter().any(|hook| hook == "credential")
    }

    /// What needs something else. Each line: whether the setting is used, its key, what it needs,
    /// whether that is missing, and why.
    pub(in crate::config) fn check(&self, layers: &mut Layers) {
        let (s3, hooked) = (self.has_s3(), !self.hooks.is_empty());
        let asks = |method: &str| self.required_credentials.iter().any(|word| word == method);
        let signing = "which calls are signed with: whsec_ and the base64 of 24 to 64 bytes";
        let rules: [(bool, &str, &str, bool, &str); 11] = [
            (
                self.grpc_listen.is_some(),
                "grpc_listen",
                "listen",
                self.listen.is_none(),
                "which serves its files",
            ),
            (s3, "s3_endpoint", "s3_region", self.s3_region.is_empty(), ""),
            (s3, "s3_endpoint", "s3_bucket", self.s3_bucket.is_empty(), ""),
            (s3, "s3_endpoint", "s3_key", self.s3_key.is_empty(), ""),
            (s3, "s3_endpoint", "s3_secret", self.s3_secret.is_empty(), ""),
            (
                !self.smtp_host.is_empty(),
                "smtp_host",
                "smtp_from",
                self.smtp_from.is_empty(),
                "the address that mail comes from",
            ),
            (hooked, "hooks", "hook_url", self.hook_url.is_none(), "where they are called"),
            (hooked, "hooks", "hook_secret", self.hook_secret.is_none(), signing),
            (
                self.push_after.is_some(),
                "push_after",
                "hooks",
                !self.hooks.iter().any(|hook| hook == "push"),
                "push among them",
            ),
            (
                asks("email"),
                "required_credentials",
                "smtp_host",
                !self.sends_codes(),
                "or credential among tinode.hooks: else nobody gets a code",
            ),
            (self.min_tag > self.max_tag, "min_tag", "max_tag", true, "not below it"),
        ];
        for (used, key, needs, is_missing, why) in rules {
            let (key, needs) = (format!("tinode.{key}"), format!("tinode.{needs}"));
            if used && is_missing && layers.good(&needs) {
                let source = layers.source(&key);
                let comma = if why.is_empty() { "" } else { ", " };
                let message = format!("{key} ({source}) needs {needs}{comma}{why}");
                layers.problems.push(Problem::new(source, message));
            }
        }
    }
}

#[cfg(test)]
mod tests;
