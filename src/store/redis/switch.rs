//! The switch "users must authenticate", for all nodes. It holds until the last node has ended, and
//! fails closed.
//!
//! Each switching has a serial number, greater than those before, so that nobody takes an earlier
//! word for the latest. That users need not authenticate is believed only while Redis says so. That
//! they must is kept by each node that knows it, and told to a Redis that has forgotten it.
//! That all leases are over proves no node's end: after an outage of Redis all of them are.
use super::{Redis, answer, lock, script::Script};
use crate::domain::error::StoreError;

/// How it was switched, and when in the order of switchings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Switch {
    pub(super) on: bool,
    serial: u64,
}

impl Switch {
    /// `1` or `0`, and the serial number; nothing, where it was not switched.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (on, serial) = text.split_once(' ').unwrap_or((text, "0"));
        Some(Switch { on: on == "1", serial: serial.parse().ok()? })
            .filter(|_| matches!(on, "0" | "1"))
    }

    fn written(self) -> String {
        format!("{} {}", u64::from(self.on), self.serial)
    }

    /// What holds for a node that knows one and is told another, or that Redis has none: the
    /// latest, or else the stricter one.
    fn latest(known: Option<Switch>, told: Option<Switch>) -> Option<Switch> {
        match (known, told) {
            (Some(known), told)
                if known.on && told.is_none_or(|told| told.serial <= known.serial) =>
            {
                Some(known)
            }
            (_, told) => told,
        }
    }
}

impl Redis {
    /// As far as is known here.
    pub(super) fn switch(&self) -> Option<Switch> {
        *lock(&self.user_auth)
    }

    /// Redis was asked when this node knew `asked`. Where that has changed meanwhile, its having
    /// none may be what was before.
    pub(super) fn learn_switch(&self, asked: Option<Switch>, told: Option<Switch>) {
        let mut known = lock(&self.user_auth);
        if told.is_some() || *known == asked {
            *known = Switch::latest(*known, told);
            self.sink().force_user_auth(known.map(|switch| switch.on));
        }
    }

    /// What a sign of life says of it: that users must authenticate, should Redis have forgotten.
    pub(super) fn switch_kept(&self) -> String {
        self.switch().filter(|switch| switch.on).map(Switch::written).unwrap_or_default()
    }

    pub(super) async fn switch_user_auth(&self, on: bool) -> Result<(), StoreError> {
        let known = self.switch().map_or(0, |switch| switch.serial);
        let switched = self
            .call(Script::Switch, self.deadline(), |a| a.number(u64::from(on)).number(known))
            .await?;
        self.learn_switch(None, Switch::read(&answer::text(Some(switched))?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_counts_and_off_only_while_redis_says_so() {
        let read = |text: &str| Switch::read(text);
        let holds = |known, told| {
            Switch::latest(read(known), read(told)).map(Switch::written).unwrap_or_default()
        };
        for (known, told, holding) in [
            ("", "0 7", "0 7"),
            ("1 7", "0 8", "0 8"),
            ("0 7", "1 8", "1 8"),
            ("1 8", "0 7", "1 8"), // an earlier word, or a Redis that has lost the last moments
            ("1 8", "0 8", "1 8"),
            ("1 8", "", "1 8"),
            ("0 8", "1 7", "1 7"),
            ("0 8", "", ""), // then as it is configured
        ] {
            assert_eq!(holds(known, told), holding, "{known:?} known, {told:?} told");
        }
        assert_eq!(
            (read("1"), read("2 7"), read("1 x"), read("no")),
            (Some(Switch { on: true, serial: 0 }), None, None, None)
        );
    }
}
