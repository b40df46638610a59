//! Freezing: the events that a script has found are put together here, and given to another script,
//! which takes them for a batch if they are still what they were.
use std::time::Duration;

use bytes::Bytes;
use redis::Value;
use tokio::time::Instant;

use super::{
    super::{Redis, answer, erase::sha1, presence::room_id, script::Script},
    duration, millis,
};
use crate::{
    domain::{
        clock::alphanumeric,
        error::StoreError,
        ids::RoomId,
        outbox::{BATCH_BYTES, Batch, Endpoint, Frozen, Gap, Happening},
    },
    throttle::throttled,
};

/// Random characters of a batch's id.
const ID: usize = 24;

/// A queue whose turn it is.
pub(super) enum Queue {
    /// Its first batch.
    Frozen(Batch),
    /// It has no batch yet, but this.
    Waiting(Waiting),
}

/// A queue's first events, as a script has found them.
pub(super) struct Waiting {
    pub(super) room: RoomId,
    /// As it is kept.
    pub(super) gap: String,
    pub(super) events: Vec<Item>,
}

/// An event of a queue.
pub(super) struct Item {
    /// As it is kept.
    kept: Bytes,
    /// Its epoch and what it says; nothing: it can't be read, as somebody else wrote it.
    read: Option<(String, Happening)>,
}

impl Item {
    pub(super) fn of(kept: Bytes) -> Self {
        let read = std::str::from_utf8(&kept).ok().and_then(Self::read);
        Item { kept, read }
    }

    fn read(text: &str) -> Option<(String, Happening)> {
        let (head, rest) = text.split_once('\n')?;
        let mut words = head.split(' ');
        let epoch = words.next()?.to_owned();
        let (n, at_ms) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let kind = words.next()?.to_owned();
        let fields = rest.get(words.next()?.parse().ok()?..)?.to_owned();
        Some((epoch, Happening { n, at_ms, kind, fields }))
    }

    /// Whether it may be in a batch of this epoch.
    fn is_of(&self, epoch: &str) -> bool {
        self.read.as_ref().is_none_or(|(of, _)| of == epoch)
    }
}

/// A queue that was taken; nothing: its room has a name that can't be read, and it must not keep the
/// others waiting.
fn read_queue(queue: Value) -> Result<Option<Queue>, StoreError> {
    let mut queue = answer::list(queue)?.into_iter();
    let name = queue.next().and_then(answer::bytes).unwrap_or_default();
    let Ok(room) = room_id(&name) else {
        throttled!(error, ?name, "webhooks of what can't be a room's name are not sent");
        return Ok(None);
    };
    let id = answer::text(queue.next())?;
    if id.is_empty() {
        let gap = answer::text(queue.next())?;
        let events = queue.filter_map(answer::bytes).map(Item::of).collect();
        return Ok(Some(Queue::Waiting(Waiting { room, gap, events })));
    }
    Ok(Some(Queue::Frozen(Batch {
        room,
        id: id.into(),
        body: queue.next().and_then(answer::bytes).unwrap_or_default(),
        attempts: u32::try_from(answer::number(queue.next())?).unwrap_or(u32::MAX),
        since_ms: answer::number(queue.next())?,
    })))
}

/// What these items are, all of them: each with the digest of those before it.
fn digest(items: &[Bytes]) -> String {
    items.iter().fold(String::new(), |before, item| sha1(&[before.as_bytes(), &item[..]].concat()))
}

fn read_gap(text: &str) -> Option<(String, Gap)> {
    let mut words = text.split(' ');
    let epoch = words.next()?.to_owned();
    Some((epoch, Gap { from: words.next()?.parse().ok()?, to: words.next()?.parse().ok()? }))
}

/// What became of events that were to be frozen.
pub(super) enum Freezing {
    /// They are a batch.
    Done(Batch),
    /// Another node was faster, or there is nothing to freeze.
    Other,
    /// They are not what they were: somebody was erased from them, or they were too many; or they
    /// could not be read, and are gone. The queue has its turn again at once.
    Changed,
}

impl Redis {
    /// Takes the queues whose turn it is, and says when the next one's is.
    pub(super) async fn waiting(
        &self,
        endpoint: &Endpoint,
        limit: usize,
        lease: Duration,
    ) -> Result<(Option<Duration>, Vec<Queue>), StoreError> {
        let answer = self.call(Script::HooksTake, self.deadline(), |a| {
            a.text(&endpoint.name)
                .number(limit as u64)
                .number(millis(lease))
                .number(endpoint.batch.max(1) as u64)
                .number(BATCH_BYTES as u64)
        });
        let mut answer = answer::list(answer.await?)?.into_iter();
        let next = duration(answer.next())?;
        let queues = answer.filter_map(|queue| read_queue(queue).transpose());
        Ok((next, queues.collect::<Result<_, _>>()?))
    }

