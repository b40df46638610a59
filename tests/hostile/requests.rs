//! Requests to `/socket.io/` that are wrong, polling bodies that are no payloads, and bytes on the
//! port that are no HTTP.
use tokio::io::AsyncWriteExt;

use crate::scene::{Scene, each_way};
use support::{
    http,
    wire::{
        POLLING_3, POLLING_4, Version, WAYS, WEBSOCKET_4,
        bystanders::said,
        patient,
        peer::Peer,
        polling::Polling,
        raw::{self, Connection},
        unharmed,
    },
};

#[tokio::test]
async fn wrong_requests_are_refused_with_a_reason() {
    let scene = Scene::begin(patient()).await;
    let known = Polling::open(scene.server.websocket(), Version::Four).await.sid;
    let unknown =
        if known.starts_with('A') { known.replace('A', "B") } else { format!("A{}", &known[1..]) };
    let code = |code: &str| Some(code.to_owned());
    let mut cases = vec![
        ("GET", String::new(), code("0")),
        ("GET", "?".to_owned(), code("0")),
        ("GET", "?EIO=4".to_owned(), code("0")),
        ("GET", "?EIO=4&transport=".to_owned(), code("0")),
        ("GET", "?EIO=4&transport=foo".to_owned(), code("0")),
        ("GET", "?EIO=4&transport=__proto__".to_owned(), code("0")),
        ("GET", "?EIO=4&transport=webtransport".to_owned(), code("0")),
        ("POST", "?EIO=4&transport=polling".to_owned(), code("2")),
        ("PUT", "?EIO=4&transport=polling".to_owned(), code("2")),
        ("PUT", format!("?EIO=4&transport=polling&sid={known}"), None),
        ("DELETE", format!("?EIO=4&transport=polling&sid={known}"), None),
        ("POST", format!("?EIO=4&transport=websocket&sid={known}"), None),
        ("GET", "?EIO=4&transport=websocket".to_owned(), None),
        ("GET", format!("?EIO=4&transport=websocket&sid={known}"), None),
    ];
    for eio in ["", "0", "1", "2", "5", "-4", "4.0", "04x", "x", "%35", "4%26"] {
        cases.push(("GET", format!("?EIO={eio}&transport=polling"), code("5")));
    }
    for sid in [unknown.as_str(), "", "x", "..", "%00", &"x".repeat(2000), "__proto__", "undefined"]
    {
        for method in ["GET", "POST"] {
            cases.push((method, format!("?EIO=4&transport=polling&sid={sid}"), code("1")));
        }
    }
    for (method, query, code) in cases {
        let answer = http::request(
            scene.server.websocket(),
            method,
            &format!("/socket.io/{query}"),
            &[],
            "",
        )
        .await;
        assert_eq!(answer.status, 400, "{method} {query}: {answer:?}");
        if let Some(code) = code {
            assert_eq!(answer.json()["code"], *code, "{method} {query}");
            assert!(answer.json()["message"].is_string(), "{method} {query}");
        }
    }
    // The session that they all named is still there.
    let session = Polling { address: scene.server.websocket(), version: Version::Four, sid: known };
    assert_eq!(session.post("40").await.status, 200);
    scene.end().await;
}

