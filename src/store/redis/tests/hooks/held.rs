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
