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
        )
    }
}

macro_rules! sources {
    (order: $($order:literal)* presence: $($presence:literal)*) => {
        /// In the order of [`Script`].
        pub(super) const SOURCES: &[&str] = &[
            $(concat!(include_str!("lua/common.lua"), include_str!(concat!("lua/", $order))),)*
            $(concat!(include_str!("lua/common.lua"), include_str!("lua/presence.lua"), include_str!(concat!("lua/", $presence))),)*
        ];
    };
}

sources! {
    order: "publish.lua" "tail.lua" "page.lua" "updates.lua" "clear.lua" "recall.lua" "expire.lua" "lapse.lua" "forget.lua" "revoke.lua" "beat.lua" "resign.lua" "admit.lua" "nodes.lua" "switch.lua"
        "look.lua" "probe.lua" "notes.lua"
    presence: "enter.lua" "depart.lua" "release.lua" "claim.lua" "end.lua" "reap.lua"
}
