//! From polling to WebSocket, done wrong.
use support::{
    http,
    server::Server,
    wire::{
        POLLING_3, POLLING_4, Version, WEBSOCKET_4, Way,
        bystanders::{Bystanders, about, said},
        patient,
        peer::{Peer, Wire},
        polling::Polling,
        raw::{self, Connection},
        socket::{FINAL, Socket, TEXT, frame},
        unharmed,
    },
};
use tokio::io::AsyncWriteExt;

const ROOM: &str = "hall";
/// More than the time that an upgrade may take.
const LONG: std::time::Duration = std::time::Duration::from_secs(30);

fn target(polling: &Polling) -> String {
    polling.target().replace("polling", "websocket")
}

async fn socket_for(polling: &Polling) -> Socket {
    Socket::upgrade(polling.address, &target(polling), &[]).await.unwrap()
}

async fn member(server: &Server, bystanders: &mut Bystanders, way: Way) -> Peer {
    let mut peer = Peer::sign_in(server, way).await;
    peer.join(ROOM).await;
    bystanders.welcome(&mut peer).await;
    peer
}

/// The upgrade as it should be.
pub async fn upgraded(mut peer: Peer) -> Peer {
    let mut socket = socket_for(peer.polling()).await;
    socket.send("2probe").await;
    assert_eq!(socket.receive().await.as_deref(), Some("3probe"));
    socket.send("5").await;
    peer.wire = Wire::Socket(Box::new(socket));
    peer
}

#[tokio::test]
async fn an_upgraded_session_takes_no_requests() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    for way in [POLLING_4, POLLING_3] {
        let peer = member(&server, &mut bystanders, way).await;
        let old = Polling {
            address: server.websocket(),
            version: way.version,
            sid: peer.polling().sid.clone(),
        };
        let mut peer = upgraded(peer).await;
        peer.is_well().await;
        let (get, post) = (old.get().await, old.send(&[r#"42["leave"]"#.to_owned()]).await);
        assert_eq!((get.status, post.status), (400, 400));
        assert_eq!((&get.json()["code"], &post.json()["code"]), (&"3".into(), &"3".into()));
        // Nor a second socket.
        let mut second = socket_for(&old).await;
        second.send("2probe").await;
        assert_eq!(second.receive().await, None);
        peer.is_well().await;
        bystanders.talk(&mut peer).await;
        peer.send("1").await;
        bystanders.miss(&peer).await;
    }
    bystanders.are_well().await;
    unharmed(&server).await;
}

#[tokio::test]
async fn a_failed_upgrade_leaves_the_session_as_it_was() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    let frames: Vec<Vec<u8>> = ["", "2", "2prob", "3probe", "5", "4", r#"42["leave"]"#, "x", "é"]
        .into_iter()
        .map(|text| frame(FINAL | TEXT, text.as_bytes()))
        .collect();
    let junk = [
        frame(FINAL | 2, b"2probe"),
        vec![0xff; 50],
        frame(FINAL | TEXT, b"2probe\xff"),
        frame(FINAL | 8, b""),
    ];
    for way in [POLLING_4, POLLING_3] {
        let mut peer = member(&server, &mut bystanders, way).await;
        for bytes in frames.iter().chain(&junk) {
            let mut socket = socket_for(peer.polling()).await;
            socket.write(bytes).await;
            assert_eq!(socket.receive().await, None, "{bytes:?}");
            bystanders.talk(&mut peer).await;
        }
        // A probe that is answered, and garbage after it.
        for text in ["2probe", "3", "42[]", "1", ""] {
            let mut socket = socket_for(peer.polling()).await;
            socket.send("2probe").await;
            assert_eq!(socket.receive().await.as_deref(), Some("3probe"));
            socket.send(text).await;
            assert_eq!(socket.receive().await, None, "{text}");
            bystanders.talk(&mut peer).await;
        }
        // Or the client goes, before it has asked, or before its last word.
        for probe in [false, true] {
            let mut socket = socket_for(peer.polling()).await;
            if probe {
                socket.send("2probe").await;
                assert_eq!(socket.receive().await.as_deref(), Some("3probe"));
            }
            let mut stream = socket.into_stream();
            stream.shutdown().await.unwrap();
            Connection::from_stream(stream).rest().await; // it is noticed
            bystanders.talk(&mut peer).await;
        }
        // And it may be upgraded still.
        let mut peer = upgraded(peer).await;
        bystanders.talk(&mut peer).await;
        peer.send("1").await;
        bystanders.miss(&peer).await;
    }
    bystanders.are_well().await;
    unharmed(&server).await;
}

#[tokio::test]
async fn of_many_upgrades_of_one_session_one_goes_on() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    for way in [POLLING_4, POLLING_3] {
        let mut peer = member(&server, &mut bystanders, way).await;
        let mut first = socket_for(peer.polling()).await;
        first.send("2probe").await;
        assert_eq!(first.receive().await.as_deref(), Some("3probe"));
        for _ in 0..20 {
            let mut other = socket_for(peer.polling()).await;
            other.send("2probe").await;
            assert_eq!(other.receive().await, None);
        }
        bystanders.talk(&mut peer).await;
        first.send("5").await;
        peer.wire = Wire::Socket(Box::new(first));
        bystanders.talk(&mut peer).await;
        peer.send("1").await;
        bystanders.miss(&peer).await;
    }
    bystanders.are_well().await;
    unharmed(&server).await;
}

#[tokio::test]
async fn a_stalled_upgrade_ends_by_itself_and_its_session_goes_on() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    let mut peer = member(&server, &mut bystanders, POLLING_4).await;
    for probe in [false, true] {
        let mut socket = socket_for(peer.polling()).await;
        if probe {
            socket.send("2probe").await;
            assert_eq!(socket.receive().await.as_deref(), Some("3probe"));
        }
        let mut stream = Connection::from_stream(socket.into_stream());
        stream.rest_within(LONG).await;
        bystanders.talk(&mut peer).await;
    }
    let mut peer = upgraded(peer).await;
    bystanders.talk(&mut peer).await;
    bystanders.are_well().await;
    unharmed(&server).await;
}

