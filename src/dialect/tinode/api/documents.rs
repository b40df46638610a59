//! The methods: what the documents say of them, and how what is asked for is read.
use super::{Asked, key, looked_for, note, stretch, topic, user};
use crate::domain::methods::{
    Effect, FieldDoc, Values,
    table::{LIMIT, Method, flag},
};

pub(super) const USER: FieldDoc = FieldDoc {
    name: "user",
    values: Values::Text,
    required: true,
    about: "The user's id, `usr…`.",
};
pub(super) const TOPIC: FieldDoc = FieldDoc {
    name: "topic",
    values: Values::Text,
    required: true,
    about: "The topic's id: `grp…` of a group or channel, `usr….usr…` of two users, `slf.usr…` of \
            a user's notes.",
};
pub(super) const KEY: FieldDoc = FieldDoc {
    name: "key",
    values: Values::Text,
    required: true,
    about: "The API key, or its name as `listKeys` tells it.",
};
pub(super) const NOTE: FieldDoc = FieldDoc {
    name: "note",
    values: Values::Text,
    required: false,
    about: "What the key is for; 200 characters at most.",
};
pub(super) const READERS: FieldDoc = FieldDoc {
    name: "readers",
    values: Values::Flag,
    required: false,
    about: "Whether the readers of a channel are listed, instead of its members.",
};
pub(super) const AFTER: FieldDoc = FieldDoc {
    name: "after",
    values: Values::Text,
    required: false,
    about: "What they come after: `next` of the page before.",
};
pub(super) const TEXT: FieldDoc = FieldDoc {
    name: "text",
    values: Values::Text,
    required: false,
    about: "An id, or a whole tag; of users a login, too. Without it: all.",
};

