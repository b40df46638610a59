//! Sending spans: by OTLP over HTTP, as protobuf (OTLP specification 1.x, `/v1/traces`), with the
//! client that hooks and webhooks have, too.
//!
//! **Nobody waits for it.** A span that ends goes into a bounded queue, or, where that is full, is
//! lost and counted. One task sends what waits, in batches. A batch that the collector does not
//! take is lost as well: it is not worth more than those that come behind it. That it is not there
//! is logged once, and once that it is back.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Uri,
    header::{CONTENT_TYPE, USER_AGENT},
};
use opentelemetry::{Context, InstrumentationScope, KeyValue, trace::TracerProvider};
use opentelemetry_proto::{
    tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor},
};
use prost::Message;
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{HttpUrl, Otel},
    metrics::process,
    net::client::{Bounds, CallError, Client},
    throttle::throttled,
    trace,
};

/// Spans that may wait, and those of one request, at most: the defaults of OpenTelemetry's batches.
const WAITING: usize = 2048;
const BATCH: usize = 512;
/// How long the first span of a batch waits for others, and the pause behind a failure.
const DELAY: Duration = Duration::from_secs(2);
/// What a request may take, and its answer.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(10), bytes: 64 << 10 };
/// How long the end waits for a collector.
const LAST: Duration = Duration::from_secs(2);

/// Sends spans to a collector.
pub(super) struct Exporter {
    client: Client,
    url: Uri,
    headers: HeaderMap,
    resource: ResourceAttributesWithSchema,
    state: Mutex<State>,
    /// Spans that found no room.
    crowded_out: Arc<AtomicU64>,
    ending: CancellationToken,
    ended: CancellationToken,
}

/// What the task has, also after it panicked.
struct State {
    waiting: mpsc::Receiver<SpanData>,
    batch: Vec<SpanData>,
    /// The collector did not take the last batch.
    is_down: bool,
}

/// Where spans go when they end.
#[derive(Debug)]
struct Queue {
    waiting: mpsc::Sender<SpanData>,
    crowded_out: Arc<AtomicU64>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.waiting.try_send(span).is_err() {
            self.crowded_out.fetch_add(1, Relaxed);
            process().spans_lost.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Exporter {
    /// From now on spans are recorded.
    pub(super) fn open(config: &Otel, endpoint: &HttpUrl, client: Client) -> Arc<Self> {
        let (sender, waiting) = mpsc::channel(WAITING);
        let crowded_out = Arc::<AtomicU64>::default();
        let queue = Queue { waiting: sender, crowded_out: crowded_out.clone() };
        let resource = Resource::builder_empty()
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_detector(Box::new(EnvResourceDetector::new()))
            .with_service_name(config.service.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample))))
            .with_resource(resource.clone())
            .with_span_processor(queue)
            .build();
        let scope = InstrumentationScope::builder("always-online")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        trace::install(provider.tracer_with_scope(scope));
        Arc::new(Exporter {
            client,
            url: traces(endpoint.expose()),
            headers: headers(config),
            resource: (&resource).into(),
            state: Mutex::new(State { waiting, batch: Vec::new(), is_down: false }),
            crowded_out,
            ending: CancellationToken::new(),
            ended: CancellationToken::new(),
        })
    }

    /// Sends batches until the end, and then what is left.
    pub(super) async fn run(&self) {
        let mut state = self.state.lock().await;
        let State { waiting, batch, is_down } = &mut *state;
        while !self.ending.is_cancelled() {
            self.gather(waiting, batch).await;
            self.send(batch, is_down).await;
            if *is_down {
                tokio::select! {
                    () = sleep(DELAY) => {}
                    () = self.ending.cancelled() => {}
                }
            }
        }
        while let Ok(span) = waiting.try_recv() {
            batch.push(span);
            if batch.len() == BATCH || waiting.is_empty() {
                self.send(batch, is_down).await;
            }
        }
        self.ended.cancel();
    }

    /// Waits until there is a batch to send.
    async fn gather(&self, waiting: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) {
        let mut due = None;
        while batch.len() < BATCH {
            let late = async move {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let missing = BATCH - batch.len();
            tokio::select! {
                got = waiting.recv_many(batch, missing) => {
                    if got == 0 {
                        return self.ending.cancelled().await; // nothing can come any more
                    }
                    due.get_or_insert_with(|| Instant::now() + DELAY);
                }
                () = late => return,
                () = self.ending.cancelled() => return,
            }
        }
    }

    /// Sends a batch, once.
    async fn send(&self, batch: &mut Vec<SpanData>, is_down: &mut bool) {
        if batch.is_empty() {
            return;
        }
        let spans = std::mem::take(batch);
        let count = spans.len() as u64;
        let crowded_out = self.crowded_out.swap(0, Relaxed);
        match self.call(spans).await {
            Ok(refused) => {
                if std::mem::take(is_down) {
                    tracing::info!("traces are taken again");
                } else if crowded_out > 0 {
                    throttled!(warn, crowded_out, "more is traced than can be sent");
                }
                if refused > 0 {
                    process().spans_lost.inc_by(refused);
                    throttled!(warn, refused, "the collector refuses spans");
                }
            }
            Err(error) => {
                process().spans_lost.inc_by(count);
                if !std::mem::replace(is_down, true) {
                    tracing::warn!(%error, "traces are lost: the collector does not take them");
                }
            }
        }
    }

    /// How many of them the collector refuses.
    async fn call(&self, spans: Vec<SpanData>) -> Result<u64, CallError> {
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        let answer = self.client.call(request, BOUNDS).await?;
        // Collectors may answer with something else, or nothing, where all is well.
        let answer = ExportTraceServiceResponse::decode(answer.body).unwrap_or_default();
        let refused = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(refused).unwrap_or(0))
    }

    /// Has what waits sent, and waits for that.
    pub(super) async fn end(&self, deadline: Instant) {
        self.ending.cancel();
        let deadline = deadline.min(Instant::now() + LAST);
        if timeout_at(deadline, self.ended.cancelled()).await.is_err() {
            tracing::warn!("the last traces were not sent in time");
        }
    }
}

/// Where a collector takes traces: as for `OTEL_EXPORTER_OTLP_ENDPOINT`, a path below that of the
/// endpoint.
fn traces(endpoint: &Uri) -> Uri {
    let base = endpoint.path().trim_end_matches('/');
    let query = endpoint.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = endpoint.clone().into_parts();
    parts.path_and_query = format!("{base}/v1/traces{query}").parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| endpoint.clone())
}

fn headers(config: &Otel) -> HeaderMap {
    let mut headers: HeaderMap = config.headers.expose().iter().cloned().collect();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    let agent = concat!("always-online/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers
}
