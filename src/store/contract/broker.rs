//! What a broker stores, and how it is read.
use super::{BrokerHome, witness::*};
use crate::domain::{broker::PageLimit, error::StoreError};

const PAGE: PageLimit = PageLimit { entries: 200, bytes: 4 << 20 };

pub(crate) async fn inserts_are_read_back_in_order(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("lesson"));
    publish(&broker, &room, [insert("1"), insert("2")]).await;
    publish(&broker, &room, [insert("3")]).await;
    let page = broker.page(&room, 0, PAGE).await.unwrap();
    assert_eq!(
        (bodies(&page.entries), page.full, page.log_length),
        (vec!["1".into(), "2".into(), "3".into()], false, 3)
    );
    assert!(
        page.entries.iter().all(|e| e.at_ms > 1_600_000_000_000),
        "entries know when they were stored"
    );
    assert_eq!(bodies(&broker.page(&room, 2, PAGE).await.unwrap().entries), ["3"]);
}

pub(crate) async fn updates_replace_and_are_read_in_order_of_last_writing(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("board"));
    publish(&broker, &room, [update("line", "l1"), update("circle", "c1"), update("text", "t1")])
        .await;
    publish(&broker, &room, [update("line", "l2")]).await;
    assert_eq!(updates(&broker, &room).await, ["c1", "t1", "l2"]);
    publish(&broker, &room, [update("text", "t2"), update("circle", "c2"), update("text", "t3")])
        .await;
    assert_eq!(updates(&broker, &room).await, ["l2", "c2", "t3"]);
    assert_eq!(log(&broker, &room).await, [""; 0], "updates are not in the log");
}

pub(crate) async fn what_is_ignored_is_not_stored(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("lesson"));
    publish(&broker, &room, [ignore("a"), insert("b"), ignore("c")]).await;
    publish(&broker, &room, [ignore("d")]).await;
    assert_eq!(
        (log(&broker, &room).await, updates(&broker, &room).await),
        (vec!["b".into()], vec![])
    );
}

pub(crate) async fn a_page_ends_at_its_entries(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("long lesson"));
    publish(&broker, &room, (0..399).map(|i| insert(&i.to_string()))).await;
    let at = async |from| {
        let page = broker.page(&room, from, PAGE).await.unwrap();
        (page.entries.len(), page.full, page.log_length)
    };
    assert_eq!(at(0).await, (200, true, 399));
    assert_eq!(at(199).await, (200, true, 399), "exactly as many left as fit");
    assert_eq!(at(200).await, (199, false, 399));
    assert_eq!(bodies(&broker.page(&room, 200, PAGE).await.unwrap().entries)[0], "200");
}

pub(crate) async fn a_page_ends_at_its_bytes_but_has_one_entry(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("drawings"));
    let large = "x".repeat(998); // and two quotes
    publish(&broker, &room, [insert(&large), insert(&large), insert(&large)]).await;
    let with = async |bytes, from| {
        let page = broker.page(&room, from, PageLimit { entries: 200, bytes }).await.unwrap();
        (page.entries.len(), page.full)
    };
    assert_eq!(with(10, 0).await, (1, true), "one however large it is");
    assert_eq!(with(2000, 0).await, (2, true));
    assert_eq!(with(2999, 0).await, (2, true));
    assert_eq!(with(3001, 0).await, (3, false));
    assert_eq!(with(10, 2).await, (1, false), "the last one");
}

pub(crate) async fn reading_past_the_end_finds_nothing(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("short lesson"));
    publish(&broker, &room, [insert("1"), insert("2")]).await;
    for from in [2, 3, 1 << 40, u64::MAX] {
        let page = broker.page(&room, from, PAGE).await.unwrap();
        assert_eq!((page.entries.len(), page.full, page.log_length), (0, false, 2), "from {from}");
    }
}

