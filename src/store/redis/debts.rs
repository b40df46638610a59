//! What is owed to others while Redis is out. A departure that was never told would leave a ghost,
//! so it is told when Redis is back: it is for those who stay, and they wait for nothing.
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use futures_util::future::join_all;
use tokio::{sync::Mutex as Turn, time::Instant};

use super::{
    Redis,
    client::{Arguments, Failure, passes},
    lock,
    script::Script,
};
use crate::domain::{
    error::StoreError,
    ids::{ConnectionId, RoomId, Uid},
};
use crate::throttle::throttled;

/// Debts that are settled at the same time.
const AT_ONCE: usize = 64;

/// Something to be made up for. Doing it twice does no harm.
#[derive(Debug, Clone)]
pub(super) enum Debt {
    /// A connection is out of a room; the letter says how.
    Depart(RoomId, ConnectionId, &'static str),
    /// A held place is given up by the connection that had it.
    Release(RoomId, Uid, ConnectionId),
    End(Uid, ConnectionId),
}

impl Debt {
    fn script(&self) -> Script {
        match self {
            Debt::Depart(..) => Script::Depart,
            Debt::Release(..) => Script::Release,
            Debt::End(..) => Script::End,
        }
    }

    fn arguments(&self, arguments: Arguments, room_expiry: u64) -> Arguments {
        match self {
            Debt::Depart(room, connection, how) => {
                arguments.text(room.as_str()).number(connection.0).text(how)
            }
            Debt::Release(room, uid, by) => {
                arguments.text(room.as_str()).text(uid.as_str()).number(by.0)
            }
            Debt::End(uid, connection) => arguments.text(uid.as_str()).number(connection.0),
        }
        .number(room_expiry)
    }
}

/// A debt, and the node's name when it was made.
#[derive(Debug, Clone)]
struct Owed {
    number: u64,
    node: Arc<str>,
    debt: Debt,
}

/// In the order in which they were made. There are at most as many as there were members of rooms
/// and sessions on this node, so what bounds those bounds them.
#[derive(Default)]
pub(super) struct Debts {
    owed: Mutex<Vec<Owed>>,
    next: AtomicU64,
    settling: Turn<()>,
}

impl Debts {
    /// A connection that enters a room again does not owe its departure any more.
    pub(super) fn forgive(&self, room: &RoomId, connection: ConnectionId) {
        let mut owed = lock(&self.owed);
        if !owed.is_empty() {
            owed.retain(|owed| !matches!(&owed.debt, Debt::Depart(r, c, _) if r == room && *c == connection));
        }
    }
}

impl Redis {
    /// Does it now, or later: then the failure is returned.
    pub(super) async fn owe(
        &self,
        debt: Debt,
        deadline: Instant,
    ) -> Result<redis::Value, StoreError> {
        let node = self.node();
        match self.settle_debt(&debt, deadline).await {
            Ok(answer) => Ok(answer),
            Err(failure) => {
                tracing::debug!(%failure, ?debt, "made up for later");
                let number = self.debts.next.fetch_add(1, Relaxed);
                lock(&self.debts.owed).push(Owed { number, node, debt });
                Err(failure.into())
            }
        }
    }

    async fn settle_debt(&self, debt: &Debt, deadline: Instant) -> Result<redis::Value, Failure> {
        self.call(debt.script(), deadline, |a| debt.arguments(a, self.room_expiry())).await
    }

    /// Makes up for all of it, if Redis answers. A debt is forgotten when it is settled: until then
    /// it can be forgiven.
    pub(super) async fn settle_debts(&self) {
        let Ok(_turn) = self.debts.settling.try_lock() else { return };
        loop {
            let some: Vec<Owed> = lock(&self.debts.owed).iter().take(AT_ONCE).cloned().collect();
            if some.is_empty() {
                return;
            }
            let (node, deadline) = (self.node(), self.deadline());
            let settled = join_all(some.iter().map(async |owed| {
                // Under another name this node knows nothing of it any more, and others have done
                // it.
                if *owed.node == *node {
                    self.settle_debt(&owed.debt, deadline).await.map(|_| ())
                } else {
                    Ok(())
                }
            }));
            let mut done = HashSet::new();
            for (owed, result) in some.iter().zip(settled.await) {
                match result {
                    Ok(()) => {}
                    Err(Failure::Refused(why))
                        if !passes(&why)
                            && (why.starts_with("WRONGTYPE") || why.starts_with("ERR")) =>
                    {
                        throttled!(error, why, debt = ?owed.debt, "Redis refuses what is owed to others; it is given up");
                    }
                    Err(_) => continue,
                }
                done.insert(owed.number);
            }
            lock(&self.debts.owed).retain(|owed| !done.contains(&owed.number));
            if done.len() < some.len() {
                return;
            }
        }
    }
}
