//! What rules of retention have hidden, and which rooms they concern.
use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{UpkeepHome, witness::*};
use crate::domain::{
    broker::{Broker, PageLimit, Trim, Upkeep},
    ids::{RoomId, Space},
    retention::{Rule, Rules, Walk},
};

const PAGE: PageLimit = PageLimit { entries: 200, bytes: 4 << 20 };
const HOUR: Duration = Duration::from_secs(3600);

/// Of rooms named `day…` an hour is kept, of `few…` three inserts, of others all; the same of lives
/// of `talk`.
fn rules() -> Rules {
    let rules = [
        ("day*", Rule { age: Some(HOUR), count: None }),
        ("few*", Rule { age: None, count: Some(3) }),
    ];
    let within = rules.map(|(pattern, rule)| (format!("talk:{pattern}"), rule));
    Rules::new(rules.map(|(pattern, rule)| (pattern.to_owned(), rule)).into_iter().chain(within))
}

async fn opened(home: &impl UpkeepHome) -> (Arc<dyn Broker>, Arc<dyn Upkeep>, Arc<dyn Walk>) {
    home.ruled(rules()).await
}

async fn shown(broker: &Arc<dyn Broker>, room: &RoomId, from: u64) -> (u64, Vec<String>) {
    let page = broker.page(room, from, PAGE).await.unwrap();
    assert_eq!(page.entries.len() as u64, page.end() - page.first(from));
    (page.start, bodies(&page.entries))
}

async fn insert_all(broker: &Arc<dyn Broker>, room: &RoomId, texts: &[&str]) {
    publish(broker, room, texts.iter().map(|text| insert(text))).await;
}

/// All rooms of a walk.
async fn all(walk: &Arc<dyn Walk>) -> Vec<RoomId> {
    let (mut rooms, mut after) = (BTreeSet::new(), None);
    loop {
        let stretch = walk.rooms(after.as_deref()).await.unwrap();
        rooms.extend(stretch.rooms);
        match stretch.next {
            Some(next) => after = Some(next),
            None => return rooms.into_iter().collect(),
        }
    }
}

pub(crate) async fn what_is_too_old_is_hidden_though_nobody_has_trimmed(home: &impl UpkeepHome) {
    let ((broker, upkeep, walk), room) = (opened(home).await, room("day"));
    insert_all(&broker, &room, &["a", "b"]).await;
    publish(&broker, &room, [update("x", "1")]).await;
    let page = broker.page(&room, 0, PAGE).await.unwrap();
    let stored = page.entries[0].at_ms;
    assert_eq!(page.due_ms, Some(stored + 3_600_000));
    home.pass(HOUR / 2).await;
    insert_all(&broker, &room, &["c"]).await;
    publish(&broker, &room, [update("y", "2")]).await;
    assert_eq!(walk.due(vec![room.clone()]).await.unwrap(), []);
    home.pass(HOUR / 2).await;
    assert_eq!(shown(&broker, &room, 0).await, (2, vec!["c".into()]));
    assert_eq!(shown(&broker, &room, 3).await, (2, vec![]));
    assert_eq!(updates(&broker, &room).await, ["2"]);
    assert_eq!(walk.due(vec![room.clone()]).await.unwrap(), std::slice::from_ref(&room));
    assert_eq!(upkeep.trim(&room, Trim::OlderThan(HOUR)).await.unwrap().removed, 3);
    assert_eq!(walk.due(vec![room.clone()]).await.unwrap(), []);
    assert_eq!(shown(&broker, &room, 0).await, (2, vec!["c".into()]));
    home.pass(HOUR).await;
    assert_eq!(shown(&broker, &room, 0).await, (3, vec![]));
    insert_all(&broker, &room, &["d"]).await;
    assert_eq!(shown(&broker, &room, 0).await, (3, vec!["d".into()]));
}

