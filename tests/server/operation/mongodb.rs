//! A server whose tokens are in MongoDB, and the command line beside it.
use std::time::{Duration, Instant};

use ::mongodb::bson::doc;
use serde_json::json;

use super::NO_STORE;
use support::{
    client::{Client, Packet},
    database::Scratch,
    http,
    ports::{self, Deserted},
    server::{Ran, Server, Setup},
};

fn with_tokens_in(scratch: &Scratch) -> Setup {
    Setup::new().env("AO_STORE__TOKENS", &scratch.url)
}

async fn ran(server: &Server, arguments: &[&str]) -> Ran {
    server.setup().clone().args(arguments.iter().copied()).run().await
}

/// Makes a token as a business server does, with an administrator's credentials.
async fn made(server: &Server, admin: &str, uid: &str) -> String {
    let path = format!("/user/create_token?uid=ops&token={admin}");
    let answer = http::post(server.api(), &path, &json!({ "uid": uid })).await.json();
    answer["data"]["token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
}

async fn lets_in(server: &Server, uid: &str, token: &str) -> bool {
    let mut guest: Client = server.guest().await;
    guest.emit("authenticate", &json!({ "uid": uid, "token": token }));
    guest.event("authenticate").await["status"] == 0
}

#[tokio::test]
async fn tokens_in_mongodb_are_made_revoked_and_sealed_beside_a_running_server() {
    let scratch = Scratch::new();
    let mut server = with_tokens_in(&scratch).start().await;
    server.logs("there is no administrator").await;
    server.logs("plain text").await;
    assert!(
        !server.stdout().contains("admin token")
            && !server.setup().data().join("admin-credential").exists()
    );
    // What is open on a machine's own store is not open on one that others share.
    let open =
        http::post(server.api(), "/user/create_token", &json!({ "uid": "anna" })).await.json();
    assert_eq!(open["meta"]["msg"], "require permission", "{open}");

    let ops = ran(&server, &["admin", "create", "ops"]).await.succeeds().trim().to_owned();
    assert_eq!(ran(&server, &["admin", "list"]).await.succeeds(), "ops\n");
    let (anna, bert) = (made(&server, &ops, "anna").await, made(&server, &ops, "bert").await);
    assert!(lets_in(&server, "anna", &anna).await && !lets_in(&server, "anna", &bert).await);
    let mut signed_in = server.guest().await;
    signed_in.sign_in("bert", &bert).await;
    let said = ran(&server, &["token", "revoke", "bert"]).await;
    assert!(
        said.succeeds().starts_with("open connections: 1, ended by the server on "),
        "{said:?}"
    );
    let rest = signed_in.rest().await;
    assert!(rest.iter().any(|packet| matches!(packet, Packet::Disconnect)), "{rest:?}");
    assert!(!lets_in(&server, "bert", &bert).await);

    assert!(ran(&server, &["token", "seal"]).await.succeeds().contains("sealed 2 tokens"));
    assert!(lets_in(&server, "anna", &anna).await);
    let cora = made(&server, &ops, "cora").await;
    assert!(lets_in(&server, "cora", &cora).await);
    for collection in ["users", "admins"] {
        let accounts = scratch.collection(collection).await;
        let plain = accounts.count_documents(doc! { "token": { "$exists": true } });
        assert_eq!(plain.await.unwrap(), 0, "{collection}");
    }

    assert_eq!(server.terminate().await, 0);
    for secret in [&ops, &anna, &bert, &cora] {
        assert!(!server.stderr().contains(secret.as_str()), "a secret is logged");
    }
    server.restart().await;
    assert!(lets_in(&server, "anna", &anna).await);
    assert_eq!(server.terminate().await, 0);
    assert!(
        !server.stderr().contains("plain text") && !server.stderr().contains("no administrator"),
        "{}",
        server.stderr()
    );
}

#[tokio::test]
async fn a_mongodb_that_cannot_be_used_is_told_in_time() {
    let scratch = Scratch::new();
    let deserted = Deserted::new();
    let unreachable = format!("mongodb://anna:s3cret@{}/", deserted.address());
    for (url, said) in [
        (scratch.url_with("nobody:s3cret@", ""), "refuses this user or password"),
        (unreachable, "no MongoDB answers"),
    ] {
        for arguments in
            [&["all"][..], &["token", "create", "anna"], &["admin", "list"], &["token", "seal"]]
        {
            let begin = Instant::now();
            let setup = Setup::new().env("AO_STORE__TOKENS", &url).env("AO_STORE__DEADLINE", "2s");
            let ran = setup.args(arguments.iter().copied()).run().await;
            ran.fails(NO_STORE, &[said, "AO_STORE__TOKENS", "://***@"]);
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{arguments:?} took {:?}",
                begin.elapsed()
            ); // not for ever
            assert!(!format!("{ran:?}").contains("s3cret"), "{ran:?}");
        }
    }
}

