//! Queries as Node's server reads them: percent-encoded, with JSON in them; and what no cache may
//! keep.
use crate::scene::{ASKING, POLLING, Scene, asking, each_way};
use support::{
    http,
    server::Server,
    wire::{
        POLLING_4, Version, Way, patient,
        peer::{Peer, Wire},
        polling::Polling,
        raw::{self, Connection},
        socket::{FINAL, TEXT, frame},
    },
};

const VERSIONS: [Version; 2] = [Version::Four, Version::Three];

/// Every character as its code.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// GET of a target as it is. Without `close` it is the server that ends the connection.
async fn get(server: &Server, target: &str, close: bool) -> http::Answer {
    let close = if close { "connection: close\r\n" } else { "" };
    let request = format!("GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n{close}\r\n");
    raw::exchange(server.websocket(), request.as_bytes())
        .await
        .unwrap_or_else(|| panic!("no answer to {target}"))
}

/// Becomes a WebSocket; the frames that come right behind the answer are read up to these bytes.
async fn websocket(server: &Server, target: &str, until: &str) -> Connection {
    let mut connection = Connection::open(server.websocket()).await;
    connection.write(&asking(target, ASKING)).await;
    let head = connection.read_until(until.as_bytes()).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{target}: {head}");
    connection
}

fn sid(answer: &http::Answer) -> String {
    let (_, rest) = answer
        .body
        .split_once("{\"sid\":\"")
        .unwrap_or_else(|| panic!("no open packet: {answer:?}"));
    rest.split('"').next().unwrap().to_owned()
}

/// Polls, posts and is upgraded with these parameters before the `sid`, and begins as a WebSocket
/// with those.
async fn is_served(server: &Server, version: Version, polling: &str, websocket_too: &str) {
    let answer = get(server, &format!("/socket.io/?{polling}"), true).await;
    assert_eq!(answer.status, 200, "{polling}: {answer:?}");
    let session = Polling { address: server.websocket(), version, sid: sid(&answer) };
    let mut peer = Peer::of(Way { version, ..POLLING_4 }, Wire::Polling(session));
    if version == Version::Four {
        peer.send("40").await;
    }
    assert!(peer.next().await.is_some_and(|packet| packet.starts_with("40")));
    peer.authenticate(server).await;
    let (query, name) =
        (format!("{polling}&sid={}", encoded(&peer.polling().sid)), peer.uid.clone());
    let event =
        format!(r#"42["authenticate",{{"uid":"{name}","token":"{}"}}]"#, server.token(&name).await);
    let body = support::wire::polling::encode(version, &[event]);
    let request = raw::request(
        "POST",
        &format!("/socket.io/?{query}"),
        &[("content-type", "text/plain;charset=UTF-8")],
        body.as_bytes(),
    );
    let answer = raw::exchange(server.websocket(), &request).await.expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{query}");
    let poll = get(server, &format!("/socket.io/?{query}"), true).await;
    assert!(poll.body.contains("auth success"), "{query}: {poll:?}");
    let mut socket = websocket(
        server,
        &format!("/socket.io/?{websocket_too}&sid={}", encoded(&peer.polling().sid)),
        "\r\n\r\n",
    )
    .await;
    socket.write(&frame(FINAL | TEXT, b"2probe")).await;
    socket.read_until(b"3probe").await;
    websocket(server, &format!("/socket.io/?{websocket_too}"), "0{\"sid\"").await;
}

#[tokio::test]
async fn names_and_values_may_be_percent_encoded() {
    let scene = Scene::begin(patient()).await;
    let server = &scene.server;
    for version in VERSIONS {
        let eio = encoded(&version.eio().to_string());
        is_served(
            server,
            version,
            &format!("EIO={eio}&transport=poll%69ng&a+b=c+d&%"),
            &format!("t=%zz&{}={eio}&transport=web%73ocket", encoded("EIO")),
        )
        .await;
    }
    // A plus is a space, and a value that hides a parameter is one value.
    for (query, code) in [
        ("EIO=4&transport=+polling", "0"),
        ("EIO=4&transport=polling%26sid=x", "0"),
        ("EIO=4%26EIO=4&transport=polling", "5"),
    ] {
        let answer = get(server, &format!("/socket.io/?{query}"), true).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &code.into()), "{query}");
    }
    scene.end().await;
}

