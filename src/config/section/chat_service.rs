//! The section `[chat_service]`.

use std::time::Duration;

use crate::config::duration::DURATION;
use crate::config::kind::{Kind, SWITCH, Shape};
use crate::config::layers::Layers;
use crate::config::problem::Problem;
use crate::config::setting::section;
use crate::config::signing::{SIGNING_SECRET, SigningSecret};
use crate::config::url::{HTTP_URL, HttpUrl};
use crate::config::words::Words;

/// Commands of chat-service: each has a hook before it, and one after it.
pub const COMMANDS: [&str; 24] = [
    "directAddToList",
    "directRemoveFromList",
    "directGetAccessList",
    "directGetWhitelistMode",
    "directSetWhitelistMode",
    "directMessage",
    "listOwnSockets",
    "roomAddToList",
    "roomRemoveFromList",
    "roomCreate",
    "roomDelete",
    "roomGetAccessList",
    "roomGetOwner",
    "roomGetWhitelistMode",
    "roomSetWhitelistMode",
    "roomHistoryGet",
    "roomRecentHistory",
    "roomHistoryInfo",
    "roomJoin",
    "roomLeave",
    "roomMessage",
    "roomNotificationsInfo",
    "roomUserSeen",
    "systemMessage",
];

/// The hooks that are no command's.
pub const HOOKS: [&str; 13] = [
    "middleware",
    "onConnect",
    "onJoin",
    "onLeave",
    "onDisconnect",
    "roomMessagesChecker",
    "directMessagesChecker",
    "onStart",
    "onClose",
    "clusterBus",
    "storeConsistencyFailure",
    "transportConsistencyFailure",
    "lockTimeExceeded",
];

/// Whether there is a hook of this name.
fn is_hook(name: &str) -> bool {
    let command = name.strip_suffix("Before").or_else(|| name.strip_suffix("After"));
    HOOKS.contains(&name) || command.is_some_and(|command| COMMANDS.contains(&command))
}

/// Names of hooks, or none.
const HOOK_NAMES: Kind<Words> = Kind {
    name: "HOOKS",
    values: "names of hooks, such as onConnect or roomMessageBefore, separated by commas, or empty",
    shape: Shape::List,
    secret: false,
    words: &HOOKS,
    parse: |text| {
        let words = Words::parse(text);
        if let Some(word) = words.iter().find(|word| !is_hook(word)) {
            return Err(format!(
                "{word:?} is no hook: expected some of {}, or the name of a command with Before or After behind it",
                HOOKS.join(", ")
            ));
        }
        Ok(words)
    },
    print: Words::to_string,
};

/// The name of a namespace of socket.io that is not the root.
const NAMESPACE: Kind<String> = Kind {
    name: "NAMESPACE",
    values: "a slash and 1 to 100 letters, digits, /, _, - or .",
    shape: Shape::Text,
    secret: false,
    words: &[],
    parse: |text| {
        let is_good = |b: u8| b.is_ascii_alphanumeric() || b"/_-.".contains(&b);
        match text.strip_prefix('/') {
            Some(name) if (1..=100).contains(&name.len()) && name.bytes().all(is_good) => {
                Ok(text.to_owned())
            }
            _ => Err(format!("expected {}", NAMESPACE.values)),
        }
    },
    print: String::clone,
};

/// A number that may be 0.
const NUMBER_OR_ZERO: Kind<u64> = Kind {
    name: "NUMBER",
    values: "a whole number, 0 or more",
    shape: Shape::Number,
    secret: false,
    words: &[],
    parse: |text| match text.parse() {
        // What a number of JavaScript can be exactly, as clients are told of it.
        Ok(number @ 0..=9_007_199_254_740_991) => Ok(number),
        _ => Err("expected a whole number, 0 or more".into()),
    },
    print: u64::to_string,
};

/// A number of names.
const NUMBER: Kind<u64> = Kind {
    values: "a whole number, 1 or more",
    parse: |text| match (NUMBER_OR_ZERO.parse)(text) {
        Ok(number @ 1..) => Ok(number),
        _ => Err("expected a whole number, 1 or more".into()),
    },
    ..NUMBER_OR_ZERO
};

/// The name of an instance, or nothing.
const INSTANCE: Kind<String> = Kind {
    name: "NAME",
    values: "1 to 200 characters, none of them a control character, or empty",
    shape: Shape::Text,
    secret: false,
    words: &[],
    parse: |text| match text.chars().count() {
        0..=200 if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err(format!("expected {}", INSTANCE.values)),
    },
    print: String::clone,
};

