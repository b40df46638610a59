//! Binary attachments, which nothing here takes: complete ones, incomplete ones, and ones that
//! nobody announced.
use crate::scene::{ROOM, each_way};
use support::wire::{
    WAYS,
    bystanders::about,
    peer::{End, Peer},
};

const PLACEHOLDER: &str = r#"{"_placeholder":true,"num":0}"#;

#[tokio::test]
async fn events_with_attachments_are_refused_and_the_client_stays() {
    each_way(&WAYS, async |scene, way| {
        let mut peer = scene.member(way).await;
        for payload in [
            PLACEHOLDER,
            r#"{"n":{"_placeholder":true,"num":0}}"#,
            r#"{"_placeholder":true,"num":5}"#,
            r#"{"_placeholder":true,"num":-1}"#,
            "{}",
            "7",
        ] {
            peer.send(format!(r#"451-7["msg",{payload}]"#)).await;
            peer.attach(b"\x00\xff attached").await;
            peer.expect(r#"437[{"status":1,"data":"not an object"}]"#).await;
        }
        peer.send(r#"453-8["msg",{}]"#).await;
        for attachment in [&b""[..], b"2", &[0xff; 100_000]] {
            peer.attach(attachment).await;
        }
        peer.expect(r#"438[{"status":1,"data":"not an object"}]"#).await;
        peer.send(format!(r#"451-["msg",{PLACEHOLDER}]"#)).await;
        peer.attach(b"x").await;
        peer.send(format!(r#"451-9["join",{{"roomId":"{ROOM}","x":{PLACEHOLDER}}}]"#)).await;
        peer.attach(b"x").await;
        peer.expect(r#"42["join",{"status":1,"data":"join failed, require roomId"}]"#).await;
        peer.expect(r#"439[{"status":1,"data":"join failed, require roomId"}]"#).await;
        // Nobody waits for this answer, and for events without a name.
        for packet in
            [format!("461-3[{PLACEHOLDER}]"), format!(r#"451-["nonsense",{PLACEHOLDER}]"#)]
        {
            peer.send(packet).await;
            peer.attach(b"x").await;
        }
        peer.is_well().await;
        scene.bystanders.talk(&mut peer).await;
        peer.send(r#"451-["leave"]"#).await;
        peer.attach(b"x").await;
        assert!(peer.end().await.refused);
        scene
            .bystanders
            .hear(&[about("remote_leave", &peer), about("remote_disconnect", &peer)])
            .await;

        let mut peer = Peer::connect(&scene.server, way).await;
        peer.send(format!(
            r#"451-["authenticate",{{"uid":"{}","token":{PLACEHOLDER}}}]"#,
            scene.bystanders.ann.uid
        ))
        .await;
        peer.attach(b"x").await;
        let answer =
            r#"42["authenticate",{"status":1,"data":"auth failed, uid or token is wrong"}]"#
                .to_owned();
        assert_eq!(peer.end().await, End { packets: vec![answer], refused: true });
    })
    .await;
}

#[tokio::test]
async fn attachments_that_do_not_fit_their_event_end_the_connection() {
    let unfinished = ["451-", "452-", "451-3"].map(|head| format!("{head}[\"msg\",{PLACEHOLDER}]"));
    each_way(&WAYS, async |scene, way| {
        // The rest is missing, and something else comes.
        for packet in &unfinished {
            for next in [r#"42["msg",{}]"#, packet, "41"] {
                let mut peer = scene.member(way).await;
                peer.send(packet.as_str()).await;
                peer.send(next).await;
                scene.loses(&mut peer, packet).await;
            }
        }
        // One more than was announced, and one that never was.
        for packets in [vec![format!("451-[\"nonsense\",{PLACEHOLDER}]")], vec![]] {
            let mut peer = scene.member(way).await;
            for packet in &packets {
                peer.send(packet.as_str()).await;
                peer.attach(b"announced").await;
            }
            peer.attach(b"never announced").await;
            scene.loses(&mut peer, "an attachment too many").await;
        }
        for packet in [
            "45",
            "45-",
            "45[]",
            "45-[]",
            "451",
            "451[]",
            "45x-[]",
            "45-1-[]",
            "45999999-[]",
            "4599999999999999999999-[]",
            "46",
            "461-[]",
        ] {
            let mut peer = scene.member(way).await;
            peer.send(packet).await;
            scene.loses(&mut peer, packet).await;
        }
        // It goes while something is missing.
        let mut peer = scene.member(way).await;
        peer.send(unfinished[0].as_str()).await;
        peer.send("1").await;
        scene.loses(&mut peer, "it asked for that").await;
    })
    .await;
}

#[tokio::test]
async fn attachments_without_end_are_bounded() {
    each_way(&WAYS, async |scene, way| {
        let mut peer = scene.member(way).await;
        peer.send(format!("4510-[\"msg\",{PLACEHOLDER}]")).await;
        for _ in 0..8 {
            peer.attach(&[0; 700_000]).await;
        }
        scene.loses(&mut peer, "more than the largest message").await;
    })
    .await;
}
