//! Updates in numbers and sizes: each room has so many, and what is large is read by everybody, as
//! a whole.
use serde_json::{Value, json};

use crate::scene::Scene;
use support::{
    http,
    server::Server,
    stored::Stored,
    wire::{WAYS, bystanders::said, patient, peer::Peer, unharmed},
};

const ROOM: &str = "board";
const STORED: &str = r#"{"status":0,"data":"msg success"}"#;
const TOO_MANY: &str = r#"{"status":1,"data":"too many updates"}"#;

async fn refused_messages(server: &Server) -> u64 {
    let page = http::get(server.api(), "/metrics").await;
    let name = r#"always_online_refused_messages_total{reason="too many updates"} "#;
    page.body
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map_or(0, |number| number.parse().unwrap())
}

#[tokio::test]
async fn an_update_too_many_is_refused_and_nobody_hears_of_it() {
    let mut scene = Scene::begin_in(
        ROOM,
        patient().env("AO_STORE__UPDATES", "3").env("AO_STORE__UPDATE_BYTES", "2KiB"),
    )
    .await;
    for (round, way) in (0..).zip(WAYS) {
        let mut peer = scene.member(way).await;
        for id in ["a", "b", "c"] {
            let update = format!(r#""1":"{id}","round":{round},"#);
            peer.acked(&format!(r#"["msg",{{{update}"s":1}}]"#), STORED).await;
            scene.bystanders.hear(&[said(&peer, &update, "1")]).await;
        }
        peer.acked(r#"["msg",{"1":"d","s":1}]"#, TOO_MANY).await;
        // Nobody asked: it stays, and is told nothing.
        peer.send(r#"42["msg",{"1":"e","s":1}]"#).await;
        peer.acked(
            &format!(r#"["msg",{{"1":"a","text":"{}","s":1}}]"#, "x".repeat(2048)),
            TOO_MANY,
        )
        .await;
        scene.takes_leave(peer, "41").await;
        assert_eq!(refused_messages(&scene.server).await, 3 * (round + 1));
    }
    let mut reader = scene.server.member("reader", ROOM).await;
    let ids = Stored::walk(&mut reader, true)
        .await
        .updates
        .iter()
        .map(|u| u["1"].as_str().unwrap().to_owned())
        .collect::<Vec<_>>();
    assert_eq!(ids, ["a", "b", "c"]);
    let reads = ["remote_join", "remote_sync"].map(|e| format!(r#"42["{e}",{{"uid":"reader"}}]"#));
    scene.bystanders.hear(&reads).await;
    scene.end().await;
}

#[tokio::test]
async fn large_updates_are_read_whole_whichever_way() {
    let server = patient().start().await;
    let writer = server.member("writer", ROOM).await;
    let text = "x".repeat(490_000);
    for i in 0..12 {
        writer.send(&json!({ "s": 1, "1": i, "text": text })).await;
    }
    let mut reader = server.member("reader", ROOM).await;
    for gzip in [false, true] {
        assert_eq!(
            Stored::walk(&mut reader, gzip).await.updates.len(),
            12,
            "with an acknowledgement"
        );
    }
    for way in WAYS {
        let mut peer = Peer::sign_in(&server, way).await;
        peer.join(ROOM).await;
        for _ in 0..2 {
            peer.next().await.expect("the roster");
        }
        for _ in 0..2 {
            peer.send(r#"42["sync",{"offset":5}]"#).await;
            let page = peer.next().await.expect("a page");
            let page: Value = serde_json::from_str(page.strip_prefix("42").unwrap()).unwrap();
            assert_eq!(
                (page[1]["data"].as_array().unwrap().len(), &page[1]["offset"]),
                (12, &json!(17))
            );
        }
        peer.send("41").await;
    }
    let (uid, token) = server.admin();
    let listed = http::get(
        server.websocket(),
        &format!("/admin/monitor/room_msgs?uid={uid}&token={token}&roomId={ROOM}"),
    )
    .await;
    assert_eq!(listed.json()["data"]["msgs"].as_array().unwrap().len(), 12);
    unharmed(&server).await;
}