/// A mongod of one test alone, which asks for credentials.
struct Guarded {
    _process: tokio::process::Child,
    _folder: tempfile::TempDir,
    port: u16,
    admin: ::mongodb::Client,
}

impl Guarded {
    async fn start() -> Guarded {
        let program = std::env::var_os("MONGOD_BIN").expect(
            "MONGOD_BIN names no mongod: run the tests with scripts/test, which installs one",
        );
        let folder = tempfile::tempdir().unwrap();
        let port = ports::free();
        let process = tokio::process::Command::new(program)
            .args([
                "--auth",
                "--bind_ip",
                "127.0.0.1",
                "--nounixsocket",
                "--wiredTigerCacheSizeGB",
                "0.25",
                "--port",
                &port.to_string(),
            ])
            .arg("--dbpath")
            .arg(folder.path())
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // The first user may be made from the same machine; the driver waits until the server is
        // there.
        let nobody = ::mongodb::Client::with_uri_str(format!(
            "mongodb://127.0.0.1:{port}/?directConnection=true"
        ))
        .await
        .unwrap();
        let roles = [doc! { "role": "root", "db": "admin" }];
        let root = doc! { "createUser": "root", "pwd": "r00t", "roles": roles };
        nobody.database("admin").run_command(root).await.unwrap();
        let admin = ::mongodb::Client::with_uri_str(format!(
            "mongodb://root:r00t@127.0.0.1:{port}/?directConnection=true"
        ))
        .await
        .unwrap();
        Guarded { _process: process, _folder: folder, port, admin }
    }

    /// A user who may do these things in `account`, and the URL for it.
    async fn user(&self, name: &str, actions: &[&str]) -> String {
        let database = self.admin.database("admin");
        let privileges = vec![
            doc! { "resource": { "db": "account", "collection": "" }, "actions": actions.to_vec() },
        ];
        database
            .run_command(doc! { "createRole": name, "privileges": privileges, "roles": [] })
            .await
            .unwrap();
        database
            .run_command(doc! { "createUser": name, "pwd": "s3cret", "roles": [name] })
            .await
            .unwrap();
        format!("mongodb://{name}:s3cret@127.0.0.1:{}/?authSource=admin", self.port)
    }
}

#[tokio::test]
async fn without_the_right_to_make_an_index_there_has_to_be_one() {
    let mongo = Guarded::start().await;
    let writer = mongo.user("writer", &["find", "insert", "update", "remove", "listIndexes"]).await;
    let create = |url: &str, uid: &str| {
        Setup::new().env("AO_STORE__TOKENS", url).args(["token", "create", uid])
    };
    let refused = create(&writer, "anna").run().await;
    refused.fails(NO_STORE, &["index", "users", "://***@"]);
    assert!(!format!("{refused:?}").contains("s3cret"), "{refused:?}");

    let owner = mongo
        .user("owner", &["find", "insert", "update", "remove", "listIndexes", "createIndex"])
        .await;
    create(&owner, "anna").run().await.succeeds();
    create(&writer, "bert").run().await.succeeds();
}

#[tokio::test]
async fn the_embedded_store_has_nothing_to_seal() {
    let ran = Setup::new().args(["token", "seal"]).run().await;
    assert!(ran.succeeds().contains("always keeps hashes"), "{ran:?}");
}
