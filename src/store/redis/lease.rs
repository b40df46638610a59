//! Who is alive. Each node gives a sign of life every third of its lease, or more often. Who gives
//! none for a lease is declared dead by any other, which then tells the rooms that its clients are
//! gone.
//!
//! Nobody declares others dead before its own signs have been heard for a whole lease: after an
//! outage of Redis all leases are over, and all nodes register again, silently. A node that was
//! declared dead while Redis was up finds its name missing: its clients are gone as far as
//! the others know, so they have to come back, to a node under a new name.
use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use redis::Value;
use tokio::time::{Instant, sleep, timeout};

use super::{Redis, answer, debts::Debt, lock, script::Script, switch::Switch};
use crate::domain::{
    cluster::{Cluster, Lost, Node},
    error::StoreError,
    ids::{ConnectionId, RoomId, SocketId, Uid},
};
use crate::metrics::Beat;
use crate::throttle::throttled;

/// Rooms that are told of a dead node's clients in one script: everything else waits meanwhile.
const REAPED_AT_ONCE: u64 = 100;
/// Pause between two attempts to compare notes, or to give a sign of life.
const AGAIN: Duration = Duration::from_millis(500);

/// What Redis says to a sign of life.
enum Reply {
    /// `late`: its lease was over.
    Alive {
        user_auth: Option<Switch>,
        dead: Vec<String>,
        late: bool,
    },
    TakenForDead,
}

/// Reads what reap.lua answers: how many sessions are left, and who was taken out.
fn reaped(value: Value) -> Result<(u64, Vec<Lost>), StoreError> {
    let mut words = answer::list(value)?.into_iter();
    let left = answer::number(words.next())?;
    let mut lost = Vec::new();
    while let Some(socket) = words.next() {
        let socket = SocketId(answer::text(Some(socket))?.into());
        let uid = Uid::stored(&answer::text(words.next())?);
        let mut rooms = Vec::new();
        for _ in 0..answer::number(words.next())? {
            let room = RoomId::stored(&answer::text(words.next())?);
            let left = answer::number(words.next())?;
            // A name that is none here is one of a later version.
            rooms.extend(room.map(|room| (room, left)));
        }
        lost.extend(uid.map(|uid| Lost { uid, socket, rooms }));
    }
    Ok((left, lost))
}

impl Redis {
    async fn beat(&self, registers: bool, may_reap: bool) -> Result<Reply, StoreError> {
        let lease = self.options.lease.as_millis() as u64;
        let (connections, figures) = (self.sink().open_connections(), self.sink().figures());
        let figures = figures.and_then(|figures| serde_json::to_string(&figures).ok());
        let figures = figures.unwrap_or_default();
        let deadline = Instant::now() + self.options.lease / 3;
        let kept = self.switch_kept();
        let answer = self.call(Script::Beat, deadline, |a| {
            a.number(lease)
                .number(connections)
                .number(u64::from(registers))
                .number(u64::from(may_reap))
                .text(&kept)
                .text(&figures)
        });
        let mut answer = answer::list(answer.await?)?.into_iter();
        let late = match answer::number(answer.next())? {
            0 => return Ok(Reply::TakenForDead),
            word => word == 2,
        };
        self.client.set_clock(answer::number(answer.next())?);
        let user_auth = Switch::read(&answer::text(answer.next())?);
        let mut dead =
            answer.map(|node| answer::text(Some(node))).collect::<Result<Vec<_>, _>>()?;
        dead.sort_unstable();
        dead.dedup();
        Ok(Reply::Alive { user_auth, dead, late })
    }

    /// Makes this node one of the cluster's.
    pub(super) async fn register(&self) -> Result<(), StoreError> {
        let known = self.switch();
        match self.beat(true, false).await? {
            Reply::Alive { user_auth, .. } => self.learn_switch(known, user_auth),
            Reply::TakenForDead => {}
        }
        Ok(())
    }

