//! WebSocket frames and engine.io packets that no proper client sends.
use tokio::io::AsyncWriteExt;

use crate::scene::{ASKING, Scene, asking, each_way};
use support::wire::{
    Version, WEBSOCKET_3, WEBSOCKET_4,
    bystanders::said,
    patient,
    peer::Peer,
    raw::Connection,
    socket::{BINARY, CLOSE, CONTINUATION, FINAL, PING, PONG, TEXT, frame, head},
    unharmed,
};

const MESSAGE: &[u8] = br#"42["msg",{"n":1,"s":2}]"#;

/// Bytes after which a connection is gone.
fn fatal() -> Vec<(String, Vec<u8>)> {
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for packet in [
        "", "0", "0{}", "1", "5", "6", "7", "9", "x", "é", "\0", "b", "b4", "b!!!", "bAAAA",
        "b4AAAA", "2probe", "3probe",
    ] {
        cases.push((format!("the packet {packet:?}"), frame(FINAL | TEXT, packet.as_bytes())));
    }
    for bytes in [
        &b"42[\"msg\",\"\xff\"]"[..],
        b"4\xc3",
        b"\xed\xa0\x80",
        b"4\xf4\x90\x80\x80",
        b"4\xc0\x80",
    ] {
        cases.push((format!("no UTF-8: {bytes:x?}"), frame(FINAL | TEXT, bytes)));
    }
    for opcode in (3..8).chain(11..16) {
        cases.push((format!("the reserved opcode {opcode}"), frame(FINAL | opcode, MESSAGE)));
    }
    for bit in [0x40, 0x20, 0x10, 0x70] {
        cases.push((format!("the reserved bit {bit:x}"), frame(FINAL | bit | TEXT, MESSAGE)));
    }
    let plain = [
        (
            "not masked",
            [head(FINAL | TEXT, MESSAGE.len() as u64, false), MESSAGE.to_vec()].concat(),
        ),
        ("a continuation of nothing", frame(FINAL | CONTINUATION, MESSAGE)),
        (
            "a message within another one",
            [frame(TEXT, b"42"), frame(FINAL | TEXT, MESSAGE)].concat(),
        ),
        ("a ping in two frames", frame(PING, b"")),
        ("a ping of 126 bytes", frame(FINAL | PING, &[0; 126])),
        ("a close of one byte", frame(FINAL | CLOSE, &[3])),
        ("a close with a code that is none", frame(FINAL | CLOSE, &999u16.to_be_bytes())),
        ("a close with a code for nobody to send", frame(FINAL | CLOSE, &1005u16.to_be_bytes())),
        ("a close with a reason in no UTF-8", frame(FINAL | CLOSE, b"\x03\xe8\xff")),
        ("a close", frame(FINAL | CLOSE, &1000u16.to_be_bytes())),
        ("a frame of 2^62 bytes", head(FINAL | TEXT, 1 << 62, true)),
        ("a frame of 2^63 bytes", head(FINAL | TEXT, 1 << 63, true)),
        ("a binary frame of 4 MB", head(FINAL | BINARY, 4_000_000, true)),
        ("a binary frame", frame(FINAL | BINARY, b"\x04abc")),
        ("an empty binary frame", frame(FINAL | BINARY, b"")),
        ("junk", [0xff; 100].to_vec()),
        ("zeros", [0; 100].to_vec()),
        ("text in the clear", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ];
    cases.extend(plain.map(|(name, bytes)| (name.to_owned(), bytes)));
    let mut parts = frame(TEXT, b"42[\"msg\",{\"a\":\"");
    for _ in 0..4 {
        parts.extend(frame(CONTINUATION, &[b'x'; 1 << 20]));
    }
    cases.push(("frames that are too much together".to_owned(), parts));
    cases
}

#[tokio::test]
async fn broken_frames_end_the_connection_that_sent_them() {
    each_way(&[WEBSOCKET_4, WEBSOCKET_3], async |scene, way| {
        for (name, bytes) in fatal() {
            let mut peer = scene.member(way).await;
            peer.socket().write(&bytes).await;
            scene.loses(&mut peer, &name).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_breaks_within_a_frame_is_gone() {
    let mut scene = Scene::begin(patient()).await;
    let whole = frame(FINAL | TEXT, MESSAGE);
    for reset in [false, true] {
        for cut in [1, 2, 6, 7, whole.len() - 1] {
            let peer = scene.member(WEBSOCKET_4).await;
            let uid = peer.uid.clone();
            let support::wire::peer::Wire::Socket(socket) = peer.wire else { unreachable!() };
            let mut stream = socket.into_stream();
            stream.write_all(&whole[..cut]).await.unwrap();
            if reset {
                stream.set_zero_linger().unwrap();
            }
            drop(stream);
            scene.bystanders.hear(&[format!(r#"42["remote_disconnect",{{"uid":"{uid}"}}]"#)]).await;
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn messages_in_pieces_are_messages() {
    each_way(&[WEBSOCKET_4, WEBSOCKET_3], async |scene, way| {
        let mut peer = scene.member(way).await;
        let heard = said(&peer, r#""n":"é🙂","#, "2");
        let message = r#"42["msg",{"n":"é🙂","s":2}]"#.as_bytes();
        let (first, last) = (&message[..1], &message[message.len() - 1..]);
        // Byte by byte, within characters too, with empty frames and pings between.
        let mut bytes = frame(TEXT, first);
        for byte in &message[1..message.len() - 1] {
            bytes.extend(frame(CONTINUATION, &[*byte]));
            bytes.extend(frame(CONTINUATION, b""));
            bytes.extend(frame(FINAL | PING, b"between"));
        }
        bytes.extend(frame(FINAL | CONTINUATION, last));
        peer.socket().write(&bytes).await;
        scene.bystanders.hear(std::slice::from_ref(&heard)).await;
        // The frame itself in pieces: each byte is a write of its own.
        for byte in frame(FINAL | TEXT, message) {
            peer.socket().write(&[byte]).await;
        }
        scene.bystanders.hear(std::slice::from_ref(&heard)).await;
        // Many in one write.
        peer.socket().write(&frame(FINAL | TEXT, message).repeat(100)).await;
        scene.bystanders.hear(&vec![heard; 100]).await;
        peer.is_well().await;
        peer.send("1").await;
        scene.bystanders.miss(&peer).await;
    })
    .await;
}

#[tokio::test]
async fn pings_of_both_levels_are_answered_however_many() {
    each_way(&[WEBSOCKET_4, WEBSOCKET_3], async |scene, way| {
        let mut peer = scene.member(way).await;
        for _ in 0..10 {
            peer.socket().write(&frame(FINAL | PING, &[7; 125]).repeat(500)).await;
            peer.socket()
                .write(&frame(FINAL | PONG, b"a pong that nobody asked for").repeat(500))
                .await;
            peer.socket().write(&frame(FINAL | TEXT, b"2").repeat(500)).await;
            peer.socket().write(&frame(FINAL | TEXT, b"3").repeat(500)).await;
            peer.is_well().await;
        }
        for payload in ["2x", "3x", "2 probe", "3probe "] {
            peer.send(payload).await;
        }
        peer.is_well().await;
        if way.version == Version::Three {
            // A ping of the client has its answer.
            peer.send("2").await;
            while peer.socket().receive().await.expect("a pong") != "3" {}
        }
        scene.takes_leave(peer, "1").await;
    })
    .await;
}

/// Frames that ask for nothing, without end, on the only thread that there is: others get their
/// turn all the same.
#[tokio::test]
async fn frames_without_end_keep_nobody_waiting() {
    let mut scene = Scene::begin(patient().env("AO_RUNTIME__WORKERS", "1")).await;
    let pings = (Vec::new(), frame(FINAL | PING, b"?").repeat(1000));
    let parts = (frame(TEXT, b"4"), frame(CONTINUATION, b"").repeat(1000));
    for (first, again) in [pings, parts] {
        let peer = Peer::connect(&scene.server, WEBSOCKET_4).await;
        let support::wire::peer::Wire::Socket(socket) = peer.wire else { unreachable!() };
        let (mut reader, mut writer) = socket.into_stream().into_split();
        let reading =
            tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
        let writing = tokio::spawn(async move {
            let mut sent = writer.write_all(&first).await;
            while sent.is_ok() {
                sent = writer.write_all(&again).await;
            }
        });
        for _ in 0..20 {
            scene.bystanders.are_well().await;
        }
        assert!(!writing.is_finished(), "the flood goes on");
        for task in [writing.abort_handle(), reading.abort_handle()] {
            task.abort();
        }
        let _ = (writing.await, reading.await);
    }
    scene.end().await;
}

/// OkHttp stops reading at a Close frame that it did not ask for, and tells nobody; its own it
/// wants answered.
#[tokio::test]
async fn android_is_dropped_without_a_close_frame_and_answered_with_one() {
    let server = patient().start().await;
    let close = frame(FINAL | CLOSE, &1000u16.to_be_bytes());
    for (agent, sent, code) in [
        ("okhttp/3.12.12", frame(FINAL | TEXT, b"x"), None),
        ("okhttp/3.12.12", close.clone(), Some(1000)),
        ("Dart/3.0 (okhttp/3)", frame(FINAL | TEXT, b"x"), Some(1002)),
        (
            "okhttp/4",
            frame(FINAL | TEXT, b"42[\"authenticate\",{\"uid\":\"a\",\"token\":\"wrong\"}]"),
            Some(1008),
        ), // refused: behind the DISCONNECT
    ] {
        let mut phone = Connection::open(server.websocket()).await;
        let headers = format!("user-agent: {agent}\r\n{ASKING}");
        phone.write(&asking("/socket.io/?EIO=3&transport=websocket", &headers)).await;
        phone.read_until(b"\x81\x0240").await; // connected
        phone.write(&sent).await;
        let last = phone.rest().await;
        let answered = match last.as_slice() {
            [.., 0x88, 2, high, low] => Some(u16::from_be_bytes([*high, *low])),
            _ => None,
        };
        assert_eq!(answered, code, "{agent}: {last:x?}");
    }
    unharmed(&server).await;
}
