//! Users with connections on several nodes, and what administrators ask of all nodes.
use redis::Commands;

use super::{
    Keys,
    cluster::{Node, short, until},
};
use crate::{
    domain::{
        directory::{Ending, Names},
        ids::{ConnectionId, RoomId},
        presence::{Departure, Visitor},
    },
    store::contract::witness::*,
};

/// Two nodes that are told of the room. On the first are `ann` (1) and `ben` (2), on the second
/// `ann` (1) again. Nobody claims a session.
async fn two_nodes(keys: &Keys) -> (Node, Node, RoomId) {
    let (one, two) = (Node::with(short(keys)).await, Node::with(short(keys)).await);
    let room = room("class");
    for node in [&one, &two] {
        node.attach(&room).await;
    }
    for (node, connection, name) in [(&one, 1, "ann"), (&one, 2, "ben"), (&two, 1, "ann")] {
        node.store.presence().enter(&room, &visitor(connection, name)).await.unwrap();
    }
    for node in [&one, &two] {
        assert_eq!(
            node.hears(&room, 3).await,
            ["1 joined ann", "2 joined ben", "3 joined ann (2)"]
        );
    }
    (one, two, room)
}

async fn members(node: &Node, room: &RoomId) -> Vec<(String, u64)> {
    let members = node.store.presence().members(room).await.unwrap();
    members.into_iter().map(|m| (m.uid.to_string(), m.connections)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_on_all_nodes_are_counted_and_those_of_a_dead_one_go_one_by_one() {
    let keys = Keys::new();
    let (one, two, room) = two_nodes(&keys).await;
    assert_eq!(members(&one, &room).await, [("ann".into(), 2), ("ben".into(), 1)]);
    two.store.presence().enter(&room, &visitor(3, "ann")).await.unwrap();
    assert_eq!(one.hears(&room, 1).await, ["4 joined ann (3)"]);
    two.die();
    let told = one.hears(&room, 2).await;
    assert_eq!(told, ["5 gone ann (2)", "6 gone ann (1)"], "she is still on the other one");
    assert_eq!(members(&one, &room).await, [("ann".into(), 1), ("ben".into(), 1)]);
    one.store.presence().depart(&room, ConnectionId(1), Departure::Left).await.unwrap();
    assert_eq!(one.hears(&room, 1).await, ["7 left ann"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_is_out_on_every_node_at_one_place_of_the_order() {
    let keys = Keys::new();
    let (one, two, room) = two_nodes(&keys).await;
    two.store.presence().enter(&room, &hidden(3, "ann")).await.unwrap();
    let elsewhere = Node::with(short(&keys)).await; // has no member of the room
    assert_eq!(elsewhere.store.presence().remove(&room, &uid("ann")).await.unwrap(), 3);
    publish(&one.broker, &room, [insert("behind")]).await;
    for node in [&one, &two] {
        assert_eq!(node.hears(&room, 2).await, ["5 removed ann", "6 insert behind"]);
    }
    assert_eq!(members(&two, &room).await, [("ben".into(), 1)]);
    // What a node that has not heard of it does about them has no effect.
    two.store.presence().depart(&room, ConnectionId(1), Departure::Gone).await.unwrap();
    assert_eq!(one.store.presence().remove(&room, &uid("ann")).await.unwrap(), 0);
    two.store.presence().end(&uid("ann"), ConnectionId(1)).await.unwrap();
    publish(&one.broker, &room, [insert("on")]).await;
    assert_eq!(two.hears(&room, 1).await, ["7 insert on"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_cut_off_learns_of_a_removal() {
    let keys = Keys::new();
    let (one, two, room) = two_nodes(&keys).await;
    two.store.unfollow(&room).await; // as if it were deaf
    one.store.presence().remove(&room, &uid("ann")).await.unwrap();
    assert_eq!(one.hears(&room, 1).await, ["4 removed ann"]);
    two.attach(&room).await;
    let followed = two.store.rooms.get(room.as_str()).unwrap();
    let (asked, deadline) = (followed.ask().unwrap(), two.store.deadline());
    let kept = two.store.tail(&room, Some(3), deadline).await.unwrap().kept;
    assert_eq!(asked.n, 4);
    let told = format!("{:?}", kept[0].publications[0].event);
    assert_eq!(told, r#"Removed { uid: "ann", seen: true }"#, "the replay list has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_a_user_are_ended_on_all_nodes() {
    let keys = Keys::new();
    let (one, two, _) = two_nodes(&keys).await;
    let elsewhere = Node::with(short(&keys)).await;
    let presence = elsewhere.store.presence();
    assert_eq!(presence.disconnect(&uid("ann"), Ending::Refuse).await.unwrap(), 2);
    for node in [&one, &two] {
        let ended = node.witness.disconnections(1).await;
        assert_eq!(ended, [(ConnectionId(1), Ending::Refuse)]);
    }
    let pending = || keys.all().iter().any(|key| key.starts_with("ao:ending"));
    until("each node says that it has done it", || !pending()).await;
    assert_eq!(presence.disconnect(&uid("nobody"), Ending::Drop).await.unwrap(), 0);
    assert_eq!(elsewhere.witness.disconnections(0).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_was_not_heard_of_is_made_up_for() {
    let keys = Keys::new();
    let (one, _, _) = two_nodes(&keys).await;
    let ending = keys.key(&format!("ao:ending:{}", one.store.node()));
    let _: () = keys.connection().sadd(&ending, &["2 d", "9 ?"]).unwrap();
    assert_eq!(one.witness.disconnections(1).await, [(ConnectionId(2), Ending::Drop)]);
    until("it says so", || {
        let left: Vec<String> = keys.connection().smembers(&ending).unwrap();
        left == ["9 ?"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_found_on_all_its_nodes_until_they_die() {
    let keys = Keys::new();
    let (one, two, room) = two_nodes(&keys).await;
    let all = Names { prefix: String::new(), after: None, limit: 9 };
    let mut nodes = [one.store.node().to_string(), two.store.node().to_string()];
    nodes.sort();
    let found = one.store.presence().whereabouts(&uid("ann")).await.unwrap();
    assert_eq!(found.iter().map(|w| w.node.clone()).collect::<Vec<_>>(), nodes);
    assert!(found.iter().all(|w| w.rooms == [room.clone()]), "{found:?}");
    let users = two.store.presence().users_page(&all).await.unwrap();
    let shown: Vec<_> = users.iter().map(|u| (u.uid.as_str(), u.nodes.len())).collect();
    assert_eq!(shown, [("ann", 2), ("ben", 1)]);
    one.die();
    two.hears(&room, 2).await;
    until("nothing of the dead one is left", || {
        let online: Vec<String> = keys.connection().zrange(keys.key("ao:online"), 0, -1).unwrap();
        online == [format!("ann\n{}:1", two.store.node())]
    })
    .await;
    let users = two.store.presence().users_page(&all).await.unwrap();
    assert_eq!(users.iter().map(|u| u.uid.as_str()).collect::<Vec<_>>(), ["ann"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_and_goes_learns_how_many_of_its_user_are_there_on_all_nodes() {
    let keys = Keys::new();
    let (one, two, room) = two_nodes(&keys).await;
    let (first, second) = (one.store.presence(), two.store.presence());
    assert_eq!(first.enter(&room, &hidden(3, "ann")).await.unwrap().connections, 3);
    assert_eq!(second.enter(&room, &visitor(3, "ann")).await.unwrap().connections, 4);
    assert_eq!(second.depart(&room, ConnectionId(1), Departure::Left).await, Ok(Some(3)));
    assert_eq!(second.depart(&room, ConnectionId(1), Departure::Left).await, Ok(None));
    assert_eq!(first.depart(&room, ConnectionId(3), Departure::Gone).await, Ok(Some(2)));
    two.die();
    until("those of the dead node count no more", || {
        let seats: Vec<String> =
            keys.connection().hkeys(keys.key(&format!("ao:members:{room}"))).unwrap();
        seats.len() == 2
    })
    .await;
    assert_eq!(first.depart(&room, ConnectionId(1), Departure::Gone).await, Ok(Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_claims_is_told_of_on_all_nodes_until_its_node_dies() {
    let keys = Keys::new();
    let (one, two, room) = two_nodes(&keys).await;
    let named = Visitor { socket: Some(socket(7)), ..visitor(7, "zoe") };
    two.store.presence().enter(&room, &named).await.unwrap();
    two.store.presence().enter(&room, &visitor(7, "zoe")).await.unwrap();
    for node in [&one, &two] {
        let found = node.store.presence().whereabouts(&uid("zoe")).await.unwrap();
        let shown: Vec<_> = found.iter().map(|w| (&*w.node, w.socket.clone())).collect();
        assert_eq!(shown, [(&*two.store.node(), Some(socket(7)))]);
    }
    two.die();
    until("nothing of the dead one is left", || {
        !keys.all().iter().any(|key| key.contains(&*two.store.node()))
    })
    .await;
    assert_eq!(one.store.presence().whereabouts(&uid("zoe")).await.unwrap(), []);
    assert_eq!(members(&one, &room).await, [("ann".into(), 1), ("ben".into(), 1)]);
}

/// A node of a build that knows of no `ao:online` may end what another one began.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_build_left_behind_is_nobody() {
    let keys = Keys::new();
    let (one, _, room) = two_nodes(&keys).await;
    let (mut redis, node) = (keys.connection(), one.store.node());
    let _: () = redis.zadd(keys.key("ao:online"), format!("ann\n{node}:77"), 0).unwrap();
    let _: () = redis.zadd(keys.key("ao:online"), format!("old\n{node}:78"), 0).unwrap();
    let presence = one.store.presence();
    assert_eq!(presence.whereabouts(&uid("ann")).await.unwrap().len(), 2);
    assert_eq!(presence.disconnect(&uid("old"), Ending::Drop).await.unwrap(), 0);
    let all = Names { prefix: String::new(), after: None, limit: 9 };
    let users = presence.users_page(&all).await.unwrap();
    assert_eq!(users.iter().map(|u| u.uid.as_str()).collect::<Vec<_>>(), ["ann", "ben"]);
    // Its connections that are listed nowhere are members nonetheless, each by itself.
    let members = keys.key(&format!("ao:members:{room}"));
    let _: () = redis.hset(&members, "cold:1", "9 v \"dan\"").unwrap();
    let page = presence.members_page(&room, None, 9).await.unwrap();
    let shown: Vec<_> =
        page.members.iter().map(|(at, m)| (*at, m.uid.as_str(), m.connections)).collect();
    assert_eq!((shown, page.total), (vec![(1, "ann", 2), (2, "ben", 1), (9, "dan", 1)], 3));
    // What it takes away is left out of the list that was made.
    let _: () = redis.hdel(&members, "cold:1").unwrap();
    assert_eq!(presence.members_page(&room, None, 9).await.unwrap().members.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_were_made_to_be_asked_for_go_and_are_made_anew() {
    let keys = Keys::new();
    let (one, two, room) = two_nodes(&keys).await;
    let all = Names { prefix: String::new(), after: None, limit: 9 };
    let lists = ["ao:occupied".to_owned(), format!("ao:seats:{room}")];
    for _ in 0..2 {
        let page = two.store.presence().members_page(&room, None, 9).await.unwrap();
        assert_eq!(page.members.len(), 2);
        let rooms = one.store.presence().rooms_page(&all).await.unwrap();
        assert_eq!(rooms, [(room.clone(), 3)]);
        for list in &lists {
            let left: i64 = keys.connection().pttl(keys.key(list)).unwrap();
            assert!((1..=60_000).contains(&left), "{list} is kept for {left} ms");
            let _: () = keys.connection().del(keys.key(list)).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_rooms_is_kept_as_long_as_it_is_asked_for() {
    let keys = Keys::new();
    let (one, _, _) = two_nodes(&keys).await;
    let (presence, occupied) = (one.store.presence(), keys.key("ao:occupied"));
    let rooms = async || presence.counts().await.unwrap().rooms;
    assert_eq!(rooms().await, 1);
    let mut redis = keys.connection();
    // What is in a list that was made anew, this is not.
    let _: () = redis.zadd(&occupied, "this list", 0).unwrap();
    let _: () = redis.sadd(keys.key("ao:rooms"), "a room that is not in it").unwrap();
    let _: () = redis.pexpire(&occupied, 20_000).unwrap();
    assert_eq!(rooms().await, 2);
    let (left, known): (i64, Option<f64>) =
        (redis.pttl(&occupied).unwrap(), redis.zscore(&occupied, "this list").unwrap());
    assert!(left > 20_000 && known.is_some(), "the same list, for {left} ms more");
    // A build that knows of no such list has changed the rooms.
    let _: () = redis.sadd(keys.key("ao:rooms"), "another one").unwrap();
    assert_eq!(rooms().await, 3);
    let known: Option<f64> = redis.zscore(&occupied, "this list").unwrap();
    assert_eq!(known, None, "it was made anew");
}
