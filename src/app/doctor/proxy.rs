//! The way to a server through a proxy: whether a client that polls gets back to the instance that
//! has its session, and whether WebSockets come through.
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy, rt::TokioExecutor};
use tokio::time::timeout;

use super::{Finding, State};

/// Time for one request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Sessions that are opened, each looked for again so many times.
const SESSIONS: usize = 8;
const LOOKS: usize = 4;

const ABOUT: &str = "proxy";

type Client =
    legacy::Client<hyper_rustls::HttpsConnector<legacy::connect::HttpConnector>, Full<Bytes>>;

/// Asks at this URL, as clients do.
pub(super) async fn examine(url: &str) -> Vec<Finding> {
    let base = url.trim_end_matches('/');
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .build();
    // Each request on a connection of its own, as if it came from a client that has just moved.
    let client: Client =
        legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
    vec![sticky(&client, base).await, websocket(&client, base).await]
}

async fn sticky(client: &Client, base: &str) -> Finding {
    let bad = |said: String| Finding::new(ABOUT, State::Bad, said);
    let polling = format!("{base}/socket.io/?EIO=4&transport=polling");
    let mut lost = 0;
    for _ in 0..SESSIONS {
        let open = match ask(client, Method::GET, &polling, &[], Bytes::new()).await {
            Ok((StatusCode::OK, body)) => body,
            Ok((status, _)) => return bad(format!("{polling} answers {status}")),
            Err(why) => return bad(format!("{polling}: {why}")),
        };
        let Some(sid) = sid(&open) else {
            return bad(format!("{polling} does not answer as engine.io does"));
        };
        let session = format!("{polling}&sid={sid}");
        for _ in 0..LOOKS {
            // A packet that says nothing: a pong.
            match ask(client, Method::POST, &session, &[], Bytes::from_static(b"3")).await {
                Ok((StatusCode::OK, _)) => {}
                Ok(_) => lost += 1,
                Err(why) => return bad(format!("{polling}: {why}")),
            }
        }
        // Goodbye.
        let _ = ask(client, Method::POST, &session, &[], Bytes::from_static(b"1")).await;
    }
    if lost == 0 {
        let said = format!("{SESSIONS} sessions were found again {LOOKS} times each");
        return Finding::new(ABOUT, State::Good, said);
    }
    bad(format!(
        "{lost} of {} requests came to an instance that does not know their session: clients that poll need sticky sessions (docs/proxies.md)",
        SESSIONS * LOOKS
    ))
}

async fn websocket(client: &Client, base: &str) -> Finding {
    let url = format!("{base}/socket.io/?EIO=4&transport=websocket");
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    match ask(client, Method::GET, &url, &headers, Bytes::new()).await {
        Ok((StatusCode::SWITCHING_PROTOCOLS, _)) => {
            Finding::new(ABOUT, State::Good, "WebSockets come through")
        }
        Ok((status, _)) => Finding::new(
            ABOUT,
            State::Warning,
            format!(
                "a WebSocket is answered {status}: clients will poll, which costs more; let upgrades pass (docs/proxies.md)"
            ),
        ),
        Err(why) => Finding::new(ABOUT, State::Bad, format!("{url}: {why}")),
    }
}

/// The session that engine.io has opened.
pub(super) fn sid(open: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(open).ok()?;
    let json: serde_json::Value = serde_json::from_str(text.strip_prefix('0')?).ok()?;
    Some(json.get("sid")?.as_str()?.to_owned())
}

async fn ask(
    client: &Client,
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<(StatusCode, Bytes), String> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
    let answer = async {
        let response = client.request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok((status, Bytes::new()));
        }
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err("no answer in time".into()))
}
