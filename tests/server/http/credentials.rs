//! Who may: an administrator's credentials in every position, whole, half and wrong; and when the
//! token API needs none.
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{ADMIN, FORM, JSON, USER, data, meta};
use support::{
    http,
    server::{Server, Setup},
    wire::{raw, unharmed},
};

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

fn permission() -> (u64, String) {
    (6, "require permission".to_owned())
}

#[tokio::test]
async fn credentials_that_are_wrong_or_half_or_elsewhere_are_refused() {
    let server = Server::start().await;
    let (uid, token) = server.admin();
    let user_token = server.token("carol").await;
    let wrong = format!("{}x", &token[1..]);
    let queries = [
        format!("uid={uid}"),
        format!("token={token}"),
        "uid=&token=".to_owned(),
        format!("uid={uid}&token="),
        format!("uid=&token={token}"),
        format!("uid={uid}&token={wrong}"),
        format!("uid={uid}&token={}", token.to_ascii_lowercase()),
        format!("uid={uid}&token={token}%00"),
        format!("uid={uid}%00&token={token}"),
        format!("uid=%20{uid}&token={token}"),
        format!("uid={}&token={token}", uid.to_uppercase()),
        format!("UID={uid}&TOKEN={token}"),
        "uid[$gt]=&token[$gt]=".to_owned(),
        format!("uid[]={uid}&token[]={token}"),
        format!("uid=x&uid={uid}&token={token}"),
        format!("uid={uid}&token=x&token={token}"),
        format!("uid=carol&token={user_token}"),
        format!("uid={}&token={token}", "x".repeat(10_000)),
        format!("uid={uid}&token={}", "x".repeat(10_000)),
        "%%%".to_owned(),
    ];
    let headers = [
        String::new(),
        "Basic".to_owned(),
        "Basic ".to_owned(),
        "Basic %%%".to_owned(),
        basic(""),
        basic(":"),
        basic(&uid),
        basic(&format!("{uid}:")),
        basic(&format!(":{token}")),
        basic(&format!("{uid}:{wrong}")),
        basic(&format!("{uid}:{token}:")),
        basic(&format!("{uid} {token}")),
        basic(&format!("carol:{user_token}")),
        format!("Basic {uid}:{token}"),
        format!("Bearer {token}"),
        format!("Digest {}", STANDARD.encode(format!("{uid}:{token}"))),
        format!("Basic {}", STANDARD.encode([0xff, b':', 0xfe])),
    ];
    let routes: Vec<_> = ADMIN
        .iter()
        .map(|(m, r)| (server.websocket(), *m, *r))
        .chain(USER.map(|r| (server.api(), "POST", r)))
        .collect();
    let body = r#"{"uid":"dave","roomId":"hall","content":1,"forceUserAuth":false}"#;
    for (address, method, route) in &routes {
        for query in &queries {
            let answer =
                http::request(*address, method, &format!("{route}?{query}"), &[JSON], body).await;
            // A query that holds no credentials at all is a caller without any, and the API may be
            // open for it.
            let none = ["UID", "uid[", "%%%"].iter().any(|start| query.starts_with(start));
            if !(none && *route == USER[0]) {
                assert_eq!(meta(&answer), permission(), "{method} {route}?{query:.100}");
            }
        }
        for header in &headers {
            let answer =
                http::request(*address, method, route, &[JSON, ("authorization", header)], body)
                    .await;
            assert_eq!(meta(&answer), permission(), "{method} {route}: {header}");
            // Right ones beside wrong ones do not help.
            let both = http::request(
                *address,
                method,
                &format!("{route}?uid={uid}&token={token}"),
                &[JSON, ("authorization", header)],
                body,
            )
            .await;
            assert_eq!(meta(&both), permission(), "{method} {route}: {header}");
        }
        if *route != USER[0] {
            let in_body = format!(r#"{{"uid":"{uid}","token":"{token}","roomId":"hall"}}"#);
            assert_eq!(
                meta(&http::request(*address, method, route, &[JSON], &in_body).await),
                permission(),
                "{route}"
            );
            let in_form = format!("uid={uid}&token={token}&roomId=hall");
            assert_eq!(
                meta(&http::request(*address, method, route, &[FORM], &in_form).await),
                permission(),
                "{route}"
            );
        }
    }
    let stat =
        http::get(server.websocket(), &format!("/admin/monitor/stat?uid={uid}&token={token}"))
            .await;
    assert_eq!(data(&stat)["force_user_auth"], true, "nobody changed it");
    for scheme in ["Basic", "basic", "BASIC"] {
        let header = basic(&format!("{uid}:{token}")).replace("Basic", scheme);
        let answer = http::request(
            server.websocket(),
            "GET",
            "/admin/monitor/stat",
            &[("authorization", &header)],
            "",
        )
        .await;
        assert_eq!(meta(&answer).0, 0, "{scheme}");
    }
    unharmed(&server).await;
}

/// What shows that a request may come from elsewhere: a proxy, a page, a name that is not this
/// machine's.
fn foreign(route: &str, body: &str) -> Vec<(String, Vec<u8>)> {
    let headers = [
        "forwarded: for=127.0.0.1",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: localhost",
        "x-forwarded-proto: http",
        "x-forwarded-port: 1",
        "x-forwarded-prefix: /",
        "via: 1.1 proxy",
        "x-forwarded: for=127.0.0.1",
        "x-real-ip: 127.0.0.1",
        "x-client-ip: 127.0.0.1",
        "x-cluster-client-ip: 127.0.0.1",
        "x-original-forwarded-for: 127.0.0.1",
        "x-envoy-external-address: 127.0.0.1",
        "x-proxyuser-ip: 127.0.0.1",
        "x-azure-clientip: 127.0.0.1",
        "x-appengine-user-ip: 127.0.0.1",
        "x-amzn-trace-id: Root=1",
        "true-client-ip: 127.0.0.1",
        "cf-connecting-ip: 127.0.0.1",
        "cf-ray: 1",
        "fastly-client-ip: 127.0.0.1",
        "fly-client-ip: 127.0.0.1",
        "cdn-loop: cloudflare",
        "origin: http://localhost",
        "origin: null",
        "sec-fetch-site: same-origin",
        "sec-fetch-site: none",
        "X-FORWARDED-FOR:",
        "Origin:",
    ];
    let length = body.len();
    let rest = format!(
        "connection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut cases: Vec<(String, Vec<u8>)> = headers
        .iter()
        .map(|header| {
            (
                (*header).to_owned(),
                format!("POST {route} HTTP/1.1\r\nhost: localhost\r\n{header}\r\n{rest}")
                    .into_bytes(),
            )
        })
        .collect();
    for host in [
        "evil.example",
        "evil.example:4000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil-localhost",
        "0.0.0.0",
        "0.0.0.0:4000",
        "10.0.0.1",
        "[::2]",
        "localhost..",
        "localhost:",
        "localhost:abc",
        "localhost:0",
        "localhost:99999",
        "localhost:+80",
        "localhost:80:80",
        "127.0.0.1:-1",
        "127.1",
        "[::1]:x",
        "[::1]:",
        "[127.0.0.1]",
        "::1",
        "localhost@evil.example",
        "2130706433",
        "",
        " ",
    ] {
        cases.push((
            format!("host {host:?}"),
            format!("POST {route} HTTP/1.1\r\nhost: {host}\r\n{rest}").into_bytes(),
        ));
    }
    cases.push(("no host".to_owned(), format!("POST {route} HTTP/1.0\r\n{rest}").into_bytes()));
    cases.push((
        "another host in the target".to_owned(),
        format!("POST http://evil.example{route} HTTP/1.1\r\nhost: evil.example\r\n{rest}")
            .into_bytes(),
    ));
    cases
}

async fn status(server: &Server, bytes: &[u8]) -> (u64, String) {
    meta(&raw::exchange(server.api(), bytes).await.expect("an answer"))
}

#[tokio::test]
async fn an_open_api_is_open_for_this_machine_only() {
    let server = Server::start().await;
    for (case, bytes) in foreign(USER[0], r#"{"uid":"mallory"}"#) {
        assert_eq!(status(&server, &bytes).await, permission(), "{case}");
    }
    // The same with an administrator's credentials.
    let (uid, token) = server.admin();
    for (n, (case, bytes)) in
        foreign(&format!("{}?uid={uid}&token={token}", USER[0]), r#"{"uid":"erin-00"}"#)
            .into_iter()
            .enumerate()
    {
        let bytes = String::from_utf8(bytes).unwrap().replace("erin-00", &format!("erin-{n:02}"));
        assert_eq!(status(&server, bytes.as_bytes()).await.0, 0, "{case}");
    }
    for (n, host) in [
        "localhost",
        "LOCALHOST:4000",
        "localhost.",
        "127.0.0.1",
        "127.9.9.9:1",
        "[::1]",
        "[::1]:4000",
    ]
    .into_iter()
    .enumerate()
    {
        let body = format!(r#"{{"uid":"local-{n}"}}"#);
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            USER[0],
            body.len()
        );
        assert_eq!(status(&server, request.as_bytes()).await.0, 0, "{host}");
        // A new token kills the old one: that is never for everybody.
        let refresh = request.replace(USER[0], USER[1]);
        assert_eq!(status(&server, refresh.as_bytes()).await, permission(), "{host}");
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn an_open_api_knows_a_loopback_address_in_brackets_from_what_begins_with_one() {
    let server = Server::start().await;
    for host in ["[::1", "[::1].evil.example", "[::1]evil.example:4000", "[127.0.0.1].evil.example"]
    {
        let body = r#"{"uid":"mallory"}"#;
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            USER[0],
            body.len()
        );
        assert_eq!(status(&server, request.as_bytes()).await, permission(), "{host}");
    }
}

#[tokio::test]
async fn an_api_that_is_said_to_be_open_is_open() {
    let server = Setup::new().env("AO_API__OPEN", "true").start().await;
    for (n, (case, bytes)) in foreign(USER[0], r#"{"uid":"frank-00"}"#).into_iter().enumerate() {
        let bytes = String::from_utf8(bytes).unwrap().replace("frank-00", &format!("frank-{n:02}"));
        assert_eq!(status(&server, bytes.as_bytes()).await.0, 0, "{case}");
        assert_eq!(
            status(&server, bytes.replace(USER[0], USER[1]).as_bytes()).await.0,
            0,
            "{case}"
        );
    }
    // Wrong credentials are refused in any case.
    for query in ["uid=admin&token=wrong", "uid=admin", "token=x", "uid=&token="] {
        let answer =
            super::post(server.api(), &format!("{}?{query}", USER[0]), r#"{"uid":"grace"}"#).await;
        assert_eq!(meta(&answer), permission(), "{query}");
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn an_api_that_is_said_to_be_closed_is_closed() {
    for setup in
        [Setup::new().env("AO_API__OPEN", "false"), Setup::new().env("AO_COMPAT", "deployed")]
    {
        let server = setup.start().await;
        let credentials = super::admin(&server);
        for route in USER {
            let answer = super::post(server.api(), route, r#"{"uid":"heidi"}"#).await;
            assert_eq!(meta(&answer).1, "require permission");
        }
        let answer =
            super::post(server.api(), &format!("{}?{credentials}", USER[0]), r#"{"uid":"heidi"}"#)
                .await;
        assert_eq!(data(&answer)["uid"], "heidi");
        unharmed(&server).await;
    }
}
