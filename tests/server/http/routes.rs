//! Routes that do not exist, and methods that routes do not have: JSON all the same.
use std::net::SocketAddr;

use super::{ADMIN, USER, admin, data, meta, refused};
use support::{
    http::{self, Answer},
    server::{Server, Setup},
    wire::{raw, unharmed},
};

const HTML: &str = "text/html; charset=utf-8";
const DEMO: [(&str, &str); 6] = [
    ("/", HTML),
    ("/chat", HTML),
    ("/events", HTML),
    ("/always-online.js", "text/javascript; charset=utf-8"),
    ("/common.js", "text/javascript; charset=utf-8"),
    ("/common.css", "text/css; charset=utf-8"),
];

#[tokio::test]
async fn unknown_routes_are_not_found_in_json() {
    let server = Server::start().await;
    let query = admin(&server);
    let targets = [
        "/nonsense",
        "//",
        "/admin",
        "/admin/",
        "/admin/monitor",
        "/admin/monitor/",
        "/admin/monitor/stat//",
        "/user/create_token//",
        "/admin/monitor/stats",
        "/ADMIN/monitor/stat",
        "//admin/monitor/stat",
        "/admin//monitor/stat",
        "/admin/monitor/../monitor/stat",
        "/admin%2Fmonitor%2Fstat",
        "/api",
        "/livez/",
        "/%00",
        "/%ff",
        "/../../etc/passwd",
        "/favicon.ico",
        "/socket.iox",
        "/socket.i",
        "/__proto__",
        "/index.html",
        "/chat/",
        "/chat.html",
        "/common",
    ];
    for listener in ["websocket", "api", "demo"] {
        for target in targets {
            for method in ["GET", "POST", "DELETE"] {
                refused(
                    &http::request(
                        server.address(listener),
                        method,
                        &format!("{target}?{query}"),
                        &[],
                        "",
                    )
                    .await,
                    404,
                );
            }
        }
        let long = format!("/{}", "x".repeat(10_000));
        refused(&http::get(server.address(listener), &long).await, 404);
    }
    refused(&http::get(server.websocket(), "/").await, 404);
    // Each route is on its own listener only.
    for (listener, target) in [
        ("api", "/admin/monitor/stat"),
        ("demo", "/admin/monitor/stat"),
        ("demo", USER[0]),
        ("api", "/token"),
        ("websocket", "/token"),
    ] {
        refused(
            &http::request(server.address(listener), "POST", &format!("{target}?{query}"), &[], "")
                .await,
            404,
        );
    }
    // What is asked for is not given back with what was behind it: it may hold credentials.
    let answer = http::get(server.websocket(), &format!("/nonsense?{query}")).await;
    assert!(!answer.body.contains(&server.admin().1), "{answer:?}");
    unharmed(&server).await;
}

