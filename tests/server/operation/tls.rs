//! TLS by certificate and key files: what operators do and get wrong, and what strangers send. That
//! clients find everything as without it is shown by the tests of bad input, which run once more
//! with TLS in between, and by real clients.
use std::{fs, path::Path};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{FAILED, WRONG_CONFIGURATION};
use support::{
    http,
    server::{Server, Setup},
    soon, tls,
};

/// The answer to a request under TLS.
async fn ask(server: &Server, what: &str, certificate: &Path, path: &str) -> String {
    let mut stream = tls::connect(server.own_address(what), certificate).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", tls::NAME);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // Without the goodbye of TLS this is an error.
    soon("the whole answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn socket_io_and_administration_have_one_certificate_and_the_api_its_own() {
    let setup =
        Setup::new().env("AO_ADMIN__LISTEN", "127.0.0.1:0").under_tls("websocket").under_tls("api");
    let server = setup.start().await;
    let certificate = |what| server.setup().certificate(what);
    for (what, other) in [("websocket", "api"), ("admin", "api"), ("api", "websocket")] {
        assert!(server.stdout().contains(&format!("{what} https://")), "{what}");
        assert!(
            ask(&server, what, &certificate(what), "/livez").await.starts_with("HTTP/1.1 200 "),
            "{what}"
        );
        tls::connect(server.own_address(what), &certificate(other)).await.unwrap_err();
    }
    assert!(server.stdout().contains("demo http://"), "only for visitors of this machine");
    let visitor = http::post(server.address("demo"), "/token", &serde_json::json!({})).await;
    assert!(visitor.json()["url"].as_str().unwrap().starts_with("wss://"), "{visitor:?}");
    server.member("ann", "hall").await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let good = Setup::new().under_tls("websocket");
    let file = |name: &str, text: &str| {
        let path = good.scratch().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    tls::issue(&good.scratch().join("other.pem"), &good.scratch().join("other-key.pem"));
    let other_key = good.scratch().join("other-key.pem").to_str().unwrap().to_owned();
    let certificate = good.certificate("websocket").to_str().unwrap().to_owned();
    let absent = good.scratch().join("absent.pem").to_str().unwrap().to_owned();
    let (empty, garbage) = (
        file("empty.pem", ""),
        file("garbage.pem", "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n"),
    );
    for (setting, path, said) in [
        ("AO_WEBSOCKET__TLS_CERTIFICATE", &absent, "No such file"),
        ("AO_WEBSOCKET__TLS_KEY", &absent, "No such file"),
        ("AO_WEBSOCKET__TLS_CERTIFICATE", &empty, "holds no certificate"),
        ("AO_WEBSOCKET__TLS_CERTIFICATE", &garbage, "the certificate in"),
        ("AO_WEBSOCKET__TLS_KEY", &empty, "holds no private key"),
        ("AO_WEBSOCKET__TLS_KEY", &certificate, "holds no private key"),
        ("AO_WEBSOCKET__TLS_KEY", &other_key, "is not that of the first certificate"),
    ] {
        let setup = good.clone().env(setting, path.as_str());
        setup
            .clone()
            .args(["check-config"])
            .run()
            .await
            .fails(WRONG_CONFIGURATION, &[path, said, setting]);
        let ran = setup.run().await;
        ran.fails(WRONG_CONFIGURATION, &[path, said, setting]);
        assert_eq!(ran.stdout, "", "nothing is announced");
    }
    let said = [
        "AO_WEBSOCKET__TLS_KEY",
        "websocket.tls_key is of no use without websocket.tls_certificate",
    ];
    good.clone()
        .without("AO_WEBSOCKET__TLS_CERTIFICATE")
        .run()
        .await
        .fails(WRONG_CONFIGURATION, &said);
    // Where nothing listens nobody needs the files; where something does they are looked at.
    let unused = good.clone().env("AO_GOTAPI__TLS_CERTIFICATE", &certificate);
    let unused = unused.env("AO_GOTAPI__TLS_KEY", &absent);
    unused.clone().args(["check-config"]).run().await.succeeds();
    let said = ["no TLS with AO_GOTAPI__TLS_CERTIFICATE and AO_GOTAPI__TLS_KEY", &absent];
    let used = unused.env("AO_GOTAPI__LISTEN", "127.0.0.1:0");
    used.args(["check-config"]).run().await.fails(WRONG_CONFIGURATION, &said);
    good.args(["check-config"]).run().await.succeeds();
}

/// Who renews certificates writes one file and then the other, and may err.
#[tokio::test]
async fn a_renewed_certificate_is_taken_in_while_clients_stay() {
    let mut server = Setup::new().under_tls("websocket").start().await;
    let (certificate, key) = (
        server.setup().certificate("websocket"),
        server.setup().scratch().join("websocket-key.pem"),
    );
    let old = server.setup().scratch().join("old.pem");
    fs::copy(&certificate, &old).unwrap();
    let ann = server.member("ann", "hall").await;

    fs::write(&certificate, "not yet").unwrap();
    server.logs("the new certificate can't be used").await;
    tls::connect(server.own_address("websocket"), &old).await.unwrap();

    tls::issue(&certificate, &key);
    server.logs("took a new certificate in").await;
    tls::connect(server.own_address("websocket"), &old).await.unwrap_err();
    assert!(ask(&server, "websocket", &certificate, "/readyz").await.starts_with("HTTP/1.1 200 "));
    assert_eq!(server.stderr().matches("can't be used").count(), 1, "told once");
    assert_eq!(ann.emit_with_ack("msg", &serde_json::json!({ "a": 1 })).await["status"], 0);
}

#[tokio::test]
async fn health_asks_under_tls() {
    let server = Setup::new().under_tls("websocket").start().await;
    let address = server.own_address("websocket").to_string();
    let configured = server.setup().clone().env("AO_WEBSOCKET__LISTEN", &address);
    assert_eq!(configured.args(["health"]).run().await.succeeds(), "ready\n");
    let named = |url: String| Setup::new().args(["health".to_owned(), url]);
    assert_eq!(named(format!("https://{address}/livez")).run().await.succeeds(), "ready\n");
    named(format!("http://{address}")).run().await.fails(FAILED, &["https://"]);
    named(format!("https://{}", server.api())).run().await.fails(FAILED, &["does not answer"]);
}

/// Plain HTTP, half a handshake, nothing at all: each loses its own connection and nothing else.
#[tokio::test]
async fn who_does_not_speak_tls_is_turned_away() {
    let server =
        Setup::new().under_tls("websocket").env("AO_WEBSOCKET__HEADER_TIMEOUT", "1s").start().await;
    let ann = server.member("ann", "hall").await;
    let hello_without_end = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3];
    for bytes in [&b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n"[..], &hello_without_end, b"\0", b""] {
        let mut stream = TcpStream::connect(server.own_address("websocket")).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon("the end of the connection", stream.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    // Under TLS, but then no request.
    let mut stream =
        tls::connect(server.own_address("websocket"), &server.setup().certificate("websocket"))
            .await
            .unwrap();
    let mut answer = Vec::new();
    let _ = soon("the end of the connection", stream.read_to_end(&mut answer)).await;
    assert_eq!(answer, b"");
    assert_eq!(ann.emit_with_ack("msg", &serde_json::json!({ "a": 1 })).await["status"], 0);
    assert!(!server.stderr().contains("panicked"));
}
