//! Bodies that are not what they say, or hold not what they should.
use std::io::Write;

use serde_json::json;

use super::{ADMIN, FORM, JSON, USER, admin, administer, data, meta, refused, user};
use support::{
    http::{self, Answer},
    server::Server,
    wire::{raw, unharmed},
};

fn param_error() -> (u64, String) {
    (4, "param error".to_owned())
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// JSON bodies without a uid that could be one.
fn no_uids() -> Vec<String> {
    let mut bodies: Vec<String> = [
        "",
        " ",
        "null",
        "7",
        "true",
        r#""uid""#,
        "[]",
        r#"[{"uid":"a"}]"#,
        r#"["uid","a"]"#,
        "{}",
        r#"{"UID":"a"}"#,
    ]
    .map(str::to_owned)
    .into();
    let broken = [
        r#"{"uid":"a""#,
        r#"{"uid":"a"}x"#,
        r#"{"uid":"a",}"#,
        r#"{uid:"a"}"#,
        r"{'uid':'a'}",
        "uid=a",
        "\u{feff}",
        "\u{feff}\u{feff}{\"uid\":\"a\"}",
        " \u{feff}{\"uid\":\"a\"}",
        "<uid>a</uid>",
    ];
    bodies.extend(broken.map(str::to_owned));
    let values = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-0.0",
        "1e300",
        "1e400",
        "9007199254740994",
        "18446744073709551616",
        "[]",
        r#"["a"]"#,
        "{}",
        r#"{"$gt":""}"#,
        r#"{"$ne":null}"#,
        r#"{"$regex":".*"}"#,
        r#"{"toString":"a"}"#,
        r#""""#,
        r#""a\u0000b""#,
        r#""\n""#,
        r#""\ud800""#,
    ];
    bodies.extend(values.map(|value| format!(r#"{{"uid":{value}}}"#)));
    bodies.extend(
        ["x".repeat(257), "é".repeat(129), "x".repeat(100 << 10)]
            .map(|uid| format!(r#"{{"uid":"{uid}"}}"#)),
    );
    bodies.extend([127, 200, 100_000].map(|depth| format!(r#"{{"uid":{}}}"#, nested(depth))));
    bodies.push(nested(100_000));
    bodies.push(r#"{"uid":"a","uid":null}"#.to_owned()); // the last of two counts
    bodies
}

#[tokio::test]
async fn a_uid_that_can_be_none_is_a_param_error() {
    let server = Server::start().await;
    for route in USER {
        for body in no_uids() {
            assert_eq!(
                meta(&user(&server, route, &body).await),
                param_error(),
                "{route}: {body:.100}"
            );
        }
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn only_json_and_forms_are_read() {
    let server = Server::start().await;
    let json = r#"{"uid":"a"}"#;
    let target = |route: &str| format!("{route}?{}", admin(&server));
    let unread = [
        "text/plain",
        "text/json",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "json",
        "",
        "\"",
        "application/x-www-form-urlencoded",
    ];
    for route in USER {
        for kind in unread {
            let answer = http::request(
                server.api(),
                "POST",
                &target(route),
                &[("content-type", kind)],
                json,
            )
            .await;
            assert_eq!(meta(&answer), param_error(), "{route}: {kind}");
        }
        assert_eq!(
            meta(&http::request(server.api(), "POST", &target(route), &[], json).await),
            param_error()
        );
        let bytes = raw::request("POST", &target(route), &[JSON], b"{\"uid\":\"\xff\"}");
        assert_eq!(
            meta(&raw::exchange(server.api(), &bytes).await.expect("an answer")),
            param_error()
        );
        for form in [
            "",
            "uid",
            "uid=",
            "=a",
            "&&&",
            "uid[$gt]=",
            "uid[]=a",
            "uid=%00",
            "uid=a%0ab",
            "uid=%C2%85",
            &format!("uid={}", "x".repeat(257)),
            r#"{"uid":"a"}"#,
        ] {
            let answer = http::request(server.api(), "POST", &target(route), &[FORM], form).await;
            assert_eq!(meta(&answer), param_error(), "{route}: {form}");
        }
    }
    for (n, kind) in
        ["application/json;charset=utf-8", "APPLICATION/JSON", " application/json ; x=y"]
            .into_iter()
            .enumerate()
    {
        let answer = http::request(
            server.api(),
            "POST",
            &target(USER[0]),
            &[("content-type", kind)],
            &format!(r#"{{"uid":"json-{n}"}}"#),
        )
        .await;
        assert_eq!(data(&answer)["uid"], format!("json-{n}"), "{kind}");
    }
    for (form, uid) in [
        ("uid=form", "form"),
        ("uid=a%20b", "a b"),
        ("x=1&uid=%E6%88%BF&y=2", "房"),
        ("uid=a%2Bb", "a+b"),
    ] {
        let answer = http::request(server.api(), "POST", &target(USER[0]), &[FORM], form).await;
        assert_eq!(data(&answer)["uid"], uid);
    }
    unharmed(&server).await;
}

/// Some editors and libraries write one before every text.
#[tokio::test]
async fn a_byte_order_mark_is_no_part_of_a_body() {
    let server = Server::start().await;
    assert_eq!(
        data(&user(&server, USER[0], "\u{feff}{\"uid\":\"marked\"}").await)["uid"],
        "marked"
    );
    let form = http::request(
        server.api(),
        "POST",
        &format!("{}?{}", USER[0], admin(&server)),
        &[FORM],
        "\u{feff}uid=form",
    )
    .await;
    assert_eq!(data(&form)["uid"], "form");
    let switched =
        administer(&server, "POST", "/admin/system/config", "", "\u{feff}{\"forceUserAuth\":7}")
            .await;
    assert_eq!(meta(&switched), param_error(), "it was read");
    unharmed(&server).await;
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(plain).unwrap();
    packed.finish().unwrap()
}

async fn coded(server: &Server, coding: &str, kind: (&str, &str), body: &[u8]) -> Answer {
    let target = format!("{}?{}", USER[0], admin(server));
    let request = raw::request("POST", &target, &[kind, ("content-encoding", coding)], body);
    raw::exchange(server.api(), &request).await.expect("an answer")
}

#[tokio::test]
async fn bodies_may_be_packed_by_gzip() {
    let server = Server::start().await;
    for (n, coding) in
        ["gzip", "GZIP", "x-gzip", " gzip ", "identity, gzip"].into_iter().enumerate()
    {
        let body = gzip(format!(r#"{{"uid":"packed-{n}"}}"#).as_bytes());
        assert_eq!(
            data(&coded(&server, coding, JSON, &body).await)["uid"],
            format!("packed-{n}"),
            "{coding:?}"
        );
    }
    assert_eq!(data(&coded(&server, "gzip", FORM, &gzip(b"uid=form")).await)["uid"], "form");
    let two_members = [gzip(br#"{"uid":"#), gzip(br#""two"}"#)].concat();
    assert_eq!(data(&coded(&server, "gzip", JSON, &two_members).await)["uid"], "two");
    for plain in ["", "identity"] {
        let body = format!(r#"{{"uid":"plain-{plain}"}}"#);
        assert_eq!(
            data(&coded(&server, plain, JSON, body.as_bytes()).await)["uid"],
            format!("plain-{plain}")
        );
    }
    // What is not what it says counts as empty, as any body does.
    let whole = gzip(br#"{"uid":"broken"}"#);
    for broken in
        [&b"{\"uid\":\"broken\"}"[..], &whole[..whole.len() / 2], &whole[..whole.len() - 8], b""]
    {
        assert_eq!(meta(&coded(&server, "gzip", JSON, broken).await), param_error());
    }
    assert_eq!(
        meta(&coded(&server, "gzip", JSON, &[whole, b"junk".to_vec()].concat()).await),
        param_error()
    );

    for other in ["deflate", "br", "zstd", "compress", "gzip, gzip", "gzip;q=1", "nonsense"] {
        let answer = coded(&server, other, JSON, br#"{"uid":"other"}"#).await;
        refused(&answer, 415);
        assert_eq!(answer.header("accept-encoding"), Some("gzip"), "{answer:?}");
        let answer = http::request(
            server.websocket(),
            "POST",
            &format!("{}?{}", ADMIN[3].1, admin(&server)),
            &[JSON, ("content-encoding", other)],
            "{}",
        )
        .await;
        refused(&answer, 415);
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn a_packed_body_has_at_most_a_mebibyte_unpacked() {
    let server = Server::start().await;
    let spaces = vec![b' '; (1 << 20) - 15];
    let body = |more: &[u8]| [b"{", &spaces[..], more, b"\"uid\":\"large\"}"].concat();
    assert_eq!(body(b"").len(), 1 << 20);
    refused(&coded(&server, "gzip", JSON, &gzip(&body(b" "))).await, 413);
    assert_eq!(data(&coded(&server, "gzip", JSON, &gzip(&body(b""))).await)["uid"], "large");
    // As many as fit into a body, each of which would become 16 MiB.
    let bomb = gzip(&vec![b' '; 16 << 20]);
    let bombs = bomb.repeat((1 << 20) / bomb.len());
    refused(&coded(&server, "gzip", JSON, &bombs).await, 413);
    unharmed(&server).await;
}

/// Credentials are in the head: who has none is told before a byte of the body has come, and keeps
/// nothing waiting.
#[tokio::test]
async fn strangers_are_answered_before_their_bodies() {
    let server = Server::start().await;
    let routes = ADMIN
        .iter()
        .filter(|(m, _)| *m == "POST")
        .map(|(_, r)| (server.websocket(), *r))
        .chain([(server.api(), USER[1])]);
    for (address, route) in routes {
        for (target, coding) in
            [(route.to_owned(), "br"), (format!("{route}?uid=admin&token=wrong"), "gzip")]
        {
            let mut connection = raw::Connection::open(address).await;
            let head = format!(
                "POST {target} HTTP/1.1\r\nhost: evil.example\r\ncontent-type: application/json\r\ncontent-encoding: {coding}\r\n\
                 content-length: 1048576\r\n\r\n{{"
            );
            connection.write(head.as_bytes()).await;
            connection.read_until(b"require permission").await;
        }
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn a_number_and_its_text_are_one_user() {
    let server = Server::start().await;
    assert_eq!(data(&user(&server, USER[0], r#"{"uid":1000}"#).await)["uid"], json!(1000));
    for same in [
        r#"{"uid":"1000"}"#,
        r#"{"uid":1000.0}"#,
        r#"{"uid":1e3}"#,
        r#"{"uid":1000}"#,
        r#"{"uid":"a","uid":1000}"#,
    ] {
        assert_eq!(
            meta(&user(&server, USER[0], same).await),
            (1, "user exists".to_owned()),
            "{same}"
        );
        let refreshed = user(&server, USER[1], same).await;
        assert_eq!(data(&refreshed)["token"].as_str().map(str::len), Some(24), "{same}");
    }
    assert_eq!(data(&user(&server, USER[1], r#"{"uid":"1000"}"#).await)["uid"], json!("1000"));
    for (body, uid) in [
        (r#"{"uid":-5}"#, json!(-5)),
        (r#"{"uid":1.5}"#, json!(1.5)),
        (r#"{"uid":9007199254740992}"#, json!(9_007_199_254_740_992_u64)),
        (r#"{"uid":"0"}"#, json!("0")),
        (r#"{"uid":"__proto__"}"#, json!("__proto__")),
        (r#"{"uid":"$gt"}"#, json!("$gt")),
    ] {
        let created = data(&user(&server, USER[0], body).await);
        assert_eq!(created["uid"], uid, "{body}");
        assert!(
            created["token"]
                .as_str()
                .is_some_and(|t| t.len() == 24 && t.bytes().all(|b| b.is_ascii_alphanumeric())),
            "{created}"
        );
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn bodies_above_a_mebibyte_are_too_large() {
    let server = Server::start().await;
    let query = admin(&server);
    let routes = USER
        .iter()
        .map(|r| (server.api(), *r))
        .chain(ADMIN.iter().filter(|(m, _)| *m == "POST").map(|(_, r)| (server.websocket(), *r)));
    for (address, route) in routes {
        let body = vec![b' '; 2 << 20];
        let whole = raw::request("POST", &format!("{route}?{query}"), &[JSON], &body);
        refused(&raw::exchange(address, &whole).await.expect("an answer"), 413);
        let mut chunks = format!(
            "POST {route}?{query} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        .into_bytes();
        for _ in 0..32 {
            chunks.extend(format!("{:x}\r\n", 64 << 10).into_bytes());
            chunks.extend(&body[..64 << 10]);
            chunks.extend(b"\r\n");
        }
        refused(&raw::exchange(address, &chunks).await.expect("an answer"), 413);
    }
    // The largest one is read.
    let largest = format!("{{{}\"uid\":\"large\"}}", " ".repeat((1 << 20) - 15));
    assert_eq!(largest.len(), 1 << 20);
    assert_eq!(data(&user(&server, USER[0], &largest).await)["uid"], "large");
    unharmed(&server).await;
}

#[tokio::test]
async fn administration_says_what_is_missing() {
    let server = Server::start().await;
    let cases = [
        ("GET", "/admin/monitor/room_users", "", ""),
        ("GET", "/admin/monitor/room_users", "&roomId=", ""),
        ("GET", "/admin/monitor/room_users", "&roomId=%00", ""),
        ("GET", "/admin/monitor/room_users", "&roomid=a", ""),
        ("GET", "/admin/monitor/room_users", "&roomId[$gt]=", ""),
        ("GET", "/admin/monitor/room_users", "", r#"{"roomId":"a"}"#),
        ("GET", "/admin/monitor/room_msgs", "", ""),
        ("GET", "/admin/monitor/room_msgs", "&offset=0", ""),
        ("POST", "/admin/system/push", "", ""),
        ("POST", "/admin/system/push", "", "{"),
        ("POST", "/admin/system/push", "", r#"[{"roomId":"a","content":1}]"#),
        ("POST", "/admin/system/push", "", r#"{"content":1}"#),
        ("POST", "/admin/system/push", "", r#"{"roomId":"a"}"#),
        ("POST", "/admin/system/push", "&roomId=a", "{}"),
        ("POST", "/admin/system/push", "", r#"{"roomId":{"$gt":""},"content":1}"#),
        ("POST", "/admin/system/push", "", r#"{"roomId":0,"content":1}"#),
        ("POST", "/admin/system/push", "", r#"{"roomId":"a\nb","content":1}"#),
        ("POST", "/admin/system/clear_room_msgs", "", ""),
        ("POST", "/admin/system/clear_room_msgs", "", r#"{"roomId":null}"#),
        ("POST", "/admin/system/clear_room_msg", "", r#"{"roomId":["a"]}"#),
        ("POST", "/admin/system/clear_room_msg", "", "7"),
    ];
    for (method, route, query, body) in cases {
        assert_eq!(
            meta(&administer(&server, method, route, query, body).await),
            param_error(),
            "{method} {route}{query} {body}"
        );
    }
    let long = "x".repeat(257);
    assert_eq!(
        meta(
            &administer(
                &server,
                "GET",
                "/admin/monitor/room_users",
                &format!("&roomId={long}"),
                ""
            )
            .await
        ),
        param_error()
    );
    unharmed(&server).await;
}

#[tokio::test]
async fn user_authentication_is_switched_by_true_and_false_only() {
    let server = Server::start().await;
    let forced = async || {
        let stat = administer(&server, "GET", "/admin/monitor/stat", "", "").await;
        stat.json()["data"]["force_user_auth"].clone()
    };
    let switch = async |body: &str| {
        meta(&administer(&server, "POST", "/admin/system/config", "", body).await)
    };
    for wrong in [
        "null",
        "0",
        "1",
        r#""""#,
        r#""TRUE""#,
        r#""yes""#,
        r#"" true""#,
        "{}",
        "[]",
        "[true]",
        r#"{"$ne":true}"#,
    ] {
        assert_eq!(
            switch(&format!(r#"{{"forceUserAuth":{wrong}}}"#)).await,
            param_error(),
            "{wrong}"
        );
        assert_eq!(forced().await, true, "{wrong}");
    }
    for nothing in ["", "{}", "null", "[]", "{", r#"{"forceuserauth":false}"#] {
        assert_eq!(switch(nothing).await, (0, "success".to_owned()), "{nothing}");
        assert_eq!(forced().await, true, "{nothing}");
    }
    for (value, on) in [
        ("false", false),
        ("true", true),
        (r#""false""#, false),
        (r#""true""#, true),
        ("true,\"forceUserAuth\":false", false),
    ] {
        assert_eq!(
            switch(&format!(r#"{{"forceUserAuth":{value}}}"#)).await,
            (0, "success".to_owned()),
            "{value}"
        );
        assert_eq!(forced().await, on, "{value}");
    }
    let form = http::request(
        server.websocket(),
        "POST",
        &format!("/admin/system/config?{}", admin(&server)),
        &[FORM],
        "forceUserAuth=true",
    )
    .await;
    assert_eq!((meta(&form).0, forced().await), (0, json!(true)));
    unharmed(&server).await;
}
