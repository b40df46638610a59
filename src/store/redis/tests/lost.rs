//! What Redis has lost, or does not keep any more, is noticed.
use super::{
    Keys,
    cluster::{Node, short, until},
};
use crate::{
    domain::ids::{ConnectionId, RoomId},
    store::contract::witness::*,
};

/// Sets a room's counters to what they were, as a Redis does that starts again without its last
/// moments.
fn forget(keys: &Keys, room: &RoomId, n: u64, run: &str) {
    let seq = keys.key(&format!("ao:seq:{room}"));
    redis::cmd("HSET")
        .arg(seq)
        .arg("n")
        .arg(n)
        .arg("run")
        .arg(run)
        .exec(&mut keys.connection())
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_to_be_made_up_for_sends_the_clients_back() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    two.attach(&room).await;
    publish(&one.broker, &room, [insert("heard")]).await;
    assert_eq!(two.hears(&room, 1).await, ["1 insert heard"]);
    // Missed, and more than is kept.
    let followed = two.store.rooms.get(room.as_str()).unwrap();
    redis::cmd("HSET")
        .arg(keys.key(&format!("ao:seq:{room}")))
        .arg("n")
        .arg(50)
        .exec(&mut keys.connection())
        .unwrap();
    publish(&one.broker, &room, [insert("late")]).await;
    until("the room is lost", || two.witness.lost() == [room.clone()]).await;
    until("it goes on from there", || followed.at().unwrap().n == 51).await;
    publish(&one.broker, &room, [insert("next")]).await;
    assert_eq!(two.hears(&room, 1).await.last().unwrap(), "52 insert next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_has_lost_the_last_moments_is_noticed() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    two.attach(&room).await;
    for i in 0..5 {
        publish(&one.broker, &room, [insert(&i.to_string())]).await;
    }
    two.hears(&room, 5).await;
    // As if it had started again, without the last two.
    forget(&keys, &room, 3, "another");
    publish(&one.broker, &room, [insert("new")]).await;
    assert_eq!(two.hears(&room, 1).await, ["4 insert new"]);
    assert_eq!(two.witness.lost(), std::slice::from_ref(&room));
    // And without any loss.
    forget(&keys, &room, 4, "yet another");
    publish(&one.broker, &room, [insert("newer")]).await;
    assert_eq!(
        (two.hears(&room, 1).await, two.witness.lost()),
        (vec!["5 insert newer".into()], vec![])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_losses_that_end_at_the_same_place_are_noticed() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    two.attach(&room).await;
    for i in 0..5 {
        publish(&one.broker, &room, [insert(&i.to_string())]).await;
    }
    two.hears(&room, 5).await;
    // Its listening is cut; meanwhile Redis loses two, two others take their places, and it starts
    // once more.
    let followed = two.store.rooms.get(room.as_str()).unwrap();
    two.store.unfollow(&room).await;
    forget(&keys, &room, 3, "another");
    publish(&one.broker, &room, [insert("other 3"), insert("other 4")]).await;
    redis::cmd("DEL")
        .arg(keys.key(&format!("ao:replay:{room}")))
        .exec(&mut keys.connection())
        .unwrap();
    forget(&keys, &room, 5, "yet another");
    assert!(followed.begin_asking());
    let asked = followed.ask().unwrap();
    let answer = two.store.tail(&room, Some(asked.n), two.store.deadline()).await.unwrap();
    assert_eq!((asked.n, answer.n, answer.epoch.base), (5, 5, 5), "by number it is the same place");
    followed.repair(&room, asked, answer, &*two.store.sink());
    assert_eq!(two.witness.lost(), [room]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_join_and_a_silent_takeover_that_redis_has_lost_are_noticed() {
    let keys = Keys::new();
    let (one, two, room) = (Node::new(&keys).await, Node::new(&keys).await, room("class"));
    for node in [&one, &two] {
        node.attach(&room).await;
    }
    one.enter(&room, 1, "ann").await;
    let spy = two.store.presence().enter(&room, &hidden(2, "spy")).await.unwrap();
    assert_eq!(spy.n, 2, "it has a place in the order");
    publish(&one.broker, &room, [ignore("-")]).await;
    for node in [&one, &two] {
        assert_eq!(node.hears(&room, 2).await, ["1 joined ann", "3 ignore -"], "nobody is told");
    }
    // Without the hidden one.
    forget(&keys, &room, 1, "another");
    publish(&one.broker, &room, [ignore("-")]).await;
    for node in [&one, &two] {
        until("it is noticed", || node.witness.lost() == [room.clone()]).await;
    }

    let held = claim(&two.store.presence(), "ann", 5).await;
    assert_eq!(held, std::slice::from_ref(&room));
    assert_eq!(two.store.presence().enter(&room, &visitor(5, "ann")).await.unwrap().n, 3);
    let here = two.store.rooms.get(room.as_str()).unwrap();
    until("the place is taken", || here.at().unwrap().n == 3).await;
    forget(&keys, &room, 2, "yet another");
    publish(&one.broker, &room, [ignore("-")]).await;
    until("it is noticed", || two.witness.lost() == [room.clone()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_only_one_side_knows_are_ended() {
    let keys = Keys::new();
    let (one, two, room) =
        (Node::with(short(&keys)).await, Node::with(short(&keys)).await, room("class"));
    two.attach(&room).await;
    for (connection, name) in [(1, "ghost"), (2, "ann")] {
        one.enter(&room, connection, name).await;
    }
    *one.witness.sessions.lock().unwrap() = vec![ConnectionId(2), ConnectionId(3)];
    one.store.compare_notes().await.unwrap();
    assert_eq!(two.hears(&room, 3).await, ["1 joined ghost", "2 joined ann", "3 gone ghost"]);
    assert_eq!(one.witness.sent_back(), [ConnectionId(3)]);
    assert_eq!(one.store.presence().online().await.unwrap().len(), 1);
}

/// Who signs in while a node compares its sessions with Redis is on neither list, or on both.
#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_while_notes_are_compared_stays() {
    let keys = Keys::new();
    let one = Node::with(short(&keys)).await;
    claim(&one.store.presence(), "ann", 1).await;
    *one.witness.sessions.lock().unwrap() = vec![ConnectionId(1)];
    // One is there each time as soon as the node has said who is.
    let (mut redis, name, mut next) = (keys.connection(), one.store.node(), 2..);
    let [sessions, conns] =
        ["ao:sessions".to_owned(), format!("ao:conns:{name}")].map(|key| keys.key(&key));
    *one.witness.then.lock().unwrap() = Some(Box::new(move |here| {
        let connection: u64 = next.next().unwrap();
        here.push(ConnectionId(connection));
        let session = format!("{name}:{connection}\nsocket\n\"user {connection}\"");
        redis::cmd("HSET")
            .arg(&sessions)
            .arg(format!("user {connection}"))
            .arg(session)
            .exec(&mut redis)
            .unwrap();
        redis::cmd("SADD")
            .arg(&conns)
            .arg(format!("{connection}\nuser {connection}"))
            .exec(&mut redis)
            .unwrap();
    }));
    one.store.compare_notes().await.unwrap();
    let here = one.witness.sessions.lock().unwrap().len();
    assert!(here > 1);
    assert_eq!(
        one.store.presence().online().await.unwrap().len(),
        here,
        "all that are here have a session"
    );
    assert_eq!(one.witness.sent_back(), []);
}

/// It joins another room meanwhile, so Redis knows the connection; but nobody who signs in as the
/// same user would kick it out.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_its_session_is_sent_back_even_if_it_goes_on() {
    let keys = Keys::new();
    let (one, room) = (Node::with(short(&keys)).await, room("class"));
    one.attach(&room).await;
    for (connection, name) in [(1, "ann"), (2, "ben"), (3, "cat")] {
        one.enter(&room, connection, name).await;
    }
    // Cat is kicked out and has not ended yet, which is no loss.
    claim(&one.store.presence(), "cat", 4).await;
    *one.witness.sessions.lock().unwrap() = (1..=4).map(ConnectionId).collect();
    redis::cmd("HDEL")
        .arg(keys.key("ao:sessions"))
        .arg("ann")
        .exec(&mut keys.connection())
        .unwrap();
    one.store.presence().enter(&room, &visitor(1, "ann")).await.unwrap();
    one.store.compare_notes().await.unwrap();
    assert_eq!(one.witness.sent_back(), [ConnectionId(1)]);
}
