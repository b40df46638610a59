//! Where a publication says that an entry is.
use super::{BrokerHome, witness::*};
use crate::domain::{
    broker::{Entry, PageLimit, Position, Updates},
    history::Standing,
    ids::ConnectionId,
};

const NOTHING: PageLimit = PageLimit { entries: 1, bytes: 1 };

fn indexes(positions: &[Position]) -> Vec<Option<u64>> {
    positions.iter().map(|position| position.index).collect()
}

pub(crate) async fn an_entry_is_placed_where_it_is_told(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("lesson"));
    let witness = Witness::of(&broker);
    broker.attach(&room).await.unwrap();
    let batch = [insert("a"), ignore("b"), update("x", "c"), insert("d")];
    let mut placed = publish(&broker, &room, batch).await;
    placed.extend(publish(&broker, &room, [ignore("e"), ignore("f")]).await);
    placed.extend(publish(&broker, &room, [insert("g")]).await);
    let told: Vec<u64> = witness.take(&room).iter().map(|p| p.n).collect();
    assert_eq!(placed.iter().map(|p| p.n).collect::<Vec<_>>(), told);
    assert_eq!(
        indexes(&placed),
        [Some(0), None, None, Some(1), None, None, Some(2)],
        "of inserts alone"
    );
}

pub(crate) async fn members_are_told_the_index_of_an_insert_and_of_nothing_else(
    home: &impl BrokerHome,
) {
    let (broker, room) = (home.open().await, room("lesson"));
    let witness = Witness::of(&broker);
    broker.attach(&room).await.unwrap();
    let told = || witness.take(&room).iter().map(|p| p.index).collect::<Vec<_>>();
    let by = ConnectionId(7001);
    let others = [
        Entry::Synced { by, uid: uid("ann") },
        Entry::System { content: "1".into() },
        ignore("a"),
        update("x", "b"),
    ];
    let placed = publish(&broker, &room, others.clone()).await;
    assert_eq!((told(), indexes(&placed)), (vec![None; 4], vec![None; 4]));
    let mixed = [insert("c"), others[0].clone(), insert("d"), others[3].clone(), keyed("k", "e")];
    let placed = publish(&broker, &room, mixed).await;
    assert_eq!(told(), [Some(0), None, Some(1), None, Some(2)]);
    assert_eq!(indexes(&placed), [Some(0), None, Some(1), None, Some(2)]);
    // What is left out has none, and takes none.
    let batch = [keyed("k", "e"), insert("f"), keyed("k", "e"), keyed("l", "g")];
    broker.publish(&room, batch.into()).await.unwrap();
    assert_eq!(told(), [Some(3), Some(4)]);
    broker.clear(&room).await.unwrap();
    let placed = publish(&broker, &room, [ignore("h"), insert("i")]).await;
    assert_eq!((told(), indexes(&placed)), (vec![None, None, Some(5)], vec![None, Some(5)]));
}

pub(crate) async fn an_entry_is_placed_when_it_is_stored(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("lesson"));
    let batch = [insert("a"), update("x", "b"), ignore("c")];
    let placed = publish(&broker, &room, batch).await;
    assert!(placed.iter().all(|p| p.at_ms == placed[0].at_ms), "a batch has one time");
    assert!(placed[0].at_ms > 1_600_000_000_000, "{placed:?}: milliseconds since 1970");
    let page = broker.page(&room, 0, EVERYTHING).await.unwrap();
    let seconds = placed[0].at_ms / 1000;
    assert_eq!(page.entries.iter().map(|e| e.at_ms / 1000).collect::<Vec<_>>(), [seconds]);
}

pub(crate) async fn an_index_is_an_offset_from_the_logs_beginning(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("lesson"));
    let empty = broker.page(&room, 0, EVERYTHING).await.unwrap();
    let placed = publish(&broker, &room, (0..250).map(|i| insert(&i.to_string()))).await;
    for (at, position) in placed.iter().enumerate() {
        assert_eq!(position.index, Some(empty.base + at as u64));
    }
    for from in [0, 1, 99, 100, 101, 249, 250, 1000] {
        let page = broker.page(&room, from, EVERYTHING).await.unwrap();
        assert_eq!(page.base, empty.base, "from {from}");
        let at = usize::try_from(from).unwrap();
        let rest: Vec<String> = (at..250).map(|i| i.to_string()).collect();
        assert_eq!(bodies(&page.entries), rest);
    }
}

