//! Credentials: the first administrator's, and those that the command line makes beside a running
//! server.
use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::json;

use support::{
    client::Packet,
    http,
    server::{Server, Setup},
    soon,
};

const NO_SUCH_ACCOUNT: i32 = 5;

#[tokio::test]
async fn the_first_start_shows_an_administrator_once() {
    let mut server = Server::start().await;
    let (uid, token) = server.admin();
    assert_eq!(server.says("admin uid: ").await, format!("admin uid: {uid}"));
    assert_eq!(server.says("admin token: ").await, format!("admin token: {token}"));
    assert!(is_admin(&server, &uid, &token).await);
    let file = server.setup().data().join("admin-credential");
    let named = server.says("kept in").await;
    assert!(named.contains(file.to_str().unwrap()), "{named}");

    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(server.setup().data()), 0o700);
    for file in fs::read_dir(server.setup().data()).unwrap().map(|entry| entry.unwrap().path()) {
        assert_eq!(mode(file.clone()), 0o600, "{}", file.display());
    }

    assert_eq!(server.terminate().await, 0);
    assert_eq!(server.stdout().matches(&token).count(), 1);
    server.restart().await;
    assert!(is_admin(&server, &uid, &token).await, "the credential lasts");
    assert_eq!(server.terminate().await, 0);
    assert!(
        !server.stdout().contains("admin uid") && !server.stdout().contains(&token),
        "{}",
        server.stdout()
    );
    assert!(!server.stderr().contains(&token));
}

#[tokio::test]
async fn tokens_of_users_change_beside_a_running_server() {
    let server = Server::start().await;
    let run =
        async |action: &str| server.setup().clone().args(["token", action, "alice"]).run().await;
    run("refresh").await.fails(NO_SUCH_ACCOUNT, &["alice does not exist"]);
    run("revoke").await.fails(NO_SUCH_ACCOUNT, &["alice does not exist"]);

    let first = token(run("create").await.succeeds());
    assert!(is_user(&server, "alice", &first).await);
    run("create").await.fails(NO_SUCH_ACCOUNT, &["alice exists already"]);
    assert!(is_user(&server, "alice", &first).await, "a refused create changes nothing");

    let second = token(run("refresh").await.succeeds());
    assert_ne!(first, second);
    assert!(!is_user(&server, "alice", &first).await);
    assert!(is_user(&server, "alice", &second).await);

    let mut alice = server.guest().await;
    alice.sign_in("alice", &second).await;
    let said = run("revoke").await.succeeds().to_owned();
    assert_eq!(
        said,
        format!(
            "open connections: 1, ended by the server on {}\n",
            server.setup().data().display()
        )
    );
    let rest = alice.rest().await;
    assert!(rest.iter().any(|packet| matches!(packet, Packet::Disconnect)), "{rest:?}");
    assert!(!is_user(&server, "alice", &second).await);
    run("revoke").await.fails(NO_SUCH_ACCOUNT, &["alice does not exist"]);
    // An administrator is no user, and a user no administrator.
    let (admin, secret) = server.admin();
    assert!(!is_user(&server, &admin, &secret).await);
}

#[tokio::test]
async fn administrators_change_beside_a_running_server() {
    let server = Server::start().await;
    let run = async |arguments: &[&str]| {
        server.setup().clone().args(["admin"].iter().chain(arguments)).run().await
    };
    assert_eq!(run(&["list"]).await.succeeds(), "admin\n");
    let secret = token(run(&["create", "zoe"]).await.succeeds());
    assert!(is_admin(&server, "zoe", &secret).await);
    assert!(!is_user(&server, "zoe", &secret).await);
    run(&["create", "zoe"]).await.fails(NO_SUCH_ACCOUNT, &["zoe exists already"]);
    assert_eq!(run(&["list"]).await.succeeds(), "admin\nzoe\n");

    assert_eq!(run(&["remove", "zoe"]).await.succeeds(), "");
    is_no_admin_any_more(&server, "zoe", &secret).await;
    run(&["remove", "zoe"]).await.fails(NO_SUCH_ACCOUNT, &["zoe does not exist"]);
    assert_eq!(run(&["list"]).await.succeeds(), "admin\n");
}

