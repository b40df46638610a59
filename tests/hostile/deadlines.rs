//! Clients that do nothing where something is expected of them: each ends by itself.
use crate::scene::Scene;
use support::{
    server::{Server, Setup},
    wire::{
        POLLING_4, Version, WAYS, WEBSOCKET_3, WEBSOCKET_4, Way,
        bystanders::about,
        peer::{End, Peer, Wire},
        polling::Polling,
        raw::Connection,
        unharmed,
    },
};

/// Deadlines short enough to wait for, and long enough for bystanders on a busy machine.
fn impatient() -> Setup {
    Setup::new()
        .env("AO_AUTH__TIMEOUT", "3s")
        .env("AO_AUTH__JOIN_TIMEOUT", "3s")
        .env("AO_WEBSOCKET__HEADER_TIMEOUT", "1s")
}

#[tokio::test]
async fn who_does_not_authenticate_is_told_and_refused() {
    let scene = Scene::begin(impatient()).await;
    let wait = |way| {
        let server = &scene.server;
        async move {
            let mut peer = Peer::connect(server, way).await;
            peer.send_all(&[
                r#"42["join",{"roomId":"hall"}]"#.to_owned(),
                r#"42["nonsense"]"#.to_owned(),
            ])
            .await;
            let answer =
                r#"42["authenticate",{"status":1,"data":"authentication timeout"}]"#.to_owned();
            assert_eq!(peer.end().await, End { packets: vec![answer], refused: true }, "{way:?}");
        }
    };
    tokio::join!(wait(WAYS[0]), wait(WAYS[1]), wait(WAYS[2]), wait(WAYS[3]));
    scene.end().await;
}

#[tokio::test]
async fn who_does_not_join_is_refused_without_an_event() {
    let scene = Scene::begin(impatient()).await;
    let wait = |way| {
        let server = &scene.server;
        async move {
            let mut peer = Peer::sign_in(server, way).await;
            peer.send(r#"42["join",{"roomId":null}]"#).await;
            let answer =
                r#"42["join",{"status":1,"data":"join failed, require roomId"}]"#.to_owned();
            assert_eq!(peer.end().await, End { packets: vec![answer], refused: true }, "{way:?}");
        }
    };
    tokio::join!(wait(WAYS[0]), wait(WAYS[1]), wait(WAYS[2]), wait(WAYS[3]));
    scene.end().await;
}

#[tokio::test]
async fn who_does_not_enter_the_namespace_is_dropped() {
    let scene = Scene::begin(impatient()).await;
    let wait = |way, namespace: bool| {
        let server = &scene.server;
        async move {
            let mut peer = Peer::open(server, way).await;
            if namespace {
                peer.send("40/nowhere,").await;
                peer.expect(r#"44/nowhere,{"message":"Invalid namespace"}"#).await;
            }
            peer.is_dropped("it never entered").await;
        }
    };
    tokio::join!(
        wait(WEBSOCKET_4, false),
        wait(POLLING_4, false),
        wait(WEBSOCKET_4, true),
        wait(POLLING_4, true)
    );
    scene.end().await;
}

#[tokio::test]
async fn who_leaves_the_namespace_has_to_come_back_or_is_dropped() {
    let scene = Scene::begin(impatient()).await;
    let wait = |way| {
        let server = &scene.server;
        async move {
            let mut peer = Peer::sign_in(server, way).await;
            peer.send("41").await;
            peer.is_dropped("it left").await;
        }
    };
    tokio::join!(wait(WAYS[0]), wait(WAYS[1]), wait(WAYS[2]), wait(WAYS[3]));
    scene.end().await;
}

#[tokio::test]
async fn request_heads_without_end_are_cut_off() {
    let mut scene = Scene::begin(impatient()).await;
    let heads: [&[u8]; 6] = [
        b"",
        b"G",
        b"GET /livez HTTP/1.1\r\n",
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nx: ",
        b"POST /user/create_token HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n",
        b"\r\n\r\n",
    ];
    let mut connections = Vec::new();
    for listener in ["websocket", "api", "demo"] {
        for head in heads {
            let mut connection = Connection::open(scene.server.address(listener)).await;
            connection.write(head).await;
            connections.push(connection);
        }
    }
    scene.bystanders.are_well().await;
    for mut connection in connections {
        let rest = connection.rest().await;
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"),
            "{:?}",
            String::from_utf8_lossy(&rest)
        );
    }
    // Nor does an idle connection last: what counts is the time since the last answer.
    let mut connection = Connection::open(scene.server.websocket()).await;
    assert_eq!(connection.get("/livez").await.expect("an answer").status, 200);
    assert_eq!(connection.rest().await, b"");
    scene.end().await;
}

/// A client has three seconds for a ping: one on a busy machine needs some of that.
async fn pinging() -> Server {
    let setup = Setup::new()
        .env("AO_WEBSOCKET__PING_INTERVAL", "1s")
        .env("AO_WEBSOCKET__PING_TIMEOUT", "3s");
    setup.env("AO_STORE__DEADLINE", "2s").start().await
}

#[tokio::test]
async fn who_does_not_answer_pings_is_gone() {
    let server = pinging().await;
    let wait = |way: Way| {
        let server = &server;
        async move {
            let mut watcher = Peer::sign_in(server, WEBSOCKET_4).await;
            let mut silent = Peer::sign_in(server, way).await;
            silent.join(&format!("room-{}", silent.uid)).await;
            watcher.join(&format!("room-{}", silent.uid)).await;
            watcher.expect(&about("remote_join", &silent)).await;
            // It reads nothing and writes nothing any more; the watcher answers its pings.
            watcher.expect(&about("remote_disconnect", &silent)).await;
            if let Wire::Polling(Polling { version: Version::Three | Version::Four, .. }) =
                silent.wire
            {
                assert_eq!(silent.polling().get().await.status, 400, "{way:?}");
            }
        }
    };
    tokio::join!(wait(WAYS[0]), wait(WAYS[1]), wait(WAYS[2]), wait(WAYS[3]));
    unharmed(&server).await;
}

/// In version 4 the server pings, in version 3 the client.
#[tokio::test]
async fn who_answers_pings_or_pings_stays() {
    let server = pinging().await;
    let alive = |way: Way| {
        let server = &server;
        async move {
            let mut peer = Peer::sign_in(server, way).await;
            peer.join(&format!("room-{}", peer.uid)).await;
            for _ in 0..60 {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                if way.version == Version::Three {
                    peer.send("2").await;
                }
                peer.is_well().await; // answers what pings have come
            }
        }
    };
    tokio::join!(alive(WEBSOCKET_4), alive(WEBSOCKET_3));
    unharmed(&server).await;
}
