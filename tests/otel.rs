//! Traces, on whole servers: what a collector gets, what goes along with requests, and that nobody
//! suffers where there is no collector. Of a build with the cargo feature `otel`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, to fail is to panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test has no task tracker: what it spawns ends with it"
)]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value as Any,
    trace::v1::{Span, span::SpanKind, status::StatusCode as SpanStatus},
};
use prost::Message;
use serde_json::json;
use support::{
    http,
    receiver::{Received, Receiver, Reply},
    server::{Server, Setup},
    soon,
};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::JoinHandle,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// What somebody sent, in forms that can be found.
const UID: &str = "uid-of-ann";
const ROOM: &str = "room-of-ann";
const TEXT: &str = "text-of-ann";
const KEY: &str = "key-of-collector";
/// A trace of the business server that calls the API, and its span.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
/// Another one, which that server does not record.
const UNWANTED: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Takes traces by OTLP over HTTP, as collectors do. It ends with this.
struct Collector {
    address: SocketAddr,
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    count: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Collector {
    async fn start() -> Collector {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), "/v1/traces")
    }

    fn serve(listener: TcpListener, path: &str) -> Collector {
        let address = listener.local_addr().unwrap();
        let (got, (counted, count)) = (Arc::<Mutex<Vec<_>>>::default(), watch::channel(0));
        let kept = got.clone();
        let take = post(move |headers: HeaderMap, body: Bytes| async move {
            kept.lock().unwrap().push((headers, body));
            counted.send_modify(|count| *count += 1);
            StatusCode::OK
        });
        let router = Router::new().route(path, take);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Collector { address, got, count, task }
    }

    /// A server that traces everything for it.
    fn setup(&self) -> Setup {
        traced_for(self.address)
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let got = self.got.lock().unwrap();
        got.iter()
            .map(|(_, body)| ExportTraceServiceRequest::decode(body.clone()).unwrap())
            .collect()
    }

    /// All spans that have come.
    fn spans(&self) -> Vec<Span> {
        let scopes = self.requests().into_iter().flat_map(|request| request.resource_spans);
        scopes.flat_map(|of| of.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// Whether a request says which span it was sent by, and that has come.
    fn has(&self, request: &Received) -> bool {
        let name = if request.body.contains("\"hook.") { "hook" } else { "webhook" };
        let (trace, sender) = sent_by(request);
        let is_it = |span: &Span| {
            span.name == name && hex(&span.trace_id) == trace && hex(&span.span_id) == sender
        };
        self.spans().iter().any(is_it)
    }

    /// Waits until these spans have come, each so often, and returns all.
    async fn wait_for(&self, names: &[(&str, usize)]) -> Vec<Span> {
        let mut count = self.count.clone();
        let all_there = |spans: &[Span]| {
            let times = |name: &str| spans.iter().filter(|span| span.name == name).count();
            names.iter().all(|(name, least)| times(name) >= *least)
        };
        soon(format!("spans {names:?}"), async {
            loop {
                count.mark_unchanged();
                let spans = self.spans();
                if all_there(&spans) {
                    return spans;
                }
                count.changed().await.unwrap();
            }
        })
        .await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn traced_for(collector: SocketAddr) -> Setup {
    Setup::new()
        .env("AO_OTEL__ENDPOINT", format!("http://{collector}"))
        .env("AO_OTEL__SAMPLE", "1")
        .env("AO_OTEL__HEADERS", format!("authorization=Bearer {KEY}"))
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parent<'a>(spans: &'a [Span], of: &Span) -> Option<&'a Span> {
    spans.iter().find(|span| span.span_id == of.parent_span_id && span.trace_id == of.trace_id)
}

/// The names of a span and of what it is a part of, from the inside out.
fn line(spans: &[Span], of: &Span) -> Vec<String> {
    let up = std::iter::successors(Some(of), |span| parent(spans, span));
    up.map(|span| span.name.clone()).collect()
}

fn lines(spans: &[Span]) -> Vec<Vec<String>> {
    spans.iter().map(|span| line(spans, span)).collect()
}

fn note(span: &Span, key: &str) -> Option<Any> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == key)?;
    attribute.value.clone()?.value
}