#[tokio::test]
async fn administrators_who_only_read_share_names_with_the_others_and_have_less() {
    let server = Server::start().await;
    let run = async |arguments: &[&str]| {
        server.setup().clone().args(["admin"].iter().chain(arguments)).run().await
    };
    let secret = token(run(&["create", "eve", "--role", "reader"]).await.succeeds());
    assert_eq!(run(&["list"]).await.succeeds(), "admin\neve\treader\n");
    assert!(is_admin(&server, "eve", &secret).await, "she may look");
    assert!(!is_user(&server, "eve", &secret).await);
    run(&["create", "eve"])
        .await
        .fails(NO_SUCH_ACCOUNT, &["eve exists already, in the other role"]);
    let reader = ["create", "admin", "--role", "reader"];
    run(&reader).await.fails(NO_SUCH_ACCOUNT, &["admin exists already, in the other role"]);
    assert_eq!(run(&["remove", "eve"]).await.succeeds(), "");
    is_no_admin_any_more(&server, "eve", &secret).await;
    assert_eq!(run(&["list"]).await.succeeds(), "admin\n");
}

/// An account that was made before the first start is there, and an administrator of one's own
/// makes the default one needless.
#[tokio::test]
async fn accounts_can_be_made_before_the_first_start() {
    let setup = Setup::new();
    let run =
        async |arguments: [&str; 3]| token(setup.clone().args(arguments).run().await.succeeds());
    let (zoe, alice) =
        (run(["admin", "create", "zoe"]).await, run(["token", "create", "alice"]).await);
    let mut server = setup.clone().start().await;
    assert!(is_admin(&server, "zoe", &zoe).await);
    assert!(is_user(&server, "alice", &alice).await);
    let revoke =
        async || setup.clone().args(["token", "revoke", "alice"]).run().await.succeeds().to_owned();
    assert_eq!(server.terminate().await, 0);
    assert!(!server.stdout().contains("admin token"), "{}", server.stdout());
    assert!(!setup.data().join("admin-credential").exists());
    assert_eq!(
        revoke().await,
        format!("open connections: none, as no server runs on {}\n", setup.data().display())
    );
}

/// What a command printed, which has to be a token alone on the last line.
#[track_caller]
fn token(printed: &str) -> String {
    let last = printed.strip_suffix('\n').expect("a line").lines().last().unwrap();
    assert!(
        last.len() == 24 && last.bytes().all(|b| b.is_ascii_alphanumeric()),
        "no token: {printed:?}"
    );
    last.to_owned()
}

async fn is_user(server: &Server, uid: &str, token: &str) -> bool {
    let mut guest = server.guest().await;
    guest.emit("authenticate", &json!({ "uid": uid, "token": token }));
    let answer = guest.event("authenticate").await;
    let refused = json!({ "status": 1, "data": "auth failed, uid or token is wrong" });
    assert!(answer["status"] == 0 || answer == refused, "{answer}");
    answer["status"] == 0
}

/// Who was right a moment ago is right for a second more, where the command line says otherwise.
async fn is_no_admin_any_more(server: &Server, uid: &str, token: &str) {
    let refused = async {
        while is_admin(server, uid, token).await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    soon("the end of an administrator", refused).await;
}

async fn is_admin(server: &Server, uid: &str, token: &str) -> bool {
    let answer =
        http::get(server.websocket(), &format!("/admin/monitor/stat?uid={uid}&token={token}"))
            .await
            .json();
    assert!(
        ["success", "require permission"].contains(&answer["meta"]["msg"].as_str().unwrap()),
        "{answer}"
    );
    answer["meta"]["status"] == 0
}
