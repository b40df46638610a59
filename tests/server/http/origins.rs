//! What pages of other origins may do: on `/socket.io/` what the list says, elsewhere nothing.
use tokio_tungstenite::tungstenite::Error;

use super::{USER, admin};
use support::{
    http::{self, Answer},
    server::{Server, Setup},
    wire::{Version, polling::Polling, socket::Socket, unharmed},
};

const PAGE: &str = "https://page.example";

/// Any origin, echoed, with credentials: clients of socket.io 2 always send them when polling.
#[track_caller]
fn allows(answer: &Answer, origin: &str) {
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"), "{answer:?}");
    let vary =
        answer.head.lines().filter_map(|l| l.split_once(": ")).any(|(n, v)| {
            n.eq_ignore_ascii_case("vary") && v.to_ascii_lowercase().contains("origin")
        });
    assert!(vary, "{answer:?}");
}

async fn poll(server: &Server, query: &str, headers: &[(&str, &str)]) -> Answer {
    http::request(
        server.websocket(),
        "GET",
        &format!("/socket.io/?{query}&transport=polling"),
        headers,
        "",
    )
    .await
}

async fn preflight(server: &Server, target: &str, headers: &[(&str, &str)]) -> Answer {
    http::request(server.websocket(), "OPTIONS", target, headers, "").await
}

#[tokio::test]
async fn by_default_every_page_may_connect() {
    let server = Server::start().await;
    for origin in
        [PAGE, "http://localhost:5000", "null", "file://", "capacitor://localhost", "weird"]
    {
        for query in ["EIO=4", "EIO=3", "x=y"] {
            let answer = poll(&server, query, &[("origin", origin)]).await;
            assert_eq!(answer.status, 200);
            allows(&answer, origin);
        }
        // Errors as well: a page that can't read them can't act on them.
        let answer = poll(&server, "EIO=4&sid=unknown", &[("origin", origin)]).await;
        assert_eq!(answer.status, 400);
        allows(&answer, origin);
        let asked = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-own"),
        ];
        let answer = preflight(&server, "/socket.io/?EIO=4&transport=polling", &asked).await;
        assert!(answer.status == 200 || answer.status == 204, "{answer:?}");
        allows(&answer, origin);
        let allowed = |name: &str| answer.header(name).unwrap_or("").to_ascii_lowercase();
        assert!(
            allowed("access-control-allow-methods").contains("post")
                && allowed("access-control-allow-methods").contains("get"),
            "{answer:?}"
        );
        let socket = Socket::upgrade(
            server.websocket(),
            "/socket.io/?EIO=4&transport=websocket",
            &[("origin", origin)],
        )
        .await;
        assert!(socket.unwrap().receive().await.is_some(), "{origin}");
    }
    let session = Polling::open(server.websocket(), Version::Four).await;
    let answer = http::request(
        server.websocket(),
        "POST",
        &session.target(),
        &[("origin", PAGE), ("content-type", "text/plain")],
        "40",
    )
    .await;
    assert_eq!(answer.status, 200);
    allows(&answer, PAGE);
    // Nobody asked: no word about origins.
    assert_eq!(poll(&server, "EIO=4", &[]).await.header("access-control-allow-origin"), None);
    unharmed(&server).await;
}

/// Clients may be told to send headers of their own (extraHeaders).
#[tokio::test]
async fn a_preflight_allows_the_headers_that_it_asks_for() {
    let server = Server::start().await;
    let asked = [
        ("origin", PAGE),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-own"),
    ];
    let answer = preflight(&server, "/socket.io/?EIO=4&transport=polling", &asked).await;
    let allowed = answer.header("access-control-allow-headers").unwrap_or("").to_ascii_lowercase();
    assert!(["content-type", "x-own"].iter().all(|header| allowed.contains(header)), "{answer:?}");
}

