//! Several nodes on one Redis behave as one.
use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{Keys, Options, Redis};
use crate::{
    domain::{
        broker::{Broker, Entry},
        ids::{ConnectionId, RoomId},
        presence::Departure,
    },
    store::contract::witness::*,
};

/// A node, and what its members are told.
pub(super) struct Node {
    pub(super) store: Arc<Redis>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) witness: Arc<Witness>,
}

impl Node {
    pub(super) async fn new(keys: &Keys) -> Self {
        Self::with(keys.options()).await
    }

    pub(super) async fn with(options: Options) -> Self {
        let store = Redis::open(options).await.unwrap();
        let broker = store.broker();
        let witness = Witness::of(&broker);
        Node { store, broker, witness }
    }

    pub(super) async fn attach(&self, room: &RoomId) {
        self.broker.attach(room).await.unwrap();
    }

    /// Waits until so many publications of the room were told, and what they were.
    pub(super) async fn hears(&self, room: &RoomId, count: usize) -> Vec<String> {
        let mut heard = Vec::new();
        until(&format!("{count} publications"), || {
            heard.extend(self.witness.heard(room));
            heard.len() >= count
        })
        .await;
        heard
    }

    pub(super) async fn enter(&self, room: &RoomId, connection: u64, name: &str) {
        claim(&self.store.presence(), name, connection).await;
        self.store.presence().enter(room, &visitor(connection, name)).await.unwrap();
    }

    /// Ends as a process that is killed does.
    pub(super) fn die(&self) {
        self.store.ended.cancel();
    }
}

/// Far above what it takes: a busy machine must not fail it.
pub(super) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

pub(super) fn short(keys: &Keys) -> Options {
    Options { lease: Duration::from_millis(1500), ..keys.options() }
}

