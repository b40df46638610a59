//! The HTTP side: each route of the protocol's table, with what callers do wrong.
use super::client::{
    Client, Got, ask, groups, high, history, place, post, recalled, setup, unharmed, uuid,
};
use support::{
    http::{self, Answer},
    server::Setup,
    wire::raw,
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");

#[track_caller]
fn says(answer: &Answer, status: u16, body: &str) {
    assert_eq!((answer.status, answer.body.as_str()), (status, body), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{answer:?}");
    let kind = if body.starts_with('{') { "application/json" } else { "text/plain; charset=utf-8" };
    assert_eq!(answer.header("content-type"), Some(kind), "{answer:?}");
}

#[tokio::test]
async fn a_message_by_http_goes_to_all_and_is_stored_as_its_frame_says() {
    let server = setup().start().await;
    let address = place(&server);
    let mut ann = Client::join(address, "/r/a%20b").await;
    let mut ben = Client::join(address, "/r/a%20b").await;
    let stored = high("h1", "é");
    let ok = r#"{"code":200,"group":"/r/a b"}"#;
    for message in ["hello", "[1]", &stored, r#"{"type":2}"#] {
        says(&post(address, "/r/%61%20b?x=1", message).await, 200, ok);
        ann.expect(message).await;
        ben.expect(message).await;
    }
    // Whatever it calls itself.
    let answer = http::request(address, "POST", "/r/a%20b", &[FORM], "a=b&c=d").await;
    says(&answer, 200, ok);
    ann.expect("a=b&c=d").await;
    // Swallowed, dropped, known already: as if it had worked.
    for message in [r#"{"type":1,"command":5}"#, r#"{"type":3}"#, &stored] {
        says(&post(address, "/r/a%20b", message).await, 200, ok);
    }
    let missing = r#"{"code":406,"msg":"data missing"}"#;
    says(&post(address, "/r/a%20b", "").await, 406, missing);
    ann.has_heard_nothing().await;
    assert_eq!(history(address, "/r/a%20b", "").await[1..], [r#"{"type":2}"#.to_owned(), stored]);
    // Nobody need be there.
    says(&post(address, "/empty", "hello").await, 200, r#"{"code":200,"group":"/empty"}"#);
    says(
        &post(address, "/empty%22%22", &high("h2", "x")).await,
        200,
        r#"{"code":200,"group":"/empty\"\""}"#,
    );
    assert_eq!(history(address, "/empty%22%22", "").await.len(), 1);
    unharmed(&server).await;
}

#[tokio::test]
async fn what_is_no_text_goes_on_as_binary() {
    let server = setup().start().await;
    let mut ann = Client::join(place(&server), "/bytes").await;
    let request = raw::request("POST", "/bytes", &[], b"\xff\x00\xfe");
    let answer = raw::exchange(place(&server), &request).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(ann.next().await, Got::Binary(b"\xff\x00\xfe".to_vec()));
}

#[tokio::test]
async fn the_history_is_asked_for_by_query_form_or_json() {
    let server = setup().start().await;
    let address = place(&server);
    let messages = [high("a", "1"), high("b", "2"), high("c", "3")];
    for message in &messages {
        post(address, "/asked", message).await;
    }
    let [a, b, _] = messages.map(serde_json::Value::from);
    let wanted = format!(r#"{{"code":200,"position":1,"msg":"","data":[{b},{a}]}}"#);
    for route in ["/__/history", "/__/history/", "/%5f_/history"] {
        let query = "groupName=%2Fasked&position=1&size=10";
        says(&ask(address, &format!("{route}?{query}")).await, 200, &wanted);
        says(&http::request(address, "POST", route, &[FORM], query).await, 200, &wanted);
        for json in [
            r#"{"groupName":"/asked","position":1,"size":10}"#,
            r#"{"groupName":"/asked","position":"1","size":null}"#,
        ] {
            says(&http::request(address, "POST", route, &[JSON], json).await, 200, &wanted);
            says(&http::request(address, "POST", route, &[], json).await, 200, &wanted);
        }
        // The body counts before the query.
        let both = format!("{route}?groupName=/other&position=0");
        says(&http::request(address, "POST", &both, &[FORM], query).await, 200, &wanted);
    }
    let missing = r#"{"msg":"groupName missing"}"#;
    for query in ["", "?groupName=", "?groupname=/asked", "?position=1"] {
        says(&ask(address, &format!("/__/history{query}")).await, 403, missing);
    }
    let nothing = r#"{"code":200,"position":0,"msg":"","data":[]}"#;
    says(&ask(address, "/__/history?groupName=/unknown").await, 200, nothing);
}

#[tokio::test]
async fn a_message_is_recalled_and_members_are_told_once() {
    let server = setup().start().await;
    let address = place(&server);
    let mut ann = Client::join(address, "/recall").await;
    let mut ben = Client::join(address, "/recall").await;
    let [first, second] = [high("é\u{1F600}", "1"), high("second", "2")];
    for message in [&first, &second] {
        ann.store(message).await;
        ben.expect(message).await;
    }
    let md5 = md5(&first);
    let found = format!(r#"{{"msg":"uuid found and saved in blacklist:{md5}"}}"#);
    let cancel = "/__/cancel?groupName=/recall&uuid=%C3%A9%F0%9F%98%80";
    says(&ask(address, cancel).await, 200, &found);
    for member in [&mut ann, &mut ben] {
        member.expect(&recalled("é\u{1F600}")).await;
    }
    assert_eq!(history(address, "/recall", "").await, [second.as_str()]);
    // Again: the same answer, and nobody is told.
    let json = r#"{"groupName":"/recall","uuid":"é😀"}"#;
    says(&http::request(address, "POST", "/__/cancel/", &[JSON], json).await, 200, &found);
    // Its uuid stays known.
    ann.store(&first).await;
    ann.has_heard_nothing().await;
    let marker = ben.text().await;
    assert!(marker.contains("marker"), "{marker}");
    assert_eq!(history(address, "/recall", "").await[1..], [second]);

    let unknown = r#"{"msg":"uuid not found in latest 50 items;"}"#;
    says(&ask(address, "/__/cancel?groupName=/recall&uuid=other").await, 200, unknown);
    says(&ask(address, "/__/cancel?groupName=/unknown&uuid=second").await, 200, unknown);
    let group = r#"{"msg":"groupName missing"}"#;
    says(&ask(address, "/__/cancel?uuid=second").await, 400, group);
    says(&ask(address, "/__/cancel").await, 400, group);
    let uuid = r#"{"msg":"uuid missing"}"#;
    says(&ask(address, "/__/cancel?groupName=/recall").await, 400, uuid);
    says(&ask(address, "/__/cancel?groupName=/recall&uuid=").await, 400, uuid);
    unharmed(&server).await;
}

/// By a program that everybody has, as another implementation.
fn md5(text: &str) -> String {
    use std::{io::Write, process::Stdio};
    let mut sum = std::process::Command::new("md5sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    sum.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
    output[..32].to_owned()
}

#[tokio::test]
async fn the_newest_200_can_be_recalled() {
    let server = setup().start().await;
    let address = place(&server);
    let mut ann = Client::join(address, "/many").await;
    for n in 0..201 {
        ann.store(&high(&format!("n{n}"), "x")).await;
    }
    let cancel = async |uuid: &str| {
        ask(address, &format!("/__/cancel?groupName=/many&uuid={uuid}")).await.body
    };
    assert!(cancel("n0").await.contains("not found"));
    assert!(cancel("n1").await.contains("uuid found"));
    assert_eq!(history(address, "/many", "").await.len(), 200);
    let oldest = history(address, "/many", "&position=-2&size=2").await;
    assert_eq!(oldest, [high("n0", "x")], "what was recalled counts as a position");
}

#[tokio::test]
async fn a_time_to_live_is_a_number_above_0() {
    let server = setup().start().await;
    let address = place(&server);
    let ok = r#"{"msg":"set ttl succeed"}"#;
    for query in ["groupName=/ttl&ttl=1000", "groupName=/ttl&ttl=99999999999999999999999"] {
        says(&ask(address, &format!("/__/ttl?{query}")).await, 200, ok);
        says(&http::request(address, "POST", "/__/ttl/", &[FORM], query).await, 200, ok);
    }
    let json = r#"{"groupName":"/ttl","ttl":1000}"#;
    says(&http::request(address, "POST", "/__/ttl", &[JSON], json).await, 200, ok);
    for (query, msg) in [
        ("ttl=5", "groupName missing"),
        ("groupName=/ttl", "ttl missing"),
        ("groupName=/ttl&ttl=", "ttl missing"),
        ("groupName=/ttl&ttl=soon", "ttl should be a number"),
        ("groupName=/ttl&ttl=1.5", "ttl should be a number"),
        ("groupName=/ttl&ttl=0", "ttl should be a number and great than 0"),
        ("groupName=/ttl&ttl=-5", "ttl should be a number and great than 0"),
    ] {
        let wanted = format!(r#"{{"msg":"{msg}"}}"#);
        says(&ask(address, &format!("/__/ttl?{query}")).await, 400, &wanted);
    }
}

#[tokio::test]
async fn rooms_are_listed_for_who_knows_the_secret() {
    let mut server = setup().start().await;
    let address = place(&server);
    let _ann = Client::join(address, "/a").await;
    let _ben = Client::join(address, "/b").await;
    post(address, "/empty", &high(&uuid(), "x")).await;
    assert_eq!(groups(address).await, ["/a", "/b"]);
    says(&http::get(address, "/__/groups/?secret=open+sesame").await, 200, "/a\n/b\n");
    // No name looks like that of another room.
    let _cleo = Client::join(address, "/x%0A/empty").await;
    let _dave = Client::join(address, "/x%250A/empty").await;
    assert_eq!(groups(address).await, ["/a", "/b", "/x%0A/empty", "/x%250A/empty"]);
    says(&http::get(address, "/__/groups").await, 200, "secret missing");
    says(&http::get(address, "/__/groups?secret=").await, 200, "secret missing");
    for wrong in ["open", "Open sesame", "open sesame ", "***"] {
        let query = wrong.replace(' ', "%20");
        let answer = http::get(address, &format!("/__/groups?secret={query}")).await;
        says(&answer, 200, "secret not match");
    }
    assert!(!server.stderr().contains("sesame"), "{}", server.stderr());
    server.terminate().await;

    let none = setup().without("AO_GOTAPI__SECRET").start().await;
    for query in ["?secret=", "?secret=x", ""] {
        let answer = http::get(place(&none), &format!("/__/groups{query}")).await.body;
        assert!(answer == "secret missing" || answer == "secret not match", "{answer}");
    }
    let shown = setup().args(["print-config"]).run().await;
    assert!(!shown.succeeds().contains("sesame") && shown.stdout.contains("AO_GOTAPI__SECRET"));
}

#[tokio::test]
async fn status_is_told_by_any_method_and_pages_of_any_origin_may_ask() {
    let server = setup().start().await;
    let address = place(&server);
    for method in ["GET", "POST", "PUT", "DELETE"] {
        let answer = http::request(address, method, "/__status", &[], "").await;
        says(&answer, 200, "status ok!");
    }
    for path in ["/", "/room", "/__/history", "/__/groups", "/__status"] {
        let origin = [("origin", "https://a.example"), ("access-control-request-method", "POST")];
        let answer = http::request(address, "OPTIONS", path, &origin, "").await;
        let wanted = if path == "/__status" { (200, "status ok!") } else { (204, "") };
        assert_eq!((answer.status, answer.body.as_str()), wanted, "{path}");
        for (header, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-headers", "Content-Type"),
            ("access-control-allow-methods", "GET, POST, OPTIONS"),
        ] {
            assert_eq!(answer.header(header), Some(value), "{path}");
        }
    }
    for (method, path, allowed) in [
        ("PUT", "/room", "GET, POST, OPTIONS"),
        ("DELETE", "/__/ttl", "POST, OPTIONS"),
        ("POST", "/__/groups", "GET, HEAD, OPTIONS"),
    ] {
        let answer = http::request(address, method, path, &[], "").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{path}");
    }
}

/// On every listener of a server its health can be asked for.
#[tokio::test]
async fn health_is_told_here_too_and_its_paths_are_rooms() {
    let server = setup().start().await;
    let address = place(&server);
    for path in ["/livez", "/readyz"] {
        assert_eq!(http::get(address, path).await.status, 200, "{path}");
        let mut ann = Client::join(address, path).await;
        post(address, path, "hello").await;
        ann.expect("hello").await;
    }
}

#[tokio::test]
async fn a_body_is_bounded_by_the_size_of_a_message() {
    let server = setup().env("AO_GOTAPI__MAX_MESSAGE", "2000").start().await;
    let address = place(&server);
    let mut ann = Client::join(address, "/bodies").await;
    let (fits, large) = ("x".repeat(2000), "x".repeat(2001));
    assert_eq!(post(address, "/bodies", &fits).await.status, 200);
    for path in ["/bodies", "/__/history", "/__/cancel", "/__/ttl"] {
        assert_eq!(post(address, path, &large).await.status, 413, "{path}");
    }
    // One whose length is not said before.
    let chunked = format!(
        "POST /bodies HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3e8\r\n{0}\r\n3e8\r\n{0}\r\n1\r\nx\r\n0\r\n\r\n",
        "x".repeat(1000)
    );
    assert_eq!(raw::exchange(address, chunked.as_bytes()).await.unwrap().status, 413);
    ann.expect(&fits).await;
    ann.has_heard_nothing().await;
    unharmed(&server).await;
}

/// Without its setting there is nothing of it.
#[tokio::test]
async fn it_is_off_unless_it_is_asked_for() {
    let server = Setup::new().start().await;
    for listener in ["websocket", "api", "demo"] {
        assert_eq!(
            http::get(server.address(listener), "/__status").await.status,
            404,
            "{listener}"
        );
    }
    assert!(!server.stdout().contains("gotapi"), "{}", server.stdout());
}
