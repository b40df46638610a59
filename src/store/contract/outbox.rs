//! What webhooks are told.
use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::{OutboxHome, witness::*};
use crate::domain::{
    broker::{Broker, Upkeep},
    erase::Erasure,
    ids::{ConnectionId, RoomId, Uid},
    outbox::{
        Batch, Endpoint, GAPS, Interest, Kinds, OVERHEAD, Outbox, Parking, Pattern, REST,
        Settlement, Standing, Taken,
    },
    presence::{Departure::Left, Presence, Visitor},
};

pub(crate) mod bounds;
pub(crate) mod erasing;
pub(crate) mod messages;
pub(crate) mod presence;

const LEASE: Duration = Duration::from_secs(600);
const DELAY: Duration = Duration::from_secs(100);
const LATER: Settlement = Settlement::Again { after: LEASE, counted: true };

/// A store with webhooks.
pub(crate) struct Parts {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) presence: Arc<dyn Presence>,
    pub(crate) outbox: Arc<dyn Outbox>,
    pub(crate) parking: Arc<dyn Parking>,
    pub(crate) erasure: Arc<dyn Erasure>,
    pub(crate) upkeep: Arc<dyn Upkeep>,
}

fn endpoint(kinds: &[&str], rooms: &str) -> Endpoint {
    Endpoint {
        name: "main".into(),
        kinds: Kinds::parse(kinds.iter().copied()).unwrap(),
        rooms: vec![Pattern::parse(rooms).unwrap()],
        pending: 1 << 30,
        batch: 3,
    }
}

fn messages() -> Endpoint {
    endpoint(&["message.*", "room.cleared"], "*")
}

fn presence() -> Endpoint {
    endpoint(&["member.*", "room.occupied", "room.vacated"], "*")
}

pub(super) struct Story<'a, H> {
    home: &'a H,
    parts: Parts,
    endpoints: Vec<Endpoint>,
    room: RoomId,
}

/// Parts of an event, in one line: its kind, whom it is about, and what else it says.
fn line(event: &Value) -> String {
    let mut line = event["type"].as_str().unwrap().to_owned();
    for field in ["uid", "index", "id", "message", "reason"] {
        match &event[field] {
            Value::Null => {}
            Value::String(text) => line += &format!(" {text}"),
            other => line += &format!(" {other}"),
        }
    }
    line
}

fn parsed(batch: &Batch) -> Value {
    serde_json::from_slice(&batch.body).unwrap()
}

fn events(batch: &Batch) -> Vec<Value> {
    parsed(batch)["data"]["events"].as_array().unwrap().clone()
}

fn lines(batch: &Batch) -> Vec<String> {
    events(batch).iter().map(line).collect()
}

fn number(event: &Value, field: &str) -> u64 {
    event[field].as_u64().unwrap()
}

impl<'a, H: OutboxHome> Story<'a, H> {
    async fn begin(home: &'a H, endpoint: Endpoint) -> Self {
        Self::begin_with(home, vec![endpoint]).await
    }

    async fn begin_with(home: &'a H, endpoints: Vec<Endpoint>) -> Self {
        let interest = Interest { endpoints: endpoints.clone(), leave_delay: DELAY };
        let (parts, room) = (home.open(interest).await, room("classroom"));
        Witness::of(&parts.broker);
        parts.broker.attach(&room).await.unwrap();
        Story { home, parts, endpoints, room }
    }

    async fn say(&self, texts: &[&str]) {
        publish(&self.parts.broker, &self.room, texts.iter().map(|text| insert(text))).await;
    }

    async fn enter(&self, visitor: Visitor) {
        self.parts.presence.enter(&self.room, &visitor).await.unwrap();
    }

    async fn leave(&self, connection: u64) {
        self.parts.presence.depart(&self.room, ConnectionId(connection), Left).await.unwrap();
    }

    async fn look(&self) -> Taken {
        self.parts.broker.check().await.unwrap(); // behind all that was written
        self.parts.outbox.take(&self.endpoints[0], 100, LEASE).await.unwrap()
    }

    /// The one batch that is there.
    async fn take(&self) -> Batch {
        let mut taken = self.look().await.batches;
        assert_eq!(taken.len(), 1, "one room has something to tell: {taken:?}");
        taken.remove(0)
    }

    async fn settle(&self, batch: &Batch, how: Settlement) {
        let is_delivered = how == Settlement::Delivered;
        self.parts.outbox.settle(&self.endpoints[0], batch, how).await.unwrap();
        if is_delivered {
            self.pass(REST).await;
        }
    }

    /// All events that wait, as an endpoint learns of them that never fails.
    async fn told(&self) -> Vec<Value> {
        self.told_with_data().await.into_iter().map(|(_, event)| event).collect()
    }

    /// The same, each with what its batch says besides.
    async fn told_with_data(&self) -> Vec<(Value, Value)> {
        let mut told = Vec::new();
        loop {
            self.parts.broker.check().await.unwrap();
            self.parts.outbox.sweep().await.unwrap();
            let batches = self.look().await.batches;
            if batches.is_empty() {
                return told;
            }
            for batch in batches {
                let data = &parsed(&batch)["data"];
                told.extend(events(&batch).into_iter().map(|event| (data.clone(), event)));
                self.settle(&batch, Settlement::Delivered).await;
            }
        }
    }

    async fn heard(&self) -> Vec<String> {
        self.told().await.iter().map(line).collect()
    }

    async fn pass(&self, time: Duration) {
        self.home.pass(time).await;
    }

    async fn standing(&self) -> Standing {
        self.parts.outbox.standing(&self.endpoints[0]).await.unwrap()
    }

    async fn bytes(&self) -> u64 {
        self.standing().await.bytes
    }
}
