//! Clients that break rules before they are let in, and right behind that: each loses its own
//! connection, and those who are there talk on.
use std::net::SocketAddr;

use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::people::{Pair, Person, STAY_AWAY, ask_as, place, setup, unharmed};
use support::{
    http, soon,
    wire::{
        raw,
        socket::{CLOSE, CONTINUATION, FINAL, PING, Socket, TEXT, frame, head},
    },
};

/// A handshake for this path, with these headers beside what is always there.
fn handshake(path: &str, headers: &[&str]) -> Vec<u8> {
    let always = ["host: x", "connection: upgrade", "upgrade: websocket"];
    let lines: String = [&always, headers].concat().iter().map(|it| format!("{it}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\n{lines}\r\n").into_bytes()
}

/// Sends bytes, waits for the first of the answer, or the end, and leaves.
async fn poke(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(bytes).await; // it may have been refused by now
    let mut answer = [0; 64];
    let count = soon("an answer", stream.read(&mut answer)).await.unwrap_or(0);
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

#[tokio::test]
async fn a_thousand_bad_handshakes_hurt_nobody() {
    let server = setup().start().await;
    let address = place(&server);
    let mut pair = Pair::come(&server).await;
    let good = format!("/wechat/{}", pair.ann.token);
    let (key, version) =
        ("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version: 13");
    let long = format!("/wechat/{}", "x".repeat(20_000));
    let bad = [
        (handshake("/wechat/a.b.c", &[key, version]), "101"),
        (handshake("/wechat/%00", &[key, version]), "101"),
        (handshake(&long, &[key, version]), "101"),
        (handshake(&good, &[version]), "400"),
        (handshake(&good, &[key]), "400"),
        (handshake(&good, &[key, "sec-websocket-version: 12"]), "4"),
        (handshake(&good, &["sec-websocket-key: short", version]), "400"),
        (handshake("/wechat/", &[key, version]), "404"),
        (handshake("/wechat/a/b", &[key, version]), "404"),
        (handshake("/socket.io/?EIO=4&transport=websocket", &[key, version]), "404"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".to_vec(), "400"),
        (b"nonsense\r\n\r\n".to_vec(), "400"),
    ];
    for round in 0..84 {
        join_all(bad.iter().map(async |(bytes, status)| {
            let answer = poke(address, bytes).await;
            let is = answer.strip_prefix("HTTP/1.1 ").is_some_and(|rest| rest.starts_with(status));
            assert!(is, "{answer} for {}", String::from_utf8_lossy(bytes));
        }))
        .await;
        if round % 20 == 0 {
            pair.are_well().await;
        }
    }
    pair.are_well().await;
    unharmed(&server).await;
}

/// A body of a registration, of which this much comes.
fn body(length: usize, part: &str) -> Vec<u8> {
    format!(
        "POST /api/reg HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{part}"
    )
    .into_bytes()
}

#[tokio::test]
async fn bodies_and_heads_that_do_not_come_hurt_nobody() {
    let server = setup().start().await;
    let address = place(&server);
    let mut pair = Pair::come(&server).await;
    let parts = [
        body(1_000_000, "{\"nick\":\""),
        body(2 << 20, ""),
        b"GET /api/info HTTP/1.1\r\nhost: x\r\nx: ".to_vec(),
        handshake(&format!("/wechat/{}", pair.ann.token), &[])[..40].to_vec(),
        b"POST /api/login HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffff\r\n{"
            .to_vec(),
        Vec::new(),
    ];
    let mut slow = Vec::new();
    for part in parts.iter().cycle().take(300) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(part).await.unwrap();
        slow.push(stream);
    }
    for _ in 0..3 {
        for stream in &mut slow {
            let _ = stream.write_all(b"x").await; // it may be closed by now
        }
        pair.are_well().await;
        assert_eq!(pair.ben.info(&server).await.status, 200);
    }
    assert_eq!(pair.ann.logs_in(&server, &[]).await.json()["code"], 0);
    drop(slow);
    unharmed(&server).await;
}

#[tokio::test]
async fn heads_and_bodies_that_are_too_large_are_refused() {
    let server = setup().start().await;
    let address = place(&server);
    let mut pair = Pair::come(&server).await;
    let large = "x".repeat(1 << 20);
    let (token, path) = (pair.ann.token.clone(), format!("/wechat/{large}"));
    for bytes in [
        raw::request("POST", "/api/info", &[("authorization", &format!("Bearer {large}"))], b""),
        raw::request("POST", "/api/info", &[("cookie", &format!("jwt={large}"))], b""),
        raw::request("POST", &path, &[], b""),
        handshake(&path, &[]),
    ] {
        let status = raw::exchange(address, &bytes).await.map(|answer| answer.status);
        assert!(matches!(status, None | Some(400 | 414 | 431)), "{status:?}");
        pair.are_well().await;
    }
    // Within what a head may have, and no token all the same.
    let long = "x".repeat(17_000);
    assert_eq!(ask_as(address, &long, "info", &json!({})).await.status, 401);
    let announced = body(3 << 20, "");
    assert!(poke(address, &announced).await.starts_with("HTTP/1.1 413 "));
    let login = json!({ "phone": pair.ann.phone, "password": large });
    assert_eq!(ask_as(address, &token, "login", &login).await.json()["code"], 100_002);
    assert_eq!(ask_as(address, &token, "info", &json!({ "x": large })).await.status, 200);
    pair.are_well().await;
    unharmed(&server).await;
}

#[tokio::test]
async fn what_is_no_frame_ends_its_sender_who_may_come_back() {
    let server = setup().start().await;
    let mut pair = Pair::come(&server).await;
    let mallory = Person::new(&server).await;
    let mut unmasked = head(FINAL | TEXT, 1, false);
    unmasked.push(b'x');
    for (bytes, code) in [
        (unmasked, 1002),
        (frame(FINAL | CONTINUATION, b"of nothing"), 1002),
        (frame(FINAL | 0x40 | TEXT, b"compressed"), 1002),
        (frame(FINAL | 3, b"reserved"), 1002),
        (frame(PING, b"in parts"), 1002),
        (frame(FINAL | PING, &[0; 126]), 1002),
        (frame(FINAL | CLOSE, b"x"), 1002),
        ([frame(TEXT, b"one"), frame(FINAL | TEXT, b"two")].concat(), 1002),
        (head(FINAL | TEXT, 1 << 40, true), 1009),
        (frame(FINAL | TEXT, b"{\"type\":\"\xff\"}"), 1007),
    ] {
        let mut socket: Socket = mallory.upgrade(&server, &[]).await.unwrap();
        socket.write(&bytes).await;
        let ended = socket.close_code().await;
        assert_ne!(ended, Some(STAY_AWAY));
        assert_eq!(ended, Some(code), "{bytes:?}");
        pair.are_well().await;
    }
    mallory.comes(&server).await;
    assert_eq!(http::get(place(&server), "/livez").await.status, 200);
    unharmed(&server).await;
}
