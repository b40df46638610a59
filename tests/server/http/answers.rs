//! The two sets of numbers that the original's README and its code use.
use super::{USER, administer, meta, user};
use support::{
    http,
    server::{Server, Setup},
    wire::unharmed,
};

/// The same requests, in this order, on a fresh server; each with what it answers.
async fn answers(server: &Server) -> Vec<(u64, String)> {
    vec![
        meta(&user(server, USER[0], r#"{"uid":"ivan"}"#).await),
        meta(&user(server, USER[0], r#"{"uid":"ivan"}"#).await),
        meta(&user(server, USER[1], r#"{"uid":"judy"}"#).await),
        meta(&user(server, USER[0], "{}").await),
        meta(&http::get(server.websocket(), "/admin/monitor/stat").await),
        meta(
            &administer(
                server,
                "POST",
                "/admin/system/push",
                "",
                r#"{"roomId":"nowhere","content":1}"#,
            )
            .await,
        ),
        meta(
            &administer(server, "POST", "/admin/system/config", "", r#"{"forceUserAuth":false}"#)
                .await,
        ),
        meta(
            &administer(server, "POST", "/admin/system/config", "", r#"{"forceUserAuth":7}"#).await,
        ),
    ]
}

#[tokio::test]
async fn numbers_are_those_of_the_readme_or_of_the_code() {
    let documented = [
        (0, "success"),
        (1, "user exists"),
        (5, "user not exists"),
        (4, "param error"),
        (6, "require permission"),
        (7, "room not exists"),
        (2, "operation failed"),
        (4, "param error"),
    ];
    let deployed = [
        (0, "success"),
        (2, "user exists, please use refresh token api"),
        (6, "user not exists"),
        (5, "param error"),
        (1, "require permission"),
        (7, "room not exists"),
        (3, "operation failed"),
        (5, "param error"),
    ];
    for (compat, expected) in [("documented", documented), ("deployed", deployed)] {
        let server = Setup::new()
            .env("AO_COMPAT", compat)
            .env("AO_ADMIN__AUTH_SWITCH", "false")
            .start()
            .await;
        assert_eq!(
            answers(&server).await,
            expected.map(|(number, text)| (number, text.to_owned())),
            "{compat}"
        );
        unharmed(&server).await;
    }
}
