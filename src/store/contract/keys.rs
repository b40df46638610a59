//! Inserts with a key are stored and told once.
use std::sync::Arc;

use super::{BrokerHome, witness::*};
use crate::domain::{
    broker::{Audience, Broker, Entry, KNOWN_KEYS, Placed},
    ids::{ConnectionId, RoomId},
    message::{Kind, Message},
};

/// What became of each: its index, or `duplicate`.
async fn placed(
    broker: &Arc<dyn Broker>,
    room: &RoomId,
    entries: impl IntoIterator<Item = Entry>,
) -> Vec<String> {
    let placed = broker.publish(room, entries.into_iter().collect()).await.unwrap();
    let shown = |placed| match placed {
        Placed::At(position) => {
            position.index.map_or_else(|| "no insert".into(), |index| index.to_string())
        }
        Placed::Full => "full".into(),
        Placed::Duplicate => "duplicate".into(),
        other @ (Placed::Replayed { .. } | Placed::Reused) => panic!("{other:?}"),
    };
    placed.into_iter().map(shown).collect()
}

pub(crate) async fn a_second_insert_with_a_key_is_neither_stored_nor_told(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("chat"));
    let witness = Witness::of(&broker);
    broker.attach(&room).await.unwrap();
    assert_eq!(placed(&broker, &room, [keyed("k1", "a")]).await, ["0"]);
    assert_eq!(placed(&broker, &room, [keyed("k1", "a")]).await, ["duplicate"]);
    assert_eq!(placed(&broker, &room, [keyed("k1", "another")]).await, ["duplicate"]);
    assert_eq!(placed(&broker, &room, [keyed("k2", "b")]).await, ["1"]);
    assert_eq!(witness.heard(&room), ["1 insert a", "2 insert b"]);
    assert_eq!(log(&broker, &room).await, ["a", "b"]);
}

pub(crate) async fn duplicates_leave_the_rest_of_their_batch_as_it_is(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("chat"));
    let witness = Witness::of(&broker);
    broker.attach(&room).await.unwrap();
    publish(&broker, &room, [keyed("old", "a")]).await;
    let batch = [
        ignore("b"),
        keyed("new", "c"),
        keyed("old", "not again"),
        update("x", "d"),
        keyed("new", "nor this"),
        insert("e"),
        keyed("newer", "f"),
    ];
    assert_eq!(
        placed(&broker, &room, batch).await,
        ["no insert", "1", "duplicate", "no insert", "duplicate", "2", "3"]
    );
    assert_eq!(
        witness.heard(&room),
        ["1 insert a", "2 ignore b", "3 insert c", "4 update x d", "5 insert e", "6 insert f"]
    );
    assert_eq!(log(&broker, &room).await, ["a", "c", "e", "f"]);
    assert_eq!(
        placed(&broker, &room, [keyed("newer", "-"), keyed("old", "-")]).await,
        ["duplicate", "duplicate"],
        "nothing is left of this one"
    );
    assert_eq!(witness.heard(&room), [""; 0]);
}

pub(crate) async fn keys_are_of_a_room_and_of_inserts_alone(home: &impl BrokerHome) {
    let (broker, one, other) = (home.open().await, room("one"), room("other"));
    publish(&broker, &one, [keyed("k", "a")]).await;
    publish(&broker, &other, [keyed("k", "a")]).await;
    publish(&broker, &one, [insert("a"), insert("a")]).await;
    let with_key = |kind| {
        let message = Message { kind, body: "1".into(), key: Some("k".into()), may_pass: true };
        Entry::Message { from: None, audience: Audience::All, message, receipt: None }
    };
    publish(&broker, &one, [with_key(Kind::Ignore), with_key(Kind::Update { id: "x".into() })])
        .await;
    let from_somebody_else = Entry::Message {
        from: Some(ConnectionId(7002)),
        audience: Audience::All,
        message: Message {
            kind: Kind::Insert,
            body: "1".into(),
            key: Some("k".into()),
            may_pass: true,
        },
        receipt: None,
    };
    assert_eq!(placed(&broker, &one, [from_somebody_else]).await, ["duplicate"]);
}

pub(crate) async fn any_text_is_a_key(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("chat"));
    let (long, longer) = ("x".repeat(30_000), "x".repeat(30_001));
    let hash = format!("#{}", "0".repeat(40));
    let keys = [
        "",
        " ",
        "a",
        "A",
        "a\0",
        "a,b;c\n",
        "é",
        "\"",
        "-",
        "0",
        "00",
        "1e3",
        "1000",
        &long,
        &longer,
        &hash,
        &hash[1..],
        "\u{1}x\u{1}y",
    ];
    publish(&broker, &room, keys.map(|key| keyed(key, "1"))).await;
    for key in keys {
        assert_eq!(placed(&broker, &room, [keyed(key, "2")]).await, ["duplicate"], "{key:?}");
    }
    assert_eq!(log(&broker, &room).await.len(), keys.len());
}

pub(crate) async fn the_newest_thousand_keys_are_known(home: &impl BrokerHome) {
    let (broker, room) = (home.open().await, room("chat"));
    let key = |i: usize| keyed(&format!("k{i}"), "1");
    for from in (0..KNOWN_KEYS).step_by(250) {
        publish(&broker, &room, (from..from + 250).map(key)).await;
    }
    publish(&broker, &room, (0..10).map(|_| insert("without a key"))).await;
    assert_eq!(placed(&broker, &room, [key(0)]).await, ["duplicate"]);
    // One more, and the oldest is forgotten: in this batch already.
    let batch = [key(1000), key(1), key(0), key(1)];
    assert_eq!(
        placed(&broker, &room, batch).await,
        ["1010", "duplicate", "1011", "1012"],
        "with it goes the next one"
    );
    for (i, wanted) in [(3, "duplicate"), (999, "duplicate"), (0, "duplicate"), (2, "1013")] {
        assert_eq!(placed(&broker, &room, [key(i)]).await, [wanted], "{i}");
    }
    // Of a batch with more than are known the first ones are forgotten, too.
    let large = (2000..3001).chain([2000, 2002]).map(key);
    let ends = placed(&broker, &room, large).await;
    assert_eq!(ends[1000..], ["2014", "2015", "duplicate"]);
}

pub(crate) async fn keys_outlive_a_restart_and_end_with_a_clearing(home: &impl BrokerHome) {
    let room = room("chat");
    let broker = home.open().await;
    publish(&broker, &room, [keyed("a", "1"), keyed("b", "2")]).await;
    broker.close().await;
    drop(broker);
    let broker = home.open().await;
    let again = [keyed("b", "3"), keyed("c", "3"), keyed("a", "3")];
    assert_eq!(placed(&broker, &room, again).await, ["duplicate", "2", "duplicate"]);
    broker.clear(&room).await.unwrap();
    let again = [keyed("a", "4"), keyed("b", "5"), keyed("a", "6")];
    assert_eq!(placed(&broker, &room, again).await, ["3", "4", "duplicate"], "the index goes on");
    assert_eq!(log(&broker, &room).await, ["4", "5"]);
}