    /// Freezes what waits in a queue.
    pub(super) async fn freeze(
        &self,
        endpoint: &Endpoint,
        waiting: Waiting,
    ) -> Result<Freezing, StoreError> {
        let Waiting { room, gap: kept, events } = waiting;
        let gap = read_gap(&kept);
        let mut epochs = events.iter().filter_map(|item| Some(&item.read.as_ref()?.0));
        let epoch = gap.as_ref().map(|(epoch, _)| epoch).or(epochs.next());
        let epoch = epoch.cloned().unwrap_or_default();
        let gap = gap.map(|(_, gap)| gap);
        // All of a batch is of one epoch.
        let (items, events): (Vec<_>, Vec<_>) = events
            .into_iter()
            .take_while(|item| item.is_of(&epoch))
            .map(|item| (item.kept, item.read.map(|(_, happening)| happening)))
            .unzip();
        let unreadable = events.iter().filter(|event| event.is_none()).count();
        let events: Vec<Happening> = events.into_iter().flatten().collect();
        if items.is_empty() && gap.is_none() {
            return Ok(Freezing::Other);
        }
        let first = gap.map(|gap| gap.from).or(events.first().map(|e| e.n)).unwrap_or_default();
        let last = events.last().map(|e| e.n).or(gap.map(|gap| gap.to)).unwrap_or_default();
        let id = alphanumeric(&*self.options.rng, ID)
            .map(|id| format!("msg_{id}"))
            .map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let at_ms = self.client.redis_ms(Instant::now());
        let body = match (&gap, &events[..]) {
            (None, []) => Bytes::new(),
            _ => Frozen { room: &room, epoch: &epoch, at_ms, gap, events: &events }.body(),
        };
        let answer = self.call(Script::HooksFreeze, self.deadline(), |a| {
            a.text(&endpoint.name)
                .text(room.as_str())
                .text(&id)
                .bytes(&body)
                .text(&epoch)
                .number(first)
                .number(last)
                .number(items.len() as u64)
                .text(&kept)
                .text(&digest(&items))
                .number(unreadable as u64)
        });
        let answer = answer.await?;
        if matches!(answer, Value::Nil) {
            return Ok(Freezing::Other);
        }
        if unreadable > 0 {
            throttled!(
                error,
                ?room,
                unreadable,
                "events of webhooks can't be read, and are dropped"
            );
        }
        let since_ms = answer::text(Some(answer))?;
        if since_ms.is_empty() {
            return Ok(Freezing::Changed);
        }
        let since_ms = since_ms.parse().map_err(|_| {
            StoreError::OutcomeUnknown("Redis has frozen a batch at no time".into())
        })?;
        Ok(Freezing::Done(Batch { room, id: id.into(), body, attempts: 0, since_ms }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        domain::{
            broker::Broker,
            ids::Uid,
            outbox::{Interest, Kinds, Outbox, OutboxErasure, Pattern},
        },
        store::{
            contract::witness::*,
            redis::{Options, tests::Keys},
        },
    };

    #[test]
    fn an_event_is_read_as_the_scripts_write_it() {
        let kept = Bytes::from_static(b"77 12 1700000000000 member.joined 3\nann\"uid\":\"ann\"");
        let item = Item::of(kept.clone());
        let (epoch, happening) = item.read.unwrap();
        assert_eq!((item.kept, &*epoch, happening.n), (kept, "77", 12));
        assert_eq!(happening.fields, "\"uid\":\"ann\"");
        for bad in [&b"77 12 x member.joined 0\n"[..], b"77 12 3 a 9\n", b"", b"\n", b"\xff"] {
            assert!(Item::of(Bytes::from_static(bad)).read.is_none());
        }
        let gap = Gap { from: 2, to: 4 };
        assert_eq!(read_gap("7 2 4"), Some(("7".into(), gap)));
        assert_eq!(read_gap(""), None);
    }

    /// Somebody is erased between the script that takes events and the one that freezes them.
    #[tokio::test]
    async fn what_was_erased_since_it_was_taken_is_not_frozen() {
        let (keys, room, lease) = (Keys::new(), room("classroom"), Duration::from_secs(600));
        let endpoint = Endpoint {
            name: "main".into(),
            kinds: Kinds::parse(["message.*"]).unwrap(),
            rooms: vec![Pattern::parse("*").unwrap()],
            pending: 1 << 30,
            batch: 9,
        };
        let interest = Interest { endpoints: vec![endpoint.clone()], leave_delay: lease };
        let store = Redis::open(Options { hooks: Some(interest), ..keys.options() }).await.unwrap();
        let broker: Arc<dyn Broker> = store.clone();
        Witness::of(&broker);
        // The event of the user is not the first.
        publish(&broker, &room, [insert(r#"{"text":"quo","2":"ben"}"#)]).await;
        publish(&broker, &room, [insert(r#"{"text":"usque","2":"ann"}"#)]).await;
        broker.check().await.unwrap();
        let (_, mut queues) = store.waiting(&endpoint, 9, lease).await.unwrap();
        let Some(Queue::Waiting(waiting)) = queues.pop() else { panic!("it is not frozen yet") };
        assert_eq!(waiting.events.len(), 2);
        assert_eq!(store.erase_told(&room, &Uid::text("ann").unwrap()).await.unwrap(), 1);
        let frozen = store.freeze(&endpoint, waiting).await.unwrap();
        assert!(matches!(frozen, Freezing::Changed));
        // Its turn is now, not when the lease is over.
        let taken = store.take(&endpoint, 9, lease).await.unwrap();
        let body = String::from_utf8(taken.batches[0].body.to_vec()).unwrap();
        assert!(body.contains("quo") && !body.contains("usque"), "{body}");
    }
}