pub(crate) async fn no_index_is_used_again(home: &impl BrokerHome) {
    let room = room("lesson");
    let broker = home.open().await;
    let mut seen = indexes(&publish(&broker, &room, [insert("a"), insert("b")]).await);
    broker.clear(&room).await.unwrap();
    let page = broker.page(&room, 0, NOTHING).await.unwrap();
    assert_eq!((page.base, page.log_length), (2, 0), "where the next one will be");
    seen.extend(indexes(&publish(&broker, &room, [insert("c")]).await));
    broker.close().await;
    drop(broker);
    let broker = home.open().await;
    seen.extend(indexes(&publish(&broker, &room, [insert("d")]).await));
    let page = broker.page(&room, 1, NOTHING).await.unwrap();
    assert_eq!((page.base, page.log_length, bodies(&page.entries)), (2, 2, vec!["d".into()]));
    broker.clear(&room).await.unwrap();
    broker.clear(&room).await.unwrap();
    broker.close().await;
    drop(broker);
    let broker = home.open().await;
    assert_eq!(broker.page(&room, 0, NOTHING).await.unwrap().base, 4);
    seen.extend(indexes(&publish(&broker, &room, [insert("e")]).await));
    assert_eq!(seen, (0..5).map(Some).collect::<Vec<_>>());
}

pub(crate) async fn n_goes_on_where_the_index_does(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("lesson"));
    broker.attach(&room).await.unwrap();
    let mut last = 0;
    for i in 0..5 {
        let placed = publish(&broker, &room, [insert("a"), ignore("b")]).await;
        assert_eq!((placed[0].n, placed[1].n), (last + 1, last + 2));
        assert_eq!(placed[0].index, Some(i));
        broker.clear(&room).await.unwrap();
        last += 3; // the clearing has a place
    }
}

pub(crate) async fn a_position_names_the_log_as_pages_do(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("lesson"));
    broker.attach(&room).await.unwrap();
    let named = async || Some(broker.page(&room, 0, NOTHING).await.unwrap().epoch);
    // The first of a log, too, of which nobody could have read the name before.
    let placed = publish(&broker, &room, [ignore("a"), insert("b"), update("x", "c")]).await;
    let first = named().await;
    assert!(placed.iter().all(|position| position.epoch == first), "{placed:?} {first:?}");
    assert_eq!(publish(&broker, &room, [ignore("d")]).await[0].epoch, first);
    broker.clear(&room).await.unwrap();
    let placed = publish(&broker, &room, [ignore("e")]).await[0];
    assert_eq!(placed.epoch, named().await);
    assert_ne!(placed.epoch, first);
    assert_eq!(publish(&broker, &room, [insert("f")]).await[0].epoch, named().await);
}

pub(crate) async fn a_page_tells_the_places_that_are_known(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("lesson"));
    broker.attach(&room).await.unwrap();
    let mut placed = publish(&broker, &room, [insert("a"), insert("b")]).await;
    let batch = [ignore("c"), insert("d"), update("x", "e"), ignore("f"), insert("g")];
    placed.extend(publish(&broker, &room, batch).await);
    placed.extend(publish(&broker, &room, [insert("h")]).await);
    let page = broker.page(&room, 0, EVERYTHING).await.unwrap();
    let inserts: Vec<u64> =
        placed.iter().filter(|p| p.index.is_some()).map(|position| position.n).collect();
    assert_eq!(page.entries.len(), inserts.len());
    for (entry, n) in page.entries.iter().zip(inserts) {
        assert!(entry.n.is_none_or(|known| known == n), "{entry:?}: {n}");
    }
    let Updates::All(updates) = broker.updates(&room, usize::MAX).await.unwrap() else {
        panic!("there is one")
    };
    assert_eq!(updates[0].n, Some(placed[4].n), "of updates it is known");
}

pub(crate) async fn how_a_room_stands_is_known_without_reading_its_log(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("lesson"));
    // Its end, its last insert, and its updates.
    let stands = async |most| {
        let standing = Standing::read(&*broker, &room, most).await.unwrap();
        let last = standing.last.map(|last| bodies(&[last]).remove(0));
        let updates = match standing.updates {
            Updates::All(updates) => Some(bodies(&updates)),
            Updates::Larger => None,
        };
        (standing.end, last, updates)
    };
    let said = |last: &str| Some(last.to_owned());
    assert_eq!(stands(usize::MAX).await, (0, None, Some(vec![])));
    publish(&broker, &room, [update("x", "a")]).await;
    assert_eq!(stands(usize::MAX).await, (0, None, Some(vec!["a".into()])));
    publish(&broker, &room, (0..250).map(|i| insert(&i.to_string()))).await;
    publish(&broker, &room, [ignore("b"), update("y", "c")]).await;
    let updates = Some(vec!["a".into(), "c".into()]);
    assert_eq!(stands(usize::MAX).await, (250, said("249"), updates));
    assert_eq!(stands(1).await, (250, said("249"), None), "they are more than was asked for");
    broker.clear(&room).await.unwrap();
    assert_eq!(stands(usize::MAX).await, (250, None, Some(vec![])), "the index goes on");
    publish(&broker, &room, [insert("d")]).await;
    assert_eq!(stands(usize::MAX).await, (251, said("d"), Some(vec![])));
}