#[tokio::test]
async fn a_request_without_a_version_is_version_three() {
    let server = patient().start().await;
    for query in [
        "transport=polling",
        "transport=polling&b64=1",
        "b64=1&transport=polling&t=x",
        "eio=4&transport=polling",
    ] {
        let answer = http::get(server.websocket(), &format!("/socket.io/?{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        let (length, packet) = answer.body.split_once(':').expect("a length");
        assert!(
            length.parse() == Ok(packet.len()) && packet.starts_with("0{"),
            "{query}: {}",
            answer.body
        );
    }
    unharmed(&server).await;
}

/// What becomes of a session after a body.
#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    Lives,
    Ends,
    /// Nothing was in it but the beginning of a packet.
    Either,
}
use After::{Either, Ends, Lives};

#[tokio::test]
async fn bodies_that_are_no_payloads_end_the_session_that_sent_them() {
    let mut scene = Scene::begin(patient()).await;
    let four: &[(&[u8], After)] = &[
        (b"", Lives),
        (b"2", Lives),
        (b"3\x1e3\x1e2", Lives),
        (b"garbage", Ends),
        (b"\x00", Ends),
        (b"7", Ends),
        (b"4", Ends),
        (b"\x1e", Ends),
        (b"\x1e\x1e", Ends),
        (b"3\x1e\x1e3", Ends),
        (b"4\xff", Ends),
        (b"4\xc3", Ends),
        (b"b", Ends),
        (b"b!!!", Ends),
        (b"bAAAA", Ends),
        (b"1", Ends),
        (b"3\x1e1\x1e3", Ends),
        (br#"{"json":true}"#, Ends),
        (br#"22:42["msg",{"n":1}]"#, Lives), // a ping, whatever is behind its first byte
    ];
    let three: &[(&[u8], After)] = &[
        (b"", Lives),
        (b"1:2", Lives),
        (b"1:31:3", Lives),
        (b"garbage", Ends),
        (b"42[]", Ends),
        (b":", Ends),
        (b"::", Ends),
        (b":4", Ends),
        (b"x:4", Ends),
        (b"-1:4", Ends),
        (b"1.5:4", Ends),
        (b" 1:3", Ends),
        (b"99999999999999999999999:3", Ends),
        (b"2:3", Ends),
        (b"1:", Either),
        (b"1:3x", Ends),
        (b"1:32:", Either),
        (b"2:\xff\xff", Ends),
        (b"1:4", Ends),
        (b"1:7", Ends),
        (b"1:1", Ends),
        (b"2:b4", Ends),
        (b"6:b4!!!!", Ends),
        (br#"5:42["msg",{"n":1}]"#, Ends),
    ];
    for (way, bodies) in [(POLLING_4, four), (POLLING_3, three)] {
        for (body, after) in bodies {
            let shown = String::from_utf8_lossy(body);
            let mut peer = scene.member(way).await;
            let answer = peer
                .polling()
                .post_bytes("text/plain;charset=UTF-8", body)
                .await
                .expect("an answer");
            if *after == Lives || (*after == Either && answer.status == 200) {
                assert_eq!(answer.status, 200, "{way:?}: {shown}");
                peer.is_well().await;
                peer.polling().post(if way == POLLING_4 { "1" } else { "1:1" }).await;
            } else {
                assert!([200, 400].contains(&answer.status), "{way:?}: {shown}: {answer:?}");
                peer.is_dropped(&shown).await;
            }
            scene.bystanders.miss(&peer).await;
        }
    }
    scene.end().await;
}

/// Packets that only have a meaning elsewhere are refused, and the session goes on.
#[tokio::test]
async fn packets_of_an_upgrade_have_no_place_in_a_body() {
    each_way(&[POLLING_4, POLLING_3], async |scene, way| {
        let mut peer = Peer::sign_in(&scene.server, way).await;
        for packet in ["2probe", "3probe", "5", "6"] {
            assert_eq!(peer.polling().send(&[packet.to_owned()]).await.status, 400, "{packet}");
        }
        peer.is_well().await;
    })
    .await;
}

/// A length that ends within a character that counts two, and more behind it.
#[tokio::test]
async fn a_length_within_a_character_ends_the_session() {
    let mut scene = Scene::begin(patient()).await;
    for body in ["1:🙂", "1:🙂4abc", "2:4🙂", "2:4🙂2:40", "5:42[\"🙂\"]"] {
        let mut peer = scene.member(POLLING_3).await;
        let answer = peer.polling().post(body).await;
        assert_eq!(answer.status, 400, "{body}");
        scene.loses(&mut peer, body).await;
    }
    scene.end().await;
}

#[tokio::test]
async fn binary_bodies_of_version_three_are_read_or_end_the_session() {
    let mut scene = Scene::begin(patient()).await;
    let mut peer = scene.member(POLLING_3).await;
    // A text packet of 23 bytes: 0, its length digit by digit, 255, the packet.
    let message = br#"42["msg",{"n":1,"s":2}]"#;
    let body = [&[0, 2, 3, 0xff][..], message].concat();
    let answer =
        peer.polling().post_bytes("application/octet-stream", &body).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    scene.bystanders.hear(&[said(&peer, r#""n":1,"#, "2")]).await;
    peer.is_well().await;
    peer.polling().post("1:1").await;
    scene.bystanders.miss(&peer).await;

    let broken: [&[u8]; 9] = [
        &[2, 1, 0xff, b'3'],
        &[0, 0xff, b'3'],
        &[0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0xff, b'3'],
        &[0, 5, 0xff, b'3'],
        &[0, 200, 0xff, b'3'],
        &[0, 1, 0xff, 0xff],
        &[1, 0xff, 4],
        &[1, 1, 0xff, 4],
        &[0, 0, 0xff, b'3', 0, 0, 0xff],
    ];
    for body in broken {
        let mut peer = scene.member(POLLING_3).await;
        let answer =
            peer.polling().post_bytes("application/octet-stream", body).await.expect("an answer");
        // An attachment that nobody announced is read, and its sender closed.
        assert!([200, 400].contains(&answer.status), "{body:?}: {answer:?}");
        scene.loses(&mut peer, &format!("{body:?}")).await;
    }
    scene.end().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_ends_at_most_its_session() {
    each_way(&[POLLING_4, POLLING_3], async |scene, way| {
        let mut peer = scene.member(way).await;
        let mut posting = Connection::open(scene.server.websocket()).await;
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\n",
            peer.polling().target()
        );
        posting.write(format!("{head}42[\"msg\",{{\"n\"").as_bytes()).await;
        scene.bystanders.talk(&mut peer).await; // while it waits for the rest
        let mut stream = posting.into_stream();
        stream.shutdown().await.unwrap();
        drop(stream);
        scene.loses(&mut peer, "its body broke off").await;
    }).await;
}

#[tokio::test]
async fn two_polls_at_once_end_the_session() {
    each_way(&[POLLING_4, POLLING_3], async |scene, way| {
        let mut peer = scene.member(way).await;
        peer.is_well().await; // nothing is left that a poll would return with
        let (one, other) = tokio::join!(peer.polling().get(), peer.polling().get());
        assert!(one.status == 400 || other.status == 400, "{one:?}, {other:?}");
        scene.loses(&mut peer, "two polls").await;
    })
    .await;
}

/// Bytes that are no HTTP, or no proper one: the answer is an error, or none.
#[tokio::test]
async fn bytes_that_are_no_http_are_refused_or_cut_off() {
    let scene = Scene::begin(patient()).await;
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        .iter()
        .copied()
        .chain([7; 500])
        .collect::<Vec<u8>>();
    let many = (0..2000).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let get = |rest: &str| format!("GET /livez {rest}\r\n\r\n").into_bytes();
    let post = |headers: &str| {
        format!("POST /socket.io/ HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n").into_bytes()
    };
    let large = "x".repeat(1 << 20);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let requests: Vec<(&str, Vec<u8>)> = vec![
        ("a TLS hello", hello),
        ("zeros", vec![0; 5000]),
        ("junk", (0..5000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        ("blank lines and junk", b"\r\n\r\n\r\n\x00\xff\r\n\r\n".to_vec()),
        ("HTTP/2", preface.to_vec()),
        ("a WebSocket frame", support::wire::socket::frame(0x81, b"2probe")),
        ("no version", b"GET /livez\r\n\r\n".to_vec()),
        ("a version that is none", get("HTTP/9.9\r\nhost: x")),
        ("a method that is none", b"G\x00T /livez HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ("a space too many", get("x HTTP/1.1\r\nhost: x")),
        ("a header without a name", get("HTTP/1.1\r\n: x")),
        ("a header with a control character", get("HTTP/1.1\r\nhost: a\x00b")),
        ("a length that is none", post("content-length: -1")),
        ("two lengths", [post("content-length: 1\r\ncontent-length: 2"), b"xx".to_vec()].concat()),
        ("a coding that is none", post("transfer-encoding: zip")),
        ("a header of 1 MB", get(&format!("HTTP/1.1\r\nhost: x\r\nx: {large}"))),
        ("2,000 headers", get(&format!("HTTP/1.1\r\nhost: x\r\n{}", many.trim_end()))),
        ("a target of 1 MB", format!("GET /{large} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()),
    ];
    for listener in ["websocket", "api", "demo"] {
        for (name, bytes) in &requests {
            let answer = raw::exchange(scene.server.address(listener), bytes).await;
            assert!(
                answer.as_ref().is_none_or(|a| (400..500).contains(&a.status)),
                "{listener}: {name}: {answer:?}"
            );
        }
        // Much, and not too much to be read.
        let large = format!(
            "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: {}\r\n\r\n",
            "y".repeat(100 << 10)
        );
        let answer = raw::exchange(scene.server.address(listener), large.as_bytes())
            .await
            .expect("an answer");
        assert!([200, 431].contains(&answer.status), "{listener}: {answer:?}");
    }
    scene.end().await;
}

/// The last of several parameters must not say something else than the first: one of them would be
/// checked, and the other used.
#[tokio::test]
async fn parameters_that_contradict_each_other_are_read_as_one() {
    let scene = Scene::begin(patient()).await;
    for way in WAYS {
        let mut peer = Peer::sign_in(&scene.server, way).await;
        peer.is_well().await;
    }
    // Each says first what the engine takes it for.
    for query in [
        "EIO=4&transport=polling&EIO=3",
        "EIO=4&transport=polling&transport=websocket",
        "EIO=3&EIO=4&transport=polling",
    ] {
        let answer = http::request(
            scene.server.websocket(),
            "GET",
            &format!("/socket.io/?{query}"),
            &[("origin", "http://page.example")],
            "",
        )
        .await;
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("http://page.example"),
            "{query}"
        );
    }
    let mut socket = Peer::connect(&scene.server, WEBSOCKET_4).await;
    socket.authenticate(&scene.server).await;
    scene.end().await;
}
