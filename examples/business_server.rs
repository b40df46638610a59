//! A business server: the part of your own backend that lets your users into always-online.
//!
//! Its users log in with a name and a password. It asks the token API for a token of that user,
//! with an administrator's credentials, and answers `{url, uid, token}`: all that a client needs to
//! connect. Tokens are made here and nowhere else, because who can make tokens can be anybody. That
//! is why the token API (port 4000) stays in the private network and the administrator's token
//! never gets into an app or a page.
//!
//! It needs a running server (`cargo run --release`), which printed an administrator's uid and
//! token when it was first started. In the repository's root:
//!
//! ```text
//! ADMIN_UID=admin ADMIN_TOKEN=… cargo run --example business_server
//! ```
//!
//! Then a client logs in, and http://127.0.0.1:8080 shows the page `examples/page.html`, which does the same:
//!
//! ```text
//! curl -H 'content-type: application/json' -d '{"user":"alice","password":"wonderland"}' http://127.0.0.1:8080/login
//! ```
//!
//! Also read: `LISTEN` (127.0.0.1:8080), `API_URL` (http://127.0.0.1:4000), `EVENTS_URL` (http://127.0.0.1:3000, where the clients connect; in a product
//! `https://…`, as tokens and messages go there).

use std::{env, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Stands for your user table, which holds no passwords but their hashes. In a product `/login`
/// also needs a limit on attempts.
const USERS: [(&str, &str); 2] = [("alice", "wonderland"), ("bob", "builder")];

/// The token API itself gives up on its store after 8 s.
const API_PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let backend = Arc::new(Backend {
        api_url: setting("API_URL", Some("http://127.0.0.1:4000"))?,
        events_url: setting("EVENTS_URL", Some("http://127.0.0.1:3000"))?,
        admin_uid: setting("ADMIN_UID", None)?,
        admin_token: setting("ADMIN_TOKEN", None)?,
        // A proxy of the environment is for the world outside, and the credentials are not for a
        // proxy.
        http: reqwest::Client::builder().timeout(API_PATIENCE).no_proxy().build()?,
    });
    let listen = setting("LISTEN", Some("127.0.0.1:8080"))?;
    let listener = tokio::net::TcpListener::bind(&listen)
        .await
        .with_context(|| format!("can't listen on {listen}"))?;
    println!("business server http://{}", listener.local_addr()?);

    let routes =
        Router::new().route("/", get(page)).route("/login", post(login)).with_state(backend);
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    Ok(axum::serve(listener, routes).with_graceful_shutdown(interrupted).await?)
}

fn setting(name: &str, default: Option<&str>) -> anyhow::Result<String> {
    env::var(name).ok().or(default.map(str::to_owned)).with_context(|| format!("{name} is not set"))
}

async fn page() -> Response {
    match tokio::fs::read_to_string("examples/page.html").await {
        Ok(page) => Html(page).into_response(),
        Err(error) => {
            (StatusCode::NOT_FOUND, format!("examples/page.html: {error}")).into_response()
        }
    }
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

/// What a client connects with.
#[derive(Serialize)]
struct Ticket {
    url: String,
    uid: String,
    token: String,
}

async fn login(
    State(backend): State<Arc<Backend>>,
    Json(login): Json<Login>,
) -> Result<Response, Failure> {
    if !USERS.contains(&(login.user.as_str(), login.password.as_str())) {
        return Err(Failure::WrongPassword);
    }
    // The uid that others in a room see. It may be any stable name of the user, the key in your
    // table for one.
    let uid = login.user;
    let token = backend.token(&uid).await?;
    let ticket = Ticket { url: backend.events_url.clone(), uid, token };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(ticket)).into_response())
}

struct Backend {
    api_url: String,
    events_url: String,
    admin_uid: String,
    admin_token: String,
    http: reqwest::Client,
}

/// What the token API answers, with HTTP 200 whatever happened.
#[derive(Deserialize)]
struct Answer {
    meta: Meta,
    data: serde_json::Value,
}

#[derive(Deserialize)]
struct Meta {
    status: u32,
    msg: String,
}

impl Backend {
    /// A new token for `uid`, who is made known to the server if need be.
    ///
    /// Refreshing makes the old token dead at once: who is connected with it stays, but can't come
    /// back with it. Here that is as it should be, as a user has one session anyway, and a new
    /// one ends the old one (`kickout`). A backend whose users change between devices without
    /// logging in again keeps the token, as carefully as a password, and hands out the same one
    /// until it is to be revoked.
    async fn token(&self, uid: &str) -> Result<String, Failure> {
        let mut answer = self.ask("create_token", uid).await?;
        // The text and not the number, which depends on the server's AO_COMPAT.
        if answer.meta.msg.starts_with("user exists") {
            answer = self.ask("refresh_token", uid).await?;
        }
        match answer.data["token"].as_str() {
            Some(token) if answer.meta.status == 0 => Ok(token.to_owned()),
            _ if answer.meta.msg.starts_with("server error") => {
                Err(Failure::Unreachable(answer.meta.msg))
            }
            _ => Err(Failure::Refused(answer.meta.msg)),
        }
    }

    async fn ask(&self, route: &str, uid: &str) -> Result<Answer, Failure> {
        let request = self
            .http
            .post(format!("{}/user/{route}", self.api_url))
            .basic_auth(&self.admin_uid, Some(&self.admin_token))
            .json(&json!({ "uid": uid }));
        let answer = async { request.send().await?.error_for_status()?.json().await };
        answer.await.map_err(|error: reqwest::Error| {
            Failure::Unreachable(format!("{:#}", anyhow::Error::from(error)))
        })
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("user or password is wrong")]
    WrongPassword,
    /// It may work in a moment: the client may try again.
    #[error("the token API does not answer: {0}")]
    Unreachable(String),
    /// It won't: `require permission` says that ADMIN_UID or ADMIN_TOKEN is wrong.
    #[error("the token API refused: {0}")]
    Refused(String),
}

/// The client learns what it can act on. The rest is for the log.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, told) = match &self {
            Failure::WrongPassword => (StatusCode::UNAUTHORIZED, "user or password is wrong"),
            Failure::Unreachable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "not now, try again in a moment")
            }
            Failure::Refused(_) => (StatusCode::INTERNAL_SERVER_ERROR, "something is wrong here"),
        };
        eprintln!("login: {self}");
        (status, Json(json!({ "error": told }))).into_response()
    }
}
