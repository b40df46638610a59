//! Ready means: whoever comes now can sign in, join and have something stored.
use std::time::Duration;

use serde_json::json;

use support::{
    client::Client,
    http,
    server::{Server, Setup},
    soon,
};

/// Waits until the server says this of itself, on the listener of socket.io.
async fn says(server: &Server, status: u16, word: &str) {
    let wait = async {
        loop {
            let answer = http::get(server.websocket(), "/readyz").await;
            if answer.status == status {
                return assert_eq!(answer.json(), json!({ "status": word }));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon(format!("{status} {word}"), wait).await;
}

async fn stores(client: &Client, id: &str) -> bool {
    client.emit_with_ack("msg", &json!({ "1": id })).await["status"] == 0
}

#[tokio::test]
async fn a_server_on_a_full_disk_is_not_ready_and_is_again_when_there_is_room() {
    for durability in ["process", "power"] {
        let setup = Setup::new()
            .env("AO_STORE__PATIENCE", "1s")
            .env("AO_STORE__DURABILITY", durability)
            .may_be_limited();
        let mut server = setup.start().await;
        let anna = server.member("anna", "attic").await;
        assert!(stores(&anna, "before").await);

        server.limit_files("1");
        assert!(!stores(&anna, "full").await);
        says(&server, 503, "store not writable").await;
        // It can be read all the same: nobody is sent away, and it lives.
        assert_eq!(http::get(server.websocket(), "/livez").await.status, 200);
        for _ in 0..100 {
            http::get(server.api(), "/readyz").await;
        }

        server.limit_files("unlimited");
        says(&server, 200, "ready").await;
        assert!(stores(&anna, "after").await);
        assert_eq!(server.terminate().await, 0);
        let said = server.stderr().lines().filter(|line| line.contains("not ready")).count();
        assert_eq!(said, 1, "once, however often it is asked: {}", server.stderr());
    }
}
