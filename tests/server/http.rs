//! Plain HTTP: the token API, administration, the demo page, health, and what pages of other
//! origins may do. Above all what callers do wrong: bodies, parameters, credentials, routes and
//! methods.

mod answers;
mod bodies;
mod credentials;
mod origins;
mod rooms;
mod routes;

use std::net::SocketAddr;

use serde_json::Value;

use support::{
    http::{self, Answer},
    server::Server,
};

const JSON: (&str, &str) = ("content-type", "application/json");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

const ADMIN: [(&str, &str); 6] = [
    ("GET", "/admin/monitor/stat"),
    ("GET", "/admin/monitor/room_users"),
    ("GET", "/admin/monitor/room_msgs"),
    ("POST", "/admin/system/push"),
    ("POST", "/admin/system/config"),
    ("POST", "/admin/system/clear_room_msgs"),
];
const USER: [&str; 2] = ["/user/create_token", "/user/refresh_token"];

/// The administrator's credentials as a query.
fn admin(server: &Server) -> String {
    let (uid, token) = server.admin();
    format!("uid={uid}&token={token}")
}

/// Number and text of an answer in the original's envelope, which is always an HTTP 200.
#[track_caller]
fn meta(answer: &Answer) -> (u64, String) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    assert!(json["data"].is_object(), "{answer:?}");
    (json["meta"]["status"].as_u64().unwrap(), json["meta"]["msg"].as_str().unwrap().to_owned())
}

/// An error outside the envelope: JSON that says what is wrong.
#[track_caller]
fn refused(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert!(answer.json()["error"].as_str().is_some_and(|e| !e.is_empty()), "{answer:?}");
}

/// POST of JSON text.
async fn post(address: SocketAddr, target: &str, body: &str) -> Answer {
    http::request(address, "POST", target, &[JSON], body).await
}

/// POST with an administrator's credentials to the API.
async fn user(server: &Server, route: &str, body: &str) -> Answer {
    post(server.api(), &format!("{route}?{}", admin(server)), body).await
}

/// A request with an administrator's credentials to `/admin`; `query` begins with `&` or is empty.
async fn administer(server: &Server, method: &str, route: &str, query: &str, body: &str) -> Answer {
    http::request(
        server.websocket(),
        method,
        &format!("{route}?{}{query}", admin(server)),
        &[JSON],
        body,
    )
    .await
}

#[track_caller]
fn data(answer: &Answer) -> Value {
    assert_eq!(meta(answer), (0, "success".to_owned()), "{answer:?}");
    answer.json()["data"].clone()
}
