//! Sessions that follow each other on one connection: what is left to do for the first is not the
//! second's affair.
use crate::scene::each_way;
use support::wire::{WEBSOCKET_3, WEBSOCKET_4, Way, peer::Peer, stranger};

/// A client, and how it authenticates, each time as the same user.
async fn connected(server: &support::server::Server, way: Way) -> (Peer, String) {
    let (mut peer, uid) = (Peer::connect(server, way).await, stranger());
    let token = server.token(&uid).await;
    peer.uid.clone_from(&uid);
    let authenticate = format!(r#"42["authenticate",{{"uid":"{uid}","token":"{token}"}}]"#);
    peer.send(authenticate.clone()).await;
    peer.expect(r#"42["authenticate",{"status":0,"data":"auth success"}]"#).await;
    (peer, authenticate)
}

/// What comes behind the CONNECT of the second session is for the second session, and it stays.
async fn stays(peer: &mut Peer) {
    loop {
        let packet = peer.next().await.expect("still connected");
        assert_ne!(packet, "41", "the first session's");
        if packet.starts_with("40") {
            break;
        }
    }
    peer.expect(r#"42["authenticate",{"status":0,"data":"auth success"}]"#).await;
    peer.is_well().await;
}

#[tokio::test]
async fn who_comes_back_at_once_is_not_kicked_out_by_itself() {
    each_way(&[WEBSOCKET_4, WEBSOCKET_3], async |scene, way| {
        for _ in 0..20 {
            let (mut peer, authenticate) = connected(&scene.server, way).await;
            let said = (0..50).map(|n| format!(r#"42{n}["msg",{{"n":{n}}}]"#));
            let packets: Vec<String> =
                std::iter::once(r#"42["join",{"roomId":"elsewhere"}]"#.to_owned())
                    .chain(said)
                    .chain(["41".to_owned(), "40".to_owned(), authenticate])
                    .collect();
            peer.send_all(&packets).await;
            stays(&mut peer).await;
            peer.send("1").await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_is_refused_and_connects_again_is_gone_or_new() {
    each_way(&[WEBSOCKET_4, WEBSOCKET_3], async |scene, way| {
        for refused in [r#"42["leave"]"#, r#"42["authenticate",{"uid":"x","token":"y"}]"#] {
            let (mut peer, authenticate) = connected(&scene.server, way).await;
            peer.send_all(&[refused.to_owned(), "41".to_owned(), "40".to_owned(), authenticate])
                .await;
            // The refusal may have come first, or the leaving. Who is let in again stays.
            while let Some(packet) = peer.next().await {
                if packet.contains("auth success") {
                    peer.is_well().await;
                    peer.send("1").await;
                }
            }
        }
    })
    .await;
}
