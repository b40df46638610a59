//! The scripts. Each does one thing to Redis as a whole: nothing comes between its steps, and it is
//! applied entirely or not at all.
//!
//! They name their keys themselves, as a claim or a reaping touches rooms that only Redis knows; so
//! they need one Redis server, or a primary with replicas, not Redis Cluster.

/// A script, by its place in the list of those that are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Publish,
    Tail,
    Page,
    Updates,
    Clear,
    Recall,
    Trim,
    Drop,
    Due,
    Choose,
    Erase,
    Erased,
    EraseInserts,
    Expire,
    Lapse,
    Forget,
    Expel,
    Beat,
    Resign,
    Admit,
    Nodes,
    Ask,
    Switch,
    Look,
    Probe,
    Notes,
    Enter,
    Depart,
    Release,
    Claim,
    End,
    Reap,
    RecordPut,
    RecordDelete,
    RecordPage,
    RecordSweep,
    Remove,
    Whereabouts,
    MembersPage,
    RoomsPage,
    UsersPage,
    Counts,
    Disconnect,
    HooksTake,
    HooksFreeze,
    HooksSettle,
    HooksSweep,
    HooksStand,
    HooksParked,
    HooksReplay,
    HooksErase,
    HooksAmend,
    HooksDrop,
    HooksErased,
    HooksIndex,
}

impl Script {
    /// Whether it only reads. One that takes long says nothing about the connection.
    pub(super) fn reads(self) -> bool {
        matches!(
            self,
            Script::Page
                | Script::Updates
                | Script::Tail
                | Script::Nodes
                | Script::Look
                | Script::Notes
                | Script::RecordPage
                | Script::Whereabouts
                | Script::MembersPage
                | Script::RoomsPage
                | Script::UsersPage
                | Script::Counts
                | Script::HooksStand
                | Script::HooksParked
        )
    }

    /// Whether it tells webhooks of what it does, if there are any: then the last argument says
    /// what they are told, and whether it has told anything stands in front of its answer.
    pub(super) fn tells(self) -> bool {
        matches!(
            self,
            Script::Publish
                | Script::Clear
                | Script::Enter
                | Script::Depart
                | Script::Release
                | Script::Claim
                | Script::End
                | Script::Reap
                | Script::Remove
                | Script::HooksSweep
                | Script::HooksErased
                | Script::Trim
        )
    }
}

/// A script, with what all of them begin with.
macro_rules! source {
    ($($part:literal)*) => {
        concat!(include_str!("lua/common.lua"), $(include_str!(concat!("lua/", $part)),)*)
    };
}

/// In the order of [`Script`], with what those have in front and behind that may tell webhooks.
macro_rules! sources {
    ([$($hooks:literal)*] [$($end:literal)*]) => {
        &[
            source!($($hooks)* "publish.lua" $($end)*),
            source!("tail.lua"),
            source!("log.lua" "page.lua"),
            source!("updates.lua"),
            source!($($hooks)* "log.lua" "clear.lua" $($end)*),
            source!("log.lua" "recall.lua"),
            source!($($hooks)* "log.lua" "trim.lua" $($end)*),
            source!("log.lua" "drop.lua"),
            source!("log.lua" "due.lua"),
            source!("choose.lua"),
            source!("erase.lua"),
            source!("erased.lua"),
            source!("log.lua" "erase_inserts.lua"),
            source!("log.lua" "expire.lua"),
            source!("log.lua" "lapse.lua"),
            source!("forget.lua"),
            source!("nohooks.lua" "presence.lua" "directory.lua" "revoke.lua"),
            source!("user_auth.lua" "beat.lua"),
            source!("held.lua" "resign.lua"),
            source!("admit.lua"),
            source!("nodes.lua"),
            source!("ask.lua"),
            source!("user_auth.lua" "switch.lua"),
            source!("user_auth.lua" "look.lua"),
            source!("probe.lua"),
            source!("notes.lua"),
            source!($($hooks)* "presence.lua" "enter.lua" $($end)*),
            source!($($hooks)* "presence.lua" "depart.lua" $($end)*),
            source!($($hooks)* "presence.lua" "release.lua" $($end)*),
            source!($($hooks)* "presence.lua" "claim.lua" $($end)*),
            source!($($hooks)* "presence.lua" "end.lua" $($end)*),
            source!($($hooks)* "presence.lua" "held.lua" "reap.lua" $($end)*),
            source!("records.lua" "record_put.lua"),
            source!("records.lua" "record_delete.lua"),
            source!("records.lua" "record_page.lua"),
            source!("records.lua" "record_sweep.lua"),
            source!($($hooks)* "presence.lua" "remove.lua" $($end)*),
            source!("nohooks.lua" "presence.lua" "directory.lua" "whereabouts.lua"),
            source!("nohooks.lua" "presence.lua" "directory.lua" "members_page.lua"),
            source!("nohooks.lua" "presence.lua" "directory.lua" "rooms_page.lua"),
            source!("nohooks.lua" "presence.lua" "directory.lua" "users_page.lua"),
            source!("nohooks.lua" "presence.lua" "directory.lua" "counts.lua"),
            source!("nohooks.lua" "presence.lua" "directory.lua" "disconnect.lua"),
            source!("queues.lua" "hooks_take.lua"),
            source!("queues.lua" "hooks_freeze.lua"),
            source!("queues.lua" "hooks_settle.lua"),
            source!("queues.lua" "hooks.lua" "act.lua" "presence.lua" "hooks_sweep.lua" "acted.lua"),
            source!("queues.lua" "hooks_stand.lua"),
            source!("queues.lua" "hooks_parked.lua"),
            source!("queues.lua" "hooks_replay.lua"),
            source!("queues.lua" "hooks_erase.lua"),
            source!("queues.lua" "hooks_amend.lua"),
            source!("queues.lua" "hooks_drop.lua"),
            source!("queues.lua" "hooks.lua" "act.lua" "hooks_erased.lua" "acted.lua"),
            source!("queues.lua" "hooks_index.lua"),
        ]
    };
}

/// What `copy` runs. It is no node, and sends them with each call.
pub(super) mod copying {
    pub(in crate::store::redis) const BOUNDS: &str =
        source!("log.lua" "archive.lua" "archive_bounds.lua");
    pub(in crate::store::redis) const EXTENTS: &str =
        source!("log.lua" "archive.lua" "archive_extents.lua");
    pub(in crate::store::redis) const READ: &str =
        source!("log.lua" "archive.lua" "archive_read.lua");
    pub(in crate::store::redis) const BEGIN: &str =
        source!("log.lua" "archive.lua" "archive_begin.lua");
    pub(in crate::store::redis) const APPEND: &str =
        source!("log.lua" "archive.lua" "archive_append.lua");
    pub(in crate::store::redis) const FINISH: &str =
        source!("log.lua" "archive.lua" "archive_finish.lua");
    pub(in crate::store::redis) const FLOOR: &str = source!("archive_floor.lua");
    pub(in crate::store::redis) const RAISE: &str = source!("archive_raise.lua");
    pub(in crate::store::redis) const RECORDS: &str = source!("records.lua" "cabinet_read.lua");
    pub(in crate::store::redis) const FILE: &str = source!("records.lua" "cabinet_write.lua");
}

/// The scripts where nobody is told anything.
pub(super) const PLAIN: &[&str] = sources!(["nohooks.lua"] []);
/// The scripts that tell webhooks.
pub(super) const TELLING: &[&str] = sources!(["queues.lua" "hooks.lua" "act.lua"] ["acted.lua"]);
