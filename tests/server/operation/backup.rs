//! The command `backup`, beside a server that writes.
use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::json;

use super::diagnostics::readiness;
use support::{
    http,
    server::{Server, Setup},
    stored::Stored,
};

const NO_STORE: i32 = 4;

#[tokio::test]
async fn what_was_acknowledged_before_a_backup_is_in_it() {
    let server = Server::start().await;
    let writer = server.member("anna", "attic").await;
    for i in 0..300 {
        writer.send(&json!({ "s": 0, "i": i })).await;
    }
    writer.send(&json!({ "s": 1, "1": "board", "i": "last" })).await;
    let file = server.setup().scratch().join("kept.sqlite3");
    let command = server.setup().clone().args(["backup", file.to_str().unwrap()]);
    // It goes on writing all the while.
    let write = async {
        for i in 300.. {
            writer.send(&json!({ "s": 0, "i": i })).await;
        }
    };
    let ran = tokio::select! {
        ran = command.run() => ran,
        () = write => unreachable!(),
    };
    let said = ran.succeeds();
    let number = |what: &str| {
        said.lines()
            .find_map(|l| l.strip_prefix(what))
            .unwrap_or_else(|| panic!("{what} {said}"))
            .parse::<u64>()
            .unwrap()
    };
    assert_eq!((number("rooms: "), number("bytes: ")), (1, fs::metadata(&file).unwrap().len()));
    assert!(number("messages: ") >= 301, "{said}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&file).unwrap();
    command.run().await.fails(1, &[file.to_str().unwrap(), "overwrites nothing"]);
    assert_eq!(fs::read(&file).unwrap(), before);

    // The way that --help names.
    let fresh = Setup::new();
    fs::create_dir(fresh.data()).unwrap();
    fs::copy(&file, fresh.data().join("always-online.sqlite3")).unwrap();
    let restored = fresh.start().await;
    let mut reader = restored.member("reader", "attic").await;
    let stored = Stored::walk(&mut reader, false).await;
    let numbers: Vec<_> = stored.inserts.iter().map(|m| m["i"].as_u64().unwrap()).collect();
    assert!(numbers.len() >= 300);
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(stored.updates[0]["i"], "last");
}

#[tokio::test]
async fn without_a_store_there_is_no_backup() {
    let setup = Setup::new();
    setup
        .clone()
        .args(["backup", "kept.sqlite3"])
        .run()
        .await
        .fails(NO_STORE, &["there is no", "AO_STORE__PATH"]);
    assert!(!setup.data().exists() && !setup.scratch().join("kept.sqlite3").exists());
}

#[tokio::test]
async fn a_backup_that_is_put_back_under_a_running_server_is_noticed() {
    let mut server = Server::start().await;
    let file = server.setup().scratch().join("kept.sqlite3");
    server.setup().clone().args(["backup", file.to_str().unwrap()]).run().await.succeeds();
    fs::rename(&file, server.setup().data().join("always-online.sqlite3")).unwrap();
    readiness(&server, 503).await;
    for _ in 0..3 {
        let answer = http::get(server.api(), "/readyz").await;
        assert_eq!(
            (answer.status, answer.json()),
            (503, json!({ "status": "database file replaced" }))
        );
    }
    server.logs("the database file was moved, deleted or replaced").await;
    assert_eq!(server.terminate().await, 0);
    assert_eq!(
        server.stderr().matches("the database file was moved").count(),
        1,
        "{}",
        server.stderr()
    );
}