#[tokio::test]
async fn a_list_of_origins_is_a_list_for_both_transports() {
    let server = Setup::new()
        .env("AO_WEBSOCKET__ORIGINS", "https://page.example, ws://other.example:8080")
        .start()
        .await;
    let session = Polling::open(server.websocket(), Version::Four).await; // no page: no origin
    let good = [
        PAGE,
        "wss://page.example",
        "HTTPS://Page.Example:443",
        "http://other.example:8080",
        "ws://other.example:8080",
    ];
    let bad = [
        "http://page.example",
        "https://page.example:8443",
        "https://page.example.evil.example",
        "https://evil-page.example",
        "https://other.example:8080",
        "http://other.example",
        "null",
        "*",
        "",
        "https://",
        "page.example",
        "https://page.example/path",
        "https://user@page.example",
        "https://page.example https://evil.example",
    ];
    for origin in good {
        let answer = poll(&server, "EIO=4", &[("origin", origin)]).await;
        assert_eq!(answer.status, 200, "{origin}");
        allows(&answer, origin);
        let socket = Socket::upgrade(
            server.websocket(),
            "/socket.io/?EIO=4&transport=websocket",
            &[("origin", origin)],
        )
        .await;
        assert!(socket.unwrap().receive().await.is_some(), "{origin}");
    }
    for origin in bad {
        for (method, target) in [
            ("GET", "/socket.io/?EIO=4&transport=polling".to_owned()),
            ("GET", "/socket.io/?transport=polling".to_owned()),
            ("GET", session.target()),
            ("POST", session.target()),
            ("OPTIONS", session.target()),
        ] {
            let answer =
                http::request(server.websocket(), method, &target, &[("origin", origin)], "40")
                    .await;
            assert_eq!(answer.status, 403, "{origin} {method} {target}: {answer:?}");
            assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
            assert!(answer.json()["message"].is_string());
        }
        for target in [
            "/socket.io/?EIO=4&transport=websocket",
            "/socket.io/?EIO=3&transport=websocket",
            &session.target().replace("polling", "websocket"),
        ] {
            match Socket::upgrade(server.websocket(), target, &[("origin", origin)]).await {
                Err(Error::Http(answer)) => assert_eq!(answer.status(), 403, "{origin} {target}"),
                other => panic!(
                    "{origin} {target}: {}",
                    other.map_or_else(|e| e.to_string(), |_| "upgraded".to_owned())
                ),
            }
        }
    }
    assert_eq!(session.post("40").await.status, 200, "nobody used the session");
    unharmed(&server).await;
}

/// Without authentication only pages of this machine may connect, unless somebody said otherwise.
#[tokio::test]
async fn without_authentication_pages_are_those_of_this_machine() {
    let server = Setup::new().env("AO_AUTH__IGNORE", "true").start().await;
    for (origin, status) in [
        ("http://localhost:5000", 200),
        ("http://127.0.0.1", 200),
        ("http://[::1]:1", 200),
        (PAGE, 403),
        ("null", 403),
        ("http://localhost.evil.example", 403),
    ] {
        assert_eq!(poll(&server, "EIO=4", &[("origin", origin)]).await.status, status, "{origin}");
    }
    assert_eq!(poll(&server, "EIO=4", &[]).await.status, 200);
    let server =
        Setup::new().env("AO_AUTH__IGNORE", "true").env("AO_WEBSOCKET__ORIGINS", "*").start().await;
    assert_eq!(poll(&server, "EIO=4", &[("origin", PAGE)]).await.status, 200);
    unharmed(&server).await;
}

#[tokio::test]
async fn other_routes_have_no_word_for_pages() {
    let server = Server::start().await;
    let query = admin(&server);
    let asked = [
        ("origin", PAGE),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    let mut targets = vec![
        (server.websocket(), format!("/admin/monitor/stat?{query}")),
        (server.websocket(), "/livez".to_owned()),
    ];
    targets.push((server.websocket(), format!("/admin/system/push?{query}")));
    targets.extend(USER.map(|route| (server.api(), format!("{route}?{query}"))));
    targets.extend(
        ["/", "/chat", "/events", "/token", "/always-online.js", "/common.js", "/common.css"]
            .map(|route| (server.address("demo"), route.to_owned())),
    );
    targets.push((server.api(), "/metrics".to_owned()));
    for (address, target) in targets {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = http::request(address, method, &target, &asked, "").await;
            assert!(
                !answer.head.to_ascii_lowercase().contains("access-control"),
                "{method} {target}: {answer:?}"
            );
            assert!(method != "OPTIONS" || answer.status == 405, "{target}: {answer:?}");
        }
    }
    unharmed(&server).await;
}
