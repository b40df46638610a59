//! Receipts on several nodes, and as Redis has them.
use super::{Keys, cluster::Node};
use crate::{
    domain::{
        broker::{Entry, Placed},
        receipt::KEPT,
    },
    store::contract::witness::*,
};
use redis::Commands;

fn once(key: &str, body: &str) -> Entry {
    with_receipt(receipt(key, 1, "note"), insert(body))
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_that_are_asked_at_once_one_publishes_and_both_answer_alike() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    one.attach(&room).await;
    two.attach(&room).await;
    let send = |node: &Node, other: &'static str| {
        let (broker, room) = (node.broker.clone(), room.clone());
        tokio::spawn(async move {
            let mut placed = Vec::new();
            for i in 0..100 {
                let (key, text) = (format!("k{i}"), i.to_string());
                let batch = [insert(other), once(&key, &text), once(&key, &text)];
                let batch = broker.publish(&room, batch.into()).await.unwrap();
                assert!(matches!(batch[0], Placed::At(_)));
                placed.push([batch[1].clone(), batch[2].clone()]);
            }
            placed
        })
    };
    let (a, b) = (send(&one, "a"), send(&two, "b"));
    for (a, b) in a.await.unwrap().into_iter().zip(b.await.unwrap()) {
        let all = [a, b].concat();
        let published: Vec<_> = all.iter().filter(|p| matches!(p, Placed::At(_))).collect();
        let [Placed::At(position)] = published[..] else { panic!("{all:?}") };
        let replayed = Placed::Replayed { position: *position, note: "note".into() };
        assert_eq!(all.iter().filter(|p| **p == replayed).count(), 3, "{all:?}");
        let stored =
            &log(&one.broker, &room).await[usize::try_from(position.index.unwrap()).unwrap()];
        assert!(stored != "a" && stored != "b", "the index is that of the insert");
    }
    assert_eq!(log(&one.broker, &room).await.len(), 300);
    assert_eq!(one.hears(&room, 300).await, two.hears(&room, 300).await);
}

#[tokio::test]
async fn a_receipt_is_one_key_that_ends_by_itself_and_what_others_wrote_there_is_none() {
    let keys = Keys::new();
    let (node, room) = (Node::new(&keys).await, room("class"));
    let position = publish(&node.broker, &room, [once("k", "a")]).await[0];
    let key = keys.key("ao:receipt:k");
    let kept: Vec<u8> = keys.connection().get(&key).unwrap();
    let head = format!("{} 0 {} ", position.n, position.at_ms);
    let tail = [&b" 0\n"[..], &[1; 32], b"note"].concat();
    assert!(kept.starts_with(head.as_bytes()) && kept.ends_with(&tail), "{kept:?}");
    let left: i64 = keys.connection().pttl(&key).unwrap();
    let most = i64::try_from(KEPT.as_millis()).unwrap();
    assert!((most - 600_000..=most).contains(&left), "{left}");
    let _: () = keys.connection().set(&key, "nonsense").unwrap();
    let batch = [once("k", "a"), insert("b")];
    let placed = node.broker.publish(&room, batch.into()).await.unwrap();
    assert!(matches!(placed[..], [Placed::Reused, Placed::At(_)]), "{placed:?}");
    publish(&node.broker, &room, [insert("c"), ignore("d")]).await;
    assert_eq!(keys.all().iter().filter(|key| key.contains("receipt")).count(), 1);
}

#[tokio::test]
async fn a_room_in_which_nothing_was_published_leaves_nothing_that_stays() {
    let keys = Keys::new();
    let (node, room, other) = (Node::new(&keys).await, room("class"), room("other"));
    publish(&node.broker, &room, [once("k", "a")]).await;
    let placed = node.broker.publish(&other, [once("k", "a")].into()).await.unwrap();
    assert!(matches!(placed[..], [Placed::Replayed { .. }]), "{placed:?}");
    let seq = keys.key(&format!("ao:seq:{other}"));
    assert!(keys.connection().pttl::<_, i64>(&seq).unwrap() != -1, "its counters go");
    assert!(!keys.connection().exists::<_, bool>(keys.key(&format!("ao:replay:{other}"))).unwrap());
}