pub(crate) async fn of_too_many_the_oldest_are_hidden(home: &impl UpkeepHome) {
    let ((broker, upkeep, walk), room) = (opened(home).await, room("few"));
    let witness = Witness::of(&broker);
    broker.attach(&room).await.unwrap();
    insert_all(&broker, &room, &["a", "b", "c"]).await;
    assert_eq!(shown(&broker, &room, 0).await, (0, vec!["a".into(), "b".into(), "c".into()]));
    assert_eq!(walk.due(vec![room.clone()]).await.unwrap(), []);
    let edition = broker.edition(&room).await.unwrap();
    assert_eq!(edition, broker.page(&room, 0, PAGE).await.unwrap().edition);
    witness.invalidated(&room);
    insert_all(&broker, &room, &["d"]).await;
    // A page that was kept has `a` in it.
    assert!(edition != broker.edition(&room).await.unwrap() || witness.invalidated(&room));
    assert_eq!(shown(&broker, &room, 0).await, (1, vec!["b".into(), "c".into(), "d".into()]));
    assert_eq!(walk.due(vec![room.clone()]).await.unwrap(), std::slice::from_ref(&room));
    assert_eq!(upkeep.trim(&room, Trim::Keep(3)).await.unwrap().removed, 1);
    assert_eq!(walk.due(vec![room.clone()]).await.unwrap(), []);
    broker.clear(&room).await.unwrap();
    insert_all(&broker, &room, &["e"]).await;
    assert_eq!(shown(&broker, &room, 0).await, (0, vec!["e".into()]));
    assert_eq!(
        broker.edition(&room).await.unwrap(),
        broker.page(&room, 0, PAGE).await.unwrap().edition
    );
}

pub(crate) async fn a_rule_is_for_lives_that_it_names_with_their_dialect(home: &impl UpkeepHome) {
    let (broker, upkeep, walk) = opened(home).await;
    let within = |space, name| RoomId::within(space, room(name).name()).unwrap();
    let (day, few) = (within(Space::Lives("talk"), "day"), within(Space::Lives("talk"), "few"));
    let others = [
        within(Space::Lives("walk"), "day"),
        within(Space::Lives("walk"), "few"),
        within(Space::Dialect("talk"), "day"),
        within(Space::Dialect("talk"), "few"),
    ];
    for room in others.iter().chain([&day, &few]) {
        insert_all(&broker, room, &["a", "b", "c", "d"]).await;
    }
    home.pass(HOUR * 2).await;
    insert_all(&broker, &day, &["e"]).await;
    for (room, start, texts) in [(&day, 4, &["e"][..]), (&few, 1, &["b", "c", "d"])] {
        assert_eq!(shown(&broker, room, 0).await.1, texts);
        let page = broker.page(room, 0, PAGE).await.unwrap();
        assert_eq!(page.base, start, "ids go on");
        assert_eq!(walk.due(vec![room.clone()]).await.unwrap(), std::slice::from_ref(room));
    }
    assert_eq!(upkeep.trim(&few, Trim::Keep(3)).await.unwrap().removed, 1);
    for room in others {
        assert_eq!(log(&broker, &room).await.len(), 4, "{room:?}");
        assert_eq!(walk.due(vec![room]).await.unwrap(), []);
    }
}

pub(crate) async fn many_old_updates_are_found(home: &impl UpkeepHome) {
    let ((broker, upkeep, walk), room) = (opened(home).await, room("day"));
    publish(&broker, &room, (0..300).map(|i| update(&format!("u{i}"), "0"))).await;
    home.pass(HOUR).await;
    assert_eq!(updates(&broker, &room).await, [""; 0]);
    assert_eq!(walk.due(vec![room.clone()]).await.unwrap(), std::slice::from_ref(&room));
    assert_eq!(upkeep.trim(&room, Trim::OlderThan(HOUR)).await.unwrap().removed, 300);
    assert_eq!(walk.due(vec![room.clone()]).await.unwrap(), []);
}

pub(crate) async fn a_room_without_a_rule_keeps_all(home: &impl UpkeepHome) {
    let ((broker, _, walk), room) = (opened(home).await, room("other"));
    insert_all(&broker, &room, &["a", "b", "c", "d"]).await;
    home.pass(HOUR * 24).await;
    assert_eq!(log(&broker, &room).await.len(), 4);
    assert_eq!(broker.page(&room, 0, PAGE).await.unwrap().due_ms, None);
    assert_eq!(walk.due(vec![room]).await.unwrap(), []);
}

pub(crate) async fn a_walk_finds_every_room_with_messages(home: &impl UpkeepHome) {
    let (broker, _, walk) = opened(home).await;
    let mut rooms: Vec<_> = (0..450).map(|i| room(&format!("r{i}"))).collect();
    for (i, room) in rooms.iter().enumerate() {
        let entry = if i % 2 == 0 { insert("a") } else { update("x", "1") };
        publish(&broker, room, [entry]).await;
    }
    rooms.sort();
    assert_eq!(all(&walk).await, rooms);
}

pub(crate) async fn one_node_is_chosen(home: &impl UpkeepHome) {
    let (_, _, walk) = opened(home).await;
    assert!(walk.is_chosen(HOUR).await.unwrap());
    assert!(walk.is_chosen(HOUR).await.unwrap(), "it goes on");
}
