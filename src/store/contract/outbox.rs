//! What webhooks are told.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;

use super::{OutboxHome, witness::*};
use crate::domain::{
    broker::{Broker, Trim, Upkeep},
    erase::{Erasure, Job, perform},
    error::StoreError,
    ids::{ConnectionId, RoomId},
    outbox::{Batch, Endpoint, Interest, Kinds, Outbox, Parking, Pattern, Settlement, Taken},
    presence::{
        Departure::{Gone, Left},
        Presence, Visitor,
    },
    retention::{Stretch, Walk},
};

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
        self.parts.outbox.settle(&self.endpoints[0], batch, how).await.unwrap();
    }

    /// All events that wait, as an endpoint learns of them that never fails.
    async fn told(&self) -> Vec<Value> {
        let mut told = Vec::new();
        loop {
            self.parts.broker.check().await.unwrap();
            self.parts.outbox.sweep().await.unwrap();
            let batches = self.look().await.batches;
            if batches.is_empty() {
                return told;
            }
            for batch in batches {
                told.extend(events(&batch));
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

    async fn bytes(&self) -> u64 {
        self.parts.outbox.standing(&self.endpoints[0]).await.unwrap().bytes
    }
}

pub(crate) async fn messages_are_told_in_their_order(home: &impl OutboxHome) {
    let story = Story::begin(home, messages()).await;
    let batch = [insert("a"), update("x", r#"{"2":"ann"}"#), ignore("no"), insert("b")];
    publish(&story.parts.broker, &story.room, batch).await;
    story.say(&[r#"{"2":7,"uid":7}"#]).await;
    let told = story.told().await;
    assert_eq!(
        told.iter().map(line).collect::<Vec<_>>(),
        [
            "message.inserted 0 a",
            r#"message.updated ann x {"2":"ann"}"#,
            "message.inserted 1 b",
            r#"message.inserted 7 2 {"2":7,"uid":7}"#,
        ]
    );
    let numbers: Vec<u64> = told.iter().map(|event| number(event, "n")).collect();
    assert!(numbers.is_sorted_by(|a, b| a + 2 <= *b), "{numbers:?}");
    assert_eq!(story.bytes().await, 0, "nothing is kept of what was delivered");
}

pub(crate) async fn a_batch_names_its_room_and_is_bounded(home: &impl OutboxHome) {
    let story = Story::begin(home, messages()).await;
    story.say(&["1", "2", "3", "4"]).await;
    let batch = story.take().await;
    let body = parsed(&batch);
    assert_eq!(body["type"], "room.events");
    assert_eq!(body["data"]["roomId"], story.room.as_str());
    assert!(body["data"]["epoch"].is_string() && body["timestamp"].is_string());
    assert_eq!(events(&batch).len(), 3, "as many as are set");
    story.settle(&batch, Settlement::Delivered).await;
    assert_eq!(lines(&story.take().await), ["message.inserted 3 4"]);
}

pub(crate) async fn what_nobody_asked_for_is_not_written(home: &impl OutboxHome) {
    let story = Story::begin(home, endpoint(&["message.updated"], "doc:*")).await;
    story.say(&["a"]).await;
    publish(&story.parts.broker, &story.room, [update("x", "b")]).await;
    story.enter(visitor(1, "ann")).await;
    claim(&story.parts.presence, "ann", 1).await;
    story.parts.broker.clear(&story.room).await.unwrap();
    story.leave(1).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, [] as [&str; 0]);
    assert_eq!(story.bytes().await, 0);
    let doc = RoomId::new(&format!("doc:{}", story.room)).unwrap();
    publish(&story.parts.broker, &doc, [insert("a"), update("x", "b")]).await;
    assert_eq!(story.heard().await, ["message.updated x b"]);
}

pub(crate) async fn a_clearing_is_told(home: &impl OutboxHome) {
    let story = Story::begin(home, messages()).await;
    story.say(&["a"]).await;
    story.parts.broker.clear(&story.room).await.unwrap();
    story.say(&["b"]).await;
    assert_eq!(
        story.heard().await,
        ["message.inserted 0 a", "room.cleared", "message.inserted 1 b"]
    );
}

pub(crate) async fn a_batch_never_changes(home: &impl OutboxHome) {
    let story = Story::begin(home, messages()).await;
    story.say(&["a"]).await;
    let first = story.take().await;
    story.say(&["b"]).await;
    let now = Duration::ZERO;
    story.settle(&first, Settlement::Again { after: now, counted: true }).await;
    let second = story.take().await;
    assert_eq!((&second.id, &second.body, second.attempts), (&first.id, &first.body, 1));
    story.settle(&second, Settlement::Again { after: now, counted: false }).await;
    assert_eq!(story.take().await.attempts, 1, "it was not the batch's own failure");
    story.settle(&second, Settlement::Delivered).await;
    let third = story.take().await;
    assert_ne!(third.id, first.id);
    assert_eq!((lines(&third), third.attempts), (vec!["message.inserted 1 b".to_owned()], 0));
}

pub(crate) async fn a_room_is_taken_by_one_until_its_lease_is_over(home: &impl OutboxHome) {
    let story = Story::begin(home, messages()).await;
    story.say(&["a"]).await;
    let batch = story.take().await;
    story.say(&["b"]).await;
    let taken = story.look().await;
    assert_eq!(taken.batches, [], "it is being sent");
    assert!(taken.next.is_some_and(|next| next <= LEASE), "{taken:?}");
    story.pass(LEASE).await;
    assert_eq!(story.take().await, batch, "whoever had it has died");
    // Who comes late finds that it was delivered, and harms nobody.
    story.settle(&batch, Settlement::Delivered).await;
    let next = story.take().await;
    story.settle(&batch, Settlement::Parked { why: "late".into() }).await;
    story.settle(&batch, Settlement::Delivered).await;
    assert_eq!(story.look().await.batches, [], "the next one is still being sent");
    story.settle(&next, Settlement::Delivered).await;
    assert_eq!(story.heard().await, [] as [&str; 0]);
}

pub(crate) async fn rooms_are_sent_beside_each_other(home: &impl OutboxHome) {
    let story = Story::begin(home, messages()).await;
    let others: Vec<RoomId> = (0..4).map(|_| room("other")).collect();
    story.say(&["slow"]).await;
    let slow = story.take().await;
    story.settle(&slow, LATER).await;
    for room in &others {
        publish(&story.parts.broker, room, [insert("a")]).await;
    }
    let some = story.parts.outbox.take(&story.endpoints[0], 3, LEASE).await.unwrap().batches;
    assert_eq!(some.len(), 3, "not more than was asked for");
    let rest = story.look().await.batches;
    assert_eq!(rest.len(), 1);
    let mut rooms: Vec<&RoomId> = some.iter().chain(&rest).map(|batch| &batch.room).collect();
    rooms.sort();
    rooms.dedup();
    assert_eq!(rooms.len(), 4, "each once");
    story.pass(LEASE).await;
    let again = story.look().await.batches;
    let ids: Vec<_> = again.iter().map(|batch| &batch.id).collect();
    assert!(ids.contains(&&slow.id) && ids.len() == 5, "the slow one's time has come, too");
}

pub(crate) async fn endpoints_have_queues_of_their_own(home: &impl OutboxHome) {
    let other = Endpoint { name: "other".into(), ..endpoint(&["*"], "*") };
    let story = Story::begin_with(home, vec![messages(), other.clone()]).await;
    story.say(&["a"]).await;
    let mine = story.take().await;
    let theirs = story.parts.outbox.take(&other, 9, LEASE).await.unwrap().batches;
    assert_eq!(lines(&theirs[0]), lines(&mine));
    assert_ne!(theirs[0].id, mine.id);
    story.settle(&mine, Settlement::Delivered).await;
    assert_eq!(story.bytes().await, 0);
    assert!(story.parts.outbox.standing(&other).await.unwrap().bytes > 0, "it has not said so");
}

pub(crate) async fn a_parked_batch_leaves_a_gap_and_can_be_replayed(home: &impl OutboxHome) {
    let story = Story::begin(home, messages()).await;
    story.say(&["bad", "worse"]).await;
    let bad = story.take().await;
    story.say(&["good"]).await;
    story.settle(&bad, Settlement::Parked { why: "400".into() }).await;
    let standing = story.parts.outbox.standing(&story.endpoints[0]).await.unwrap();
    assert_eq!(standing.parked, 1);
    let told = story.told().await;
    let kinds: Vec<_> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["webhook.gap", "message.inserted"]);
    let parked = events(&bad);
    assert_eq!(number(&told[0], "from"), number(&parked[0], "n"));
    assert_eq!(number(&told[0], "to"), number(&parked[1], "n"));
    let n = number(&told[0], "n");
    assert!(n > number(&parked[1], "n") && n < number(&told[1], "n"), "a gap has its own place");

    let parking = &story.parts.parking;
    let page = parking.parked("main", None, 10).await.unwrap();
    let [kept] = &page.batches[..] else { panic!("{page:?}") };
    assert_eq!((&kept.id, &kept.body, &*kept.why), (&bad.id, &bad.body, "400"));
    assert_eq!((kept.attempts, &kept.room, page.next), (1, &story.room, None));
    story.say(&["later"]).await;
    let ids = [bad.id.to_string(), "msg_unknown".into()];
    assert_eq!(parking.replay("main", &ids).await.unwrap(), 1);
    assert_eq!(parking.replay("main", &ids).await.unwrap(), 0, "it is not parked any more");
    let again = story.take().await;
    assert_eq!((&again.id, &again.body, again.attempts), (&bad.id, &bad.body, 0));
    story.settle(&again, Settlement::Delivered).await;
    assert_eq!(story.heard().await, ["message.inserted 3 later"]);
    assert_eq!(story.bytes().await, 0);
    assert_eq!(parking.parked("main", None, 10).await.unwrap().batches, []);
}

pub(crate) async fn parked_batches_are_listed_in_pages(home: &impl OutboxHome) {
    let story = Story::begin(home, messages()).await;
    let mut ids = Vec::new();
    for text in ["a", "b", "c"] {
        story.say(&[text]).await;
        let batch = story.take().await;
        ids.push(batch.id.to_string());
        story.settle(&batch, Settlement::Parked { why: "410".into() }).await;
    }
    let (mut listed, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = story.parts.parking.parked("main", after.as_deref(), 2).await.unwrap();
        listed.extend(page.batches.iter().map(|batch| batch.id.to_string()));
        (after, pages) = (page.next, pages + 1);
        if after.is_none() {
            break;
        }
    }
    assert_eq!((listed, pages), (ids, 2));
    let nobody = story.parts.parking.parked("nobody", None, 2).await.unwrap();
    assert_eq!(nobody.batches, []);
}

pub(crate) async fn too_much_drops_the_oldest_and_says_so(home: &impl OutboxHome) {
    let story = Story::begin(home, Endpoint { pending: 10_000, ..messages() }).await;
    story.say(&["parked"]).await;
    let batch = story.take().await;
    story.settle(&batch, Settlement::Parked { why: "400".into() }).await;
    let text = "x".repeat(200);
    let texts: Vec<String> = (0..100).map(|at| format!("{at} {text}")).collect();
    for text in &texts {
        story.say(&[text]).await;
        assert!(story.bytes().await <= 10_000);
    }
    let standing = story.parts.outbox.standing(&story.endpoints[0]).await.unwrap();
    assert_eq!(standing.parked, 0, "what is parked goes first");
    let told = story.told().await;
    let gap = &told[0];
    assert_eq!(gap["type"], "webhook.gap");
    let first = number(&told[1], "index");
    assert!(first > 50, "most of them are dropped");
    let indexes: Vec<u64> = told[1..].iter().map(|event| number(event, "index")).collect();
    assert_eq!(indexes, (first..101).collect::<Vec<_>>(), "the newest are there, without a hole");
    assert!(number(gap, "from") < number(gap, "to"));
    assert!(number(gap, "to") < number(&told[1], "n"));
    assert_eq!(story.bytes().await, 0);
}

pub(crate) async fn joins_and_leaves_are_told_with_the_rooms_beginning_and_end(
    home: &impl OutboxHome,
) {
    let story = Story::begin(home, presence()).await;
    story.enter(visitor(1, "ann")).await;
    story.enter(visitor(2, "ben")).await;
    assert_eq!(story.heard().await, ["room.occupied", "member.joined ann", "member.joined ben"]);
    story.leave(1).await;
    story.parts.presence.depart(&story.room, ConnectionId(2), Gone).await.unwrap();
    assert_eq!(story.heard().await, [] as [&str; 0], "they may come back");
    story.pass(DELAY).await;
    let mut heard = story.heard().await;
    heard[..2].sort();
    assert_eq!(heard, ["member.left ann left", "member.left ben gone", "room.vacated"]);
    assert_eq!(story.parts.outbox.sweep().await.unwrap(), None, "nobody else is awaited");
}

pub(crate) async fn who_returns_in_time_has_not_left(home: &impl OutboxHome) {
    let story = Story::begin(home, presence()).await;
    story.enter(visitor(1, "ann")).await;
    assert_eq!(story.heard().await, ["room.occupied", "member.joined ann"]);
    story.leave(1).await;
    story.pass(DELAY / 2).await;
    story.enter(visitor(2, "ann")).await;
    story.pass(DELAY * 2).await;
    assert_eq!(story.heard().await, [] as [&str; 0]);
    story.leave(2).await;
    story.pass(DELAY / 2).await;
    assert_eq!(story.heard().await, [] as [&str; 0], "the time counts from the last leaving");
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, ["member.left ann left", "room.vacated"]);
    story.enter(visitor(3, "ann")).await;
    assert_eq!(story.heard().await, ["room.occupied", "member.joined ann"]);
}

pub(crate) async fn a_user_leaves_with_the_last_connection(home: &impl OutboxHome) {
    let story = Story::begin(home, presence()).await;
    story.enter(visitor(1, "ann")).await;
    story.enter(visitor(2, "ann")).await;
    story.enter(visitor(2, "ann")).await;
    assert_eq!(story.heard().await, ["room.occupied", "member.joined ann"]);
    story.leave(1).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, [] as [&str; 0]);
    story.leave(2).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, ["member.left ann left", "room.vacated"]);
}

pub(crate) async fn the_hidden_are_not_told(home: &impl OutboxHome) {
    let story = Story::begin(home, presence()).await;
    story.enter(hidden(1, "eve")).await;
    assert_eq!(story.heard().await, [] as [&str; 0]);
    story.enter(visitor(1, "eve")).await;
    assert_eq!(story.heard().await, ["room.occupied", "member.joined eve"]);
    story.enter(hidden(1, "eve")).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, ["member.left eve gone", "room.vacated"]);
    story.leave(1).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, [] as [&str; 0]);
}