    /// Gives signs of life, for ever.
    pub(super) async fn keep_lease(self: Arc<Self>) {
        let interval = self.options.beat.min(self.options.lease / 3);
        let (mut heard_since, mut pause) = (Some(Instant::now()), interval);
        loop {
            let _ = timeout(pause, self.beat_now.notified()).await;
            pause = interval;
            let may_reap = heard_since.is_some_and(|since| since.elapsed() > self.options.lease);
            let known = self.switch();
            match self.beat(false, may_reap).await {
                Ok(Reply::Alive { user_auth, dead, late }) => {
                    self.count(if late { Beat::Late } else { Beat::Renewed });
                    if late {
                        heard_since = None;
                    }
                    heard_since.get_or_insert_with(Instant::now);
                    self.learn_switch(known, user_auth);
                    // Neither may keep the next sign of life waiting.
                    let this = self.clone();
                    self.spawn(async move { this.settle_debts().await });
                    for node in dead {
                        if lock(&self.reaping).insert(node.clone()) {
                            let (this, reaping) = (self.clone(), Reaping(self.clone(), node));
                            self.spawn(async move { this.reap(&reaping.1).await });
                        }
                    }
                }
                Ok(Reply::TakenForDead) => {
                    self.count(Beat::Lost);
                    throttled!(
                        error,
                        "the other nodes have taken this one for dead; its clients come back"
                    );
                    // What they have on their way is not said behind the news that they are gone.
                    let claiming = lock(&self.claiming).clone();
                    let lost: HashSet<_> =
                        self.present().filter(|c| !claiming.contains(c)).collect();
                    lost.iter().for_each(|connection| self.sink().send_back(*connection));
                    *lock(&self.lost) = lost;
                    self.rename();
                    heard_since = None;
                    if let Err(error) = self.register().await {
                        throttled!(warn, %error, "this node could not register again yet");
                    }
                }
                Err(error) => {
                    self.count(Beat::Failed);
                    (heard_since, pause) = (None, AGAIN.min(interval));
                    throttled!(warn, %error, "no sign of life could be given");
                }
            }
        }
    }

    fn count(&self, beat: Beat) {
        self.options.supervisor.metrics().node.beat(beat);
    }

    /// Connections of this node that Redis knows, or should know.
    fn present(&self) -> impl Iterator<Item = ConnectionId> + use<> {
        let sink = self.sink();
        sink.sessions().into_iter().chain(sink.guests())
    }

    /// A new name, so that nobody reaps what is new.
    fn rename(&self) {
        let mut node = lock(&self.node);
        let (name, life) = node
            .split_once('.')
            .map_or((&**node, 1), |(name, life)| (name, life.parse().unwrap_or(1_u64)));
        let next = format!("{name}.{}", life + 1);
        *node = next.into();
    }

    async fn reap(&self, dead: &str) {
        loop {
            let answer = self
                .call(Script::Reap, self.deadline(), |a| {
                    a.text(dead).number(REAPED_AT_ONCE).number(self.room_expiry())
                })
                .await;
            match answer.map_err(StoreError::from).and_then(reaped) {
                Ok((left, lost)) => {
                    if !lost.is_empty() {
                        self.sink().lost(lost);
                    }
                    if left == 0 {
                        break;
                    }
                }
                Err(error) => {
                    throttled!(warn, node = dead, %error, "a dead node could not be taken out yet");
                    return;
                }
            }
        }
        self.options.supervisor.metrics().node.dead_nodes.inc();
        tracing::warn!(node = dead, "a node is dead; its rooms were told");
    }