section! {
    /// Clients of npm's chat-service, in a namespace of their own beside the others.
    ChatService("chat_service") {
        /// Whether it is served, on websocket.listen.
        enabled: bool = "false", SWITCH, "AO_CHAT_SERVICE__ENABLED";
        /// The namespace of its clients.
        namespace: String = "/chat-service", NAMESPACE, "AO_CHAT_SERVICE__NAMESPACE";
        /// Whether members of new rooms are told of changes of the rooms' lists and modes.
        enable_access_lists_updates: bool = "false", SWITCH, "AO_CHAT_SERVICE__ENABLE_ACCESS_LISTS_UPDATES";
        /// Whether users may send messages to each other outside of rooms.
        enable_direct_messages: bool = "false", SWITCH, "AO_CHAT_SERVICE__ENABLE_DIRECT_MESSAGES";
        /// Whether users may create rooms, and delete their own.
        enable_rooms_management: bool = "false", SWITCH, "AO_CHAT_SERVICE__ENABLE_ROOMS_MANAGEMENT";
        /// Whether members of new rooms are told who comes and goes.
        enable_userlist_updates: bool = "false", SWITCH, "AO_CHAT_SERVICE__ENABLE_USERLIST_UPDATES";
        /// Whether clients get errors as objects, with code and arguments, instead of texts.
        use_raw_error_objects: bool = "false", SWITCH, "AO_CHAT_SERVICE__USE_RAW_ERROR_OBJECTS";
        /// Messages that a client can read of a room's history at once.
        history_max_get_messages: u64 = "100", NUMBER_OR_ZERO, "AO_CHAT_SERVICE__HISTORY_MAX_GET_MESSAGES";
        /// Messages that a new room keeps.
        history_max_size: u64 = "10000", NUMBER_OR_ZERO, "AO_CHAT_SERVICE__HISTORY_MAX_SIZE";
        /// Names on each list of a user.
        direct_list_size_limit: u64 = "1000", NUMBER, "AO_CHAT_SERVICE__DIRECT_LIST_SIZE_LIMIT";
        /// Names on each list of a room.
        room_list_size_limit: u64 = "10000", NUMBER, "AO_CHAT_SERVICE__ROOM_LIST_SIZE_LIMIT";
        /// Time that clients have to go when the server ends, before the hook onClose is called.
        close_timeout: Duration = "15s", DURATION, "AO_CHAT_SERVICE__CLOSE_TIMEOUT";
        /// Time between two signs of life of an instance, on Redis, if it is less than a third of
        /// the time after which it is taken for dead.
        heartbeat_rate: Duration = "10s", DURATION, "AO_CHAT_SERVICE__HEARTBEAT_RATE";
        /// Time without one after which the others take an instance for dead, and its sockets for
        /// gone, on Redis. They do so earlier if store.lease is shorter.
        heartbeat_timeout: Duration = "30s", DURATION, "AO_CHAT_SERVICE__HEARTBEAT_TIMEOUT";
        /// Time that another instance may take to answer.
        bus_ack_timeout: Duration = "5s", DURATION, "AO_CHAT_SERVICE__BUS_ACK_TIMEOUT";
        /// Time that joining or leaving may take before it is told as an event.
        lock_ttl: Duration = "10s", DURATION, "AO_CHAT_SERVICE__LOCK_TTL";
        /// The name of this instance. Empty: another one at each start.
        instance_uid: String = "", INSTANCE, "AO_CHAT_SERVICE__INSTANCE_UID";
        /// The URL that is called with each hook. Needed with hooks.
        hook_url: Option<HttpUrl> = "", HTTP_URL, "AO_CHAT_SERVICE__HOOK_URL";
        /// The secret that calls are signed with, as Standard Webhooks has it. Needed with hooks.
        hook_secret: Option<SigningSecret> = "", SIGNING_SECRET, "AO_CHAT_SERVICE__HOOK_SECRET";
        /// Time a hook may take.
        hook_timeout: Duration = "5s", DURATION, "AO_CHAT_SERVICE__HOOK_TIMEOUT";
        /// The hooks that are called; no others are.
        hooks: Words = "", HOOK_NAMES, "AO_CHAT_SERVICE__HOOKS";
    }
}

impl ChatService {
    /// Hooks need somebody who is called, and who can tell that it is us.
    pub(in crate::config) fn check(&self, layers: &mut Layers) {
        if self.hooks.is_empty() {
            return;
        }
        let missing = [
            ("chat_service.hook_url", self.hook_url.is_none(), "where they are called"),
            (
                "chat_service.hook_secret",
                self.hook_secret.is_none(),
                "which calls are signed with: whsec_ and the base64 of 24 to 64 bytes",
            ),
        ];
        for (key, is_missing, why) in missing {
            if is_missing && layers.good(key) {
                let message = format!("chat_service.hooks needs {key}, {why}");
                layers.problems.push(Problem::new(layers.source("chat_service.hooks"), message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hooks_are_known_by_name() {
        for good in ["", "onConnect", "roomMessageBefore, roomMessageAfter,onConnect", "clusterBus"]
        {
            assert!((HOOK_NAMES.parse)(good).is_ok(), "{good}");
        }
        for bad in ["onConnet", "roomMessage", "Before", "roomShoutAfter", "onConnectBefore", "*"] {
            let why = (HOOK_NAMES.parse)(bad).unwrap_err();
            assert!(why.starts_with(&format!("{bad:?} is no hook")), "{why}");
        }
    }

    #[test]
    fn namespaces_and_numbers_have_bounds() {
        for (text, good) in [
            ("/chat-service", true),
            ("/", false),
            ("chat", false),
            ("/a,b", false),
            ("/a?b", false),
        ] {
            assert_eq!((NAMESPACE.parse)(text).is_ok(), good, "{text}");
        }
        for (text, or_zero, positive) in [
            ("0", true, false),
            ("1", true, true),
            ("-1", false, false),
            ("1.5", false, false),
            ("", false, false),
            ("9007199254740992", false, false),
        ] {
            assert_eq!((NUMBER_OR_ZERO.parse)(text).is_ok(), or_zero, "{text}");
            assert_eq!((NUMBER.parse)(text).is_ok(), positive, "{text}");
        }
    }
}
