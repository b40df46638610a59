//! The section `[webhook]`, and those below it: `[webhook.NAME]` is one more endpoint.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::duration::{DURATION, DURATION_OR_ZERO};
use crate::config::kind::{Kind, OPTIONAL_PATH, Shape};
use crate::config::layers::Layers;
use crate::config::problem::Problem;
use crate::config::setting::section;
use crate::config::signing::{SIGNING_SECRET, SigningSecret};
use crate::config::size::{ByteSize, SIZE};
use crate::config::url::{HTTP_URL, HttpUrl};
use crate::config::words::{ROOM_PATTERNS, Words};

/// What an endpoint can be told of.
pub const EVENTS: [&str; 11] = [
    "room.occupied",
    "room.vacated",
    "room.cleared",
    "room.trimmed",
    "member.joined",
    "member.left",
    "message.inserted",
    "message.updated",
    "user.online",
    "user.offline",
    "user.erased",
];

const KINDS: Kind<Words> = Kind {
    name: "EVENTS",
    values: "names of events, separated by commas; message.* stands for all that begin so, * for all",
    shape: Shape::List,
    secret: false,
    words: &[],
    parse: |text| {
        let words = Words::parse(text);
        if words.is_empty() {
            return Err("expected at least one word".into());
        }
        for word in words.iter() {
            let known = match word.strip_suffix('*') {
                Some(begins) => EVENTS.iter().any(|event| event.starts_with(begins)),
                None => EVENTS.contains(&word),
            };
            if !known {
                return Err(format!(
                    "{word:?} is no event: expected some of {}",
                    EVENTS.join(", ")
                ));
            }
        }
        Ok(words)
    },
    print: Words::to_string,
};

/// A number of things at once.
const COUNT: Kind<u64> = Kind {
    name: "NUMBER",
    values: "a number from 1 to 1000",
    shape: Shape::Number,
    secret: false,
    words: &[],
    parse: |text| match text.parse() {
        Ok(count) if (1..=1000).contains(&count) => Ok(count),
        _ => Err("expected a number from 1 to 1000".into()),
    },
    print: u64::to_string,
};

section! {
    /// Where a business server is told of what happens. Further endpoints are sections [webhook.NAME] of the file, with the same keys.
    Webhook("webhook") {
        /// Where events are sent. Empty: nothing is told, and nothing is kept for it.
        url: Option<HttpUrl> = "", HTTP_URL, "AO_WEBHOOK__URL";
        /// Secret that each request is signed with, as Standard Webhooks 1.0 has it. Needed with a URL.
        secret: Option<SigningSecret> = "", SIGNING_SECRET, "AO_WEBHOOK__SECRET";
        /// The secret before it. Requests are signed with both, until receivers know the new one.
        previous_secret: Option<SigningSecret> = "", SIGNING_SECRET, "AO_WEBHOOK__PREVIOUS_SECRET";
        /// What is told.
        events: Words = "*", KINDS, "AO_WEBHOOK__EVENTS";
        /// In which rooms, by the names that clients know; rooms of a dialect also by its word and a colon before the name (chat-service:*). Events of users are in none, and are not concerned.
        rooms: Words = "*", ROOM_PATTERNS, "AO_WEBHOOK__ROOMS";
        /// Time one request may take.
        timeout: Duration = "15s", DURATION, "AO_WEBHOOK__TIMEOUT";
        /// Requests at the same time, each of another room.
        concurrency: u64 = "16", COUNT, "AO_WEBHOOK__CONCURRENCY";
        /// Events in one request, at most.
        batch: u64 = "100", COUNT, "AO_WEBHOOK__BATCH";
        /// Time over which a request is tried ten times before it is put aside.
        keep: Duration = "75h", DURATION, "AO_WEBHOOK__KEEP";
        /// Bytes that may wait to be told. What exceeds them is dropped, the oldest first, and a gap is told.
        pending: ByteSize = "256 MiB", SIZE, "AO_WEBHOOK__PENDING";
        /// Time for which a leaving is held back: who returns within it has not left. Of several endpoints the longest counts.
        leave_delay: Duration = "3s", DURATION_OR_ZERO, "AO_WEBHOOK__LEAVE_DELAY";
        /// PEM file with the authorities that the endpoint's certificate may be of. Empty: those that browsers trust.
        ca: Option<PathBuf> = "", OPTIONAL_PATH, "AO_WEBHOOK__CA";
    }
}

impl Webhook {
    /// Who is told nothing but by a URL that a stranger may know has to be able to tell the server's
    /// requests from those that others make up; so none is sent without a signature. `section` is
    /// that of this endpoint.
    pub(in crate::config) fn check(&self, layers: &mut Layers, section: &str) {
        if self.url.is_some() && self.secret.is_none() && layers.good("webhook.secret") {
            let message = format!(
                "{section}.url needs {section}.secret, which requests are signed with: whsec_ and the base64 of 24 to 64 bytes"
            );
            layers.problems.push(Problem::new(layers.source("webhook.url"), message));
        }
    }
}
