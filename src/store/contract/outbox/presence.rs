//! What is told of who comes and goes.
use super::*;
use crate::domain::presence::Departure::Gone;

pub(crate) async fn joins_and_leaves_are_told_with_the_rooms_beginning_and_end(
    home: &impl OutboxHome,
) {
    let story = Story::begin(home, presence()).await;
    story.enter(visitor(1, "ann")).await;
    story.enter(visitor(2, "ben")).await;
    assert_eq!(story.heard().await, ["room.occupied", "member.joined ann", "member.joined ben"]);
    story.leave(1).await;
    story.parts.presence.depart(&story.room, ConnectionId(2), Gone).await.unwrap();
    assert_eq!(story.heard().await, [] as [&str; 0], "they may come back");
    story.pass(DELAY).await;
    let mut heard = story.heard().await;
    heard[..2].sort();
    assert_eq!(heard, ["member.left ann left", "member.left ben gone", "room.vacated"]);
    assert_eq!(story.parts.outbox.sweep().await.unwrap(), None, "nobody else is awaited");
}

pub(crate) async fn who_returns_in_time_has_not_left(home: &impl OutboxHome) {
    let story = Story::begin(home, presence()).await;
    story.enter(visitor(1, "ann")).await;
    assert_eq!(story.heard().await, ["room.occupied", "member.joined ann"]);
    story.leave(1).await;
    story.pass(DELAY / 2).await;
    story.enter(visitor(2, "ann")).await;
    story.pass(DELAY * 2).await;
    assert_eq!(story.heard().await, [] as [&str; 0]);
    story.leave(2).await;
    story.pass(DELAY / 2).await;
    assert_eq!(story.heard().await, [] as [&str; 0], "the time counts from the last leaving");
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, ["member.left ann left", "room.vacated"]);
    story.enter(visitor(3, "ann")).await;
    assert_eq!(story.heard().await, ["room.occupied", "member.joined ann"]);
}

pub(crate) async fn a_user_leaves_with_the_last_connection(home: &impl OutboxHome) {
    let story = Story::begin(home, presence()).await;
    story.enter(visitor(1, "ann")).await;
    story.enter(visitor(2, "ann")).await;
    story.enter(visitor(2, "ann")).await;
    assert_eq!(story.heard().await, ["room.occupied", "member.joined ann"]);
    story.leave(1).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, [] as [&str; 0]);
    story.leave(2).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, ["member.left ann left", "room.vacated"]);
}

pub(crate) async fn the_hidden_are_not_told(home: &impl OutboxHome) {
    let story = Story::begin(home, presence()).await;
    story.enter(hidden(1, "eve")).await;
    assert_eq!(story.heard().await, [] as [&str; 0]);
    story.enter(visitor(1, "eve")).await;
    assert_eq!(story.heard().await, ["room.occupied", "member.joined eve"]);
    story.enter(hidden(1, "eve")).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, ["member.left eve gone", "room.vacated"]);
    story.leave(1).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, [] as [&str; 0]);
}

pub(crate) async fn a_place_that_is_held_is_not_left(home: &impl OutboxHome) {
    let story = Story::begin(home, presence()).await;
    claim(&story.parts.presence, "ann", 1).await;
    story.enter(visitor(1, "ann")).await;
    claim(&story.parts.presence, "ann", 2).await;
    story.leave(1).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, ["room.occupied", "member.joined ann"]);
    story.enter(visitor(1, "ann")).await; // it was kicked out, and does not know yet
    story.enter(visitor(2, "ann")).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, [] as [&str; 0], "the place was taken over");
    claim(&story.parts.presence, "ann", 3).await;
    story.parts.presence.release(&story.room, &uid("ann"), ConnectionId(3)).await.unwrap();
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, ["member.left ann gone", "room.vacated"]);
}

pub(crate) async fn who_is_taken_out_has_left(home: &impl OutboxHome) {
    let story = Story::begin(home, presence()).await;
    story.enter(visitor(1, "ann")).await;
    story.enter(visitor(2, "ann")).await;
    story.parts.presence.remove(&story.room, &uid("ann")).await.unwrap();
    story.pass(DELAY).await;
    let told = ["room.occupied", "member.joined ann", "member.left ann removed", "room.vacated"];
    assert_eq!(story.heard().await, told);
}

pub(crate) async fn sessions_are_told_as_their_users(home: &impl OutboxHome) {
    let story = Story::begin(home, endpoint(&["user.*"], "nothing")).await;
    let (presence, ann) = (&story.parts.presence, uid("ann"));
    claim(presence, "ann", 1).await;
    let batch = story.take().await;
    let data = &parsed(&batch)["data"];
    assert_eq!((&data["roomId"], &data["uid"]), (&Value::Null, &Value::from("ann")));
    assert_eq!(lines(&batch), ["user.online ann"]);
    story.settle(&batch, Settlement::Delivered).await;
    claim(presence, "ann", 2).await;
    presence.end(&ann, ConnectionId(1)).await.unwrap();
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, [] as [&str; 0], "another session is there");
    presence.end(&ann, ConnectionId(2)).await.unwrap();
    claim(presence, "ann", 3).await;
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, [] as [&str; 0], "it came back");
    presence.end(&ann, ConnectionId(3)).await.unwrap();
    story.pass(DELAY).await;
    assert_eq!(story.heard().await, ["user.offline ann gone"]);
}

pub(crate) async fn a_number_is_told_as_a_number(home: &impl OutboxHome) {
    let kinds = ["member.*", "user.*"];
    let story = Story::begin(home, endpoint(&kinds, "*")).await;
    let (presence, seven) = (&story.parts.presence, Uid::number("7").unwrap());
    let first = ConnectionId(1);
    presence.claim(&seven, first, &socket(1), None).await.unwrap();
    story.enter(Visitor { uid: seven.clone(), ..visitor(1, "7") }).await;
    story.leave(1).await;
    presence.end(&seven, first).await.unwrap();
    story.pass(DELAY).await;
    let told = story.told().await;
    let (mut kinds, uids): (Vec<_>, Vec<_>) =
        told.iter().map(|event| (event["type"].as_str().unwrap(), &event["uid"])).unzip();
    kinds.sort_unstable();
    assert_eq!(kinds, ["member.joined", "member.left", "user.offline", "user.online"]);
    assert_eq!(uids, [&Value::from(7); 4], "as its client wrote it");
}