    /// A Redis that has started again may have lost the last moments: sessions that ended are back,
    /// others were never begun. `again`: whoever watched before has failed, and may have missed
    /// one.
    pub(super) async fn watch_restarts(self: Arc<Self>, again: bool) {
        let mut connections = self.client.watch();
        let mut run = self.client.live().ok().map(|live| live.run).filter(|_| !again);
        if again {
            connections.mark_changed();
        }
        while connections.changed().await.is_ok() {
            let Some(now) = connections.borrow_and_update().as_ref().map(|live| live.run.clone())
            else {
                continue;
            };
            if run.replace(now.clone()) != Some(now) {
                while let Err(error) = self.compare_notes().await {
                    tracing::debug!(%error, "sessions can't be compared with Redis yet");
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Ends what Redis knows and this node does not, and sends back whom Redis does not know.
    pub(super) async fn compare_notes(&self) -> Result<(), StoreError> {
        // What is owed is on its way, and no difference; nor is who signs in just now.
        self.settle_debts().await;
        let before: Vec<ConnectionId> = self.present().collect();
        if !before.is_empty() {
            sleep(self.options.deadline.min(self.options.lease)).await;
        }
        // Looked at before Redis is asked: who is noted meanwhile is not missing there.
        let claiming = lock(&self.claiming).clone();
        let noted = answer::list(self.call(Script::Notes, self.deadline(), |a| a).await?)?;
        // And this behind it: whoever is noted was here then, so who is not here now has ended. The
        // other way round, who signed in between the two would be ended in Redis, and stay
        // here.
        let here: HashSet<ConnectionId> = self.present().collect();
        let guests: HashSet<ConnectionId> = self.sink().guests().into_iter().collect();
        let missing =
            |connection: &ConnectionId| here.contains(connection) && !claiming.contains(connection);
        let mut unknown: HashSet<ConnectionId> = before.into_iter().filter(missing).collect();
        for entry in noted {
            let entry = answer::text(Some(entry))?;
            let Some((known, (connection, uid))) =
                entry.split_at_checked(1).and_then(|(k, rest)| Some((k, rest.split_once('\n')?)))
            else {
                continue;
            };
            let (Ok(connection), Ok(uid)) =
                (connection.parse().map(ConnectionId), Uid::stored(uid))
            else {
                continue;
            };
            // Of a guest no session is missing: where it is noted, so is its place.
            if known == "1" || guests.contains(&connection) {
                unknown.remove(&connection);
            }
            if !here.contains(&connection) {
                let _ = self.owe(Debt::End(uid, connection), self.deadline()).await;
            }
        }
        unknown.into_iter().for_each(|connection| self.sink().send_back(connection));
        Ok(())
    }

    /// Connections of this node whose session was taken over, and that have not ended yet.
    pub(super) async fn evicted_here(&self) -> Result<Vec<ConnectionId>, StoreError> {
        let evicted = self.ask("SMEMBERS", &format!("ao:evicted:{}", self.node())).await?;
        evicted
            .into_iter()
            .map(|connection| answer::number(Some(connection)).map(ConnectionId))
            .collect()
    }
}

/// A dead node that this one is taking out, until that has ended in some way.
struct Reaping(Arc<Redis>, String);

impl Drop for Reaping {
    fn drop(&mut self) {
        lock(&self.0.reaping).remove(&self.1);
    }
}

#[async_trait]
impl Cluster for Redis {
    async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        let answer = answer::list(self.call(Script::Nodes, self.deadline(), |a| a).await?)?;
        let mut answer = answer.into_iter();
        let (this, mut nodes) = (self.node(), Vec::new());
        while let Some(id) = answer.next() {
            let (id, connections) = (answer::text(Some(id))?, answer::number(answer.next())?);
            let (this, figures) = (*id == *this, answer::text(answer.next())?);
            // Its own it knows better than its last sign of life said.
            nodes.push(match this {
                true => {
                    let (connections, figures) =
                        (self.sink().open_connections(), self.sink().figures());
                    Node { id, this, connections, figures }
                }
                false => {
                    Node { id, this, connections, figures: serde_json::from_str(&figures).ok() }
                }
            });
        }
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(nodes)
    }

    async fn force_user_auth(&self, on: bool) -> Result<(), StoreError> {
        self.switch_user_auth(on).await
    }
}
