//! The command `erase`: a user's messages. Servers may be running.
use anyhow::Context;

use super::result;
use crate::{
    app,
    config::Config,
    domain::{
        erase::Erased,
        ids::{RoomId, Uid},
    },
};

/// Erases, and tells what was erased.
pub(super) fn run(config: &Config, uid: &str, rooms: &[String]) -> anyhow::Result<u8> {
    let uid = Uid::text(uid).with_context(|| format!("{uid:?} can't be a uid"))?;
    let named = rooms.iter().map(|room| {
        RoomId::new(room).map_err(|why| anyhow::anyhow!("{room:?} can't be a room: {why}"))
    });
    let rooms = named.collect::<anyhow::Result<Vec<_>>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rooms = (!rooms.is_empty()).then_some(&*rooms);
    let Erased { rooms, inserts, updates, copies } =
        runtime.block_on(app::erase_messages(config, &uid, rooms))?;
    let lines = [("rooms", rooms), ("inserts", inserts), ("updates", updates), ("copies", copies)];
    result(lines.map(|(what, count)| format!("{what}: {count}\n")).concat())
}
