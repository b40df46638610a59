//! The section `[hook]`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::duration::{DURATION, DURATION_OR_ZERO};
use crate::config::kind::{Kind, OPTIONAL_PATH, Shape, words};
use crate::config::setting::section;
use crate::config::signing::{SIGNING_SECRET, SigningSecret};
use crate::config::url::{HTTP_URL, HttpUrl};
use crate::config::words::{ROOM_PATTERNS, Words};

words! {
    /// What is done where the business server gives no valid answer.
    OnFailure as ON_FAILURE {
        /// Nothing that it was asked about.
        Deny = "deny",
        /// All that it was asked about.
        Allow = "allow",
    }
}

/// What a business server is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookEvents(Vec<&'static str>);

/// All there is to be asked about.
const EVENTS: &[&str] = &["connect", "join", "message"];

impl HookEvents {
    /// Whether this is among them.
    pub fn has(&self, event: &str) -> bool {
        self.0.contains(&event)
    }
}

impl fmt::Display for HookEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

const HOOK_EVENTS: Kind<HookEvents> = Kind {
    name: "EVENTS",
    values: "connect, join and message, one or several, separated by commas",
    shape: Shape::List,
    secret: false,
    words: EVENTS,
    parse: |text| {
        let find = |word: &str| EVENTS.iter().find(|event| **event == word.trim()).copied();
        let events: Option<Vec<_>> = text.split(',').map(find).collect();
        events.map(HookEvents).ok_or_else(|| format!("expected {}", HOOK_EVENTS.values))
    },
    print: HookEvents::to_string,
};

/// Calls at a time.
const CALLS: Kind<usize> = Kind {
    name: "NUMBER",
    values: "a number of calls, 1 to 10000",
    shape: Shape::Number,
    secret: false,
    words: &[],
    parse: |text| match text.parse() {
        Ok(calls @ 1..=10_000) => Ok(calls),
        _ => Err("expected a number from 1 to 10000".into()),
    },
    print: usize::to_string,
};

section! {
    /// A business server that is asked before clients connect, join and send.
    Hook("hook") {
        /// The URL that is called with each question. Empty: nobody is asked.
        url: Option<HttpUrl> = "", HTTP_URL, "AO_HOOK__URL";
        /// The secret that calls are signed with, as Standard Webhooks has it. Needed with a URL.
        secret: Option<SigningSecret> = "", SIGNING_SECRET, "AO_HOOK__SECRET";
        /// The secret before this one: while it is set, calls are signed with both.
        previous_secret: Option<SigningSecret> = "", SIGNING_SECRET, "AO_HOOK__PREVIOUS_SECRET";
        /// What is asked about.
        events: HookEvents = "connect,join,message", HOOK_EVENTS, "AO_HOOK__EVENTS";
        /// The rooms whose joins and messages are asked about; those of gotapi-ws with gotapi:
        /// before their path.
        rooms: Words = "*", ROOM_PATTERNS, "AO_HOOK__ROOMS";
        /// Time a call may take.
        timeout: Duration = "1s", DURATION, "AO_HOOK__TIMEOUT";
        /// Calls at a time; further questions wait for their turn.
        concurrency: usize = "256", CALLS, "AO_HOOK__CONCURRENCY";
        /// Time that the answer to connect or join is kept for the same user and room. 0: none is kept.
        cache: Duration = "0s", DURATION_OR_ZERO, "AO_HOOK__CACHE";
        /// What happens where there is no valid answer: deny or allow what was asked about.
        on_failure: OnFailure = "deny", ON_FAILURE, "AO_HOOK__ON_FAILURE";
        /// PEM file of the authorities whose certificates are accepted from it. Empty: those that browsers trust.
        ca: Option<PathBuf> = "", OPTIONAL_PATH, "AO_HOOK__CA";
    }
}