/// Some apps put JSON into the query, as it is. Node's server takes it.
#[tokio::test]
async fn a_query_may_hold_json_as_it_is() {
    let scene = Scene::begin(patient()).await;
    let json = r#"user={"name":"Zoë <z>","a":[1,"\\"]}"#.replace(' ', "");
    for version in VERSIONS {
        let eio = version.eio();
        is_served(
            &scene.server,
            version,
            &format!("{json}&EIO={eio}&transport=polling"),
            &format!("EIO={eio}&{json}&transport=websocket"),
        )
        .await;
        // The next request of this client would not be read by whoever encodes its query: it gets a
        // connection of its own.
        let answer =
            get(&scene.server, &format!("/socket.io/?EIO={eio}&transport=polling&{json}"), false)
                .await;
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("close")),
            "{answer:?}"
        );
        let refused =
            get(&scene.server, &format!("/socket.io/?EIO={eio}&transport=polling&sid=\"x\""), true)
                .await;
        assert_eq!((refused.status, &refused.json()["code"]), (400, &"1".into()));
    }
    scene.end().await;
}

/// Polling for browsers without CORS: such a client would wait for ever for scripts that are none.
#[tokio::test]
async fn jsonp_is_refused_by_its_name() {
    each_way(&POLLING, async |scene, way| {
        let mut peer = scene.member(way).await;
        let open = format!("/socket.io/?EIO={}&transport=polling", way.version.eio());
        for target in [open, peer.polling().target()] {
            for (method, query) in [("GET", "j=0"), ("POST", "j="), ("GET", "%6A=1")] {
                let target = format!("{target}&{query}");
                let answer =
                    http::request(scene.server.websocket(), method, &target, &[], "").await;
                assert_eq!(answer.status, 400, "{answer:?}");
                let message = answer.json()["message"].to_string();
                assert!(message.contains("JSONP"), "{answer:?}");
            }
        }
        peer.is_well().await;
        scene.takes_leave(peer, "1").await;
    })
    .await;
}

/// What a cache keeps of a session another client may get.
#[tokio::test]
async fn no_answer_may_be_kept_by_a_cache() {
    let setup = patient().env("AO_WEBSOCKET__ORIGINS", "http://page.example");
    let scene = Scene::begin(setup).await;
    let peer = Peer::sign_in(&scene.server, POLLING_4).await;
    let (open, session) =
        ("/socket.io/?EIO=4&transport=polling".to_owned(), peer.polling().target());
    let unknown = "/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAHs".to_owned();
    let websocket = "/socket.io/?EIO=4&transport=websocket".to_owned();
    let (ours, foreign) = (("origin", "http://page.example"), ("origin", "http://other.example"));
    let preflight = ("access-control-request-method", "POST");
    for (method, target, header, body, status) in [
        ("GET", &open, ours, "", 200),
        ("POST", &session, ours, r#"42["sync",{"offset":0}]"#, 200),
        ("GET", &session, ours, "", 200),
        ("OPTIONS", &session, preflight, "", 200),
        ("GET", &open, foreign, "", 403),
        ("GET", &unknown, ours, "", 400),
        ("POST", &unknown, ours, "2", 400),
        ("GET", &websocket, ours, "", 400),
        ("HEAD", &open, ours, "", 400),
        ("DELETE", &session, ours, "", 400),
        ("GET", &"/socket.io/".to_owned(), ours, "", 400),
        ("GET", &"/socket.io/other".to_owned(), ours, "", 400),
        ("GET", &"/socket.io/socket.io.js".to_owned(), ours, "", 404),
        ("GET", &"/socket.io/socket.io.js.none".to_owned(), ours, "", 404),
    ] {
        let address = scene.server.websocket();
        let answer = http::request(address, method, target, &[header], body).await;
        let kept = answer.header("cache-control");
        assert_eq!((answer.status, kept), (status, Some("no-store")), "{method} {target}");
    }
    scene.end().await;
}
