//! From polling to WebSocket, done wrong.
use tokio::io::AsyncWriteExt;

use crate::scene::{ASKING, POLLING, Scene, asking, each_way};
use support::{
    http,
    wire::{
        POLLING_3, POLLING_4, WEBSOCKET_4,
        bystanders::{about, said},
        patient,
        peer::{Peer, Wire},
        polling::Polling,
        raw::Connection,
        socket::{CLOSE, FINAL, Socket, TEXT, frame},
        stranger,
    },
};

/// More than the time that an upgrade may take.
const LONG: std::time::Duration = std::time::Duration::from_secs(30);

/// Where a session of its own begins, rather than the one that is named.
fn anew(target: &str) -> &str {
    target.split("&sid").next().unwrap()
}

/// An upgrade that is asked for, or not even that.
async fn begun(peer: &Peer, probe: bool) -> Socket {
    if probe { peer.polling().probed().await } else { peer.polling().socket().await }
}

#[tokio::test]
async fn an_upgraded_session_takes_no_requests() {
    each_way(&POLLING, async |scene, way| {
        let peer = scene.member(way).await;
        let old = Polling {
            address: scene.server.websocket(),
            version: way.version,
            sid: peer.polling().sid.clone(),
        };
        let mut peer = peer.upgraded().await;
        peer.is_well().await;
        let (get, post) = (old.get().await, old.send(&[r#"42["leave"]"#.to_owned()]).await);
        assert_eq!((get.status, post.status), (400, 400));
        assert_eq!((&get.json()["code"], &post.json()["code"]), (&"3".into(), &"3".into()));
        // Nor a second socket.
        let mut second = old.socket().await;
        second.send("2probe").await;
        assert_eq!(second.receive().await, None);
        peer.is_well().await;
        scene.takes_leave(peer, "1").await;
    })
    .await;
}

#[tokio::test]
async fn a_failed_upgrade_leaves_the_session_as_it_was() {
    let texts = ["", "2", "2prob", "3probe", "5", "4", r#"42["leave"]"#, "x", "é"];
    let junk = [
        frame(FINAL | 2, b"2probe"),
        vec![0xff; 50],
        frame(FINAL | TEXT, b"2probe\xff"),
        frame(FINAL | CLOSE, b""),
    ];
    let words = texts.map(|text| frame(FINAL | TEXT, text.as_bytes()));
    each_way(&POLLING, async |scene, way| {
        let mut peer = scene.member(way).await;
        for bytes in words.iter().chain(&junk) {
            let mut socket = peer.polling().socket().await;
            socket.write(bytes).await;
            assert_eq!(socket.receive().await, None, "{bytes:?}");
            scene.bystanders.talk(&mut peer).await;
        }
        // A probe that is answered, and garbage after it.
        for text in ["2probe", "3", "42[]", "1", ""] {
            let mut socket = peer.polling().probed().await;
            socket.send(text).await;
            assert_eq!(socket.receive().await, None, "{text}");
            scene.bystanders.talk(&mut peer).await;
        }
        // Or the client goes, before it has asked, or before its last word.
        for probe in [false, true] {
            let mut stream = begun(&peer, probe).await.into_stream();
            stream.shutdown().await.unwrap();
            Connection::from_stream(stream).rest().await; // it is noticed
            scene.bystanders.talk(&mut peer).await;
        }
        // And it may be upgraded still.
        scene.takes_leave(peer.upgraded().await, "1").await;
    })
    .await;
}

#[tokio::test]
async fn of_many_upgrades_of_one_session_one_goes_on() {
    each_way(&POLLING, async |scene, way| {
        let mut peer = scene.member(way).await;
        let mut first = peer.polling().probed().await;
        for _ in 0..20 {
            let mut other = peer.polling().socket().await;
            other.send("2probe").await;
            assert_eq!(other.receive().await, None);
        }
        scene.bystanders.talk(&mut peer).await;
        first.send("5").await;
        peer.wire = Wire::Socket(Box::new(first));
        scene.takes_leave(peer, "1").await;
    })
    .await;
}

#[tokio::test]
async fn a_stalled_upgrade_ends_by_itself_and_its_session_goes_on() {
    each_way(&[POLLING_4], async |scene, way| {
        let mut peer = scene.member(way).await;
        for probe in [false, true] {
            let socket = begun(&peer, probe).await;
            Connection::from_stream(socket.into_stream()).rest_within(LONG).await;
            scene.bystanders.talk(&mut peer).await;
        }
        scene.takes_leave(peer.upgraded().await, "1").await;
    })
    .await;
}

#[tokio::test]
async fn sockets_for_sessions_that_are_none_are_refused() {
    let scene = Scene::begin(patient()).await;
    let mut left = Peer::connect(&scene.server, POLLING_3).await;
    left.send("1").await;
    while left.next().await.is_some() {}
    for sid in ["AAAAAAAAAAAAAAHs", "x", "", "%00", "__proto__", &left.polling().sid] {
        for version in [3, 4] {
            let target = format!("/socket.io/?EIO={version}&transport=websocket&sid={sid}");
            let answer = scene.exchange(&asking(&target, ASKING)).await;
            let (status, code) = (answer.status, &answer.json()["code"]);
            assert_eq!((status, code), (400, &"1".into()), "{target}: {answer:?}");
        }
    }
    scene.end().await;
}

/// A proxy that does not know of WebSockets takes `Upgrade` and `Connection` away, and would pass
/// nothing on behind a 101.
#[tokio::test]
async fn nobody_becomes_a_websocket_without_asking() {
    let close = "connection: close\r\n";
    let without = |header: &str| {
        ASKING.split_inclusive("\r\n").filter(|line| !line.starts_with(header)).collect::<String>()
    };
    let flawed = [
        without("upgrade") + close,
        without("connection") + close,
        without("upgrade").replace("connection: upgrade\r\n", close),
        ASKING.replace("upgrade: websocket", "upgrade: h2c") + close,
        ASKING.replace("upgrade: websocket", "upgrade: websockets") + close,
        ASKING.replace("connection: upgrade", "connection: keep-alive") + close,
        without("sec-websocket-version"),
        ASKING.replace("13", "8"),
        without("sec-websocket-key"),
        ASKING.replace("==", "="),
        ASKING.replace("key: ", "key: x"),
    ];
    each_way(&POLLING, async |scene, way| {
        let mut peer = scene.member(way).await;
        let target = peer.polling().upgrade_target();
        for target in [&target, anew(&target)] {
            for headers in &flawed {
                let answer = scene.exchange(&asking(target, headers)).await;
                let (status, code) = (answer.status, &answer.json()["code"]);
                assert_eq!((status, code), (400, &3.into()), "{target}: {headers}: {answer:?}");
                let version = if headers.contains("version: 13") { None } else { Some("13") };
                assert_eq!(answer.header("sec-websocket-version"), version, "{headers}");
            }
            let old = String::from_utf8(asking(target, ASKING)).unwrap();
            let old = old.replace("HTTP/1.1", "HTTP/1.0");
            assert_eq!(scene.exchange(old.as_bytes()).await.status, 400);
        }
        // The session that they named polls on, and may still be upgraded.
        peer.is_well().await;
        scene.takes_leave(peer.upgraded().await, "1").await;
    })
    .await;
}

/// Who polls may offer whatever its proxy sets: a server need not take an upgrade that is offered.
#[tokio::test]
async fn polling_is_polling_whatever_is_offered() {
    each_way(&POLLING, async |scene, way| {
        let target = format!("/socket.io/?EIO={}&transport=polling", way.version.eio());
        let answer = scene.exchange(&asking(&target, ASKING)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains("0{\"sid\""), "{answer:?}");
    })
    .await;
}

/// A browser closes a socket whose answer names none of the subprotocols that it offered.
#[tokio::test]
async fn the_first_subprotocol_is_answered() {
    let offering = |protocol| format!("{ASKING}sec-websocket-protocol: {protocol}\r\n");
    let offers = [
        ("chat, superchat", Some("chat")),
        ("b\r\nsec-websocket-protocol: a", Some("b")),
        ("", None),
        (" ", None),
    ];
    let scene = Scene::begin(patient()).await;
    let address = scene.server.websocket();
    let cases = POLLING.into_iter().flat_map(|way| [true, false].map(|polls| (way, polls)));
    for ((way, polls), (offered, answered)) in cases.flat_map(|case| offers.map(|o| (case, o))) {
        let session = Polling::open(address, way.version).await.upgrade_target();
        let target = if polls { &session } else { anew(&session) };
        let mut connection = Connection::open(address).await;
        connection.write(&asking(target, &offering(offered))).await;
        let head = connection.read_until(b"\r\n\r\n").await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{head}");
        let named = head.lines().filter_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(named.collect::<Vec<_>>(), Vec::from_iter(answered), "{target}: {offered:?}");
    }
    let target = "/socket.io/?EIO=4&transport=websocket";
    let answer = scene.exchange(&asking(target, &offering("a b"))).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &3.into()), "{answer:?}");
    // A library that checks the answer, as browsers do.
    let offer = [("sec-websocket-protocol", "v2.chat, v1.chat")];
    let mut socket = Socket::upgrade(address, target, &offer).await.unwrap();
    assert!(socket.receive().await.is_some_and(|open| open.starts_with("0{")));
    scene.end().await;
}

/// A proxy may carry requests of several clients on one connection: one client's refused upgrade
/// must not change it for the others.
#[tokio::test]
async fn a_request_that_is_no_upgrade_leaves_its_connection_alone() {
    each_way(&[POLLING_4], async |scene, way| {
        let mut peer = scene.member(way).await;
        let mut shared = Connection::open(scene.server.websocket()).await;
        let answer = shared.get(&peer.polling().upgrade_target()).await.expect("an answer");
        assert_eq!(answer.status, 400, "{answer:?}");
        // The client that asked is refused, and its session ends.
        peer.send(r#"42["leave"]"#).await;
        assert!(peer.end().await.refused);
        let goodbye = [about("remote_leave", &peer), about("remote_disconnect", &peer)];
        scene.bystanders.hear(&goodbye).await;
        let target = peer.polling().target();
        assert_eq!(http::get(scene.server.websocket(), &target).await.status, 400);
        let answer = shared.get("/livez").await.expect("the connection still serves others");
        assert_eq!(answer.status, 200, "{answer:?}");
    })
    .await;
}

/// Bytes that a client sends right behind its upgrade request belong to the WebSocket.
#[tokio::test]
async fn frames_right_behind_an_upgrade_request_are_read() {
    let mut scene = Scene::begin(patient()).await;
    let uid = stranger();
    let token = scene.server.token(&uid).await;
    let text = |packet: &str| frame(FINAL | TEXT, packet.as_bytes());
    let mut bytes = asking("/socket.io/?EIO=4&transport=websocket", ASKING);
    bytes.extend(text("40"));
    let mut connection = Connection::open(scene.server.websocket()).await;
    connection.write(&bytes).await;
    connection.read_until(b"40{\"sid\"").await;
    let authenticate = format!(r#"42["authenticate",{{"uid":"{uid}","token":"{token}"}}]"#);
    for packet in [&authenticate, r#"42["join",{"roomId":"hall"}]"#, r#"42["msg",{"n":1}]"#] {
        connection.write(&text(packet)).await;
    }
    let mut peer = Peer::open(&scene.server, WEBSOCKET_4).await;
    peer.uid = uid;
    let heard = [about("remote_join", &peer), said(&peer, r#""n":1,"#, "0")];
    scene.bystanders.hear(&heard).await;
    connection.write(&text("1")).await;
    scene.bystanders.miss(&peer).await;
    scene.end().await;
}