pub(crate) async fn a_place_that_is_held_is_not_left(home: &impl OutboxHome) {
    let story = Story::begin(home, presence()).await;
    claim(&story.parts.presence, "ann", 1).await;
    story.enter(visitor(1, "ann")).await;
    claim(&story.parts.presence, "ann", 2).await;
    story.leave(1).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, ["room.occupied", "member.joined ann"]);
    story.enter(visitor(1, "ann")).await; // it was kicked out, and does not know yet
    story.enter(visitor(2, "ann")).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, [] as [&str; 0], "the place was taken over");
    claim(&story.parts.presence, "ann", 3).await;
    story.parts.presence.release(&story.room, &uid("ann"), ConnectionId(3)).await.unwrap();
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, ["member.left ann gone", "room.vacated"]);
}

pub(crate) async fn a_trimming_is_told(home: &impl OutboxHome) {
    let story = Story::begin(home, endpoint(&["room.trimmed"], "*")).await;
    story.say(&["a", "b", "c"]).await;
    story.parts.upkeep.trim(&story.room, Trim::Keep(1)).await.unwrap();
    story.parts.upkeep.trim(&story.room, Trim::Keep(1)).await.unwrap();
    let told = story.told().await;
    assert_eq!(told.len(), 1, "nothing went the second time: {told:?}");
    assert_eq!((number(&told[0], "removed"), number(&told[0], "start")), (2, 2));
}

