//! What is owed to others while Redis is out. A departure that was never told would leave a ghost, so it is told when Redis is back: it is
//! for those who stay, and they wait for nothing.
use std::{collections::VecDeque, sync::Mutex};

use tokio::{sync::Mutex as Turn, time::Instant};

use super::{
    Redis,
    client::{Arguments, Failure},
    lock,
    script::Script,
};
use crate::domain::{
    error::StoreError,
    ids::{ConnectionId, RoomId, Uid},
};

/// Something to be made up for. Doing it twice does no harm.
#[derive(Debug, Clone)]
pub(super) enum Debt {
    /// A connection is out of a room; the letter says how.
    Depart(RoomId, ConnectionId, &'static str),
    Release(RoomId, Uid),
    End(Uid, ConnectionId),
}

impl Debt {
    pub(super) fn script(&self) -> Script {
        match self {
            Debt::Depart(..) => Script::Depart,
            Debt::Release(..) => Script::Release,
            Debt::End(..) => Script::End,
        }
    }

    pub(super) fn arguments(&self, arguments: Arguments, room_expiry: u64) -> Arguments {
        match self {
            Debt::Depart(room, connection, how) => arguments.text(room.as_str()).number(connection.0).text(how),
            Debt::Release(room, uid) => arguments.text(room.as_str()).text(uid.as_str()),
            Debt::End(uid, connection) => arguments.text(uid.as_str()).number(connection.0),
        }
        .number(room_expiry)
    }
}

/// In the order in which they were made. There are at most as many as there were rooms with somebody of this node in them, so that
/// memory bounds them: each was a member before.
#[derive(Default)]
pub(super) struct Debts {
    owed: Mutex<VecDeque<(String, Debt)>>,
    settling: Turn<()>,
}

impl Redis {
    /// Does it now, or later. The answer is none where it has to wait.
    pub(super) async fn owe(&self, debt: Debt, deadline: Instant) -> Result<redis::Value, StoreError> {
        let node = self.node();
        match self.call(debt.script(), deadline, |a| debt.arguments(a, self.room_expiry())).await {
            Ok(answer) => Ok(answer),
            Err(failure) => {
                tracing::debug!(?failure, ?debt, "made up for later");
                lock(&self.debts.owed).push_back((node.to_string(), debt));
                Err(failure.into())
            }
        }
    }

    /// Makes up for all of it, if Redis answers.
    pub(super) async fn settle_debts(&self) {
        let Ok(_turn) = self.debts.settling.try_lock() else { return };
        loop {
            let Some((node, debt)) = lock(&self.debts.owed).front().cloned() else { return };
            // Under another name this node knows nothing of it any more, and others have done it.
            if *node == *self.node() {
                match self.call(debt.script(), self.deadline(), |a| debt.arguments(a, self.room_expiry())).await {
                    Ok(_) => {}
                    Err(Failure::Refused(why)) => tracing::warn!(why, ?debt, "Redis refuses what is owed to others; it is given up"),
                    Err(_) => return,
                }
            }
            lock(&self.debts.owed).pop_front();
        }
    }
}