/// Cuts all connections that listen; those of other tests come back as well.
fn cut_listeners(keys: &Keys) {
    redis::cmd("CLIENT")
        .arg("KILL")
        .arg("TYPE")
        .arg("pubsub")
        .exec(&mut keys.connection())
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_tell_the_same_in_the_same_order() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    one.attach(&room).await;
    two.attach(&room).await;
    let send = |node: &Node, name: &'static str| {
        let (broker, room) = (node.broker.clone(), room.clone());
        tokio::spawn(async move {
            for i in 0..200 {
                publish(
                    &broker,
                    &room,
                    [
                        insert(&format!("{name}{i}")),
                        update("x", &format!("{name}{i}")),
                        ignore("-"),
                    ],
                )
                .await;
            }
        })
    };
    let (a, b) = (send(&one, "a"), send(&two, "b"));
    a.await.unwrap();
    b.await.unwrap();
    let (first, second) = (one.hears(&room, 1200).await, two.hears(&room, 1200).await);
    assert_eq!(first, second);
    let places: Vec<u64> =
        first.iter().map(|t| t.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(places, (1..=1200).collect::<Vec<_>>());
    let told: Vec<_> = first
        .iter()
        .filter_map(|t| t.split(' ').nth(2).filter(|_| t.contains(" insert ")).map(str::to_owned))
        .collect();
    assert_eq!(log(&one.broker, &room).await, told, "and the log has it in that order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_loses_and_repeats_nothing() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    one.attach(&room).await;
    two.attach(&room).await;
    for i in 0..300 {
        if i % 60 == 30 {
            cut_listeners(&keys);
        }
        publish(&one.broker, &room, [insert(&i.to_string())]).await;
    }
    let expected: Vec<String> = (0..300).map(|i| format!("{} insert {i}", i + 1)).collect();
    assert_eq!(two.hears(&room, 300).await, expected);
    assert_eq!(one.witness.heard(&room), expected);
    assert_eq!((one.witness.lost(), two.witness.lost()), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_members_is_sent_nothing() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    let listeners = || -> u64 {
        let channel = format!("{}room:{room}", one.store.channels);
        let answer: (String, u64) =
            redis::cmd("PUBSUB").arg("NUMSUB").arg(channel).query(&mut keys.connection()).unwrap();
        answer.1
    };
    assert_eq!(listeners(), 0);
    one.attach(&room).await;
    assert_eq!(listeners(), 1);
    two.attach(&room).await;
    assert_eq!(listeners(), 2);
    two.broker.detach(&room);
    until("the subscription has ended", || listeners() == 1).await;
    publish(&one.broker, &room, [insert("1")]).await;
    two.attach(&room).await;
    publish(&one.broker, &room, [insert("2")]).await;
    assert_eq!(two.hears(&room, 1).await, ["2 insert 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_left_and_opened_again_all_the_time_is_never_deaf() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    for i in 0..50 {
        two.attach(&room).await;
        publish(&one.broker, &room, [insert(&i.to_string())]).await;
        assert_eq!(two.hears(&room, 1).await, [format!("{} insert {i}", i + 1)]);
        two.broker.detach(&room);
        if i % 2 == 0 {
            // As the sweep does when a room was idle for long enough.
            two.store.unfollow(&room).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_all_nodes_are_in_one_roster() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    one.attach(&room).await;
    two.attach(&room).await;
    one.enter(&room, 1, "ann").await;
    two.enter(&room, 1, "ben").await;
    let roster = one.store.presence().enter(&room, &hidden(3, "spy")).await.unwrap();
    assert_eq!((names(&roster.others), roster.n), (vec!["ann", "ben"], 3));
    two.store.presence().depart(&room, ConnectionId(1), Departure::Left).await.unwrap();
    for node in [&one, &two] {
        assert_eq!(node.hears(&room, 3).await, ["1 joined ann", "2 joined ben", "4 left ben"]);
    }
    let online = one.store.presence().online().await.unwrap();
    assert_eq!(online.len(), 2, "{online:?}");
    assert_eq!(two.store.presence().rooms().await.unwrap(), [room]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_session_on_another_node_evicts_the_first_and_takes_its_place() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    one.attach(&room).await;
    one.enter(&room, 1, "ann").await;
    let held = claim(&two.store.presence(), "ann", 5).await;
    assert_eq!(held, std::slice::from_ref(&room));
    until("the first is told", || one.witness.evicted() == [ConnectionId(1)]).await;
    // What it had on its way puts it nowhere.
    one.store.presence().enter(&room, &visitor(1, "ann")).await.unwrap();
    one.store.presence().depart(&room, ConnectionId(1), Departure::Gone).await.unwrap();
    one.store.presence().end(&uid("ann"), ConnectionId(1)).await.unwrap();
    two.store.presence().enter(&room, &visitor(5, "ann")).await.unwrap();
    assert_eq!(one.hears(&room, 1).await, ["1 joined ann"], "nobody is told");
    let members = one.store.presence().members(&room).await.unwrap();
    assert_eq!(
        members.iter().map(|m| (m.uid.as_str(), m.held)).collect::<Vec<_>>(),
        [("ann", false)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kick_that_was_missed_is_made_up_for() {
    let keys = Keys::new();
    let (one, two) = (Node::new(&keys).await, Node::new(&keys).await);
    claim(&one.store.presence(), "ann", 1).await;
    // As if it had been published while the connection was cut.
    redis::cmd("SADD")
        .arg(keys.key(&format!("ao:evicted:{}", one.store.node())))
        .arg(1)
        .exec(&mut keys.connection())
        .unwrap();
    cut_listeners(&keys);
    until("it is evicted", || one.witness.evicted().contains(&ConnectionId(1))).await;
    assert_eq!(two.witness.evicted(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_nodes_are_everybodys() {
    let keys = Keys::new();
    let rate = Some((3, Duration::from_secs(60)));
    let one = Node::with(Options { rate_limit: rate, ..keys.options() }).await;
    let two = Node::with(Options { rate_limit: rate, ..keys.options() }).await;
    let mut admitted = 0;
    for limits in [one.store.limits(), two.store.limits(), one.store.limits(), two.store.limits()] {
        admitted += u32::from(limits.admit(&uid("ann")).await.unwrap());
    }
    assert_eq!(admitted, 3);
    let nodes = one.store.cluster().nodes().await.unwrap();
    assert_eq!((nodes.len(), nodes.iter().filter(|n| n.this).count()), (2, 1));
    assert!(nodes.iter().all(|node| node.figures.is_none()), "they tell nothing of themselves");
    two.broker.close().await;
    assert_eq!(one.store.cluster().nodes().await.unwrap().len(), 1, "who ends says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_dead_node_nothing_stays_and_its_rooms_are_told() {
    let keys = Keys::new();
    let (one, two, room) =
        (Node::with(short(&keys)).await, Node::with(short(&keys)).await, room("class"));
    one.attach(&room).await;
    two.attach(&room).await;
    one.enter(&room, 1, "ann").await;
    for i in 0..250 {
        two.enter(&room, i, &format!("pupil {i}")).await;
    }
    // One of them was kicked out, and its successor had not joined yet.
    claim(&two.store.presence(), "pupil 7", 1007).await;
    one.hears(&room, 251).await;
    let dead = two.store.node();
    two.die();
    let told = one.hears(&room, 250).await;
    assert!(told.iter().all(|t| t.contains(" gone pupil ")), "{told:?}");
    until("nothing of it is left", || !keys.all().iter().any(|key| key.contains(&*dead))).await;
    assert_eq!(
        names(&one.store.presence().enter(&room, &hidden(3, "spy")).await.unwrap().others),
        ["ann"]
    );
    assert_eq!(one.store.presence().online().await.unwrap().len(), 1);
    assert!(!keys.all().iter().any(|key| key.starts_with("ao:holds")), "{:?}", keys.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_taken_for_dead_sends_its_clients_back_and_goes_on_under_another_name() {
    let keys = Keys::new();
    let (one, two, room) =
        (Node::with(short(&keys)).await, Node::with(short(&keys)).await, room("class"));
    two.attach(&room).await;
    one.enter(&room, 1, "ann").await;
    *one.witness.sessions.lock().unwrap() = vec![ConnectionId(1)];
    let name = one.store.node();
    redis::cmd("ZREM").arg(keys.key("ao:nodes")).arg(&*name).exec(&mut keys.connection()).unwrap();
    assert!(
        one.store.presence().enter(&room, &visitor(9, "late")).await.is_err(),
        "nothing is added to what is dead"
    );
    until("its clients come back", || one.witness.sent_back() == [ConnectionId(1)]).await;
    until("it has a new name", || one.store.node() != name).await;
    assert!(
        one.store.presence().enter(&room, &visitor(1, "ann")).await.is_err(),
        "a join of then is none of the new name's"
    );
    until("it is registered", || keys.all().contains(&"ao:nodes".to_owned())).await;
    let joined = async || one.store.presence().enter(&room, &visitor(10, "cat")).await.is_ok();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !joined().await {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(50)).await;
    }
    claim(&one.store.presence(), "dan", 11).await;
    claim(&two.store.presence(), "dan", 12).await;
    until("it is reached under it", || one.witness.evicted() == [ConnectionId(11)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kicked_connection_had_on_its_way_has_no_effect() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    one.attach(&room).await;
    two.attach(&room).await;
    one.enter(&room, 7001, "ann").await;
    claim(&two.store.presence(), "ann", 5).await;
    let system = Entry::System { content: "1".into() };
    one.broker.publish(&room, [insert("from the kicked"), system].into()).await.unwrap();
    assert_eq!(two.hears(&room, 2).await, ["1 joined ann", "2 system 1"]);
    assert_eq!(log(&two.broker, &room).await, [""; 0]);
    assert!(
        one.broker.publish(&room, [insert("from the kicked")].into()).await.is_err(),
        "nobody is told that it worked"
    );
    one.store.presence().end(&uid("ann"), ConnectionId(7001)).await.unwrap();
    publish(&one.broker, &room, [insert("from another life")]).await;
    assert_eq!(two.hears(&room, 1).await, ["3 insert from another life"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_taken_for_dead_tells_nothing() {
    let keys = Keys::new();
    let (one, room) = (Node::new(&keys).await, room("class"));
    redis::cmd("ZREM")
        .arg(keys.key("ao:nodes"))
        .arg(&*one.store.node())
        .exec(&mut keys.connection())
        .unwrap();
    assert!(one.broker.publish(&room, [insert("from the gone")].into()).await.is_err());
    assert_eq!(log(&one.broker, &room).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_without_joining_gives_its_holds_up() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    one.attach(&room).await;
    one.enter(&room, 1, "ann").await;
    claim(&two.store.presence(), "ann", 5).await;
    // As when the answer to the claim was lost.
    two.store.presence().end(&uid("ann"), ConnectionId(5)).await.unwrap();
    assert_eq!(one.hears(&room, 2).await, ["1 joined ann", "2 gone ann"]);
    one.store.presence().end(&uid("ann"), ConnectionId(1)).await.unwrap();
    assert!(
        !keys.all().iter().any(|key| key.starts_with("ao:holds") || key.starts_with("ao:members")),
        "{:?}",
        keys.all()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kick_that_a_node_has_not_heard_of_costs_the_successor_no_place() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    two.attach(&room).await;
    one.enter(&room, 1, "ann").await;
    claim(&one.store.presence(), "ann", 2).await;
    // The second session of the first node is kicked by one of the second node, and has not heard
    // of it.
    claim(&two.store.presence(), "ann", 5).await;
    one.store.presence().release(&room, &uid("ann"), ConnectionId(2)).await.unwrap();
    one.store.presence().end(&uid("ann"), ConnectionId(2)).await.unwrap();
    two.store.presence().enter(&room, &visitor(5, "ann")).await.unwrap();
    publish(&two.broker, &room, [insert("on")]).await;
    assert_eq!(
        two.hears(&room, 2).await,
        ["1 joined ann", "3 insert on"],
        "she was there all the time"
    );
}