#[tokio::test]
async fn sockets_for_sessions_that_are_none_are_refused() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    let mut left = Peer::connect(&server, POLLING_3).await;
    left.send("1").await;
    while left.next().await.is_some() {}
    for sid in ["AAAAAAAAAAAAAAHs", "x", "", "%00", "__proto__", &left.polling().sid] {
        for version in [3, 4] {
            let target = format!("/socket.io/?EIO={version}&transport=websocket&sid={sid}");
            let answer = raw::exchange(server.websocket(), &asking(&target, ASKING))
                .await
                .expect("an answer");
            assert_eq!(
                (answer.status, &answer.json()["code"]),
                (400, &"1".into()),
                "{target}: {answer:?}"
            );
        }
    }
    bystanders.are_well().await;
    unharmed(&server).await;
}

/// The headers of a handshake that is to be answered.
const ASKING: &str = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn asking(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}\r\n").into_bytes()
}

/// A proxy that does not know of WebSockets takes `Upgrade` and `Connection` away, and would pass
/// nothing on behind a 101.
#[tokio::test]
async fn nobody_becomes_a_websocket_without_asking() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
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
    for way in [POLLING_4, POLLING_3] {
        let mut peer = member(&server, &mut bystanders, way).await;
        let targets = [
            target(peer.polling()),
            target(peer.polling()).split("&sid").next().unwrap().to_owned(),
        ];
        for target in &targets {
            for headers in &flawed {
                let answer = raw::exchange(server.websocket(), &asking(target, headers))
                    .await
                    .expect("an answer");
                assert_eq!(
                    (answer.status, &answer.json()["code"]),
                    (400, &3.into()),
                    "{target}: {headers}: {answer:?}"
                );
                let version = if headers.contains("version: 13") { None } else { Some("13") };
                assert_eq!(answer.header("sec-websocket-version"), version, "{headers}");
            }
            let old =
                String::from_utf8(asking(target, ASKING)).unwrap().replace("HTTP/1.1", "HTTP/1.0");
            assert_eq!(
                raw::exchange(server.websocket(), old.as_bytes()).await.expect("an answer").status,
                400
            );
        }
        // The session that they named polls on, and may still be upgraded.
        peer.is_well().await;
        let mut peer = upgraded(peer).await;
        bystanders.talk(&mut peer).await;
        peer.send("1").await;
        bystanders.miss(&peer).await;
    }
    bystanders.are_well().await;
    unharmed(&server).await;
}

/// Who polls may offer whatever its proxy sets: a server need not take an upgrade that is offered.
#[tokio::test]
async fn polling_is_polling_whatever_is_offered() {
    let server = patient().start().await;
    for version in [3, 4] {
        let target = format!("/socket.io/?EIO={version}&transport=polling");
        let answer =
            raw::exchange(server.websocket(), &asking(&target, ASKING)).await.expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains("0{\"sid\""), "{answer:?}");
    }
    unharmed(&server).await;
}

