//! Which instance is on which node.
//!
//! An instance has a name that is configured, or random; a node has another one at each start, and
//! after it was taken for dead. Whoever knows the former finds the latter in a record. The record
//! goes when the server ends, or within two days after it has died. Sockets of a dead node the core
//! takes out by itself (decision 20).
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    chat::Chat,
    error::Error,
    neighbour::{Question, Reply},
};
use crate::{
    domain::{
        cluster::Node,
        error::StoreError,
        records::{Collection, Expect, MAX_ID, Put},
    },
    throttle::throttled,
};

/// Instances by their names.
const INSTANCES: Collection = Collection::new("chat-service-instances", &[]);
/// How long a record is kept behind its last writing, in seconds. It is written anew when half of
/// that is over.
const KEPT: u64 = 2 * 86_400;

/// The record of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    node: String,
    /// When it was found there first, in milliseconds since 1970.
    since: u64,
}

impl Chat {
    /// Keeps known on which node this instance is, for ever. Looks as often as `rate` says.
    pub async fn keep_instance(self: Arc<Self>, rate: Duration) {
        loop {
            if let Err(error) = self.note_instance().await {
                throttled!(warn, %error, "this instance of chat-service can't be found by others");
            }
            tokio::time::sleep(rate).await;
        }
    }

    /// Notes on which node this instance is, unless that is noted. To be done before clients are
    /// let in, and then again and again ([`Chat::keep_instance`]).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn note_instance(&self) -> Result<(), StoreError> {
        let (records, name) = (&self.hub.records, &self.options.instance);
        let nodes = self.hub.nodes().await?;
        let Some(this) = nodes.iter().find(|node| node.this) else { return Ok(()) };
        let (now, now_ms) = (self.hub.clock.unix(), self.hub.clock.unix_ms());
        let noted = records.get(&INSTANCES, name).await?;
        let ends = noted.as_ref().and_then(|noted| noted.expires_at).unwrap_or_default();
        let place = noted.and_then(|noted| serde_json::from_slice::<Place>(&noted.body).ok());
        let place = place.filter(|place| place.node == this.id);
        if place.is_some() && ends > now + KEPT / 2 {
            return Ok(());
        }
        let new = || Place { node: this.id.clone(), since: now_ms };
        let body = serde_json::to_vec(&place.unwrap_or_else(new)).unwrap_or_default().into();
        match records.put(&INSTANCES, name, body, Expect::Any, Some(now + KEPT)).await? {
            Put::Done { .. } => Ok(()),
            put @ (Put::Conflict { .. } | Put::Invalid(_)) => {
                Err(StoreError::Unavailable(format!("an instance can't be noted: {put:?}")))
            }
        }
    }

    /// This instance ends: nobody finds it any more.
    ///
    /// # Errors
    /// Those of the store; it is forgotten later then.
    pub async fn forget_instance(&self) -> Result<(), StoreError> {
        self.hub.records.delete(&INSTANCES, &self.options.instance, None).await?;
        Ok(())
    }

    /// The place where an instance was last, and the version of its record.
    async fn place_of(&self, instance: &str) -> Result<Option<(Place, u64)>, Error> {
        if !(1..=MAX_ID).contains(&instance.len()) {
            return Ok(None); // no record can have this name
        }
        let record = self.hub.records.get(&INSTANCES, instance).await?;
        Ok(record.and_then(|record| {
            let place: Place = serde_json::from_slice(&record.body).ok()?;
            Some((place, record.version))
        }))
    }

    /// The node that another instance is on, if that is known, and alive; and its place. What was
    /// on this node is not there any more: where the store is of one node, each start has the same
    /// name.
    async fn other(&self, instance: &str) -> Result<Option<(Node, Place)>, Error> {
        let Some((place, _)) = self.place_of(instance).await? else { return Ok(None) };
        let mut nodes = self.hub.nodes().await?.into_iter();
        let node = nodes.find(|node| node.id == place.node && !node.this);
        Ok(node.map(|node| (node, place)))
    }

    /// When an instance, or this one, gave its last sign of life, in milliseconds since 1970.
    /// `None`: it is not known, or dead.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn heartbeat(&self, instance: Option<&str>) -> Result<Option<u64>, Error> {
        match instance.filter(|name| *name != self.options.instance) {
            None => Ok(Some(self.hub.figures().at)),
            Some(name) => {
                // One that has just started has told nothing of itself yet, but where it is.
                let last = |(node, place): (Node, Place)| {
                    node.figures.map_or(place.since, |figures| figures.at)
                };
                Ok(self.other(name).await?.map(last))
            }
        }
    }

    /// The sockets of an instance, or of this one, and whose they are; none, if it is not known or
    /// dead.
    ///
    /// # Errors
    /// It does not answer, or the store does not.
    pub async fn instance_sockets(
        &self,
        instance: Option<&str>,
    ) -> Result<BTreeMap<String, String>, Error> {
        match instance.filter(|name| *name != self.options.instance) {
            None => Ok(self.own_sockets_by_id()),
            Some(name) => match self.other(name).await? {
                None => Ok(BTreeMap::new()),
                Some((node, _)) => Ok(self.sockets_on(&node.id).await?.unwrap_or_default()),
            },
        }
    }

    /// The sockets of this node, and whose they are.
    fn own_sockets_by_id(&self) -> BTreeMap<String, String> {
        let known = self.known_sockets().into_iter();
        known.map(|(id, user)| (id.to_string(), user.to_string())).collect()
    }

    /// Takes all sockets of an instance out, as if they had gone, without the hook onDisconnect.
    /// Returns once they are out. Those of a dead one the core takes out; it is forgotten here.
    /// Nothing is done where it is not known.
    ///
    /// # Errors
    /// It does not answer, or not all of its sockets are out in time; or the store does not answer.
    pub async fn recover_instance(&self, instance: &str) -> Result<(), Error> {
        if instance == self.options.instance {
            return self.end_all().await;
        }
        let Some((_, version)) = self.place_of(instance).await? else { return Ok(()) };
        let question = Question::Recover { instance: instance.to_owned() };
        let answer = match self.other(instance).await? {
            // It answers when its sockets are out, which may take as long as an answer.
            Some((node, _)) => {
                self.ask_node(&node.id, &question, self.options.bus_ack_timeout.saturating_mul(2))
                    .await?
            }
            None => None,
        };
        match answer {
            // Another one is on that node by now.
            None | Some(Reply::Missing) => {
                let records = &self.hub.records;
                records.delete(&INSTANCES, instance, Some(version)).await?;
                Ok(())
            }
            Some(Reply::Failed(failure)) => Err(failure.into()),
            Some(
                Reply::Done
                | Reply::Unknown
                | Reply::Results(_)
                | Reply::Handshake(_)
                | Reply::Sockets { .. },
            ) => Ok(()),
        }
    }
}
