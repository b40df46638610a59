//! What is told of messages, in which order, and to whom it is given.
use super::*;
use crate::domain::{broker::Trim, ids::Space};

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

/// A room of this space, called like no other.
fn within(space: Space, name: &str) -> RoomId {
    RoomId::within(space, &room(name).name().replace(' ', "-")).unwrap()
}

pub(crate) async fn a_life_is_told_as_people_call_it(home: &impl OutboxHome) {
    let kinds = ["message.*", "member.*", "room.*"];
    let mut story = Story::begin(home, endpoint(&kinds, "plans")).await;
    for life in ["one", "two"] {
        story.room = RoomId::within(Space::Lives("talk"), &format!("plans:{life}")).unwrap();
        let batch = [insert(r#"["ann","hi"]"#), insert("[]"), update("x", "[]")];
        publish(&story.parts.broker, &story.room, batch).await;
        story.say(&[r#"{"2":"ben"}"#]).await;
        publish(&story.parts.broker, &story.room, [ignore(r#"["ann","not stored"]"#)]).await;
        story.enter(visitor(1, "ann")).await;
        let batch = story.take().await;
        let data = &parsed(&batch)["data"];
        assert_eq!(
            (&data["roomId"], &data["space"], &data["life"]),
            (&Value::from("plans"), &Value::from("talk"), &Value::from(life))
        );
        story.settle(&batch, Settlement::Delivered).await;
        let told = lines(&batch).into_iter().chain(story.heard().await);
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                r#"message.inserted ann 0 {"said":"hi"}"#,
                r#"message.inserted 2 {"2":"ben"}"#,
                "room.occupied",
                "member.joined ann",
            ],
            "as the form of these rooms has it"
        );
    }
}

pub(crate) async fn a_dialects_rooms_are_asked_for_by_its_word(home: &impl OutboxHome) {
    let patterns = ["talk:*", "wal*:*", "w-lk:/*"].map(|text| Pattern::parse(text).unwrap());
    let asked = Endpoint { rooms: patterns.to_vec(), ..messages() };
    let story = Story::begin_with(home, vec![asked]).await;
    let other = within(Space::Dialect("w-lk"), "other");
    let path = RoomId::within(Space::Dialect("w-lk"), &format!("/{}", other.name())).unwrap();
    let untold = [
        RoomId::new(&format!("talk{}", other.name())).unwrap(),
        within(Space::Lives("walk"), "a:1"),
        other,
    ];
    let shared = RoomId::new(&format!("talk:{}", path.name())).unwrap();
    let told =
        [within(Space::Lives("talk"), "a:1"), within(Space::Dialect("talk"), "b"), path, shared];
    for room in untold.iter().chain(&told) {
        publish(&story.parts.broker, room, [insert("a")]).await;
    }
    let mut rooms: Vec<_> = story.look().await.batches.into_iter().map(|b| b.room).collect();
    let mut told = told.to_vec();
    rooms.sort();
    told.sort();
    assert_eq!(rooms, told);
}

pub(crate) async fn an_inbox_is_told_to_nobody(home: &impl OutboxHome) {
    let mut story = Story::begin(home, endpoint(&["*"], "*")).await;
    story.room = within(Space::Inboxes("talk"), "ann");
    story.enter(visitor(1, "ann")).await;
    story.say(&["a"]).await;
    publish(&story.parts.broker, &story.room, [update("x", "b"), ignore("c")]).await;
    story.parts.broker.clear(&story.room).await.unwrap();
    story.leave(1).await;
    story.pass(DELAY).await;
    let told = story.told_with_data().await;
    let of_rooms = told.iter().filter(|(data, _)| !data["roomId"].is_null());
    assert_eq!(of_rooms.count(), 0, "{told:?}");
    assert_eq!(told[0].1["type"], "user.online", "the user is told of all the same");
    assert_eq!(story.bytes().await, 0);
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

pub(crate) async fn a_trimming_is_told(home: &impl OutboxHome) {
    let story = Story::begin(home, endpoint(&["room.trimmed"], "*")).await;
    story.say(&["a", "b", "c"]).await;
    story.parts.upkeep.trim(&story.room, Trim::Keep(1)).await.unwrap();
    story.parts.upkeep.trim(&story.room, Trim::Keep(1)).await.unwrap();
    let told = story.told().await;
    assert_eq!(told.len(), 1, "nothing went the second time: {told:?}");
    assert_eq!((number(&told[0], "removed"), number(&told[0], "start")), (2, 2));
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

/// No answer came the first time, and whoever sends says it again.
pub(crate) async fn what_became_of_a_batch_may_be_said_twice(home: &impl OutboxHome) {
    let story = Story::begin(home, messages()).await;
    let twice = async |batch: &Batch, how: Settlement| {
        for _ in 0..2 {
            story.settle(batch, how.clone()).await;
        }
    };
    let again = |counted| Settlement::Again { after: Duration::ZERO, counted };
    story.say(&["a"]).await;
    twice(&story.take().await, again(true)).await;
    twice(&story.take().await, again(false)).await;
    let failed = story.take().await;
    assert_eq!(failed.attempts, 1);
    twice(&failed, Settlement::Parked { why: "400".into() }).await;
    let parked = story.parts.parking.parked("main", None, 9).await.unwrap().batches;
    assert_eq!((parked.len(), parked[0].attempts, story.standing().await.parked), (1, 2, 1));
    twice(&story.take().await, Settlement::Delivered).await; // the gap
    let ids = [failed.id.to_string()];
    assert_eq!(story.parts.parking.replay("main", &ids).await.unwrap(), 1);
    twice(&story.take().await, again(true)).await;
    let replayed = story.take().await;
    assert_eq!((&replayed.id, replayed.attempts), (&failed.id, 1));
    twice(&replayed, Settlement::Delivered).await;
    assert_eq!(story.look().await.batches, []);
    assert_eq!(story.bytes().await, 0);
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
