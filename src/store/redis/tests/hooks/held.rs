//! What becomes of the queues that a node holds when it is no more.
use super::*;

/// Its lease is over, and that of its requests is not.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_was_sending_is_sent_by_another_one() {
    let keys = Keys::new();
    let (one, endpoint) = told(short(&keys), &["message.*"]).await;
    let (two, _) = told(short(&keys), &["message.*"]).await;
    let rooms = ["class", "talk"].map(room);
    say(&two, &rooms[0], "ann", "hi").await;
    let sent = take(&two, &endpoint).await;
    say(&two, &rooms[1], "ann", "hi").await;
    let mine = take(&one, &endpoint).await.remove(0);
    assert_eq!((sent.len(), &mine.room), (1, &rooms[1]), "each is sent by one");
    let mut written = one.written();
    two.ended.cancel();
    written.borrow_and_update();
    let woken = tokio::time::timeout(Duration::from_secs(30), written.changed()).await;
    woken.expect("a free queue is told of").unwrap();
    let freed = take(&one, &endpoint).await;
    assert_eq!(freed, sent, "the same batch; what is under way here is not taken twice");
    settle(&one, &endpoint, &freed[0], Settlement::Delivered).await;
    settle(&one, &endpoint, &mine, Settlement::Delivered).await;
    assert!(!keys.all().iter().any(|key| key.starts_with("ao:hooks:held")));
}

#[tokio::test]
async fn what_a_node_was_sending_when_it_ended_is_sent_by_another_one() {
    let keys = Keys::new();
    let (one, endpoint) = told(keys.options(), &["message.*"]).await;
    let (two, _) = told(keys.options(), &["message.*"]).await;
    say(&two, &room("class"), "ann", "hi").await;
    let sent = take(&two, &endpoint).await;
    assert_eq!((sent.len(), take(&one, &endpoint).await.len()), (1, 0));
    two.broker().close().await;
    assert_eq!(take(&one, &endpoint).await, sent);
}

/// A node of an earlier build takes a queue, and does not say that it has it.
#[tokio::test]
async fn a_queue_that_another_node_took_since_is_not_freed() {
    let keys = Keys::new();
    let (one, endpoint) = told(keys.options(), &["message.*"]).await;
    let (two, _) = told(keys.options(), &["message.*"]).await;
    let class = room("class");
    say(&two, &class, "ann", "hi").await;
    assert_eq!(take(&two, &endpoint).await.len(), 1);
    let due = keys.key("ao:hooks:due:main");
    let _: () = keys.connection().zincr(&due, class.as_str(), 1).unwrap();
    two.broker().close().await;
    assert_eq!(take(&one, &endpoint).await, [], "it is being sent");
    let held: bool = keys.connection().exists(keys.key("ao:hooks:held:main")).unwrap();
    assert!(!held, "who ended holds nothing");
}

#[tokio::test]
async fn a_batch_that_is_given_up_while_it_is_sent_is_held_by_nobody() {
    let keys = Keys::new();
    // Too little for any gap but the one of all rooms.
    let endpoint = Endpoint { pending: 700, ..endpoint(&["message.*"]) };
    let interest = Interest { endpoints: vec![endpoint.clone()], leave_delay: Duration::ZERO };
    let store = Redis::open(Options { hooks: Some(interest), ..keys.options() }).await.unwrap();
    Witness::of(&store.broker());
    let (class, talk, held) = (room("class"), room("talk"), keys.key("ao:hooks:held:main"));
    let holds = || -> bool { keys.connection().hexists(&held, class.as_str()).unwrap() };
    say(&store, &class, "ann", "hi").await;
    let batch = take(&store, &endpoint).await.remove(0);
    assert!(holds());
    for _ in 0..5 {
        say(&store, &talk, "ann", "hi").await;
    }
    assert!(!holds(), "its gap is told with those of all rooms");
    settle(&store, &endpoint, &batch, Settlement::Delivered).await;
    assert!(!holds());
}

/// A node of an earlier build gave the batch up, and the turn of its room.
#[tokio::test]
async fn a_room_without_a_turn_is_held_by_nobody() {
    let keys = Keys::new();
    let (store, endpoint) = told(keys.options(), &["message.*"]).await;
    say(&store, &room("class"), "ann", "hi").await;
    let batch = take(&store, &endpoint).await.remove(0);
    for gone in ["frozen", "due"] {
        let _: () = keys.connection().del(keys.key(&format!("ao:hooks:{gone}:main"))).unwrap();
    }
    settle(&store, &endpoint, &batch, Settlement::Delivered).await;
    let held: bool = keys.connection().exists(keys.key("ao:hooks:held:main")).unwrap();
    assert!(!held);
}
