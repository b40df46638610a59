//! From polling to WebSocket, done wrong.
use crate::{
    support::{http, server::Server},
    support_wire::{
        POLLING_3, POLLING_4, Version, WEBSOCKET_4, Way,
        bystanders::{Bystanders, about, said},
        patient,
        peer::{Peer, Wire},
        polling::Polling,
        raw::Connection,
        socket::{FINAL, Socket, TEXT, frame},
        unharmed,
    },
};

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
async fn upgraded(mut peer: Peer) -> Peer {
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
        let old = Polling { address: server.websocket(), version: way.version, sid: peer.polling().sid.clone() };
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
async fn garbage_instead_of_a_probe_ends_the_session() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    let frames: Vec<Vec<u8>> = ["", "2", "2prob", "3probe", "5", "4", r#"42["leave"]"#, "x", "é"]
        .into_iter()
        .map(|text| frame(FINAL | TEXT, text.as_bytes()))
        .collect();
    let junk = [frame(FINAL | 2, b"2probe"), vec![0xff; 50], frame(FINAL | TEXT, b"2probe\xff"), frame(FINAL | 8, b"")];
    for way in [POLLING_4, POLLING_3] {
        for bytes in frames.iter().chain(&junk) {
            let mut peer = member(&server, &mut bystanders, way).await;
            let mut socket = socket_for(peer.polling()).await;
            socket.write(bytes).await;
            assert_eq!(socket.receive().await, None, "{bytes:?}");
            peer.is_dropped("its upgrade failed").await;
            bystanders.miss(&peer).await;
        }
        // A probe that is answered, and garbage after it.
        for text in ["2probe", "3", "42[]", "1", ""] {
            let mut peer = member(&server, &mut bystanders, way).await;
            let mut socket = socket_for(peer.polling()).await;
            socket.send("2probe").await;
            assert_eq!(socket.receive().await.as_deref(), Some("3probe"));
            socket.send(text).await;
            assert_eq!(socket.receive().await, None, "{text}");
            peer.is_dropped("its upgrade failed").await;
            bystanders.miss(&peer).await;
        }
    }
    bystanders.are_well().await;
    unharmed(&server).await;
}

#[tokio::test]
async fn many_upgrades_of_one_session_harm_at_most_it() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    for way in [POLLING_4, POLLING_3] {
        let peer = member(&server, &mut bystanders, way).await;
        let mut sockets = Vec::new();
        for _ in 0..20 {
            sockets.push(socket_for(peer.polling()).await);
        }
        for socket in &mut sockets {
            socket.send("2probe").await;
        }
        bystanders.are_well().await;
        drop(sockets);
        bystanders.miss(&peer).await;
        assert_eq!(peer.polling().get().await.status, 400);
    }
    bystanders.are_well().await;
    unharmed(&server).await;
}

#[tokio::test]
async fn an_upgrade_that_says_nothing_ends_by_itself() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    let mut peer = member(&server, &mut bystanders, POLLING_4).await;
    let socket = socket_for(peer.polling()).await;
    let goodbye = about("remote_disconnect", &peer);
    let mut stream = Connection::from_stream(socket.into_stream());
    stream.rest_within(LONG).await;
    bystanders.hear(&[goodbye]).await;
    peer.is_dropped("its upgrade failed").await;
    bystanders.are_well().await;
    unharmed(&server).await;
}

#[tokio::test]
async fn sockets_for_sessions_that_are_none_are_closed() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    for sid in ["AAAAAAAAAAAAAAHs", "x", "", "%00", "__proto__"] {
        match Socket::upgrade(server.websocket(), &format!("/socket.io/?EIO=4&transport=websocket&sid={sid}"), &[]).await {
            Ok(mut socket) => {
                socket.send("2probe").await;
                assert_eq!(socket.receive().await, None, "{sid}");
            }
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 400, "{sid}"),
            Err(other) => panic!("{sid}: {other}"),
        }
    }
    bystanders.are_well().await;
    unharmed(&server).await;
}

/// A proxy may carry requests of several clients on one connection: one client's refused upgrade must not change it for the others.
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
    let uid = crate::support_wire::stranger();
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
    for packet in [authenticate.as_str(), r#"42["join",{"roomId":"hall"}]"#, r#"42["msg",{"n":1}]"#] {
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
