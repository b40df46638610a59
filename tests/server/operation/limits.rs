//! Limits: newcomers beyond one are told so, who is there notices nothing, and nothing is left of
//! it when they have gone.
use std::{collections::VecDeque, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use support::{
    client::Client,
    http::{self, Answer},
    server::{Server, Setup},
    soon, tls,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// What a client that polls asks first.
const BEGIN: &str = "/socket.io/?EIO=4&transport=polling";
/// Too many come from one address.
const CROWD: &str = "too many connections from this address";

/// A connection that is kept for several requests.
struct Kept(TcpStream);

impl Kept {
    async fn to(address: std::net::SocketAddr) -> Kept {
        Kept(TcpStream::connect(address).await.unwrap())
    }

    /// One whose first request, which begins a session, is answered by 200; with the session's
    /// name.
    async fn with_a_session(server: &Server) -> (Kept, String) {
        let begun = async {
            loop {
                let mut kept = Kept::to(server.websocket()).await;
                let answer = kept.ask("GET", BEGIN, "", "").await;
                if answer.status == 200 {
                    return (kept, sid(&answer));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon("a session", begun).await
    }

    /// `headers`: more of them, each with its end of line.
    async fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        self.0.write_all(request.as_bytes()).await.unwrap();
        soon("an answer", self.answer()).await
    }

    async fn answer(&mut self) -> Answer {
        let mut came = Vec::new();
        loop {
            assert!(self.0.read_buf(&mut came).await.unwrap() > 0, "no whole answer");
            let text = String::from_utf8_lossy(&came);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
            let length = answer.header("content-length").map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                return answer;
            }
        }
    }
}

/// The name of the session that an answer has begun.
fn sid(open: &Answer) -> String {
    let open: serde_json::Value = serde_json::from_str(&open.body[1..]).unwrap();
    open["sid"].as_str().unwrap().to_owned()
}

/// Waits until somebody is let in.
async fn let_in(server: &Server) -> Client {
    let tried = async {
        loop {
            if let Ok(client) = Client::try_connect(server.websocket()).await {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("a place", tried).await
}

/// What the metrics say of refused newcomers, by this reason.
async fn refused(server: &Server, reason: &str) -> u64 {
    let page = http::get(server.api(), "/metrics").await.body;
    let name = format!("always_online_refused_newcomers_total{{reason=\"{reason}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

fn is_told(answer: &Answer, status: u16, why: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert!(answer.header("retry-after").is_some(), "{}", answer.head);
    assert_eq!(answer.json(), json!({ "error": why }));
}

/// A handshake of a client that polls, as a proxy passes it on.
async fn poll(server: &Server, forwarded: &str) -> Answer {
    let headers = [("x-forwarded-for", forwarded)];
    http::request(server.websocket(), "GET", BEGIN, &headers, "").await
}

/// Waits until a client of a proxy, with this address, can begin a session.
async fn has_a_place(server: &Server, forwarded: &str) {
    let again = async {
        while poll(server, forwarded).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("a place for that address", again).await;
}

#[tokio::test]
async fn a_full_server_refuses_newcomers_and_stays_ready() {
    let server = Setup::new()
        .env("AO_LIMITS__CONNECTIONS", "2")
        .env("AO_AUTH__IGNORE", "true")
        .start()
        .await;
    let (anna, ben) = (server.member("anna", "attic").await, let_in(&server).await);
    let error = Client::try_connect(server.websocket()).await.err().unwrap_or_default();
    assert!(error.contains("503"), "{error}");
    let answer = http::get(server.websocket(), "/socket.io/?EIO=4&transport=polling").await;
    is_told(&answer, 503, "this server has as many connections as it may have");

    // Who sends clients here, and who looks after it, notices nothing.
    assert_eq!(http::get(server.websocket(), "/readyz").await.status, 200);
    assert_eq!(http::get(server.websocket(), "/livez").await.status, 200);
    assert!(refused(&server, "connections").await >= 2);
    anna.send(&json!({ "storage": "insert", "data": 1 })).await;

    ben.close().await;
    let _carl = let_in(&server).await;
}

#[tokio::test]
async fn handshakes_that_are_abandoned_leave_their_places() {
    const MOST: usize = 20;
    let setup = Setup::new().env("AO_LIMITS__CONNECTIONS", MOST.to_string());
    let server = setup.under_tls("websocket").start().await;
    // What a client says first, under TLS.
    let ear = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, certificate) =
        (ear.local_addr().unwrap(), server.setup().certificate("websocket"));
    let hello = {
        let talking =
            tokio::spawn(async move { tls::connect(address, &certificate).await.map(|_| ()) });
        let (mut stream, _) = soon("a client", ear.accept()).await.unwrap();
        let mut hello = vec![0; 4096];
        let length = soon("a hello", stream.read(&mut hello)).await.unwrap();
        hello.truncate(length);
        talking.abort();
        hello
    };
    let mut there = VecDeque::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(server.own_address("websocket")).await.unwrap();
        let said = if n % 2 == 0 { hello.len() } else { n * 7 % hello.len() };
        let _ = stream.write_all(&hello[..said]).await; // it may have been refused by now
        there.push_back(stream);
        if there.len() > MOST {
            there.pop_front();
        }
    }
    assert!(refused(&server, "connections").await > 0, "the limit was reached");
    drop(there);
    let mut all = Vec::new();
    while all.len() < MOST {
        all.push(let_in(&server).await);
    }
    assert!(Client::try_connect(server.websocket()).await.is_err(), "{MOST} are there");
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_no_more() {
    let server = Setup::new().env("AO_LIMITS__CONNECTIONS_PER_ADDRESS", "1").start().await;
    let anna = server.guest().await;
    let error = Client::try_connect(server.websocket()).await.err().unwrap_or_default();
    assert!(error.contains("429"), "{error}");
    assert!(refused(&server, "address").await >= 1);
    anna.close().await;
    let_in(&server).await;
}

#[tokio::test]
async fn behind_a_believed_proxy_clients_are_told_apart() {
    let server = Setup::new()
        .env("AO_LIMITS__CONNECTIONS_PER_ADDRESS", "1")
        .env("AO_LIMITS__PROXIES", "127.0.0.1")
        .start()
        .await;
    let first = poll(&server, "198.51.100.7, 192.0.2.1").await;
    assert_eq!(first.status, 200, "{}", first.body);
    is_told(&poll(&server, "192.0.2.1").await, 429, CROWD);
    assert_eq!(poll(&server, "192.0.2.2").await.status, 200);
    // It says goodbye, and leaves its place.
    let path = format!("{BEGIN}&sid={}", sid(&first));
    assert_eq!(http::request(server.websocket(), "POST", &path, &[], "1").await.status, 200);
    has_a_place(&server, "192.0.2.1").await;
}

#[tokio::test]
async fn an_upgrade_behind_a_believed_proxy_keeps_the_place_of_its_session() {
    let server = Setup::new()
        .env("AO_LIMITS__CONNECTIONS_PER_ADDRESS", "1")
        .env("AO_LIMITS__PROXIES", "127.0.0.1")
        .start()
        .await;
    let first = poll(&server, "192.0.2.1").await;
    assert_eq!(first.status, 200, "{}", first.body);
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket&sid={}",
        server.websocket(),
        sid(&first)
    );
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
    let (mut websocket, _) = connect_async(request).await.unwrap();
    websocket.send(Message::text("2probe")).await.unwrap();
    let answer = soon("the answer to the probe", websocket.next()).await;
    assert_eq!(answer.unwrap().unwrap(), Message::text("3probe"));
    websocket.send(Message::text("5")).await.unwrap();
    websocket.send(Message::text("40")).await.unwrap();
    let connected = soon("the answer to CONNECT", websocket.next()).await.unwrap().unwrap();
    assert!(connected.to_text().unwrap().starts_with("40{"), "{connected}");
    is_told(&poll(&server, "192.0.2.1").await, 429, CROWD);
    drop(websocket);
    has_a_place(&server, "192.0.2.1").await;
}

#[tokio::test]
async fn an_address_has_no_more_sessions_than_it_may_have_connections() {
    let server = Setup::new()
        .env("AO_LIMITS__CONNECTIONS_PER_ADDRESS", "1")
        .env("AO_AUTH__TIMEOUT", "2s")
        .start()
        .await;
    let (mut kept, first) = Kept::with_a_session(&server).await;
    is_told(&kept.ask("GET", BEGIN, "", "").await, 429, CROWD);
    drop(kept);
    // The session counts until it has ended, whatever became of its connection.
    is_told(&http::get(server.websocket(), BEGIN).await, 429, CROWD);
    let (mut kept, second) = Kept::with_a_session(&server).await;
    assert_ne!(first, second);
    // Where a session has ended another one may begin.
    let session = format!("{BEGIN}&sid={second}");
    let ended = kept.ask("POST", &session, "", "1").await;
    assert_eq!(ended.status, 200, "{}", ended.body);
    let none =
        "always_online_clients{dialect=\"always_online\",carrier=\"polling\",version=\"4\"} 0\n";
    soon("the end of the session", async {
        while !http::get(server.api(), "/metrics").await.body.contains(none) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(kept.ask("GET", BEGIN, "", "").await.status, 200);
}

/// Begins sessions until one is refused, which is the one behind the last of `most` at the latest;
/// with how many began before.
async fn until_refused(most: usize, mut begin: impl AsyncFnMut() -> Answer) -> (usize, Answer) {
    for begun in 0..=most {
        let answer = begin().await;
        if answer.status != 200 {
            return (begun, answer);
        }
    }
    panic!("more than {most} may come");
}

const TOO_FAST: &str = "too many new connections at once";
const FULL: &str = "this server has as many connections as it may have";

#[tokio::test]
async fn one_connection_begins_no_more_sessions_than_the_rate_lets_in() {
    let server = Setup::new().env("AO_LIMITS__NEW_CONNECTIONS", "20 in 1h").start().await;
    let mut kept = Kept::to(server.websocket()).await;
    let (begun, last) = until_refused(20, async || kept.ask("GET", BEGIN, "", "").await).await;
    is_told(&last, 503, TOO_FAST);
    assert!(begun >= 10, "{begun}");
}

#[tokio::test]
async fn sessions_one_after_the_other_are_within_the_rate_too() {
    let server = Setup::new().env("AO_LIMITS__NEW_CONNECTIONS", "20 in 1h").start().await;
    let mut kept = Kept::to(server.websocket()).await;
    let begin_and_end = async || {
        let answer = kept.ask("GET", BEGIN, "", "").await;
        if answer.status == 200 {
            let session = format!("{BEGIN}&sid={}", sid(&answer));
            assert_eq!(kept.ask("POST", &session, "", "1").await.status, 200);
        }
        answer
    };
    let (begun, last) = until_refused(20, begin_and_end).await;
    is_told(&last, 503, TOO_FAST);
    assert!(begun >= 10, "{begun}");
}

#[tokio::test]
async fn sessions_that_poll_have_places_though_their_connections_have_gone() {
    let setup = || Setup::new().env("AO_LIMITS__CONNECTIONS", "5");
    let server = setup().start().await;
    let (begun, last) = until_refused(5, async || http::get(server.websocket(), BEGIN).await).await;
    is_told(&last, 503, FULL);
    assert!(begun >= 3, "{begun}");
    // On one connection that stays, too.
    let server = setup().start().await;
    let (mut kept, _) = Kept::with_a_session(&server).await;
    let (begun, last) = until_refused(4, async || kept.ask("GET", BEGIN, "", "").await).await;
    is_told(&last, 503, FULL);
    assert!(begun >= 3, "{begun}");
}

#[tokio::test]
async fn a_websocket_of_gotapi_on_a_connection_of_a_proxy_has_the_place_of_its_client() {
    let server = Setup::new()
        .env("AO_GOTAPI__LISTEN", "127.0.0.1:0")
        .env("AO_LIMITS__CONNECTIONS_PER_ADDRESS", "1")
        .env("AO_LIMITS__PROXIES", "127.0.0.1")
        .start()
        .await;
    let handshake = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let join = async |client: &str| {
        // The proxy has asked something else on it before.
        let mut kept = Kept::to(server.address("gotapi")).await;
        assert_eq!(kept.ask("GET", "/__status", "", "").await.status, 200);
        let headers = format!("{handshake}x-forwarded-for: {client}\r\n");
        let answer = kept.ask("GET", "/attic", &headers, "").await;
        (kept, answer)
    };
    let (first, answer) = join("192.0.2.1").await;
    assert_eq!(answer.status, 101, "{}", answer.head);
    is_told(&join("192.0.2.1").await.1, 429, CROWD);
    assert_eq!(join("192.0.2.2").await.1.status, 101);
    drop(first);
    soon("a place for that address", async {
        while join("192.0.2.1").await.1.status != 101 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_websocket_behind_a_believed_proxy_has_a_place_as_long_as_it_lasts() {
    let server = Setup::new()
        .env("AO_LIMITS__CONNECTIONS_PER_ADDRESS", "1")
        .env("AO_LIMITS__PROXIES", "127.0.0.1")
        .start()
        .await;
    let connect = async |client: &str| {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", server.websocket());
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("x-forwarded-for", client.parse().unwrap());
        connect_async(request).await.map_err(|error| error.to_string())
    };
    let first = connect("192.0.2.1").await.unwrap();
    let error = connect("192.0.2.1").await.map(|_| ()).unwrap_err();
    assert!(error.contains("429"), "{error}");
    connect("2001:db8::1").await.unwrap();
    drop(first);
    soon("a place for that address", async {
        while connect("192.0.2.1").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn newcomers_beyond_the_rate_are_told_to_wait() {
    let server = Setup::new().env("AO_LIMITS__NEW_CONNECTIONS", "20 in 1h").start().await;
    let mut there = Vec::new();
    while let Ok(guest) = Client::try_connect(server.websocket()).await {
        there.push(guest);
        assert!(there.len() <= 20, "more than may come");
    }
    assert!(there.len() >= 10, "of those who wait for the server to start there are a few");
    let answer = http::get(server.websocket(), "/socket.io/?EIO=4&transport=polling").await;
    is_told(&answer, 503, "too many new connections at once");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(refused(&server, "rate").await >= 1);
}

#[tokio::test]
async fn at_the_bound_of_its_memory_it_takes_nobody_new_and_says_so() {
    let mut server = Setup::new().env("AO_LIMITS__MEMORY", "1 MiB").start().await;
    server.logs("no memory to spare").await;
    let answer = http::get(server.websocket(), "/socket.io/?EIO=4&transport=polling").await;
    is_told(&answer, 503, "this server has no memory to spare");
    assert_eq!(http::get(server.websocket(), "/readyz").await.status, 200);
    assert!(refused(&server, "memory").await >= 1);
    assert_eq!(server.terminate().await, 0);
}

#[tokio::test]
async fn who_sends_too_fast_is_read_later_and_loses_nothing() {
    let server = Setup::new()
        .env("AO_LIMITS__MESSAGES", "20 in 1s")
        .env("AO_AUTH__IGNORE", "true")
        .start()
        .await;
    let (fast, calm) =
        (server.member("fast", "attic").await, server.member("calm", "cellar").await);
    let sent: Vec<_> = (0..60)
        .map(|n| fast.sender().request("msg", &json!({ "storage": "insert", "1": n })))
        .collect();
    // Who is not fast is not concerned.
    calm.send(&json!({ "storage": "insert", "1": "calm" })).await;
    for answer in sent {
        let settled = soon("an acknowledgement", answer).await.expect("the connection lasts");
        assert_eq!(settled["status"], 0);
    }
    let page = http::get(server.api(), "/metrics").await.body;
    let slowed = page.lines().find_map(|line| line.strip_prefix("always_online_slowed_total "));
    assert!(slowed.is_some_and(|times| times.parse::<u64>().unwrap() > 0), "{slowed:?}");
}

#[tokio::test]
async fn requests_beyond_the_rate_are_refused_but_not_those_about_health() {
    let server = Setup::new()
        .env("AO_GOTAPI__LISTEN", "127.0.0.1:0")
        .env("AO_LIMITS__REQUESTS_PER_ADDRESS", "4 in 1h")
        .start()
        .await;
    // All listeners of clients together.
    for (what, path) in [("websocket", "/admin/monitor/stat"), ("gotapi", "/__status")] {
        for _ in 0..2 {
            assert_ne!(http::get(server.address(what), path).await.status, 429, "{path}");
        }
    }
    for (what, path) in [("websocket", "/admin/monitor/stat"), ("gotapi", "/__status")] {
        let answer = http::get(server.address(what), path).await;
        is_told(&answer, 429, "too many requests from this address");
        for _ in 0..3 {
            assert_eq!(http::get(server.address(what), "/livez").await.status, 200);
        }
    }
    // Business servers and administrators are not bounded, and clients not by this.
    for _ in 0..6 {
        assert_eq!(http::get(server.api(), "/v1/docs").await.status, 200);
        assert_eq!(http::get(server.websocket(), BEGIN).await.status, 200);
    }
}
