//! The scripts. Each does one thing to Redis as a whole: nothing comes between its steps, and it is applied entirely or not at all.
//!
//! They name their keys themselves, as a claim or a reaping touches rooms that only Redis knows; so they need one Redis server, or a primary
//! with replicas, not Redis Cluster.

/// A script, by its place in the list of those that are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Publish,
    Tail,
    Page,
    Clear,
    Forget,
    Enter,
    Depart,
    Release,
    Claim,
    End,
    Expel,
    Beat,
    Reap,
    Resign,
    Admit,
    Nodes,
    Switch,
}

macro_rules! sources {
    ($($file:literal)*) => {
        /// In the order of [`Script`].
        pub(super) const SOURCES: &[&str] = &[$(concat!(include_str!("lua/common.lua"), include_str!(concat!("lua/", $file)))),*];
    };
}

sources! {
    "publish.lua" "tail.lua" "page.lua" "clear.lua" "forget.lua" "enter.lua" "depart.lua" "release.lua" "claim.lua" "end.lua" "expel.lua"
    "beat.lua" "reap.lua" "resign.lua" "admit.lua" "nodes.lua" "switch.lua"
}
