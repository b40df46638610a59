//! What a node has to know within a second, whatever happens to the connection that listens:
//! revocations, kicks, the switch of user authentication.
use super::{
    super::revoke,
    Keys,
    cluster::{Node, short, until},
};
use crate::{
    domain::{
        ids::ConnectionId,
        presence::{Claim, Expelled, Expulsion, Visitor},
    },
    store::contract::witness::*,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_user_is_expelled_wherever_it_is() {
    let keys = Keys::new();
    let (one, two) = (Node::new(&keys).await, Node::new(&keys).await);
    claim(&one.store.presence(), "ann", 1).await;
    claim(&two.store.presence(), "ben", 1).await;
    let ended =
        |node: &Node| Expelled::Ended { server: node.store.node().to_string(), connections: 1 };
    assert_eq!(revoke(keys.options(), &uid("ann")).await.unwrap(), ended(&one));
    assert_eq!(revoke(keys.options(), &uid("ben")).await.unwrap(), ended(&two));
    assert_eq!(
        (one.witness.expelled(), two.witness.expelled()),
        (vec![ConnectionId(1)], vec![ConnectionId(1)])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_never_claim_are_told_on_all_nodes() {
    let keys = Keys::new();
    let (one, two) = (Node::new(&keys).await, Node::new(&keys).await);
    let elsewhere = Node::new(&keys).await;
    let (class, hall) = (room("class"), room("hall"));
    claim(&one.store.presence(), "ann", 1).await;
    for (node, connection, room) in [(&one, 2, &class), (&two, 1, &class), (&two, 2, &hall)] {
        node.attach(room).await;
        node.store.presence().enter(room, &visitor(connection, "ann")).await.unwrap();
    }
    let each = |mut told: Vec<ConnectionId>| {
        told.sort_unstable();
        told.dedup();
        told
    };
    let both = [1, 2].map(ConnectionId);
    let presence = elsewhere.store.presence();
    assert_eq!(presence.expel(&uid("ann"), Expulsion::Ask).await.unwrap(), 4);
    assert_eq!((each(one.witness.asked()), each(two.witness.asked())), (both.into(), both.into()));
    let mut nodes = [one.store.node().to_string(), two.store.node().to_string()];
    nodes.sort();
    let ended = Expelled::Ended { server: nodes.join(", "), connections: 4 };
    assert_eq!(revoke(keys.options(), &uid("ann")).await.unwrap(), ended);
    let expelled = (each(one.witness.expelled()), each(two.witness.expelled()));
    assert_eq!(expelled, (both.into(), both.into()));
    assert_eq!(elsewhere.witness.expelled(), []);
    // Of those of a node that has died nobody says so.
    two.die();
    let unconfirmed = Expelled::Unconfirmed { server: two.store.node().to_string() };
    assert_eq!(revoke(keys.options(), &uid("ann")).await.unwrap(), unconfirmed);
}

/// Its node has not heard of it when it enters.
#[tokio::test(flavor = "multi_thread")]
async fn who_enters_behind_a_revocation_by_another_node_is_checked_again() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    one.attach(&room).await;
    let checked = Some(one.store.presence().revocations());
    assert_eq!(two.store.presence().expel(&uid("ann"), Expulsion::End).await.unwrap(), 0);
    for (name, check_again) in [("ann", true), ("ben", false)] {
        let visitor = Visitor { checked, ..visitor(1, name) };
        let roster = one.store.presence().enter(&room, &visitor).await.unwrap();
        assert_eq!(roster.check_again, check_again, "{name}");
    }
    assert_eq!(two.store.presence().expel(&uid("ann"), Expulsion::End).await.unwrap(), 1);
    assert_eq!(one.witness.expelled().first(), Some(&ConnectionId(1)), "it is told from then on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_to_a_deaf_node_is_found() {
    let keys = Keys::new();
    let (one, two) = (Node::new(&keys).await, Node::new(&keys).await);
    claim(&one.store.presence(), "ann", 1).await;
    claim(&one.store.presence(), "ben", 2).await;
    for (set, connection) in [("expelled", 1), ("evicted", 2)] {
        redis::cmd("SADD")
            .arg(keys.key(&format!("ao:{set}:{}", one.store.node())))
            .arg(connection)
            .exec(&mut keys.connection())
            .unwrap();
    }
    until("it is expelled", || one.witness.expelled().contains(&ConnectionId(1))).await;
    until("it is evicted", || one.witness.evicted().contains(&ConnectionId(2))).await;
    until("it is confirmed", || !keys.all().iter().any(|key| key.starts_with("ao:expelled"))).await;
    assert_eq!((two.witness.expelled(), two.witness.evicted()), (vec![], vec![]));
    let mut switched = redis::cmd("MSET");
    switched.arg(keys.key("ao:user_auth")).arg(1).arg(keys.key("ao:user_auth_serial")).arg(7);
    switched.exec(&mut keys.connection()).unwrap();
    until("it is switched", || one.witness.user_auth().contains(&Some(true))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_answer_is_named() {
    let keys = Keys::new();
    let one = Node::new(&keys).await;
    claim(&one.store.presence(), "ann", 1).await;
    one.die();
    let named = Expelled::Unconfirmed { server: one.store.node().to_string() };
    assert_eq!(revoke(keys.options(), &uid("ann")).await.unwrap(), named);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_signs_in_unchecked_where_users_must_authenticate() {
    let keys = Keys::new();
    let one = Node::new(&keys).await;
    // Another node has switched it on just now, and this one has not heard of it.
    redis::cmd("SET")
        .arg(keys.key("ao:user_auth"))
        .arg("1 7")
        .exec(&mut keys.connection())
        .unwrap();
    let signs_in = async |checked| {
        one.store.presence().claim(&uid("ann"), ConnectionId(1), &socket(1), checked).await.unwrap()
    };
    let Claim::CheckAgain(now) = signs_in(None).await else { panic!("it is let in") };
    assert_eq!(signs_in(Some(now)).await, Claim::Made(vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn user_authentication_is_switched_everywhere_and_for_those_who_come_later() {
    let keys = Keys::new();
    let (one, two) = (Node::new(&keys).await, Node::new(&keys).await);
    one.store.cluster().force_user_auth(false).await.unwrap();
    until("the other is told", || two.witness.user_auth().contains(&Some(false))).await;
    let three = Node::with(short(&keys)).await;
    until("a new one learns it", || three.witness.user_auth().last() == Some(&Some(false))).await;
    for node in [&one, &two, &three] {
        node.broker.close().await;
    }
    let four = Node::with(short(&keys)).await;
    until("with the last node it is forgotten", || four.witness.user_auth().last() == Some(&None))
        .await;
}

/// As if Redis had been out for longer than a lease: no lease is valid, and nobody has ended.
fn end_all_leases(keys: &Keys) {
    let nodes: Vec<String> = redis::cmd("ZRANGE")
        .arg(keys.key("ao:nodes"))
        .arg(0)
        .arg(-1)
        .query(&mut keys.connection())
        .unwrap();
    for node in nodes {
        redis::cmd("ZADD")
            .arg(keys.key("ao:nodes"))
            .arg(1)
            .arg(node)
            .exec(&mut keys.connection())
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_after_an_outage_does_not_open_the_door() {
    let keys = Keys::new();
    let one = Node::new(&keys).await;
    one.store.cluster().force_user_auth(true).await.unwrap();
    end_all_leases(&keys);
    let two = Node::new(&keys).await;
    until("the newcomer knows", || two.witness.user_auth().last() == Some(&Some(true))).await;
    one.store.beat_now.notify_one();
    until("the one that was there is told", || one.witness.user_auth().last() == Some(&Some(true)))
        .await;

    // That users need not authenticate has to be said by somebody who is alive.
    one.store.cluster().force_user_auth(false).await.unwrap();
    until("the other is told", || two.witness.user_auth().last() == Some(&Some(false))).await;
    end_all_leases(&keys);
    let three = Node::new(&keys).await;
    until("the newcomer does as it is configured", || {
        three.witness.user_auth().last() == Some(&None)
    })
    .await;
    one.store.beat_now.notify_one();
    until("and so do the others", || one.witness.user_auth().last() == Some(&None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_has_forgotten_that_users_must_authenticate_is_told() {
    let keys = Keys::new();
    let one = Node::new(&keys).await;
    one.store.cluster().force_user_auth(false).await.unwrap();
    let before: String =
        redis::cmd("GET").arg(keys.key("ao:user_auth")).query(&mut keys.connection()).unwrap();
    one.store.cluster().force_user_auth(true).await.unwrap();
    one.witness.user_auth();
    let lost = [("SET", Some(&before)), ("DEL", None)];
    for (command, value) in lost {
        let mut forget = redis::cmd(command);
        forget.arg(keys.key("ao:user_auth"));
        value.map(|value| forget.arg(value));
        forget.exec(&mut keys.connection()).unwrap();
        one.store.beat_now.notify_one();
        let stored = || {
            redis::cmd("GET")
                .arg(keys.key("ao:user_auth"))
                .query::<Option<String>>(&mut keys.connection())
                .unwrap()
        };
        until("it is told", || stored().is_some_and(|text| text.starts_with('1'))).await;
        assert_eq!(
            stored().as_deref(),
            Some("1"),
            "as a build without serial numbers writes and reads it"
        );
        assert!(
            one.witness.user_auth().iter().all(|on| *on == Some(true)),
            "nobody was let in meanwhile"
        );
        let two = Node::new(&keys).await;
        until("those who come know it", || two.witness.user_auth().last() == Some(&Some(true)))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_has_to_be_checked_again_changes_nothing_and_says_from_where() {
    let keys = Keys::new();
    let (one, two) = (Node::new(&keys).await, Node::new(&keys).await);
    claim(&one.store.presence(), "ann", 1).await;
    assert!(matches!(
        revoke(keys.options(), &uid("ann")).await.unwrap(),
        Expelled::Ended { connections: 1, .. }
    ));
    one.witness.expelled();
    // It signs in unchecked on a node that has not heard that users must authenticate.
    redis::cmd("SET")
        .arg(keys.key("ao:user_auth"))
        .arg("1 7")
        .exec(&mut keys.connection())
        .unwrap();
    let signs_in = async |checked| {
        two.store.presence().claim(&uid("ann"), ConnectionId(2), &socket(2), checked).await.unwrap()
    };
    let before = keys.all();
    let Claim::CheckAgain(now) = signs_in(None).await else { panic!("it is let in") };
    assert_eq!(keys.all(), before);
    let online = one.store.presence().online().await.unwrap();
    assert!(online.len() == 1 && online[0].socket == socket(1), "the session is whose it was");
    assert_eq!(one.witness.evicted(), []);
    // What is checked from then on is behind the revocation.
    assert_eq!(signs_in(Some(now)).await, Claim::Made(vec![]));
    until("the earlier one is evicted", || one.witness.evicted() == [ConnectionId(1)]).await;
}
