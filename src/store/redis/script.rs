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
    Expire,
    Lapse,
    Forget,
    Expel,
    Beat,
    Resign,
    Admit,
    Nodes,
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
    Disconnect,
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
        )
    }
}

/// A script, with what all of them begin with.
macro_rules! source {
    ($($part:literal)*) => {
        concat!(include_str!("lua/common.lua"), $(include_str!(concat!("lua/", $part)),)*)
    };
}

/// In the order of [`Script`].
pub(super) const SOURCES: &[&str] = &[
    source!("publish.lua"),
    source!("tail.lua"),
    source!("log.lua" "page.lua"),
    source!("updates.lua"),
    source!("log.lua" "clear.lua"),
    source!("log.lua" "recall.lua"),
    source!("log.lua" "trim.lua"),
    source!("log.lua" "drop.lua"),
    source!("log.lua" "expire.lua"),
    source!("log.lua" "lapse.lua"),
    source!("forget.lua"),
    source!("revoke.lua"),
    source!("user_auth.lua" "beat.lua"),
    source!("resign.lua"),
    source!("admit.lua"),
    source!("nodes.lua"),
    source!("user_auth.lua" "switch.lua"),
    source!("user_auth.lua" "look.lua"),
    source!("probe.lua"),
    source!("notes.lua"),
    source!("presence.lua" "enter.lua"),
    source!("presence.lua" "depart.lua"),
    source!("presence.lua" "release.lua"),
    source!("presence.lua" "claim.lua"),
    source!("presence.lua" "end.lua"),
    source!("presence.lua" "reap.lua"),
    source!("records.lua" "record_put.lua"),
    source!("records.lua" "record_delete.lua"),
    source!("records.lua" "record_page.lua"),
    source!("records.lua" "record_sweep.lua"),
    source!("presence.lua" "remove.lua"),
    source!("presence.lua" "directory.lua" "whereabouts.lua"),
    source!("presence.lua" "directory.lua" "members_page.lua"),
    source!("presence.lua" "directory.lua" "rooms_page.lua"),
    source!("presence.lua" "directory.lua" "users_page.lua"),
    source!("presence.lua" "directory.lua" "disconnect.lua"),
];
