//! How a WebSocket is closed: each reason has a code of its own, whoever carries the client.
use crate::scene::{Scene, dropped, each_way};
use support::{
    server::{Server, Setup},
    wire::{
        POLLING_3, POLLING_4, Transport, WAYS, WEBSOCKET_3, WEBSOCKET_4, Way, patient,
        peer::Peer,
        socket::{BINARY, CLOSE, CONTINUATION, FINAL, TEXT, frame, head},
        unharmed,
    },
};

const WEBSOCKETS: [Way; 2] = [WEBSOCKET_4, WEBSOCKET_3];

/// Begins as it is told, and goes on as a WebSocket.
async fn connected(server: &Server, way: Way) -> Peer {
    let peer = Peer::connect(server, way).await;
    if way.transport == Transport::Polling { peer.upgraded().await } else { peer }
}

/// Drops for what is malformed, and for what is too large.
async fn counted(server: &Server) -> [u64; 2] {
    [dropped(server, "malformed").await, dropped(server, "too large").await]
}

#[tokio::test]
async fn what_a_client_does_wrong_is_told_by_a_code_and_counted() {
    let packet = |text: &str| frame(FINAL | TEXT, text.as_bytes());
    let mut parts = frame(TEXT, b"42[\"msg\",{\"a\":\"");
    for _ in 0..4 {
        parts.extend(frame(CONTINUATION, &[b'x'; 1 << 20]));
    }
    let cases = [
        ("a reserved opcode", frame(FINAL | 3, b""), 1002),
        ("a frame that is not masked", vec![FINAL | TEXT, 1, b'3'], 1002),
        ("a close of one byte", frame(FINAL | CLOSE, &[3]), 1002),
        ("a packet that is none", packet("x"), 1002),
        ("an event that is none", packet("42{}"), 1002),
        ("an attachment that nobody announced", frame(FINAL | BINARY, b"\x04a"), 1002),
        ("text that is no UTF-8", frame(FINAL | TEXT, b"42[\"\xff\"]"), 1007),
        ("a reason that is no UTF-8", frame(FINAL | CLOSE, b"\x03\xe8\xff"), 1007),
        ("a frame of 4 MB", head(FINAL | TEXT, 4_000_000, true), 1009),
        ("frames that are too much together", parts, 1009),
        ("10,001 attachments", packet("4510001-[\"a\"]"), 1009),
    ];
    each_way(&WEBSOCKETS, async |scene, way| {
        for (what, bytes, code) in &cases {
            let mut counts = counted(&scene.server).await;
            let mut peer = connected(&scene.server, way).await;
            peer.socket().write(bytes).await;
            assert_eq!(peer.socket().close_code().await, Some(*code), "{way:?}: {what}");
            counts[usize::from(*code == 1009)] += 1;
            assert_eq!(counted(&scene.server).await, counts, "{way:?}: {what}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_close_frame_is_answered_with_its_own_code() {
    each_way(&WEBSOCKETS, async |scene, way| {
        for code in [1000, 1001, 1011, 3000, 4999u16] {
            let mut peer = connected(&scene.server, way).await;
            let bye = [&code.to_be_bytes()[..], b"bye"].concat();
            peer.socket().write(&frame(FINAL | CLOSE, &bye)).await;
            assert_eq!(peer.socket().close_code().await, Some(code));
        }
        let mut peer = connected(&scene.server, way).await;
        peer.socket().write(&frame(FINAL | CLOSE, b"")).await;
        assert_eq!(peer.socket().close_code().await, None);
        // As a packet of engine.io.
        let mut peer = connected(&scene.server, way).await;
        peer.send("1").await;
        assert_eq!(peer.socket().close_code().await, Some(1000));
        assert_eq!(dropped(&scene.server, "malformed").await, 0);
    })
    .await;
}

/// Who is refused, and who says goodbye.
#[tokio::test]
async fn refusals_have_the_code_of_a_policy_and_goodbyes_that_of_a_normal_end() {
    let scene = Scene::begin(patient().env("AO_AUTH__RATE_LIMIT", "2 in 1h")).await;
    scene
        .play(&WAYS, async |scene, way| {
            let server = &scene.server;
            let mut wrong = connected(server, way).await;
            wrong.send(r#"42["authenticate",{"uid":"a","token":"wrong"}]"#).await;
            assert_eq!(wrong.socket().close_code().await, Some(1008), "{way:?}: credentials");

            let mut first = connected(server, way).await;
            first.authenticate(server).await;
            let (uid, token) = (&first.uid, server.token(&first.uid).await);
            let sign_in = format!(r#"42["authenticate",{{"uid":"{uid}","token":"{token}"}}]"#);
            let mut second = connected(server, way).await;
            second.send(sign_in.clone()).await;
            assert_eq!(first.socket().close_code().await, Some(1008), "{way:?}: kickout");
            let mut third = connected(server, way).await;
            third.send(sign_in).await;
            assert_eq!(third.socket().close_code().await, Some(1008), "{way:?}: rate limit");
            second.expect(r#"42["authenticate",{"status":0,"data":"auth success"}]"#).await;
            second.send(r#"42["leave"]"#).await;
            assert_eq!(second.socket().close_code().await, Some(1000), "{way:?}: leave");
        })
        .await;
}

#[tokio::test]
async fn who_is_late_is_told_so() {
    // Pings are later than the rest: the engine has sent one that nobody answers.
    let server = Setup::new()
        .env("AO_AUTH__TIMEOUT", "4s")
        .env("AO_AUTH__JOIN_TIMEOUT", "4s")
        .env("AO_STORE__DEADLINE", "2s")
        .env("AO_WEBSOCKET__PING_INTERVAL", "3s")
        .env("AO_WEBSOCKET__PING_TIMEOUT", "7s")
        .start()
        .await;
    let late = |way, name: &'static str| {
        let server = &server;
        async move {
            let mut peer = match name {
                "namespace" => Peer::open(server, way).await,
                "authenticate" => connected(server, way).await,
                _ => {
                    let mut peer = connected(server, way).await;
                    peer.authenticate(server).await;
                    if name == "ping" {
                        peer.join("hall").await;
                    }
                    peer
                }
            };
            assert_eq!(peer.socket().close_code().await, Some(1008), "{way:?}: {name}");
        }
    };
    tokio::join!(
        late(WEBSOCKET_4, "namespace"),
        late(WEBSOCKET_4, "authenticate"),
        late(WEBSOCKET_3, "authenticate"),
        late(POLLING_4, "authenticate"),
        late(WEBSOCKET_4, "join"),
        late(POLLING_3, "join"),
        late(WEBSOCKET_4, "ping"),
        late(WEBSOCKET_3, "ping"),
    );
    assert_eq!(
        (dropped(&server, "not connected").await, dropped(&server, "ping timeout").await),
        (1, 2)
    );
    unharmed(&server).await;
}

#[tokio::test]
async fn a_server_that_ends_says_that_it_goes_away() {
    let mut server = patient().start().await;
    let mut peers = Vec::new();
    for way in WAYS {
        peers.push(connected(&server, way).await);
    }
    let (code, ()) = tokio::join!(server.terminate(), async {
        for peer in &mut peers {
            assert_eq!(peer.socket().close_code().await, Some(1001), "{:?}", peer.way);
        }
    });
    assert_eq!(code, 0);
}
