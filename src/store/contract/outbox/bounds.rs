//! What was put aside, and what is dropped where too much waits.
use super::*;
use crate::store::contract::BoundsHome;

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

/// Publishes so that each of these rooms has one event that waits.
async fn fill(story: &Story<'_, impl OutboxHome>, rooms: &[RoomId]) {
    for room in rooms {
        publish(&story.parts.broker, room, [insert("x")]).await;
    }
}

/// Gaps of rooms, and those of none.
fn gaps(told: &[(Value, Value)]) -> (Vec<&str>, Vec<&Value>) {
    let gaps = || told.iter().filter(|(_, event)| event["type"] == "webhook.gap");
    let rooms = gaps().filter_map(|(data, _)| data["roomId"].as_str()).collect();
    let of_all = gaps().filter(|(data, _)| data["roomId"].is_null() && data["uid"].is_null());
    (rooms, of_all.map(|(_, event)| event).collect())
}

pub(crate) async fn gaps_are_bounded_and_the_oldest_become_one(home: &impl BoundsHome) {
    const PENDING: u64 = 20_000;
    let story = Story::begin(home, Endpoint { pending: PENDING, ..messages() }).await;
    let rooms: Vec<RoomId> = (0..400).map(|n| room(&format!("room {n}"))).collect();
    for room in &rooms {
        fill(&story, std::slice::from_ref(room)).await;
        assert!(story.bytes().await <= PENDING);
    }
    let told = story.told_with_data().await;
    let (of_rooms, of_all) = gaps(&told);
    assert!(!of_rooms.is_empty() && of_rooms.len() as u64 <= PENDING / GAPS / OVERHEAD);
    let [all] = of_all[..] else { panic!("one gap is of all rooms: {of_all:?}") };
    let event = |room: &RoomId| told.iter().find(|(data, _)| data["roomId"] == room.as_str());
    // The rooms of the first gaps have none of their own: any room may miss what that one covers.
    assert!(event(&rooms[0]).is_none());
    assert!(number(all, "from") < number(all, "to"));
    assert_eq!(number(all, "n"), number(all, "to") + 1);
    let first = rooms.iter().find_map(event).unwrap();
    assert_eq!(first.1["type"], "webhook.gap", "what was lost last is told to its room");
    assert!(number(all, "to") < number(&first.1, "from"));
    let (_, last) = event(&rooms[399]).unwrap();
    assert_eq!(last["type"], "message.inserted", "the newest are there");
    assert_eq!(story.bytes().await, 0);
    let dropped = story.standing().await.dropped;
    let inserted = told.iter().filter(|(_, event)| event["type"] == "message.inserted").count();
    assert_eq!(dropped + inserted as u64, 400, "nothing is lost without being counted");
}

pub(crate) async fn refused_batches_are_bounded_too(home: &impl BoundsHome) {
    const PENDING: u64 = 20_000;
    let story = Story::begin(home, Endpoint { pending: PENDING, ..messages() }).await;
    let rooms: Vec<RoomId> = (0..200).map(|n| room(&format!("room {n}"))).collect();
    for room in &rooms {
        fill(&story, std::slice::from_ref(room)).await;
        for batch in story.look().await.batches {
            story.settle(&batch, LATER).await;
        }
        // One batch may come in while it is over: what is written next finds it.
        assert!(story.bytes().await <= PENDING + 1000);
    }
    story.pass(LEASE).await;
    let told = story.told_with_data().await;
    let (_, of_all) = gaps(&told);
    assert!(!of_all.is_empty());
    let event = |room: &RoomId| told.iter().find(|(data, _)| data["roomId"] == room.as_str());
    assert!(event(&rooms[0]).is_none(), "the oldest went");
    assert_eq!(event(&rooms[199]).unwrap().1["type"], "message.inserted");
    assert_eq!(story.bytes().await, 0);
}

pub(crate) async fn what_was_dropped_is_counted(home: &impl BoundsHome) {
    let story = Story::begin(home, Endpoint { pending: 5_000, ..messages() }).await;
    story.say(&["parked"]).await;
    let batch = story.take().await;
    story.settle(&batch, Settlement::Parked { why: "400".into() }).await;
    assert_eq!(story.standing().await.dropped, 0, "it can be sent again");
    for _ in 0..50 {
        story.say(&[&"x".repeat(200)]).await;
    }
    let before = story.standing().await.dropped;
    let told = story.told().await;
    let inserted = told.iter().filter(|event| event["type"] == "message.inserted").count();
    assert_eq!(before, 51 - inserted as u64);
    assert_eq!(story.standing().await.dropped, before, "what was delivered is not dropped");
}

pub(crate) async fn what_cant_be_read_is_dropped_with_a_gap(home: &impl BoundsHome) {
    let story = Story::begin(home, messages()).await;
    story.say(&["parked"]).await;
    let parked = story.take().await;
    story.settle(&parked, Settlement::Parked { why: "400".into() }).await;
    let gap = story.take().await;
    story.settle(&gap, Settlement::Delivered).await;
    story.say(&["frozen"]).await;
    let frozen = story.take().await;
    let lost = number(&events(&frozen)[0], "n");
    story.settle(&frozen, Settlement::Again { after: Duration::ZERO, counted: true }).await;
    story.say(&[r#"{"2":"ann"}"#]).await;
    home.spoil(&parked.id).await;
    home.spoil(&frozen.id).await;
    let erasure = &story.parts.erasure;
    assert_eq!(erasure.erase_told(&story.room, &uid("ann")).await.unwrap(), 3);
    assert_eq!(erasure.erase_told(&story.room, &uid("ann")).await.unwrap(), 0, "once");
    assert_eq!(story.standing().await.dropped, 2);
    assert_eq!(story.parts.parking.parked("main", None, 9).await.unwrap().batches, []);
    let told = story.told().await;
    let kinds: Vec<_> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["webhook.gap", "message.inserted"]);
    assert_eq!((number(&told[0], "from"), number(&told[0], "to")), (lost, lost));
    assert_eq!((number(&told[0], "n"), &told[1]["message"]), (lost + 1, &Value::Null));
    assert_eq!(story.bytes().await, 0);
}