/// As with the original.
#[tokio::test]
async fn a_slash_behind_a_route_makes_no_other_one() {
    let server = Server::start().await;
    let query = admin(&server);
    for (method, route) in ADMIN {
        let asked = async |target: String| {
            http::request(server.websocket(), method, &target, &[], "").await
        };
        let (without, with) =
            (asked(format!("{route}?{query}")).await, asked(format!("{route}/?{query}")).await);
        assert_eq!(meta(&with), meta(&without), "{route}");
        assert_eq!(
            meta(&asked(format!("{route}/")).await),
            (6, "require permission".to_owned()),
            "{route}"
        );
        let wrong = if method == "GET" { "POST" } else { "GET" };
        refused(
            &http::request(server.websocket(), wrong, &format!("{route}/"), &[], "").await,
            405,
        );
    }
    for (route, uid) in
        [(format!("{}/", USER[0]), "anna"), (format!("{}/?{query}", USER[1]), "anna")]
    {
        assert_eq!(
            data(&super::post(server.api(), &route, &format!(r#"{{"uid":"{uid}"}}"#)).await)["uid"],
            "anna",
            "{route}"
        );
    }
    unharmed(&server).await;
}

/// Tokens, who is online, whether a server is ready: a cache that keeps such an answer gives it to
/// others, or tells what was.
#[tokio::test]
async fn caches_keep_no_answer() {
    let server = Server::start().await;
    let query = admin(&server);
    let mut targets: Vec<(SocketAddr, &str, String)> = ADMIN
        .iter()
        .map(|(method, route)| (server.websocket(), *method, format!("{route}?{query}")))
        .collect();
    targets.extend(
        ADMIN.iter().map(|(method, route)| (server.websocket(), *method, (*route).to_owned())),
    );
    targets.extend(USER.map(|route| (server.api(), "POST", format!("{route}?{query}"))));
    targets.push((server.api(), "GET", "/metrics".to_owned()));
    targets.push((server.websocket(), "POST", USER[0].to_owned()));
    for listener in ["websocket", "api", "demo"] {
        let address = server.address(listener);
        targets.extend(
            [("GET", "/livez"), ("HEAD", "/readyz"), ("GET", "/nonsense"), ("DELETE", "/livez")]
                .map(|(m, t)| (address, m, t.to_owned())),
        );
    }
    targets.push((server.address("demo"), "POST", "/token".to_owned()));
    for (address, method, target) in targets {
        let answer = http::request(address, method, &target, &[], r#"{"uid":"carla"}"#).await;
        assert_eq!(
            answer.header("cache-control"),
            Some("no-store"),
            "{method} {target}: {answer:?}"
        );
    }
    let bad = raw::exchange(
        server.api(),
        b"GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
    )
    .await
    .unwrap();
    assert_eq!(bad.header("cache-control"), Some("no-store"), "{bad:?}");
    let large =
        raw::request("POST", &format!("{}?{query}", USER[0]), &[super::JSON], &vec![b' '; 2 << 20]);
    assert_eq!(
        raw::exchange(server.api(), &large).await.unwrap().header("cache-control"),
        Some("no-store")
    );
    // The pages are no secret, and asked for anew each time.
    for (page, _) in DEMO {
        assert_eq!(
            http::get(server.address("demo"), page).await.header("cache-control"),
            Some("no-cache"),
            "{page}"
        );
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn errors_have_one_content_type() {
    let server = Server::start().await;
    for (listener, method, target) in [
        ("websocket", "GET", "/nonsense"),
        ("api", "GET", USER[0]),
        ("demo", "PUT", "/token"),
        ("websocket", "POST", USER[0]),
    ] {
        let answer = http::request(server.address(listener), method, target, &[], "").await;
        let kinds: Vec<&str> =
            answer.head.lines().filter_map(|l| l.strip_prefix("content-type: ")).collect();
        assert_eq!(kinds, ["application/json"], "{target}");
    }
}

#[tokio::test]
async fn the_token_api_on_the_socket_port_says_where_it_is() {
    let server = Server::start().await;
    for target in [USER[0], USER[1], "/user/x", "/user/x/y"] {
        for method in ["GET", "POST", "PUT"] {
            let answer = http::request(server.websocket(), method, target, &[], "").await;
            refused(&answer, 404);
            assert!(answer.body.contains(&server.api().port().to_string()), "{answer:?}");
        }
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn wrong_methods_are_not_allowed_in_json() {
    let server = Server::start().await;
    let query = admin(&server);
    let mut routes: Vec<(SocketAddr, &str, &str)> =
        ADMIN.iter().map(|(m, r)| (server.websocket(), *m, *r)).collect();
    routes.extend(USER.map(|r| (server.api(), "POST", r)));
    let demo = server.address("demo");
    routes.extend(DEMO.map(|(route, _)| (demo, "GET", route)));
    routes.push((demo, "POST", "/token"));
    for listener in ["websocket", "api", "demo"] {
        routes.extend(["/livez", "/readyz"].map(|r| (server.address(listener), "GET", r)));
    }
    for (address, right, route) in routes {
        for method in
            ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"]
        {
            if method == right {
                continue;
            }
            let answer = http::request(
                address,
                method,
                &format!("{route}?{query}"),
                &[("origin", "http://page.example")],
                "",
            )
            .await;
            refused(&answer, 405);
            assert!(
                answer.header("allow").is_some_and(|allowed| allowed.contains(right)),
                "{method} {route}: {answer:?}"
            );
            assert_eq!(answer.header("access-control-allow-origin"), None, "{method} {route}");
        }
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let server = Server::start().await;
    let demo = server.address("demo");
    let stat = format!("/admin/monitor/stat?{}", admin(&server));
    let targets = [
        (server.websocket(), "/livez"),
        (server.api(), "/readyz"),
        (demo, "/"),
        (server.api(), "/metrics"),
        (server.websocket(), stat.as_str()),
    ];
    for (address, target) in targets {
        let answer = http::request(address, "HEAD", target, &[], "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{target}");
        assert!(answer.header("content-length").is_some_and(|l| l != "0"), "{answer:?}");
    }
    for (address, target, status) in
        [(server.api(), USER[0], 405), (server.websocket(), "/nonsense", 404)]
    {
        let answer = http::request(address, "HEAD", target, &[], "").await;
        assert_eq!((answer.status, answer.body.as_str()), (status, ""), "{target}");
    }
    unharmed(&server).await;
}

/// A request whose target is a whole URL, or that is older than the header Host.
#[tokio::test]
async fn old_and_absolute_requests_are_answered() {
    let server = Server::start().await;
    for request in [
        "GET /livez HTTP/1.0\r\n\r\n",
        "GET http://anything.example/livez HTTP/1.1\r\nhost: Anything.example:80\r\nconnection: close\r\n\r\n",
    ] {
        let answer =
            raw::exchange(server.websocket(), request.as_bytes()).await.expect("an answer");
        assert_eq!(answer.status, 200, "{request}");
    }
    for request in [
        "OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "CONNECT x:1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ] {
        let answer = raw::exchange(server.websocket(), request.as_bytes()).await;
        assert!(
            answer.as_ref().is_none_or(|a| (400..500).contains(&a.status)),
            "{request}: {answer:?}"
        );
    }
    unharmed(&server).await;
}

/// Who looks at one of two hosts, and a proxy in front at the other, may disagree about what a
/// request is for.
#[tokio::test]
async fn a_request_names_one_host() {
    let server = Server::start().await;
    let targets = [
        ("websocket", "/livez"),
        ("websocket", "/nonsense"),
        ("websocket", "/admin/monitor/stat"),
        ("websocket", "/socket.io/?EIO=4&transport=polling"),
        ("api", "/metrics"),
        ("api", USER[0]),
        ("demo", "/"),
        ("demo", "/token"),
    ];
    for (listener, target) in targets {
        let address = server.address(listener);
        for heads in [
            format!("GET {target} HTTP/1.1\r\nhost: {address}\r\nhost: {address}\r\n"),
            format!(
                "POST {target} HTTP/1.1\r\nHost: localhost\r\naccept: */*\r\nhost: evil.example\r\ncontent-length: 0\r\n"
            ),
            format!("GET http://evil.example{target} HTTP/1.1\r\nhost: localhost\r\n"),
            format!("GET http://localhost:1{target} HTTP/1.1\r\nhost: localhost:2\r\n"),
        ] {
            let answer =
                raw::exchange(address, format!("{heads}connection: close\r\n\r\n").as_bytes())
                    .await
                    .expect("an answer");
            refused(&answer, 400);
        }
    }
    let upgrade = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n\
                   host: localhost\r\nhost: localhost\r\n\
                   upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut connection = raw::Connection::open(server.websocket()).await;
    connection.write(upgrade.as_bytes()).await;
    connection.read_until(b"HTTP/1.1 400").await;
    unharmed(&server).await;
}

#[tokio::test]
async fn health_takes_any_query_and_no_credentials() {
    let server = Server::start().await;
    for listener in ["websocket", "api", "demo"] {
        for (target, word) in
            [("/livez", "alive"), ("/readyz?uid=x&token=y", "ready"), ("/livez?%%%&=&&", "alive")]
        {
            let answer = http::get(server.address(listener), target).await;
            assert_eq!(
                (answer.status, answer.json()["status"].as_str()),
                (200, Some(word)),
                "{listener} {target}"
            );
        }
    }
    unharmed(&server).await;
}

/// The pages show what strangers write: nothing from elsewhere is loaded, and nobody frames them.
#[tokio::test]
async fn the_demo_is_whole_and_loads_nothing_from_elsewhere() {
    let server = Server::start().await;
    for (route, kind) in DEMO {
        let answer = http::get(server.address("demo"), &format!("{route}?room=plans")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{route}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{route}");
        let policy = answer.header("content-security-policy").expect("a policy");
        for rule in [
            "default-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(rule), "{route}: {policy}");
        }
        // What a page loads is there.
        for (loaded, _) in DEMO.iter().filter(|(name, _)| name.contains('.')) {
            let name = loaded.trim_start_matches('/');
            assert!(kind != HTML || answer.body.contains(name), "{route} uses {name}");
        }
    }
    unharmed(&server).await;
}

/// Asks for a visitor's token with these lines in the head, the Host among them.
async fn visit(demo: SocketAddr, head: &str) -> Answer {
    let request =
        format!("POST /token HTTP/1.1\r\n{head}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    raw::exchange(demo, request.as_bytes()).await.expect("an answer")
}

#[tokio::test]
async fn the_demo_hands_tokens_to_its_own_page_only() {
    let server = Server::start().await;
    let demo = server.address("demo");
    let port = demo.port();
    for site in ["cross-site", "same-site", "none", "", "SAME-ORIGIN"] {
        refused(&http::request(demo, "POST", "/token", &[("sec-fetch-site", site)], "").await, 403);
    }
    // Where a browser says nothing of sites, there is the Origin.
    for origin in [
        "http://evil.example",
        "null",
        "",
        "http://localhost",
        &format!("https://{demo}"),
        &format!("http://localhost:{port}"),
        "http://",
    ] {
        refused(&visit(demo, &format!("host: {demo}\r\norigin: {origin}")).await, 403);
    }
    refused(
        &visit(
            demo,
            &format!("host: {demo}\r\norigin: http://{demo}\r\norigin: http://evil.example"),
        )
        .await,
        403,
    );
    refused(
        &visit(
            demo,
            &format!("host: {demo}\r\norigin: http://evil.example\r\nsec-fetch-site: same-origin"),
        )
        .await,
        403,
    );
    // A name of others that was bound to this machine's address: of such a page all else is its
    // own.
    for host in [
        "evil.example",
        "localhost.evil.example",
        "0.0.0.0",
        "10.0.0.1",
        "localhost:abc",
        "\"<script>",
        "",
    ] {
        refused(
            &visit(
                demo,
                &format!("host: {host}\r\norigin: http://{host}\r\nsec-fetch-site: same-origin"),
            )
            .await,
            403,
        );
        refused(&visit(demo, &format!("host: {host}")).await, 403);
    }
    for proxy in [
        "x-forwarded-for",
        "forwarded",
        "via",
        "cf-connecting-ip",
        "true-client-ip",
        "x-envoy-external-address",
        "cdn-loop",
    ] {
        refused(&visit(demo, &format!("host: {demo}\r\n{proxy}: 127.0.0.1")).await, 403);
    }

    for (headers, body) in [
        (&[("sec-fetch-site", "same-origin")][..], ""),
        (&[], "junk"),
        (&[("content-type", "application/json")], "{"),
    ] {
        let answer = http::request(demo, "POST", "/token", headers, body).await;
        let visitor = answer.json();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert!(visitor["uid"].as_str().is_some_and(|u| u.starts_with("demo-")), "{visitor}");
        assert_eq!(visitor["token"].as_str().map(str::len), Some(24));
        assert_eq!(visitor["url"], format!("ws://{}", server.websocket()));
    }
    // As browsers ask, under each name that this machine has for itself.
    for name in ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "localhost."] {
        let answer = visit(
            demo,
            &format!(
                "host: {name}:{port}\r\norigin: http://{name}:{port}\r\nsec-fetch-site: same-origin"
            ),
        )
        .await;
        assert_eq!(
            (answer.status, answer.json()["url"].as_str()),
            (200, Some(&*format!("ws://{name}:{}", server.websocket().port())))
        );
    }
    unharmed(&server).await;
}

/// Who lets the demo listen for others gives tokens to whoever gets there, under whatever name: but
/// not to other sites' pages, nor through a proxy.
#[tokio::test]
async fn a_demo_for_other_machines_is_for_its_own_page_as_well() {
    let mut server = Setup::new().env("AO_DEMO__LISTEN", "0.0.0.0:0").launch();
    let line = server.says("demo http").await;
    let port: u16 = line.rsplit_once(':').unwrap().1.parse().unwrap();
    let demo = SocketAddr::from(([127, 0, 0, 1], port));
    for host in ["demo.example", "10.0.0.1:5000", "localhost", "[fd00::1]:5000"] {
        assert_eq!(
            visit(demo, &format!("host: {host}\r\norigin: http://{host}")).await.status,
            200,
            "{host}"
        );
        assert_eq!(visit(demo, &format!("host: {host}")).await.status, 200, "{host}");
        refused(&visit(demo, &format!("host: {host}\r\norigin: http://evil.example")).await, 403);
        refused(&visit(demo, &format!("host: {host}\r\nsec-fetch-site: cross-site")).await, 403);
        refused(&visit(demo, &format!("host: {host}\r\nx-forwarded-for: 10.0.0.2")).await, 403);
    }
    refused(&visit(demo, "host: \"<script>").await, 403);
}

#[tokio::test]
async fn the_client_script_is_served_when_configured() {
    let server = Server::start().await;
    for target in
        ["/socket.io/socket.io.js", "/socket.io/socket.io.js.map", "/socket.io/socket.io.js?v=2"]
    {
        let answer = http::get(server.websocket(), target).await;
        assert_eq!(answer.status, 404, "{target}");
        assert!(answer.body.contains("AO_WEBSOCKET__CLIENT_SCRIPT"), "{answer:?}");
    }
    assert_eq!(http::get(server.websocket(), "/socket.io/socket.io.js/../../x").await.status, 404);

    let setup = Setup::new();
    let script = setup.scratch().join("client.js");
    std::fs::write(&script, "// a client\n").unwrap();
    std::fs::write(script.with_extension("js.map"), "{}").unwrap();
    let setup = setup.env("AO_WEBSOCKET__CLIENT_SCRIPT", script.to_str().unwrap());
    let server = setup.start().await;
    let answer = http::get(server.websocket(), "/socket.io/socket.io.js").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "// a client\n"));
    assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(http::get(server.websocket(), "/socket.io/socket.io.js.map").await.body, "{}");
    for suffix in ["x", "/x", "/../client.js", ".map.map", "%00"] {
        assert_eq!(
            http::get(server.websocket(), &format!("/socket.io/socket.io.js{suffix}")).await.status,
            404,
            "{suffix}"
        );
    }
    std::fs::remove_file(&script).unwrap();
    let gone = http::get(server.websocket(), "/socket.io/socket.io.js").await;
    assert_eq!(gone.status, 404);
    assert!(!gone.body.contains(script.to_str().unwrap()), "{gone:?}");
    assert_eq!(meta(&http::get(server.websocket(), "/admin/monitor/stat").await).0, 6);
    unharmed(&server).await;
}
