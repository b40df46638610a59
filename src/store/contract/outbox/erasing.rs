//! What is told of users whose messages were erased.
use async_trait::async_trait;

use super::*;
use crate::domain::{
    erase::{Job, perform},
    error::StoreError,
    retention::{Stretch, Walk},
};

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

pub(crate) async fn who_is_erased_is_erased_from_all_that_was_put_aside(home: &impl OutboxHome) {
    let story = Story::begin(home, endpoint(&["message.*"], "*")).await;
    let mut ids = Vec::new();
    for at in 0..20 {
        let uid = if at % 5 == 0 { "ben" } else { "ann" };
        story.say(&[&format!(r#"{{"text":"quo","2":"{uid}"}}"#)]).await;
        let batch = story.take().await;
        story.settle(&batch, Settlement::Parked { why: "400".into() }).await;
        ids.push(batch.id.to_string());
    }
    let erasure = &story.parts.erasure;
    assert_eq!(erasure.erase_told(&story.room, &uid("ann")).await.unwrap(), 16);
    assert_eq!(erasure.erase_told(&story.room, &uid("ann")).await.unwrap(), 0);
    story.told().await; // the gaps
    assert_eq!(story.parts.parking.replay("main", &ids).await.unwrap(), 20);
    let told = story.told().await;
    let left: Vec<_> = told.iter().filter(|event| !event["message"].is_null()).collect();
    assert!(left.len() == 4 && left.iter().all(|event| event["uid"] == "ben"), "{left:?}");
    let inserted = told.iter().filter(|event| event["type"] == "message.inserted").count();
    assert_eq!((inserted, story.bytes().await), (20, 0));
}
