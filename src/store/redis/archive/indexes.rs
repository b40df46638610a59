//! Where logs are among all indexes: in the rooms' counters, which a server goes on with.
use async_trait::async_trait;
use redis::Cmd;

use super::{
    super::{edition::epoch, script::copying},
    RedisArchive, SCAN,
};
use crate::{
    domain::{error::StoreError, ids::RoomId},
    transfer::{Bounds, Indexes},
};

impl RedisArchive {
    /// The lives that had any message, whether or not any is left.
    pub(super) async fn counted(&self) -> Result<Vec<RoomId>, StoreError> {
        let (mut lives, mut cursor) = (Vec::new(), None);
        loop {
            let (keys, next) = self.scan("ao:seq:\u{1}", cursor.as_deref(), SCAN).await?;
            let rooms = keys.iter().filter_map(|key| self.keys.behind("ao:seq:", key));
            for room in rooms.filter_map(|text| RoomId::stored(text).ok()) {
                if room.is_life() && self.bounds(&room).await?.start > 0 {
                    lives.push(room);
                }
            }
            cursor = next;
            if cursor.is_none() {
                return Ok(lives);
            }
        }
    }
}

#[async_trait]
impl Indexes for RedisArchive {
    async fn bounds(&self, room: &RoomId) -> Result<Bounds, StoreError> {
        let with = |eval: &mut Cmd| {
            eval.arg(room.as_str());
        };
        let (origin, start, n, ends, life, named): (u64, u64, u64, String, String, String) =
            self.script(copying::BOUNDS, with).await?;
        let epoch = epoch(&life, origin, &named);
        Ok(Bounds { origin, start, epoch, n, ends_ms: ends.parse().ok() })
    }

    async fn begin(&self, room: &RoomId, bounds: &Bounds) -> Result<bool, StoreError> {
        let Bounds { origin, start, epoch, n, .. } = *bounds;
        let with = |eval: &mut Cmd| {
            eval.arg(room.as_str()).arg(origin).arg(start).arg(epoch).arg(n);
        };
        let begun: u64 = self.script(copying::BEGIN, with).await?;
        Ok(begun == 1)
    }

    async fn finish(&self, room: &RoomId, bounds: &Bounds) -> Result<(), StoreError> {
        let ends = bounds.ends_ms.map(|at| at.to_string()).unwrap_or_default();
        let with = |eval: &mut Cmd| {
            eval.arg(room.as_str()).arg(bounds.n).arg(ends);
        };
        self.script(copying::FINISH, with).await
    }

    async fn floor(&self) -> Result<u64, StoreError> {
        let (mut least, mut cursor) = (0, None);
        loop {
            let (keys, next) = self.scan("ao:seq:", cursor.as_deref(), SCAN).await?;
            let rooms: Vec<&str> =
                keys.iter().filter_map(|key| self.keys.behind("ao:seq:", key)).collect();
            let with = |eval: &mut Cmd| {
                rooms.iter().for_each(|room| {
                    eval.arg(*room);
                })
            };
            least = least.max(self.script::<u64>(copying::FLOOR, with).await?);
            cursor = next;
            if cursor.is_none() {
                return Ok(least);
            }
        }
    }

    async fn raise_floor(&self, floor: u64) -> Result<(), StoreError> {
        self.script(copying::RAISE, |eval| {
            eval.arg(floor);
        })
        .await
    }
}