pub(crate) async fn what_is_erased_is_not_told(home: &impl OutboxHome) {
    let kinds = ["message.*", "user.erased"];
    let story = Story::begin(home, endpoint(&kinds, "*")).await;
    let said = |uid, text| format!(r#"{{"text":"{text}","2":"{uid}"}}"#);
    let say = async |uid, text| story.say(&[&said(uid, text)]).await;
    say("ann", "parked").await;
    let parked = story.take().await;
    story.settle(&parked, Settlement::Parked { why: "400".into() }).await;
    let gap = story.take().await;
    story.settle(&gap, Settlement::Delivered).await;
    say("ann", "frozen").await;
    say("ben", "frozen").await;
    let frozen = story.take().await;
    story.settle(&frozen, Settlement::Again { after: Duration::ZERO, counted: true }).await;
    say("ann", "waiting").await;
    say("ben", "waiting").await;
    let erasure = &story.parts.erasure;
    assert_eq!(erasure.erase_told(&story.room, &uid("ann")).await.unwrap(), 3);
    assert_eq!(erasure.erase_told(&room("other"), &uid("ann")).await.unwrap(), 0);
    erasure.tell_erased(&uid("ann")).await.unwrap();
    story.parts.parking.replay("main", &[parked.id.to_string()]).await.unwrap();
    let told = story.told().await;
    let messages: Vec<_> =
        told.iter().map(|e| (e["uid"].as_str(), &e["message"]["text"])).collect();
    let (none, one) = (Value::Null, |text: &str| Value::from(text));
    let (frozen, waiting) = (one("frozen"), one("waiting"));
    let of_ann = messages.iter().filter(|(uid, _)| *uid == Some("ann"));
    assert_eq!(of_ann.map(|(_, text)| *text).collect::<Vec<_>>(), [&none; 4]);
    let of_ben = messages.iter().filter(|(uid, _)| *uid == Some("ben"));
    assert_eq!(of_ben.map(|(_, text)| *text).collect::<Vec<_>>(), [&frozen, &waiting]);
    assert!(told.iter().any(|event| event["type"] == "user.erased"));
    assert_eq!(story.bytes().await, 0);
}

/// A walk where no room has messages any more.
struct Nowhere;

#[async_trait]
impl Walk for Nowhere {
    async fn rooms(&self, _: Option<&str>) -> Result<Stretch, StoreError> {
        Ok(Stretch::default())
    }

    async fn due(&self, _: Vec<RoomId>) -> Result<Vec<RoomId>, StoreError> {
        Ok(Vec::new())
    }

    async fn is_chosen(&self, _: Duration) -> Result<bool, StoreError> {
        Ok(true)
    }
}

pub(crate) async fn what_is_erased_is_not_told_of_rooms_without_messages(home: &impl OutboxHome) {
    let story = Story::begin(home, endpoint(&["message.*"], "*")).await;
    let rooms = ["parked", "frozen", "waiting"].map(room);
    let said = [insert(r#"{"text":"quo","2":"ann"}"#), insert(r#"{"text":"usque","2":"ben"}"#)];
    publish(&story.parts.broker, &rooms[0], said.clone()).await;
    let parked = story.take().await;
    story.settle(&parked, Settlement::Parked { why: "400".into() }).await;
    let gap = story.take().await;
    story.settle(&gap, Settlement::Delivered).await;
    publish(&story.parts.broker, &rooms[1], said.clone()).await;
    let frozen = story.take().await;
    story.settle(&frozen, Settlement::Again { after: Duration::ZERO, counted: true }).await;
    publish(&story.parts.broker, &rooms[2], said).await;
    let job = Job::new("all".into(), &uid("ann"), None, 1);
    let done = perform(&*story.parts.erasure, &Nowhere, job).await.unwrap();
    assert_eq!((done.erased.rooms, done.erased.copies), (0, 3));
    story.parts.parking.replay("main", &[parked.id.to_string()]).await.unwrap();
    let told = story.told().await;
    let texts: Vec<_> = told.iter().filter_map(|e| e["message"]["text"].as_str()).collect();
    assert_eq!(texts, ["usque"; 3]);
}

pub(crate) async fn who_is_taken_out_has_left(home: &impl OutboxHome) {
    let story = Story::begin(home, presence()).await;
    story.enter(visitor(1, "ann")).await;
    story.enter(visitor(2, "ann")).await;
    story.parts.presence.remove(&story.room, &uid("ann")).await.unwrap();
    story.pass(DELAY).await;
    let told = ["room.occupied", "member.joined ann", "member.left ann removed", "room.vacated"];
    assert_eq!(story.heard().await, told);
}

pub(crate) async fn sessions_are_told_as_their_users(home: &impl OutboxHome) {
    let story = Story::begin(home, endpoint(&["user.*"], "nothing")).await;
    let (presence, ann) = (&story.parts.presence, uid("ann"));
    claim(presence, "ann", 1).await;
    let batch = story.take().await;
    let data = &parsed(&batch)["data"];
    assert_eq!((&data["roomId"], &data["uid"]), (&Value::Null, &Value::from("ann")));
    assert_eq!(lines(&batch), ["user.online ann"]);
    story.settle(&batch, Settlement::Delivered).await;
    claim(presence, "ann", 2).await;
    presence.end(&ann, ConnectionId(1)).await.unwrap();
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, [] as [&str; 0], "another session is there");
    presence.end(&ann, ConnectionId(2)).await.unwrap();
    claim(presence, "ann", 3).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, [] as [&str; 0], "it came back");
    presence.end(&ann, ConnectionId(3)).await.unwrap();
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, ["user.offline ann gone"]);
}

pub(crate) async fn what_waits_outlives_a_restart(home: &impl OutboxHome) {
    let mut story = Story::begin(home, messages()).await;
    story.say(&["a"]).await;
    let frozen = story.take().await;
    story.say(&["b"]).await;
    let before = story.bytes().await;
    story.parts.broker.close().await;
    let interest = Interest { endpoints: story.endpoints.clone(), leave_delay: DELAY };
    story.parts = home.open(interest).await;
    Witness::of(&story.parts.broker);
    assert_eq!(story.bytes().await, before);
    story.pass(LEASE).await;
    let again = story.take().await;
    assert_eq!((&again.id, &again.body), (&frozen.id, &frozen.body));
    story.settle(&again, Settlement::Delivered).await;
    story.say(&["c"]).await;
    assert_eq!(story.heard().await, ["message.inserted 1 b", "message.inserted 2 c"]);
}
