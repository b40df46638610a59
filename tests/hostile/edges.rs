//! Clients that stand just at a bound, and clients that go or change in the middle of something.
use std::time::Duration;

use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::scene::{POLLING, ROOM, Scene, dropped, each_way};
use support::{
    http, soon,
    wire::{
        POLLING_4, Version, bystanders::said, patient, peer::Peer, polling::encode, raw, stranger,
    },
};

/// When a CONNECT that was passed over is said again.
const AGAIN: Duration = Duration::from_millis(2);

/// The answer to `authenticate` is what takes a client above its bound, whatever that is: the last
/// name is each time a little longer. On a single thread, as one that waits for itself would be all
/// there is.
#[tokio::test]
async fn an_answer_that_is_too_much_costs_nobody_but_its_client() {
    const BOUND: usize = (1 << 20) + (4 << 20);
    let scene = Scene::begin(patient().env("AO_RUNTIME__WORKERS", "1")).await;
    let server = &scene.server;
    // What a refusal weighs: its text, and what a short packet costs beside.
    let weight = |name: usize| {
        format!(r#"44/{},{{"message":"Invalid namespace"}}"#, "x".repeat(name)).len() + 64
    };
    let wanted = |name: usize| format!("40/{},", "x".repeat(name));
    for spare in [51, 40, 20, 1, 0] {
        let peer = Peer::connect(server, POLLING_4).await;
        let most = BOUND - spare;
        let last = (0..250)
            .find(|name| most > weight(*name) && (most - weight(*name)).is_multiple_of(weight(200)))
            .unwrap();
        let several = vec![wanted(200); (most - weight(last)) / weight(200)];
        for part in several.chunks(8_000).chain([&[wanted(last)][..]]) {
            assert_eq!(peer.polling().send(part).await.status, 200, "not yet above its bound");
        }
        let uid = stranger();
        let token = server.token(&uid).await;
        let answer = peer
            .polling()
            .send(&[format!(r#"42["authenticate",{{"uid":"{uid}","token":"{token}"}}]"#)])
            .await;
        assert!([200, 400].contains(&answer.status), "{answer:?}");
        assert_eq!(soon("an answer", http::get(server.api(), "/livez")).await.status, 200);
    }
    scene.end().await;
}

/// A page that is closed, a phone in a tunnel: what is being handled is handled whole, as on a
/// WebSocket.
#[tokio::test]
async fn a_body_that_came_whole_is_handled_whole_though_its_client_has_gone() {
    each_way(&POLLING, async |scene, way| {
        let mut peer = scene.member(way).await;
        let packets: Vec<String> =
            (0..2_000).map(|n| format!(r#"42["msg",{{"n":{n},"s":0}}]"#)).collect();
        let heard: Vec<String> =
            (0..2_000).map(|n| said(&peer, &format!(r#""n":{n},"#), "0")).collect();
        let body = encode(way.version, &packets);
        let request = raw::request(
            "POST",
            &peer.polling().target(),
            &[("content-type", "text/plain;charset=UTF-8")],
            body.as_bytes(),
        );
        let mut stream = TcpStream::connect(peer.polling().address).await.unwrap();
        stream.write_all(&request).await.unwrap();
        scene.bystanders.hear(&heard[..1]).await;
        drop(stream);
        scene.bystanders.hear(&heard[1..]).await;
        peer.is_well().await;
        peer.send("41").await;
        scene.bystanders.miss(&peer).await;
    })
    .await;
}

/// Its version is the session's, whatever a request says.
#[tokio::test]
async fn requests_of_another_version_than_the_sessions_are_refused() {
    each_way(&POLLING, async |scene, way| {
        let (own, other) =
            if way.version == Version::Four { ("EIO=4", "EIO=3") } else { ("EIO=3", "EIO=4") };
        let mut peer = Peer::connect(&scene.server, way).await;
        let target = peer.polling().target().replacen(own, other, 1);
        let address = scene.server.websocket();
        let headers = [("content-type", "text/plain")];
        let posted = http::request(address, "POST", &target, &headers, "3").await;
        let polled = http::get(address, &target).await;
        assert_eq!((posted.status, polled.status), (400, 400), "{way:?}");
        peer.authenticate(&scene.server).await;
        peer.join(ROOM).await;
        scene.bystanders.welcome(&mut peer).await;
        scene.takes_leave(peer, "1").await;
    })
    .await;
}

/// The second session of an upgraded WebSocket is as much in our hands as the first one.
#[tokio::test]
async fn who_comes_again_on_an_upgraded_socket_is_refused_as_anybody() {
    each_way(&POLLING, async |scene, way| {
        let mut peer = scene.member(way).await.upgraded().await;
        peer.send("41").await;
        scene.bystanders.miss(&peer).await;
        // The engine passes over a CONNECT that comes before it has forgotten the session.
        let connected = soon("a second session", async {
            loop {
                peer.send("40").await;
                if let Ok(Some(packet)) = tokio::time::timeout(AGAIN, peer.next()).await {
                    break packet;
                }
            }
        });
        assert!(connected.await.starts_with("40"), "{way:?}");
        peer.send(r#"42["authenticate",{"uid":"a","token":"wrong"}]"#).await;
        assert_eq!(peer.socket().close_code().await, Some(1008), "{way:?}");
    })
    .await;
}

#[tokio::test]
async fn who_comes_and_goes_without_end_on_an_upgraded_socket_is_dropped() {
    each_way(&POLLING, async |scene, way| {
        let before = dropped(&scene.server, "flood").await;
        let mut peer = Peer::connect(&scene.server, way).await.upgraded().await;
        soon("the end", async {
            'connected: loop {
                peer.send("41").await;
                // The engine passes over a CONNECT that comes before it has forgotten the session.
                loop {
                    peer.send("40").await;
                    match tokio::time::timeout(AGAIN, peer.next()).await {
                        Ok(Some(_)) => continue 'connected,
                        Ok(None) => return,
                        Err(_) => {}
                    }
                }
            }
        })
        .await;
        assert_eq!(dropped(&scene.server, "flood").await, before + 1, "{way:?}");
    })
    .await;
}
