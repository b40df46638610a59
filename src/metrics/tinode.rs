//! What the dialect tinode counts: hooks that fail.
use super::{family::Family, text::group, value::Counter};

group! {
    /// Counters of the dialect tinode.
    "Tinode" Tinode {
        hook_failures: Family<Counter, 1> = Family::open(
            ["hook"], Counter::default, "a hook of Tinode that is configured"
        ),
            "always_online_tinode_hook_failures",
            "Calls of hooks without a valid answer, by hook.";
    }
}

impl Tinode {
    /// This hook is configured: it is on the page from now on.
    pub fn hook_is_called(&self, hook: &str) {
        self.hook_failures.with([hook], |_| ());
    }

    /// A call of this hook, which is a configured one, has no valid answer.
    pub fn hook_failed(&self, hook: &str) {
        self.hook_failures.with([hook], Counter::inc);
    }
}