/// All of them, in the order of the documents.
pub(super) const METHODS: &[Method<Asked>] = &[
    Method {
        name: "listUsers",
        effect: Effect::Reads,
        summary: "List users, or look for some",
        about: "By id, page by page. Users are told with or without a session.",
        fields: &[TEXT, AFTER, LIMIT],
        gives: "`users`: of each `user`, `login` or `null`, `name`, which is `fn` of `public`, or \
                `null`, `state`: `ok`, `suspended` or `ending`, and the `nodes` that it has \
                sessions on. `next`: where the next page begins, or `null`.",
        read: |fields| {
            let (text, stretch) = (looked_for(fields)?, stretch(fields)?);
            Ok(Asked::ListUsers { text, stretch })
        },
    },
    Method {
        name: "userState",
        effect: Effect::Reads,
        summary: "See what there is to know of a user",
        about: "Times are in milliseconds since 1970.",
        fields: &[USER],
        gives: "`user`, `login`, `name` and `state` as of `listUsers`, `level`: `anon`, `auth` or \
                `root`, `tags`, `credentials`: of each `method`, `value` and whether it is \
                `confirmed`, `created`, `lastSeen` and the `userAgent` of then, or `null`, how \
                many `devices` are pushed to, how many `files` of how many `bytes` it has \
                uploaded, how many `sessions` are on `me` or attached to a topic, and on which \
                `nodes`.",
        read: |fields| Ok(Asked::UserState { user: user(fields)? }),
    },
    Method {
        name: "listUserTopics",
        effect: Effect::Reads,
        summary: "List a user's topics",
        about: "Those that it is subscribed to, page by page.",
        fields: &[USER, AFTER, LIMIT],
        gives: "`topics`: of each `topic`, its `kind` as of `topicState`, `name`, which is that of \
                the other user of two, or `null`, `want`, `given`, whether the user is a `reader` \
                of a channel, and `since` when, in milliseconds since 1970. `next`: where the next \
                page begins, or `null`.",
        read: |fields| {
            let (user, stretch) = (user(fields)?, stretch(fields)?);
            Ok(Asked::ListUserTopics { user, stretch })
        },
    },
    Method {
        name: "signOut",
        effect: Effect::Changes,
        summary: "Sign a user out",
        about: "Tokens that were issued until now count no more, and sessions end, on whatever \
                node.",
        fields: &[USER],
        gives: "`sessions`: how many of those were ended that `userState` counts.",
        read: |fields| Ok(Asked::SignOut { user: user(fields)? }),
    },
    Method {
        name: "suspendUser",
        effect: Effect::Changes,
        summary: "Keep a user from signing in",
        about: "The user is signed out as by `signOut`, is found by no search, and can't sign in \
                until `resumeUser`. All that it has stays.",
        fields: &[USER],
        gives: "`sessions`: as of `signOut`.",
        read: |fields| Ok(Asked::SuspendUser { user: user(fields)? }),
    },
    Method {
        name: "resumeUser",
        effect: Effect::Changes,
        summary: "Let a user sign in again",
        about: "Tokens of before count no more: clients ask for the password.",
        fields: &[USER],
        gives: "`resumed`: whether it was suspended.",
        read: |fields| Ok(Asked::ResumeUser { user: user(fields)? }),
    },
    Method {
        name: "eraseMessages",
        effect: Effect::Changes,
        summary: "Erase what a user wrote",
        about: "In all topics, also of a user who is deleted. It is a job, as of `erase`. Clients \
                keep what they have, and what is erased is a number without a message then.",
        fields: &[USER],
        gives: "`job`: its name; `GET /v1/jobs/{id}` tells how far it is.",
        read: |fields| Ok(Asked::EraseMessages { user: user(fields)? }),
    },
    Method {
        name: "deleteUser",
        effect: Effect::Changes,
        summary: "Delete a user",
        about: "Its sessions end, its login is free; topics of two and groups that it owns are \
                deleted, and it is taken out of others. What it wrote there stays: \
                `eraseMessages`. What fails half way goes on by itself.",
        fields: &[USER],
        gives: "`sessions`: as of `signOut`.",
        read: |fields| Ok(Asked::DeleteUser { user: user(fields)? }),
    },
    Method {
        name: "listTopics",
        effect: Effect::Reads,
        summary: "List topics, or look for some",
        about: "By id, page by page: groups and channels first, then notes, then topics of two.",
        fields: &[TEXT, AFTER, LIMIT],
        gives: "`topics`: of each `topic`, `kind`, `name`, `owner` and `here` as of `topicState`. \
                `next`: where the next page begins, or `null`.",
        read: |fields| {
            let (text, stretch) = (looked_for(fields)?, stretch(fields)?);
            Ok(Asked::ListTopics { text, stretch })
        },
    },
    Method {
        name: "topicState",
        effect: Effect::Reads,
        summary: "See what there is to know of a topic",
        about: "Times are in milliseconds since 1970.",
        fields: &[TOPIC],
        gives: "`topic`, its `kind`: `group`, `channel`, `pair` or `notes`, `name`, which is `fn` \
                of `public`, or `null`, `owner` or `null`, default modes `auth` and `anon`, \
                `tags`, `created`, `lastMessage` or `null`, `seq` of that message, how many \
                `deletions` of messages there were, how many `members`, how many `readers` about, \
                and how many users are attached, `here`.",
        read: |fields| Ok(Asked::TopicState { topic: topic(fields)? }),
    },
    Method {
        name: "listMembers",
        effect: Effect::Reads,
        summary: "List a topic's members",
        about: "By id, page by page.",
        fields: &[TOPIC, READERS, AFTER, LIMIT],
        gives: "`members`: of each `user`, `name` or `null`, `want`, `given`, `since` when, in \
                milliseconds since 1970, and up to which message it has `read` and received: \
                `recv`. `next`: where the next page begins, or `null`.",
        read: |fields| {
            let (topic, readers) = (topic(fields)?, flag(fields, &READERS)?);
            Ok(Asked::ListMembers { topic, readers, stretch: stretch(fields)? })
        },
    },
    Method {
        name: "deleteTopic",
        effect: Effect::Changes,
        summary: "Delete a topic",
        about: "With its messages; it is gone for all who are in it. Where there are many, their \
                removal goes on when this has answered.",
        fields: &[TOPIC],
        gives: "`members`: how many there were.",
        read: |fields| Ok(Asked::DeleteTopic { topic: topic(fields)? }),
    },
    Method {
        name: "createKey",
        effect: Effect::Changes,
        summary: "Make an API key",
        about: "Clients present it when they connect. It is told here alone.",
        fields: &[NOTE],
        gives: "`key`; `name`: how it is listed.",
        read: |fields| Ok(Asked::CreateKey { note: note(fields)? }),
    },
    Method {
        name: "revokeKey",
        effect: Effect::Changes,
        summary: "Revoke an API key",
        about: "Nobody connects with it any more, to any node; sessions that are there stay. One \
                that was made elsewhere with the same salt has to be named as a whole.",
        fields: &[KEY],
        gives: "`name`: how it is listed; `revoked`: whether it was good before.",
        read: |fields| Ok(Asked::RevokeKey { key: key(fields)? }),
    },
    Method {
        name: "listKeys",
        effect: Effect::Reads,
        summary: "List API keys",
        about: "Those that were made or revoked here, by name, page by page. Keys that were made \
                elsewhere with the same salt are good without being listed.",
        fields: &[AFTER, LIMIT],
        gives: "`keys`: of each `name`, `note`, when it was `created`, in milliseconds since 1970, \
                or `null` of one that was made with the salt or elsewhere, and whether it is \
                `revoked`. `next`: where the next page begins, or `null`.",
        read: |fields| Ok(Asked::ListKeys { stretch: stretch(fields)? }),
    },
];
