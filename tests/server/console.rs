//! The console: where it is, and what a browser is told about it. What it does is tested in a browser,
//! in `tests/browser`.
use std::net::SocketAddr;

use serde_json::json;

use support::{
    http,
    server::{Server, Setup},
};

async fn status(address: SocketAddr, path: &str) -> u16 {
    http::get(address, path).await.status
}

#[tokio::test]
async fn it_is_beside_the_api_and_never_on_the_listener_of_clients() {
    let server = Server::start().await;
    assert_eq!(status(server.api(), "/console/").await, 200);
    let moved = http::get(server.api(), "/console").await;
    assert_eq!((moved.status, moved.header("location")), (308, Some("console/")));
    for path in ["/console/nothing.js", "/console/../main.js", "/console/%2e%2e", "/console/a/b"] {
        assert_eq!(status(server.api(), path).await, 404, "{path}");
    }
    for path in ["/console", "/console/", "/console/main.js", "/v1/stat"] {
        assert_eq!(status(server.websocket(), path).await, 404, "{path}");
    }
    let none = Setup::new().env("AO_ADMIN__CONSOLE", "false").start().await;
    assert_eq!(status(none.api(), "/console/").await, 404);
}

#[tokio::test]
async fn a_listener_for_administrators_has_it_with_the_api_that_it_asks() {
    let server = Setup::new().env("AO_ADMIN__LISTEN", "127.0.0.1:0").start().await;
    let admin = server.address("admin");
    assert_eq!(status(admin, "/console/").await, 200);
    assert_eq!(status(admin, "/v1/stat").await, 401);
    let (uid, token) = server.admin();
    let bearer = format!("Bearer {uid}:{token}");
    let headers = [("content-type", "application/json"), ("authorization", &*bearer)];
    let body = json!({}).to_string();
    let answer = http::request(admin, "POST", "/v1/whoami", &headers, &body).await;
    assert_eq!(answer.json(), json!({ "uid": uid, "role": "admin" }));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(status(server.websocket(), "/console/").await, 404);
}

#[tokio::test]
async fn a_browser_runs_its_own_files_alone() {
    let server = Server::start().await;
    for (path, kind) in [
        ("/console/", "text/html; charset=utf-8"),
        ("/console/main.js", "text/javascript; charset=utf-8"),
        ("/console/console.css", "text/css; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
    ] {
        let answer = http::get(server.api(), path).await;
        let policy = answer.header("content-security-policy").unwrap_or_default();
        for part in [
            "default-src 'none'; ",
            "script-src 'self'; ",
            "style-src 'self'; ",
            "connect-src 'self'; ",
            "img-src 'self' data:; ",
            "base-uri 'none'; ",
            "form-action 'none'; ",
            "frame-ancestors 'none'; ",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("content-type"), Some(kind));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
    }
}