pub(crate) async fn an_unknown_room_is_empty(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("nobody was here"));
    let page = broker.page(&room, 0, PAGE).await.unwrap();
    assert_eq!((page.entries.len(), page.full, page.log_length), (0, false, 0));
    assert_eq!(updates(&broker, &room).await, [""; 0]);
}

pub(crate) async fn bodies_and_ids_come_back_as_they_were(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("ünïcode 房间 'quoted\" _insert %"));
    let (odd, long) = (r#"{"1":"\u0000","s":0,"é":"\"'\\","n":1e400}"#, "字".repeat(100_000));
    publish(
        &broker,
        &room,
        [
            insert(odd),
            insert(&long),
            update("a\0b", "with"),
            update("a", "without"),
            update("", "empty"),
        ],
    )
    .await;
    assert_eq!(log(&broker, &room).await, [odd, &long]);
    assert_eq!(updates(&broker, &room).await, ["with", "without", "empty"]);
}

pub(crate) async fn whitespace_around_a_message_comes_back(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("lesson"));
    let spaced = [" {\"a\" : 1}", "[1,\"ts\"]\r\n", "\t { } \n", "{\"b\":2}"];
    publish(&broker, &room, spaced.map(insert)).await;
    publish(&broker, &room, spaced.map(|body| update(body, body))).await;
    assert_eq!(log(&broker, &room).await, spaced);
    assert_eq!(updates(&broker, &room).await, spaced);
}

pub(crate) async fn rooms_are_apart(home: &impl BrokerHome) {
    let (broker, one, other) = (home.open().await, room("one"), room("other"));
    publish(&broker, &one, [insert("1"), update("x", "u1")]).await;
    publish(&broker, &other, [insert("2"), update("x", "u2")]).await;
    broker.clear(&one).await.unwrap();
    assert_eq!((log(&broker, &one).await.len(), updates(&broker, &one).await.len()), (0, 0));
    assert_eq!(
        (log(&broker, &other).await, updates(&broker, &other).await),
        (vec!["2".into()], vec!["u2".into()])
    );
}

pub(crate) async fn a_cleared_room_begins_anew(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("lesson"));
    publish(&broker, &room, [insert("old"), update("x", "old"), insert("older")]).await;
    broker.clear(&room).await.unwrap();
    let page = broker.page(&room, 0, PAGE).await.unwrap();
    assert_eq!(
        (page.entries.len(), page.log_length, updates(&broker, &room).await.len()),
        (0, 0, 0)
    );
    publish(&broker, &room, [insert("new"), update("y", "newer")]).await;
    assert_eq!(
        (log(&broker, &room).await, updates(&broker, &room).await),
        (vec!["new".into()], vec!["newer".into()])
    );
}

pub(crate) async fn stored_entries_outlive_a_restart(home: &impl BrokerHome) {
    let room = room("lesson");
    let broker = home.open().await;
    publish(&broker, &room, [insert("1"), update("x", "u1"), insert("2"), update("y", "u2")]).await;
    broker.close().await;
    drop(broker);
    let broker = home.open().await;
    publish(&broker, &room, [insert("3"), update("x", "u3")]).await;
    assert_eq!(
        (log(&broker, &room).await, updates(&broker, &room).await),
        (vec!["1".into(), "2".into(), "3".into()], vec!["u2".into(), "u3".into()])
    );
}

pub(crate) async fn a_large_batch_is_stored_whole(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("storm"));
    let body = "y".repeat(10_000);
    publish(
        &broker,
        &room,
        (0..1000).map(|i| if i % 2 == 0 { insert(&body) } else { update(&i.to_string(), &body) }),
    )
    .await;
    assert_eq!((log(&broker, &room).await.len(), updates(&broker, &room).await.len()), (500, 500));
}

pub(crate) async fn it_answers_until_it_is_closed(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("lesson"));
    broker.check().await.unwrap();
    broker.close().await;
    broker.close().await;
    assert!(broker.check().await.is_err());
    let refused = broker.publish(&room, [insert("late")].into()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
}
