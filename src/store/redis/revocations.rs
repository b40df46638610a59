//! Credentials that were revoked, and what else a node has to know within a second.
//!
//! A revocation is published to the nodes of the user's connections, and kept in a set of each
//! until that node has told the connection: the connection that listens may be deaf without
//! knowing. So each node also looks, twice a second, by its connection for commands. A mark for the
//! uid, kept for a while, tells those whose check may have been before the revocation, when they
//! claim or enter.
use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use redis::Value;
use tokio::time::{Instant, sleep};

use super::{
    OpenError, Options, Redis, address, answer,
    client::{Arguments, Client, Live},
    presence::room_id,
    script::{PLAIN, Script},
    switch::Switch,
};
use crate::domain::{
    directory::Ending,
    error::StoreError,
    ids::{ConnectionId, Uid},
    presence::{Expelled, Expulsion},
};

/// Between two looks: with what a look takes, all is known within a second.
const LOOK: Duration = Duration::from_millis(450);
/// How long it is waited until nodes have said that they told connections.
const CONFIRMATION: Duration = Duration::from_secs(5);
/// Between two questions whether it has.
const QUESTION: Duration = Duration::from_millis(20);
/// How long a revocation is kept, at least.
pub(super) const KEPT: Duration = Duration::from_secs(600);

/// How an administrator ends a connection, in the set of those.
pub(super) const DROP: &str = "d";
pub(super) const REFUSE: &str = "r";

impl Redis {
    /// For ever.
    pub(super) async fn keep_looking(self: Arc<Self>) {
        let mut told = HashSet::new();
        loop {
            sleep(LOOK).await;
            if let Err(error) = self.look(&mut told).await {
                tracing::debug!(%error, "kicks, revocations and the switch of user authentication are not seen now");
            }
        }
    }

    /// Does what was not heard of. `told` are those that were evicted when this was last asked.
    pub(super) async fn look(&self, told: &mut HashSet<ConnectionId>) -> Result<(), StoreError> {
        let known = self.switch();
        let seen = answer::list(
            self.call(Script::Look, Instant::now() + self.options.lease / 3, |a| a).await?,
        )?;
        let mut seen = seen.into_iter();
        self.revocations.store(answer::number(seen.next())?, SeqCst);
        self.learn_switch(known, Switch::read(&answer::text(seen.next())?));
        let evicted = connections(seen.next())?;
        evicted.difference(told).for_each(|connection| self.sink().evict(*connection));
        *told = evicted;
        for connection in connections(seen.next())? {
            self.revoke(connection).await;
        }
        for (connection, ending) in endings(seen.next())? {
            self.end_connection(connection, ending).await;
        }
        for connection in connections(seen.next())? {
            self.recheck(connection).await;
        }
        let due = answer::list(seen.next().unwrap_or_default())?.into_iter();
        let due: Vec<_> = due.filter_map(|room| room_id(&answer::bytes(room)?).ok()).collect();
        if !due.is_empty() {
            self.spawn(self.this()?.lapse(due));
        }
        if answer::number(seen.next())? > 0 {
            self.sink().jobs_are_open();
        }
        Ok(())
    }

    /// Refuses a connection whose credentials were revoked, and says so. What can't be said now is
    /// said at one of the next looks.
    pub(super) async fn revoke(&self, connection: ConnectionId) {
        self.sink().revoke(connection);
        let Ok(live) = self.client.live() else { return };
        let mut confirm = redis::cmd("SREM");
        confirm.arg(expelled(&self.options.prefix, &self.node())).arg(connection.0);
        let _ = self.client.send(&live, &confirm, self.deadline()).await;
    }
}

/// The connections that an administrator ends, and how. What can't be read is left out.
fn endings(answer: Option<Value>) -> Result<Vec<(ConnectionId, Ending)>, StoreError> {
    let read = |entry: Value| {
        let entry = answer::text(Some(entry)).ok()?;
        let (number, how) = entry.split_once(' ')?;
        let ending = match how {
            DROP => Ending::Drop,
            REFUSE => Ending::Refuse,
            _ => return None,
        };
        Some((ConnectionId(number.parse().ok()?), ending))
    };
    Ok(answer::list(answer.unwrap_or_default())?.into_iter().filter_map(read).collect())
}

impl Redis {
    /// Has a connection find out whether it rests on a token that was revoked, and says so.
    pub(super) async fn recheck(&self, connection: ConnectionId) {
        self.sink().recheck(connection);
        let Ok(live) = self.client.live() else { return };
        let mut confirm = redis::cmd("SREM");
        confirm.arg(asked(&self.options.prefix, &self.node())).arg(connection.0);
        let _ = self.client.send(&live, &confirm, self.deadline()).await;
    }