/// A browser closes a socket whose answer names none of the subprotocols that it offered.
#[tokio::test]
async fn the_first_subprotocol_is_answered() {
    let server = patient().start().await;
    for (version, polls) in [
        (Version::Four, false),
        (Version::Three, false),
        (Version::Four, true),
        (Version::Three, true),
    ] {
        for (offered, answered) in [
            ("chat, superchat", Some("chat")),
            ("b\r\nsec-websocket-protocol: a", Some("b")),
            ("", None),
            (" ", None),
        ] {
            let session = Polling::open(server.websocket(), version).await;
            let target = if polls {
                target(&session)
            } else {
                target(&session).split("&sid").next().unwrap().to_owned()
            };
            let mut connection = Connection::open(server.websocket()).await;
            connection
                .write(&asking(&target, &format!("{ASKING}sec-websocket-protocol: {offered}\r\n")))
                .await;
            let head = connection.read_until(b"\r\n\r\n").await.to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 101"), "{head}");
            let named: Vec<&str> = head
                .lines()
                .filter_map(|line| line.strip_prefix("sec-websocket-protocol: "))
                .collect();
            assert_eq!(named, Vec::from_iter(answered), "{target}: {offered:?}");
        }
    }
    let request = asking(
        "/socket.io/?EIO=4&transport=websocket",
        &format!("{ASKING}sec-websocket-protocol: a b\r\n"),
    );
    let answer = raw::exchange(server.websocket(), &request).await.expect("an answer");
    assert_eq!((answer.status, &answer.json()["code"]), (400, &3.into()), "{answer:?}");
    // A library that checks the answer, as browsers do.
    let offer = [("sec-websocket-protocol", "v2.chat, v1.chat")];
    let mut socket =
        Socket::upgrade(server.websocket(), "/socket.io/?EIO=4&transport=websocket", &offer)
            .await
            .unwrap();
    assert!(socket.receive().await.is_some_and(|open| open.starts_with("0{")));
    unharmed(&server).await;
}

/// A proxy may carry requests of several clients on one connection: one client's refused upgrade
/// must not change it for the others.
#[tokio::test]
async fn a_request_that_is_no_upgrade_leaves_its_connection_alone() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    let mut peer = member(&server, &mut bystanders, POLLING_4).await;
    let mut shared = Connection::open(server.websocket()).await;
    let answer = shared.get(&target(peer.polling())).await.expect("an answer");
    assert_eq!(answer.status, 400, "{answer:?}");
    // The client that asked is refused, and its session ends.
    peer.send(r#"42["leave"]"#).await;
    assert!(peer.end().await.refused);
    bystanders.hear(&[about("remote_leave", &peer), about("remote_disconnect", &peer)]).await;
    assert_eq!(http::get(server.websocket(), &peer.polling().target()).await.status, 400);
    let answer = shared.get("/livez").await.expect("the connection still serves others");
    assert_eq!(answer.status, 200, "{answer:?}");
    bystanders.are_well().await;
    unharmed(&server).await;
}

/// Bytes that a client sends right behind its upgrade request belong to the WebSocket.
#[tokio::test]
async fn frames_right_behind_an_upgrade_request_are_read() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    let uid = support::wire::stranger();
    let token = server.token(&uid).await;
    let mut bytes =
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            .to_vec();
    let authenticate = format!(r#"42["authenticate",{{"uid":"{uid}","token":"{token}"}}]"#);
    bytes.extend(frame(FINAL | TEXT, b"40"));
    let mut connection = Connection::open(server.websocket()).await;
    connection.write(&bytes).await;
    connection.read_until(b"40{\"sid\"").await;
    for packet in [authenticate.as_str(), r#"42["join",{"roomId":"hall"}]"#, r#"42["msg",{"n":1}]"#]
    {
        connection.write(&frame(FINAL | TEXT, packet.as_bytes())).await;
    }
    let mut peer = Peer::open(&server, WEBSOCKET_4).await;
    peer.uid = uid;
    bystanders.hear(&[about("remote_join", &peer), said(&peer, r#""n":1,"#, "0")]).await;
    connection.write(&frame(FINAL | TEXT, b"1")).await;
    bystanders.miss(&peer).await;
    assert_eq!(peer.way.version, Version::Four);
    unharmed(&server).await;
}