/// The trace and the span that a request was sent as a part of.
fn sent_by(request: &Received) -> (String, String) {
    let parts: Vec<&str> =
        request.header("traceparent").expect("a traceparent").split('-').collect();
    let [version, trace, span, flags] = parts[..] else { panic!("{parts:?}") };
    assert_eq!((version, flags), ("00", "01"));
    assert_eq!(request.header("tracestate"), None, "it would say nothing");
    (trace.to_owned(), span.to_owned())
}

/// How many spans no collector got.
async fn lost(server: &Server) -> u64 {
    let metrics = http::get(server.api(), "/metrics").await.body;
    let mut lines = metrics.lines();
    let lost = lines.find_map(|line| line.strip_prefix("always_online_spans_lost_total "));
    lost.expect("the metric").parse().unwrap()
}

async fn publish(server: &Server, traceparent: Option<&str>) {
    let (uid, token) = server.admin();
    let authorization = format!("Basic {}", STANDARD.encode(format!("{uid}:{token}")));
    let mut headers =
        vec![("content-type", "application/json"), ("authorization", &*authorization)];
    headers.extend(traceparent.map(|traceparent| ("traceparent", traceparent)));
    let body = json!({ "roomId": ROOM, "message": { "text": TEXT } }).to_string();
    let answer = http::request(server.api(), "POST", "/v1/publish", &headers, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn a_collector_gets_what_happened_and_nothing_of_what_was_said() {
    let collector = Collector::start().await;
    let business = Receiver::start(|request| match request.body.contains("\"hook.") {
        true => Reply::Json(json!({ "result": {} })),
        false => Reply::text(204, ""),
    })
    .await;
    let setup = collector
        .setup()
        .env("AO_HOOK__URL", business.url())
        .env("AO_HOOK__SECRET", SECRET)
        .env("AO_HOOK__TIMEOUT", "30s")
        .env("AO_WEBHOOK__URL", business.url())
        .env("AO_WEBHOOK__SECRET", SECRET);
    let mut server = setup.start().await;
    let ann = server.member(UID, ROOM).await;
    ann.send(&json!({ "text": TEXT, "storage": 0 })).await;
    ann.sync(&json!({ "offset": 0 })).await;
    // Whose caller does not want it is not recorded, nor chosen by a part of it.
    publish(&server, Some(&format!("00-{UNWANTED}-{PARENT}-00"))).await;
    publish(&server, Some(&format!("00-{TRACE}-{PARENT}-01"))).await;
    let names = [("authenticate", 1), ("join", 1), ("msg", 1), ("sync", 1), ("publish", 1)];
    collector.wait_for(&names).await;
    collector.wait_for(&[("hook", 3), ("webhook", 1), ("message", 2), ("fan-out", 2)]).await;
    // Each request of the server is a span of its own.
    let requests = business.requests();
    soon("the spans of all requests", async {
        while !requests.iter().all(|request| collector.has(request)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(server.terminate().await, 0);

    let spans = collector.spans();
    let times = |name: &str| spans.iter().filter(|span| span.name == name).count();
    assert_eq!((times("publish"), times("message")), (1, 2), "{spans:?}");
    assert!(spans.iter().all(|span| hex(&span.trace_id) != UNWANTED), "{spans:?}");
    let lines = lines(&spans);
    for expected in [
        &["hook", "authenticate"][..],
        &["store", "authenticate"],
        &["hook", "join"],
        &["store", "enter", "join"],
        &["hook", "msg"],
        &["fan-out", "store", "message", "msg"],
        &["store", "sync"],
        &["fan-out", "store", "message", "publish"],
        &["webhook"],
    ] {
        assert!(lines.iter().any(|line| line == expected), "no {expected:?} in {lines:#?}");
    }
    for span in &spans {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
        let status = span.status.as_ref().map_or(0, |status| status.code);
        assert_eq!(status, SpanStatus::Unset as i32, "{span:?}");
    }

    // The API goes on with the trace of whoever calls it.
    let api = spans.iter().find(|span| span.name == "publish").unwrap();
    assert_eq!((&*hex(&api.trace_id), &*hex(&api.parent_span_id)), (TRACE, PARENT));
    assert_eq!(api.kind, SpanKind::Server as i32);
    assert_eq!(note(api, "http.request.method"), Some(Any::StringValue("POST".into())));
    assert_eq!(note(api, "http.response.status_code"), Some(Any::IntValue(200)));

    let got = collector.got.lock().unwrap().clone();
    let (admin, token) = (server.admin(), server.token(UID).await);
    for (headers, body) in got {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
        for said in [UID, ROOM, TEXT, KEY, SECRET, &token, &admin.0, &admin.1] {
            let found = body.windows(said.len()).any(|bytes| bytes == said.as_bytes());
            assert!(!found, "{said} is in what was sent");
        }
    }
    let of = collector.requests().remove(0).resource_spans.remove(0).resource.unwrap();
    let service = of.attributes.iter().find(|a| a.key == "service.name").unwrap();
    let name = service.value.clone().unwrap().value;
    assert_eq!(name, Some(Any::StringValue("always-online".into())));
    assert!(!server.stderr().contains(KEY), "{}", server.stderr());
}

#[tokio::test]
async fn of_what_is_not_chosen_nothing_is_told_unless_the_caller_wants_it() {
    // Below a path of its own, as some collectors are.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = Collector::serve(listener, "/otlp/v1/traces");
    let endpoint = format!("http://{}/otlp/", collector.address);
    let setup = collector.setup().env("AO_OTEL__ENDPOINT", endpoint).env("AO_OTEL__SAMPLE", "0");
    let mut server = setup.start().await;
    let ann = server.member(UID, ROOM).await;
    ann.send(&json!({ "text": TEXT, "storage": 0 })).await;
    publish(&server, None).await;
    publish(&server, Some(&format!("00-{TRACE}-{PARENT}-00"))).await;
    publish(&server, Some("00-no-trace-01")).await;
    publish(&server, Some(&format!("00-{TRACE}-{PARENT}-01"))).await;
    assert_eq!(server.terminate().await, 0, "and the end sends what waits");
    let spans = collector.spans();
    assert!(spans.iter().any(|span| span.name == "publish"), "{spans:?}");
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "{spans:?}");
    let messages = spans.iter().filter(|span| span.name == "message").count();
    assert_eq!(messages, 1, "{spans:?}");
}

#[tokio::test]
async fn without_a_collector_all_goes_on_and_the_log_says_so_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut server = traced_for(listener.local_addr().unwrap()).start().await;
    // It closes whatever connection it gets, until it is to be a collector.
    let (begin, mut begins) = oneshot::channel::<()>();
    let closing = tokio::spawn(async move {
        loop {
            tokio::select! {
                accepted = listener.accept() => drop(accepted),
                _ = &mut begins => return listener,
            }
        }
    });
    let ann = server.member(UID, ROOM).await;
    server.logs("traces are lost").await;
    // Two batches more.
    for _ in 0..2 {
        let before = lost(&server).await;
        ann.send(&json!({ "text": TEXT, "storage": 0 })).await;
        soon("another batch that is lost", async {
            while lost(&server).await == before {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
    assert_eq!(http::get(server.websocket(), "/readyz").await.status, 200);

    begin.send(()).unwrap();
    let collector = Collector::serve(closing.await.unwrap(), "/v1/traces");
    ann.send(&json!({ "text": TEXT, "storage": 0 })).await;
    server.logs("traces are taken again").await;
    collector.wait_for(&[("message", 1)]).await;
    assert_eq!(server.terminate().await, 0);
    let log = server.stderr();
    assert_eq!(log.matches("traces are lost").count(), 1, "{log}");
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_the_end() {
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap(); // it accepts nobody
    let mut server = traced_for(hanging.local_addr().unwrap()).start().await;
    let ann = server.member(UID, ROOM).await;
    ann.send(&json!({ "text": TEXT, "storage": 0 })).await;
    assert_eq!(server.terminate().await, 0, "{}", server.stderr());
    // It gave up before the request did.
    assert!(!server.stderr().contains("traces are lost"), "{}", server.stderr());
    assert!(server.stderr().contains("the last traces were not sent"), "{}", server.stderr());
}

#[tokio::test]
async fn authorities_of_a_collector_that_can_not_be_read_are_a_wrong_configuration() {
    let setup = Setup::new()
        .env("AO_OTEL__ENDPOINT", "https://127.0.0.1:4318")
        .env("AO_OTEL__CA", "nowhere.pem");
    let checked = setup.clone().args(["check-config"]).run().await;
    checked.fails(2, &["the collector of traces can't be called", "nowhere.pem"]);
}
