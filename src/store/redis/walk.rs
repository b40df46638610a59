//! All rooms with messages, and what is due of them.
use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use redis::cmd;

use super::{Redis, answer, archive::keys::Keys, broker::rule_arguments, script::Script};
use crate::domain::{
    error::StoreError,
    ids::RoomId,
    retention::{Stretch, Walk},
};

/// Keys that are looked at in one step.
const SCAN: usize = 1000;
/// Rooms that one script looks at.
const ROOMS: usize = 100;

#[async_trait]
impl Walk for Redis {
    async fn rooms(&self, after: Option<&str>) -> Result<Stretch, StoreError> {
        let keys = Keys::new(&self.options.prefix);
        let mut scan = cmd("SCAN");
        scan.arg(after.unwrap_or("0")).arg("MATCH").arg(keys.pattern()).arg("COUNT").arg(SCAN);
        let live = self.client.live()?;
        let answer = self.client.ask(&live, &scan, self.deadline()).await?;
        let mut answer = answer::list(answer)?.into_iter();
        let next = answer::text(answer.next())?;
        let found = answer::list(answer.next().unwrap_or_default())?.into_iter();
        let rooms: BTreeSet<RoomId> =
            found.filter_map(answer::bytes).filter_map(|key| keys.any_room(&key)).collect();
        Ok(Stretch { rooms: rooms.into_iter().collect(), next: (next != "0").then_some(next) })
    }

    async fn due(&self, rooms: Vec<RoomId>) -> Result<Vec<RoomId>, StoreError> {
        let mut due = Vec::new();
        for some in rooms.chunks(ROOMS) {
            let arguments = |mut a: super::Arguments| {
                for room in some {
                    let (age, count) = rule_arguments(self.rule(room));
                    a = a.text(room.as_str()).text(&age).text(&count);
                }
                a
            };
            let answer = self.call(Script::Due, self.deadline(), arguments).await?;
            for number in answer::list(answer)? {
                let at = usize::try_from(answer::number(Some(number))?).unwrap_or(usize::MAX);
                due.extend(some.get(at).cloned());
            }
        }
        Ok(due)
    }

    async fn is_chosen(&self, lasts: Duration) -> Result<bool, StoreError> {
        let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX).min(1 << 40);
        let answer = self.call(Script::Choose, self.deadline(), |a| a.number(lasts)).await?;
        Ok(answer::number(Some(answer))? == 1)
    }
}
