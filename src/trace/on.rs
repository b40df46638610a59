//! Of a program that traces.
use std::{
    future::Future,
    sync::{LazyLock, Mutex, OnceLock},
};

use futures_util::future::Either;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context, KeyValue, Value,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::{
        FutureExt, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt,
        TraceFlags, TraceId, TraceState,
    },
};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracer};

use super::Kind;
use crate::lock::lock;

/// What makes spans. A process has one, as it has one log.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// What everything of a trace that was not chosen is a part of, so that a part of it is not chosen
/// by itself.
static NOT_CHOSEN: LazyLock<Context> = LazyLock::new(|| {
    let (trace, span) = (TraceId::from(1_u128), SpanId::from(1_u64));
    let flags = TraceFlags::default(); // not sampled
    let nothing = SpanContext::new(trace, span, flags, false, TraceState::NONE);
    Context::new().with_remote_span_context(nothing)
});

/// From now on spans are made by this. The first one counts.
pub fn install(tracer: SdkTracer) {
    let _ = TRACER.set(tracer);
}

impl From<Kind> for SpanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        }
    }
}

/// What may be noted of a span: a word of this source, or a number.
#[derive(Debug, Clone, Copy)]
pub enum Note {
    /// A word.
    Word(&'static str),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Note {
    fn from(word: &'static str) -> Self {
        Note::Word(word)
    }
}

impl From<usize> for Note {
    fn from(number: usize) -> Self {
        Note::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u16> for Note {
    fn from(number: u16) -> Self {
        Note::Number(number.into())
    }
}

impl From<u32> for Note {
    fn from(number: u32) -> Self {
        Note::Number(number.into())
    }
}

/// A piece of work, from its beginning until this is dropped. Nothing, where nobody asked for
/// traces.
#[derive(Debug, Default)]
pub struct Span(Option<Context>);

impl Span {
    /// A part of what the thread does, or the beginning of a trace of its own, if it is chosen.
    pub fn begin(name: &'static str, kind: Kind) -> Self {
        Context::map_current(|current| Self::start(name, kind, current))
    }

    /// A part of what the thread does; nothing, where that is not traced.
    pub fn part(name: &'static str, kind: Kind) -> Self {
        Context::map_current(|current| match current.has_active_span() {
            true => Self::start(name, kind, current),
            false => Span(None),
        })
    }

    /// The answer to a request: a part of the caller's trace, if its headers name one.
    pub fn request(name: &'static str, headers: &HeaderMap) -> Self {
        if TRACER.get().is_none() {
            return Span(None);
        }
        let propagator = TraceContextPropagator::new();
        let caller = propagator.extract_with_context(&Context::new(), &Incoming(headers));
        Self::start(name, Kind::Server, &caller)
    }

    fn start(name: &'static str, kind: Kind, parent: &Context) -> Self {
        let Some(tracer) = TRACER.get() else { return Span(None) };
        if parent.has_active_span() && !parent.span().span_context().is_sampled() {
            return Span(Some(NOT_CHOSEN.clone()));
        }
        let builder = SpanBuilder::from_name(name).with_kind(kind.into());
        let span = builder.start_with_context(tracer, parent);
        Span(Some(match span.span_context().is_sampled() {
            true => Context::new().with_span(span),
            false => NOT_CHOSEN.clone(),
        }))
    }

    /// A part of this one.
    fn child(&self, name: &'static str) -> Option<Self> {
        let context = self.chosen()?;
        Some(Self::start(name, Kind::Internal, context))
    }

    fn chosen(&self) -> Option<&Context> {
        self.0.as_ref().filter(|context| context.span().span_context().is_sampled())
    }

    /// What begins in this work is a part of this span.
    pub fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        match &self.0 {
            Some(context) => Either::Left(work.with_context(context.clone())),
            None => Either::Right(work),
        }
    }

    /// As [`Span::within`], of work that waits for nothing.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let _current = self.0.clone().map(Context::attach);
        work()
    }

    /// Notes something.
    pub fn set(&self, key: &'static str, note: impl Into<Note>) {
        if let Some(context) = self.chosen() {
            let value = match note.into() {
                Note::Word(word) => Value::from(word),
                Note::Number(number) => Value::from(number),
            };
            context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    /// It failed.
    pub fn failed(&self, why: &'static str) {
        if let Some(context) = self.chosen() {
            context.span().set_status(Status::error(why));
        }
    }

    /// Tells whoever gets this request what it is a part of.
    pub fn inject(&self, headers: &mut HeaderMap) {
        if let Some(context) = self.chosen() {
            TraceContextPropagator::new().inject_context(context, &mut Outgoing(headers));
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }
}

/// The work, which stays a part of what the thread does now.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    work.with_current_context()
}

/// What a room is about to store, as far as it is traced. A batch has messages of many traces, and
/// each of them is told of it.
#[derive(Debug, Default)]
pub struct Batch(Mutex<Vec<Span>>);

impl Batch {
    /// A part of each of these begins, and ends when what is returned is dropped.
    pub fn begin<'a>(
        &self,
        name: &'static str,
        of: impl Iterator<Item = &'a Span>,
    ) -> UnderWay<'_> {
        let parts = of.filter_map(|span| span.child(name)).collect();
        let before = std::mem::replace(&mut *lock(&self.0), parts);
        drop(before);
        UnderWay(self)
    }

    /// A part of each that is on its way.
    pub fn parts(&self, name: &'static str) -> Spans {
        Spans(lock(&self.0).iter().filter_map(|span| span.child(name)).collect())
    }
}

/// A batch on its way.
#[derive(Debug)]
pub struct UnderWay<'a>(&'a Batch);

impl UnderWay<'_> {
    /// Notes something of each.
    pub fn set(&self, key: &'static str, note: impl Into<Note>) {
        let note = note.into();
        lock(&self.0.0).iter().for_each(|span| span.set(key, note));
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let ended = std::mem::take(&mut *lock(&self.0.0));
        drop(ended);
    }
}

/// The same of several traces.
#[derive(Debug)]
pub struct Spans(Vec<Span>);

impl Spans {
    /// Notes something of each.
    pub fn set(&self, key: &'static str, note: impl Into<Note>) {
        let note = note.into();
        self.0.iter().for_each(|span| span.set(key, note));
    }
}

/// Headers that came.
struct Incoming<'a>(&'a HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// Headers that are sent.
struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        // An empty `tracestate` says nothing.
        if let (false, Ok(name), Ok(value)) =
            (value.is_empty(), HeaderName::try_from(key), HeaderValue::try_from(value))
        {
            self.0.insert(name, value);
        }
    }
}
