//! What lasts: acknowledged messages through kill -9; uuids, recalls and times to live through
//! restarts.
use std::time::Duration;

use super::client::{Client, Got, ack, ask, high, history, place, post, setup, unharmed};
use support::{server::Server, soon};

/// Waits until the room's history is this, which nobody announces.
async fn becomes(server: &Server, room: &str, wanted: &[String]) {
    soon(format!("{wanted:?} in {room}"), async {
        while history(place(server), room, "").await != wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    const WINDOW: usize = 200;
    let mut server = setup().start().await;
    let mut first = 0;
    for round in 0..5 {
        let mut ann = Client::join(place(&server), "/kill").await;
        ann.send_all((first..first + WINDOW).map(|n| high(&format!("n{n}"), "x"))).await;
        let enough = 40 * (round + 1);
        for n in first..first + enough {
            ann.expect(&ack(&format!("n{n}"))).await;
        }
        server.kill_9().await;
        let mut acked = first + enough;
        while let Got::Text(text) = ann.next().await {
            assert_eq!(text, ack(&format!("n{acked}")));
            acked += 1;
        }
        server.restart().await;
        let mut stored = Vec::new();
        let mut position = 0;
        loop {
            let page = history(place(&server), "/kill", &format!("&position={position}")).await;
            position += page.len();
            let full = page.len() == 1000;
            stored.extend(page);
            if !full {
                break;
            }
        }
        stored.reverse();
        let sent: Vec<String> = (0..stored.len()).map(|n| high(&format!("n{n}"), "x")).collect();
        assert!(stored == sent, "holes, disorder or duplicates in round {round}");
        assert!(stored.len() >= acked, "{} of {acked} acknowledged ones", stored.len());
        first = stored.len();
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn uuids_and_recalls_survive_a_restart() {
    let mut server = setup().start().await;
    let [kept, hidden] = [high("kept", "1"), high("hidden", "2")];
    for message in [&kept, &hidden] {
        assert_eq!(post(place(&server), "/restart", message).await.status, 200);
    }
    let cancel = "/__/cancel?groupName=/restart&uuid=hidden";
    let found = ask(place(&server), cancel).await.body;
    for how in ["in order", "kill -9"] {
        if how == "in order" {
            assert_eq!(server.terminate().await, 0);
        } else {
            server.kill_9().await;
        }
        server.restart().await;
        assert_eq!(history(place(&server), "/restart", "").await, [kept.as_str()], "{how}");
        let mut ann = Client::join(place(&server), "/restart").await;
        let mut ben = Client::join(place(&server), "/restart").await;
        // Both are known, and neither is sent again.
        ann.store(&kept).await;
        ann.store(&hidden).await;
        // The same answer; nobody is told of it again.
        assert_eq!(ask(place(&server), cancel).await.body, found, "{how}");
        ann.send("marker").await;
        ben.expect("marker").await;
        assert_eq!(history(place(&server), "/restart", "").await, [kept.as_str()], "{how}");
    }
}

#[tokio::test]
async fn a_room_is_forgotten_after_its_time_and_lives_on() {
    let server = setup().start().await;
    let mut ann = Client::join(place(&server), "/ttl").await;
    let before = high("before", "x");
    ann.store(&before).await;
    assert_eq!(ask(place(&server), "/__/ttl?groupName=/ttl&ttl=1").await.status, 200);
    becomes(&server, "/ttl", &[]).await;
    // What comes later stays.
    let after = high("after", "x");
    ann.store(&after).await;
    assert_eq!(history(place(&server), "/ttl", "").await, [after.as_str()]);
    // A later time replaces an earlier one; other rooms are not concerned.
    post(place(&server), "/other", &before).await;
    assert_eq!(ask(place(&server), "/__/ttl?groupName=/ttl&ttl=1").await.status, 200);
    assert_eq!(ask(place(&server), "/__/ttl?groupName=/ttl&ttl=1000").await.status, 200);
    assert_eq!(ask(place(&server), "/__/ttl?groupName=/third&ttl=1").await.status, 200);
    post(place(&server), "/third", &before).await;
    becomes(&server, "/third", &[]).await;
    assert_eq!(history(place(&server), "/ttl", "").await, [after]);
    assert_eq!(history(place(&server), "/other", "").await, [before]);
}

#[tokio::test]
async fn a_time_to_live_survives_kill_9() {
    let mut server = setup().start().await;
    for room in ["/soon", "/late"] {
        post(place(&server), room, &high("x", "x")).await;
    }
    ask(place(&server), "/__/ttl?groupName=/soon&ttl=2").await;
    ask(place(&server), "/__/ttl?groupName=/late&ttl=1000").await;
    server.kill_9().await;
    server.restart().await;
    becomes(&server, "/soon", &[]).await;
    assert_eq!(history(place(&server), "/late", "").await, [high("x", "x")]);
}
