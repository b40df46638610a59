//! Which room a URL names, and what is none.
use super::client::{Client, Got, groups, high, history, place, post, setup, unharmed, uuid};
use support::{
    http, soon,
    wire::{raw::Connection, socket::Socket},
};

#[tokio::test]
async fn a_room_is_the_decoded_path() {
    let server = setup().start().await;
    let address = place(&server);
    let mut ann = Client::join(address, "/r/a%20b?name=ann&x=/other").await;
    let mut ben = Client::join(address, "/%72/a%20%62").await;
    let mut others = Vec::new();
    for path in ["/r/a%20b/", "/R/a%20b", "//r/a%20b", "/r/a+b", "/r/a%2520b", "/%E4%BD%A0"] {
        others.push(Client::join(address, path).await);
    }
    ann.send("to ben alone").await;
    ben.expect("to ben alone").await;
    for other in &mut others {
        other.has_heard_nothing().await;
    }
    assert_eq!(
        groups(address).await,
        ["//r/a b", "/R/a b", "/r/a b", "/r/a b/", "/r/a%2520b", "/r/a+b", "/你"]
    );
    unharmed(&server).await;
}

/// Who has got the answer to its handshake is in the room: it hears what is sent from then on.
#[tokio::test]
async fn who_has_connected_misses_nothing() {
    let server = setup().start().await;
    let mut ann = Client::join(place(&server), "/at-once").await;
    for n in 0..200 {
        let mut newcomer = Client::join(place(&server), "/at-once").await;
        let word = format!("welcome {n}");
        ann.send(&word).await;
        newcomer.expect(&word).await;
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn a_path_that_can_be_no_room_is_refused() {
    let server = setup().start().await;
    let long = format!("/{}", "x".repeat(1024));
    for path in ["/%ff", "/%zz", "/a%", &long] {
        assert!(Socket::upgrade(place(&server), path, &[]).await.is_err(), "{path}");
        assert_eq!(post(place(&server), path, "x").await.status, 400, "{path}");
        assert_eq!(http::get(place(&server), path).await.status, 400, "{path}");
    }
    let just = format!("/{}", "x".repeat(1023));
    let mut ann = Client::join(place(&server), &just).await;
    ann.has_heard_nothing().await;
    unharmed(&server).await;
}

#[tokio::test]
async fn a_get_that_is_no_upgrade_is_a_bad_request() {
    let server = setup().start().await;
    for path in ["/", "/timer", "/room", "/__/history", "/__/unknown"] {
        let answer = http::get(place(&server), path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
    }
    let half = http::request(place(&server), "GET", "/room", &[("upgrade", "websocket")], "").await;
    assert_eq!(half.status, 400);
    assert!(half.json()["msg"].as_str().unwrap().contains("Connection: Upgrade"), "{half:?}");
    for route in ["/__/history", "/__/groups", "/__status"] {
        assert!(Socket::upgrade(place(&server), route, &[]).await.is_err(), "{route}");
    }
}

#[tokio::test]
async fn any_origin_may_come_and_the_first_subprotocol_is_answered() {
    let server = setup().start().await;
    let headers =
        [("origin", "https://anywhere.example"), ("sec-websocket-protocol", "chat, other")];
    let mut ann = Client::of(Socket::upgrade(place(&server), "/origin", &headers).await.unwrap());
    ann.has_heard_nothing().await;
    let request = "GET /origin HTTP/1.1\r\nhost: x\r\n\
                   upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   sec-websocket-protocol: chat, other\r\n\r\n";
    let mut raw = Connection::open(place(&server)).await;
    raw.write(request.as_bytes()).await;
    let answer = raw.read_until(b"\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nsec-websocket-protocol: chat\r\n"), "{answer}");
}

/// A proxy may have used a connection for other requests before.
#[tokio::test]
async fn a_handshake_may_come_behind_another_request() {
    let server = setup().start().await;
    let mut stream = tokio::net::TcpStream::connect(place(&server)).await.unwrap();
    {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        stream.write_all(b"GET /__status HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        soon("the answer", async {
            while !answer.ends_with(b"status ok!") {
                assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
            }
        })
        .await;
    }
    let (socket, answer) =
        soon("an upgrade", tokio_tungstenite::client_async("ws://x/behind", stream)).await.unwrap();
    assert_eq!(answer.status(), 101);
    let mut ann = Client::of(Socket::from_stream(socket));
    ann.store(&high(&uuid(), "x")).await;
    let mut ben = Client::join(place(&server), "/behind").await;
    ben.send("hello").await;
    ann.expect("hello").await;
    unharmed(&server).await;
}

#[tokio::test]
async fn the_timer_tells_the_time_and_does_not_listen() {
    let server = setup().start().await;
    let mut ann = Client::join(place(&server), "/timer").await;
    let mut ben = Client::join(place(&server), "/timer").await;
    ann.send("hello").await;
    ann.send(&high("t", "x")).await;
    let mut last = 0;
    for _ in 0..3 {
        let now: u64 = ann.text().await.parse().expect("seconds");
        assert!(now > last && now > 1_700_000_000, "{now} behind {last}");
        last = now;
        assert!(ben.text().await.parse::<u64>().is_ok());
    }
    assert_eq!(history(place(&server), "/timer", "").await, Vec::<String>::new());
    assert_eq!(groups(place(&server)).await, Vec::<String>::new());
}

#[tokio::test]
async fn from_the_root_a_client_joins_a_room_by_text() {
    let server = setup().start().await;
    let address = place(&server);
    let mut ann = Client::join(address, "/old").await;
    let mut ben = Client::join(address, "/").await;
    let mut cleo = Client::join(address, "/").await;
    // No room yet: nothing has an effect.
    let join = "join:/old";
    for ignored in ["hello", &high("lost", "x"), "join:", "JOIN:/old", " join:/old"] {
        ben.send(ignored).await;
    }
    ben.send_binary(join.as_bytes()).await;
    ben.send(&format!("join:{}", "x".repeat(1025))).await;
    ben.send(join).await;
    let marker = high(&uuid(), "here");
    ben.store(&marker).await;
    ann.expect(&marker).await;
    ann.send("welcome").await;
    ben.expect("welcome").await;
    // In a room, and for who came there by its URL, it is a message like any other.
    ben.send("join:/elsewhere").await;
    ann.expect("join:/elsewhere").await;
    ann.send("join:/elsewhere").await;
    ben.expect("join:/elsewhere").await;
    assert_eq!(history(address, "/old", "").await, [marker]);
    assert_eq!(groups(address).await, ["/old"]);
    // A name need not be a path.
    cleo.send("join:lobby").await;
    cleo.has_heard_nothing().await;
    assert_eq!(groups(address).await, ["/old", "lobby"]);
    unharmed(&server).await;
}

#[tokio::test]
async fn a_room_that_all_have_left_is_listed_no_more() {
    let server = setup().start().await;
    let mut stays = Client::join(place(&server), "/stays").await;
    let leaves = Client::join(place(&server), "/leaves").await;
    assert_eq!(groups(place(&server)).await, ["/leaves", "/stays"]);
    drop(leaves);
    soon("the room's end", async {
        while groups(place(&server)).await != ["/stays"] {
            stays.has_heard_nothing().await;
        }
    })
    .await;
}

/// Rooms of one dialect have nothing to do with those of another, whatever they are called.
#[tokio::test]
async fn rooms_of_socket_io_are_others() {
    let server = setup().start().await;
    let mut ann = Client::join(place(&server), "/shared").await;
    let mut ben = server.member("ben", "/shared").await;
    ann.store(&high("ours", "x")).await;
    ben.send(&serde_json::json!({ "theirs": 1 })).await;
    ann.has_heard_nothing().await;
    assert_eq!(history(place(&server), "/shared", "").await.len(), 2);
    ben.emit("sync", &serde_json::json!({ "offset": 0 }));
    let page = ben.until("sync").await;
    assert!(!page.to_string().contains("ours"), "{page}");
    let (uid, token) = server.admin();
    let stat = format!("/admin/monitor/stat?uid={uid}&token={token}");
    let stat = &http::get(server.websocket(), &stat).await.json()["data"];
    assert_eq!(stat["online_rooms"], serde_json::json!(["/shared"]), "the one of socket.io");
    assert_eq!(stat["online_user_count"], 1, "{stat}");
    let users = format!("/admin/monitor/room_users?uid={uid}&token={token}&roomId=/shared");
    let users = http::get(server.websocket(), &users).await;
    assert!(users.body.contains("ben") && !users.body.contains("gotapi"), "{users:?}");
    assert_eq!(groups(place(&server)).await, ["/shared"]);
}

/// A close is answered with the client's code.
#[tokio::test]
async fn a_client_that_closes_is_answered() {
    let server = setup().start().await;
    let mut socket = Socket::upgrade(place(&server), "/bye", &[]).await.unwrap();
    socket.write(&support::wire::socket::frame(0x88, &[3, 232])).await;
    assert_eq!(socket.close_code().await, Some(1000));
    let mut server = server;
    let mut ann = Client::join(place(&server), "/drain").await;
    assert_eq!(server.terminate().await, 0);
    assert_eq!(ann.next().await, Got::End(Some(1001)));
}
