//! How a WebSocket is closed: each reason has a code of its own, whoever carries the client.
use crate::upgrades::upgraded;
use support::{
    http,
    server::{Server, Setup},
    wire::{
        POLLING_3, POLLING_4, WEBSOCKET_3, WEBSOCKET_4, Way, patient,
        peer::Peer,
        socket::{BINARY, CLOSE, CONTINUATION, FINAL, TEXT, frame, head},
        unharmed,
    },
};

/// Begins as it is told, and goes on as a WebSocket.
async fn connected(server: &Server, way: Way) -> Peer {
    let peer = Peer::connect(server, way).await;
    if way == POLLING_4 || way == POLLING_3 { upgraded(peer).await } else { peer }
}

/// Drops that were counted for this reason.
async fn dropped(server: &Server, reason: &str) -> u64 {
    let page = http::get(server.api(), "/metrics").await.body;
    let line = format!("always_online_drops_total{{reason=\"{reason}\"}} ");
    page.lines().find_map(|l| l.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn what_a_client_does_wrong_is_told_by_a_code_and_counted() {
    let server = patient().start().await;
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
    let mut expected = (dropped(&server, "malformed").await, dropped(&server, "too large").await);
    for way in [WEBSOCKET_4, WEBSOCKET_3] {
        for (what, bytes, code) in &cases {
            let mut peer = connected(&server, way).await;
            peer.socket().write(bytes).await;
            assert_eq!(peer.socket().close_code().await, Some(*code), "{way:?}: {what}");
            if *code == 1009 {
                expected.1 += 1
            } else {
                expected.0 += 1
            }
            assert_eq!(
                (dropped(&server, "malformed").await, dropped(&server, "too large").await),
                expected,
                "{way:?}: {what}"
            );
        }
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn a_close_frame_is_answered_with_its_own_code() {
    let server = patient().start().await;
    for way in [WEBSOCKET_4, WEBSOCKET_3] {
        for code in [1000, 1001, 1011, 3000, 4999u16] {
            let mut peer = connected(&server, way).await;
            peer.socket()
                .write(&frame(FINAL | CLOSE, &[&code.to_be_bytes()[..], b"bye"].concat()))
                .await;
            assert_eq!(peer.socket().close_code().await, Some(code));
        }
        let mut peer = connected(&server, way).await;
        peer.socket().write(&frame(FINAL | CLOSE, b"")).await;
        assert_eq!(peer.socket().close_code().await, None);
        // As a packet of engine.io.
        let mut peer = connected(&server, way).await;
        peer.send("1").await;
        assert_eq!(peer.socket().close_code().await, Some(1000));
    }
    assert_eq!(dropped(&server, "malformed").await, 0);
    unharmed(&server).await;
}

/// Who is refused, and who says goodbye.
#[tokio::test]
async fn refusals_have_the_code_of_a_policy_and_goodbyes_that_of_a_normal_end() {
    let server = patient().env("AO_AUTH__RATE_LIMIT", "2 in 1h").start().await;
    for way in [WEBSOCKET_4, WEBSOCKET_3, POLLING_4, POLLING_3] {
        let mut wrong = connected(&server, way).await;
        wrong.send(r#"42["authenticate",{"uid":"a","token":"wrong"}]"#).await;
        assert_eq!(wrong.socket().close_code().await, Some(1008), "{way:?}: wrong credentials");

        let mut first = connected(&server, way).await;
        first.authenticate(&server).await;
        let token = server.token(&first.uid).await;
        let authenticate =
            format!(r#"42["authenticate",{{"uid":"{}","token":"{token}"}}]"#, first.uid);
        let mut second = connected(&server, way).await;
        second.send(authenticate.clone()).await;
        assert_eq!(first.socket().close_code().await, Some(1008), "{way:?}: kickout");
        let mut third = connected(&server, way).await;
        third.send(authenticate).await;
        assert_eq!(third.socket().close_code().await, Some(1008), "{way:?}: rate limit");
        second.expect(r#"42["authenticate",{"status":0,"data":"auth success"}]"#).await;
        second.send(r#"42["leave"]"#).await;
        assert_eq!(second.socket().close_code().await, Some(1000), "{way:?}: leave");
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn who_is_late_is_told_so() {
    let setup = Setup::new()
        .env("AO_AUTH__TIMEOUT", "4s")
        .env("AO_AUTH__JOIN_TIMEOUT", "4s")
        .env("AO_STORE__DEADLINE", "2s");
    // Pings are later than the rest: the engine has sent one that nobody answers.
    let server = setup
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
    for way in [WEBSOCKET_4, WEBSOCKET_3, POLLING_4, POLLING_3] {
        peers.push(connected(&server, way).await);
    }
    let (code, ()) = tokio::join!(server.terminate(), async {
        for peer in &mut peers {
            assert_eq!(peer.socket().close_code().await, Some(1001), "{:?}", peer.way);
        }
    });
    assert_eq!(code, 0);
}