    /// Tells the user's connections of a revocation, on whatever nodes they are.
    pub(super) async fn tell_expelled(
        &self,
        uid: &Uid,
        expulsion: Expulsion,
    ) -> Result<u64, StoreError> {
        let word = match expulsion {
            Expulsion::End => "expel",
            Expulsion::Ask => "recheck",
        };
        let with = |a: Arguments| a.text(uid.as_str()).number(kept(&self.options)).text(word);
        let told = places(self.call(Script::Expel, self.deadline(), with).await?)?;
        let until = Instant::now() + CONFIRMATION;
        for (node, connection) in &told {
            let set = match expulsion {
                Expulsion::End => expelled(&self.options.prefix, node),
                Expulsion::Ask => asked(&self.options.prefix, node),
            };
            loop {
                let live = self.client.live();
                let live = live.map_err(|why| StoreError::from(why).behind_a_change())?;
                if is_out(&self.client, &live, &set, *connection, until).await {
                    break;
                }
                if Instant::now() + QUESTION > until {
                    let why = "a node has not confirmed that it ended a session; it ends it as \
                               soon as it learns of it";
                    return Err(StoreError::OutcomeUnknown(why.to_owned()));
                }
                sleep(QUESTION).await;
            }
        }
        Ok(told.len() as u64)
    }
}

/// How long a revocation is kept: longer than a lease, and than a check and a claim take.
fn kept(options: &Options) -> u64 {
    KEPT.max(options.lease * 4).max(options.deadline * 4).as_millis() as u64
}

/// Connections of a node that have to look whether their token was revoked.
fn asked(prefix: &str, node: &str) -> String {
    format!("{prefix}ao:recheck:{node}")
}

fn expelled(prefix: &str, node: &str) -> String {
    format!("{prefix}ao:expelled:{node}")
}

/// Connections, each with its node before it.
fn places(answer: Value) -> Result<Vec<(String, u64)>, StoreError> {
    let (mut answer, mut places) = (answer::list(answer)?.into_iter(), Vec::new());
    while let Some(node) = answer.next() {
        places.push((answer::text(Some(node))?, answer::number(answer.next())?));
    }
    Ok(places)
}

fn connections(answer: Option<Value>) -> Result<HashSet<ConnectionId>, StoreError> {
    let numbers = answer::list(answer.unwrap_or_default())?;
    numbers.into_iter().map(|number| answer::number(Some(number)).map(ConnectionId)).collect()
}

/// Refuses the connections of a user whose credentials were revoked, on whatever nodes they are,
/// without being a node.
///
/// # Errors
/// Redis does not answer: whether the user is connected, and who would sign in just now, is not
/// known then.
pub async fn revoke(options: Options, uid: &Uid) -> Result<Expelled, StoreError> {
    let unavailable = |error: OpenError| StoreError::Unavailable(error.to_string());
    let (address, channels) =
        address(&options.url, &options.shown, &options.prefix).map_err(unavailable)?;
    let client = Client::open(address, &options.shown, PLAIN).await.map_err(unavailable)?;
    let (live, deadline) = (client.live()?, Instant::now() + options.deadline);
    let arguments = Arguments::new(&options.prefix, &channels, "", &live.run, 0)
        .text(uid.as_str())
        .number(kept(&options))
        .text("expel");
    let told = places(client.run(&live, Script::Expel, &arguments, deadline).await?)?;
    let until = Instant::now() + CONFIRMATION;
    // Behind one that is waited for in vain the others are still asked about, once.
    let last = until + options.deadline;
    let (mut ended, mut late) = (BTreeSet::new(), BTreeSet::new());
    for (node, connection) in &told {
        let set = expelled(&options.prefix, node);
        let mut is_ended = is_out(&client, &live, &set, *connection, last).await;
        while !is_ended && Instant::now() + QUESTION <= until {
            sleep(QUESTION).await;
            is_ended = is_out(&client, &live, &set, *connection, last).await;
        }
        let nodes = if is_ended { &mut ended } else { &mut late };
        nodes.insert(node.as_str());
    }
    let listed = |nodes: BTreeSet<&str>| nodes.into_iter().collect::<Vec<_>>().join(", ");
    Ok(match (told.len() as u64, late.is_empty()) {
        (0, _) => Expelled::Nobody,
        (connections, true) => Expelled::Ended { server: listed(ended), connections },
        (_, false) => Expelled::Unconfirmed { server: listed(late) },
    })
}

/// Whether its node has taken it out of the set.
async fn is_out(client: &Client, live: &Live, set: &str, connection: u64, until: Instant) -> bool {
    let mut question = redis::cmd("SISMEMBER");
    question.arg(set).arg(connection);
    matches!(client.send(live, &question, until).await, Ok(Value::Int(0)))
}
