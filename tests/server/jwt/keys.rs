//! Keys: what stops a start, what does not, and what the command line says of tokens.
use serde_json::json;

use super::token::{authenticate, now, setup, signed, token};
use support::server::Setup;

#[tokio::test]
async fn keys_that_can_not_be_used_stop_the_start_and_name_their_place() {
    let setup = Setup::new();
    let file = setup.scratch().join("keys.pem");
    std::fs::write(&file, "no key").unwrap();
    let path = file.to_str().unwrap();
    for arguments in [&["check-config"][..], &[]] {
        let with = setup.clone().env("AO_JWT__KEYS", path).args(arguments);
        with.run().await.fails(2, &[path, "neither PEM nor a JSON Web Key Set", "AO_JWT__KEYS"]);
    }
    for (name, value, said) in [
        ("AO_JWT__ALGORITHMS", "none", "expected algorithms among"),
        (
            "AO_JWT__JWKS_URL",
            "ftp://id.example/jwks",
            "expected a URL that begins with http:// or https://",
        ),
        ("AO_JWT__PREVIOUS_SECRET", "alone", "is of use with jwt.secret alone"),
        ("AO_ROOMS__ACCESS", "claims", "there are no keys for tokens"),
        ("AO_JWT__GRACE", "soon", "expected a duration"),
    ] {
        setup.clone().env(name, value).run().await.fails(2, &[name, said]);
    }
}

#[tokio::test]
async fn a_server_starts_without_the_set_of_keys_and_says_so() {
    // Nobody listens there.
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks", unused.local_addr().unwrap());
    drop(unused);
    let mut server = Setup::new().env("AO_JWT__JWKS_URL", &url).start().await;
    server.logs("nobody can sign in by a token that they signed").await;
    let mut guest = server.guest().await;
    let answer = authenticate(&mut guest, "ann", "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.c2ln");
    assert_eq!(answer.await, json!({ "status": 1, "data": "server error" }), "and comes back");
    server.member("ben", "attic").await; // plain tokens are as good as ever
}

#[tokio::test]
async fn the_command_line_says_why_a_token_is_refused() {
    let good = token("ann", 600, json!({ "caps": [] }));
    let ran = setup().args(["token", "verify", &good]).run().await;
    let said = ran.succeeds();
    assert!(said.starts_with("accepted for the user \"ann\", for another "), "{said}");
    assert!(said.contains("caps: []"), "{said}");
    assert!(said.contains("revocations: not looked at"), "{said}");
    let undated = signed(&json!({ "sub": "ann", "exp": now() + 60 }));
    let ran = setup().args(["token", "verify", &undated]).run().await;
    assert!(ran.succeeds().contains("has no iat, so it counts as older than each"));
    for (token, said) in [
        (signed(&json!({ "sub": "ann", "exp": now() - 60 })), "expired: it expired 6"),
        (signed(&json!({ "sub": "ann" })), "no expiry: its exp is missing"),
        (format!("{good}x"), "signature: its signature is wrong"),
        ("eyJhbGciOiJub25lIn0.e30.".to_owned(), "algorithm: its algorithm is unknown, or none"),
        ("plain".to_owned(), "malformed: it does not have three parts"),
    ] {
        let ran = setup().args(["token", "verify", &token]).run().await;
        ran.fails(1, &[said]);
    }
    Setup::new().args(["token", "verify", &good]).run().await.fails(2, &["there are no keys"]);
}
